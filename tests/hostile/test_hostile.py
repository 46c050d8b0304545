"""Whatever is tried, it is refused in the words that `README.md` has, and nothing comes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.mark.structures import ParameterSet

from tests.hostile.cases import CASES, README, rendered, row, written
from tests.hostile.play import Case, Place, place, played_by_program, played_in_process

# Each case is played in this process. The program plays one in so many: the first number is for `make test`, the second
# for `make test-all`. `make hostile` plays every case both ways.
_ONE_IN, _ONE_IN_SLOW = 41, 7


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("hostile")) as made:
        yield made


def named(case: Case) -> str:
    return f"{case.group}-{case.name}".encode("ascii", "backslashreplace").decode()


@pytest.fixture
def tidied(here: Place) -> Iterator[Place]:
    yield here
    here.tidy()


@pytest.mark.parametrize("case", [case for case in CASES if not case.slow], ids=named)
def test_it_is_refused_and_nothing_is_written(case: Case, tidied: Place) -> None:
    where, said = row(case, played_in_process(case, tidied))
    assert said == written()[where]


def by_program() -> list[ParameterSet]:
    found = []
    for number, case in enumerate(CASES):
        if case.slow or number % _ONE_IN == 0 or number % _ONE_IN_SLOW == 0:
            marks = [pytest.mark.slow] if case.slow or number % _ONE_IN else []
            found.append(pytest.param(case, id=named(case), marks=marks))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", by_program())
def test_the_program_says_so_in_one_line_and_little_memory(case: Case, tidied: Place) -> None:
    where, said = row(case, played_by_program(case, tidied))
    assert said == written()[where]


def test_the_table_has_every_case_once_and_none_is_a_defect() -> None:
    table = written()
    assert set(table) == {row(case, "")[0] for case in CASES}
    assert len({(case.group, case.name) for case in CASES}) == len(CASES)
    for where, said in table.items():
        assert said and not said.startswith("unexpected"), where
    assert README.read_text(encoding="utf-8") == rendered(table)
