"""The table in `README.md` says what the cases give: each is played and compared with its cell."""

from __future__ import annotations

import pytest
from _pytest.mark.structures import ParameterSet

from tests.fidelity.case import PLATFORMS, REFUSED, SAME, Case, play, room
from tests.fidelity.table import ROWS, written


def plays() -> list[ParameterSet]:
    """Each row on one platform in turn by default, on all of them in `make test-all`."""
    found = []
    for number, row in enumerate(ROWS):
        for at, platform in enumerate(PLATFORMS):
            slow = row.slow or at != number % len(PLATFORMS)
            marks = [pytest.mark.slow] if slow else []
            if row.lacks:
                marks.append(pytest.mark.skip(reason=row.lacks))
            found.append(pytest.param(row, platform, id=f"{row.slug}-{platform}", marks=marks))
    return found


@pytest.mark.parametrize(("row", "platform"), plays())
def test_a_cell_says_what_comes_back(row: Case, platform: str) -> None:
    with room() as root:
        assert play(row, platform, root) == written()[row.slug, platform]


def test_the_table_has_every_row_and_no_cell_that_differs_or_is_empty() -> None:
    cells = written()
    assert set(cells) == {(row.slug, platform) for row in ROWS for platform in PLATFORMS}
    assert len({row.slug for row in ROWS}) == len(ROWS)
    for where, text in cells.items():
        assert text == SAME or (text.startswith(REFUSED) and len(text) > len(REFUSED)), where
