"""Hints about words that are mistyped or that name nothing yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hints import cures
from tests.hints.support import stopped, typed
from tests.support.program import Program
from tests.support.repo import Repo
from tests.support.terminal import on_terminal

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


@cures("git coderepo remove --yes {shell_word(name)}")
def test_nothing_is_removed_without_an_answer(checkout: Repo, program: Program) -> None:
    program.run("register", "it's", cwd=checkout.path, env={"CODEREPO_ALLOW_PROTOCOL": "file"})
    (hint,) = stopped(program, "remove", "it's", cwd=checkout.path, says="without a terminal")
    for answer, status in (("n", 1), ("y", 0)):
        asked = on_terminal(program, "remove", "it's", cwd=checkout.path, answers={"[y/N]": answer})
        assert asked[0] == status and "remove 'it's'?" in asked[1]
    program.run("register", "it's", cwd=checkout.path, env={"CODEREPO_ALLOW_PROTOCOL": "file"})
    typed(hint, checkout.path, program.env)


@cures(
    "git remote add origin URL",
    "git remote add NAME URL",
    "git coderepo update {shell_word(name)} --OPTION=VALUE",
    "git coderepo update -h",
)
def test_a_code_repository_that_cannot_be_described(checkout: Repo, program: Program) -> None:
    url = checkout.line("remote", "get-url", "origin")
    checkout.git("remote", "remove", "origin")
    add, register = stopped(program, "describe", cwd=checkout.path, says="this checkout has no code repository")
    (other,) = stopped(program, "describe", "mine", cwd=checkout.path, says="code repository not found: 'mine'")
    typed(other.replace("NAME", "mine").replace("URL", url), checkout.path, program.env)
    assert url in program.run("describe", "mine", cwd=checkout.path).text
    typed(add.replace("URL", url), checkout.path, program.env)
    typed(register, checkout.path, {**program.env, "CODEREPO_ALLOW_PROTOCOL": "file"})
    assert url in program.run("describe", cwd=checkout.path).text
    checkout.git("config", "coderepo.x y.type", "gitlab")
    update, listed = stopped(program, "describe", "x y", cwd=checkout.path, says="cannot tell which repository")
    assert "--group" in typed(listed, checkout.path, program.env).text
    given = update.replace("--OPTION=VALUE", "--group=acme --project=widgets --no-verify")
    typed(given, checkout.path, program.env)
    program.run("describe", "x y", cwd=checkout.path)


@cures("give the path of a run manifest, or work in the checkout where the run was recorded")
def test_a_run_that_is_asked_for_outside_of_any_repository(checkout: Repo, program: Program, tmp_path: Path) -> None:
    program.run("run", "--manifest", tmp_path / "run.json", "--", "true", cwd=checkout.path)
    stopped(program, "show", "@{-1}", cwd=tmp_path, says="unknown run '@{-1}': this directory is not in a repository")
    program.run("show", tmp_path / "run.json", cwd=tmp_path)
    program.run("show", "@{-1}", cwd=checkout.path)
