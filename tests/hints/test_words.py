"""Hints about words that are mistyped or that name nothing yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hints import cures
from tests.hints.support import stopped, typed
from tests.support.program import Program
from tests.support.repo import Repo

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    return repo


@cures("git coderepo run -- COMMAND", "git coderepo publish")
def test_a_list_with_nothing_in_it(checkout: Repo, program: Program) -> None:
    env = {**program.env, "CODEREPO_ALLOW_PROTOCOL": "file"}
    for words, hint in ((["log"], "git coderepo run -- true"), (["log", "--remote"], "git coderepo publish")):
        said = program.run(*words, cwd=checkout.path, env=env).errors
        assert f"hint: {hint.replace('true', 'COMMAND')}\n" in said
        typed(hint, checkout.path, env)
        assert program.run(*words, cwd=checkout.path, env=env).errors == ""


@cures(
    "write an age such as 7d or '2 weeks ago', yesterday, or a date such as 2026-11-23 or 2026-11-23T14:30",
    "choose from {known}",
    "write %% for a percent sign, and %(NAME) before a letter",
)
def test_a_date_or_a_format_that_log_does_not_read(checkout: Repo, program: Program) -> None:
    program.run("run", "--", "true", cwd=checkout.path)
    (hint,) = stopped(program, "log", "--since", "lately", cwd=checkout.path, says="invalid date 'lately'")
    for date in ("7d", "2 weeks ago", "yesterday", "2026-11-23", "2026-11-23T14:30"):
        assert date in hint
        program.run("log", "--since", date, cwd=checkout.path)
    known, marks = stopped(program, "log", "--format", "100% %nam", cwd=checkout.path, says="invalid placeholder")
    assert program.run("log", "--format", "%(state)100%%", cwd=checkout.path).text == "ok100%\n" and "%%" in marks
    for word in known.removeprefix("choose from ").split(", "):
        program.run("log", "--format", word, cwd=checkout.path)
