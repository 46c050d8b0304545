"""The table in `README.md` says what faults lead to: each is played and compared with its cell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.mark.structures import ParameterSet

from tests.faults.case import PLATFORMS, VERBS, Fault, Stage, play, stage
from tests.faults.table import FAULTS, keys, written

# What a runner must be prepared for: none of it may go missing.
MUST_SHOW = (
    "connection refused", "reset in the middle", "stalled", "truncated gzip", "wrong content type",
    "HTML with status 200", "to another host", "to http", "in a loop", "401", "403", "404", "406", "409", "422",
    "429", "500", "502",
    "Retry-After in seconds", "Retry-After as a date", "a reset time", "never ending", "full", "read-only", "no inode",
    "certificate", "SIGINT", "SIGTERM", "SIGKILL",
)  # fmt: skip


def plays() -> list[ParameterSet]:
    """Each row on one platform and with one verb in turn by default, all of them in `make test-all`."""
    found = []
    for number, fault in enumerate(FAULTS):
        for at, platform in enumerate(fault.platforms):
            for which, verb in enumerate(VERBS):
                turn = at == number % len(fault.platforms) and which == number % len(VERBS)
                marks = [] if turn and not fault.slow else [pytest.mark.slow]
                found.append(pytest.param(platform, fault, verb, id=f"{fault.slug}-{platform}-{verb}", marks=marks))
    return found


@pytest.fixture(scope="module")
def stages() -> Iterator[dict[str, Stage]]:
    """A runner for each platform, made when the first fault is played there."""
    made: dict[str, Stage] = {}
    opened = {platform: stage(platform) for platform in PLATFORMS}

    class Opening(dict[str, Stage]):
        def __missing__(self, platform: str) -> Stage:
            self[platform] = made[platform] = opened[platform].__enter__()
            return self[platform]

    yield Opening()
    for platform in made:
        opened[platform].__exit__(None, None, None)


@pytest.mark.parametrize(("platform", "fault", "verb"), plays())
def test_a_cell_says_what_a_fault_leads_to(stages: dict[str, Stage], platform: str, fault: Fault, verb: str) -> None:
    if not fault.playable:
        pytest.skip("a small file system can be mounted by root only")
    assert play(fault, verb, stages[platform]) == written()[fault.slug, platform, verb]


def test_the_table_has_every_row_and_no_cell_that_is_empty() -> None:
    cells = written()
    assert set(cells) == set(keys())
    assert len({fault.slug for fault in FAULTS}) == len(FAULTS)
    for where, cell in cells.items():
        assert all(cell.reads) and all(cell.left), where
    for name in MUST_SHOW:
        assert any(name in fault.name for fault in FAULTS), name


def test_what_is_refused_leaves_nothing() -> None:
    """Only what nobody can catch leaves anything, and the next one clears it away: see `machine`."""
    for (slug, platform, verb), cell in written().items():
        if cell.status not in (-9,):
            assert cell.left == ("nothing",), (slug, platform, verb)
