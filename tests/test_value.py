"""Values on the hook's path never change once they are made."""

from __future__ import annotations

import pytest

from git_coderepo.value import Value


class Point(Value):
    """A value for these tests."""

    x: int
    y: int

    @property
    def sum(self) -> int:
        """Return a number computed from the fields."""
        return self.x + self.y


def test_a_value_has_its_fields_and_no_others() -> None:
    point = Point(x=1, y=2)
    assert (point.x, point.y, point.sum) == (1, 2, 3)
    assert not hasattr(point, "__dict__")


def test_a_value_cannot_be_changed() -> None:
    point = Point(x=1, y=2)
    with pytest.raises(AttributeError, match="Point is frozen: 'x' cannot be changed"):
        setattr(point, "x", 3)  # noqa: B010 - the type checker refuses the assignment
    with pytest.raises(AttributeError, match="Point is frozen: 'x' cannot be deleted"):
        delattr(point, "x")
    assert point.x == 1


@pytest.mark.parametrize("fields", [{"x": 1}, {"x": 1, "y": 2, "z": 3}, {}])
def test_a_value_needs_all_of_its_fields(fields: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="Point takes the fields x, y"):
        Point(**fields)
