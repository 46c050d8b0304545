"""Which words are suggested for a mistyped one: those that a slip of a finger leads to, and no others."""

from __future__ import annotations

import pytest

from git_coderepo.cli.table import VERBS
from git_coderepo.similar import closest


@pytest.mark.parametrize(
    ("word", "meant"),
    [("feth", "fetch"), ("lgo", "log"), ("rnu", "run"), ("shwo", "show"), ("stauts", "status"), ("regster", "register"),
     ("snapshto", "snapshot"), ("verfy", "verify"), ("publsih", "publish"), ("hook", "hooks")],
)  # fmt: skip
def test_a_slip_is_recognised(word: str, meant: str) -> None:
    assert closest(word, VERBS) == [meant]


@pytest.mark.parametrize("word", ["", "x", "ls", "foo", "commit", "push", "checkout", "clone", "init", "run"])
def test_nothing_else_is_suggested(word: str) -> None:
    assert closest(word, VERBS) == []
