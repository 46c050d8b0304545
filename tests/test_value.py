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


class Options(Value):
    """A value with defaults."""

    name: str
    depth: int = 1
    paths: tuple[bytes, ...] = ()


def test_a_field_may_have_a_default() -> None:
    options = Options(name="a", paths=(b"x",))
    assert (options.name, options.depth, options.paths) == ("a", 1, (b"x",))
    assert Options(name="b").paths == ()


def test_a_field_without_a_default_is_needed() -> None:
    fields: dict[str, int] = {"depth": 2}
    with pytest.raises(TypeError, match="Options takes the fields name, depth, paths"):
        Options(**fields)  # type: ignore[arg-type]


def test_a_changed_copy_leaves_the_value_as_it_is() -> None:
    options = Options(name="a")
    other = options.replace(depth=2)
    assert (other.name, other.depth) == ("a", 2)
    assert options.depth == 1
    with pytest.raises(TypeError, match="Options takes the fields"):
        options.replace(size=3)
