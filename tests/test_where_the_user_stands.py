"""A path in a command that is shown counts from where the user types it, and the command is for the right checkout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

import git_coderepo
from git_coderepo.errors import NotReproducible
from git_coderepo.git.process import git_word, path_word
from tests.e2e.support import lines
from tests.hints.support import stopped, tail, typed
from tests.support.program import Program
from tests.support.repo import Repo

NAMES = [
    b"data/x",
    b"a b",
    b"it's",
    b"- x",
    b"-n",
    b"sub/-n",
    b"\xff",
    b"-\xff",
    b":x",
    b":(top)y",
    b"a\nb",
    b"*",
    b"sub",
]


@pytest.fixture
def checkout(repo: Repo, program: Program) -> Repo:
    program.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
    repo.write("my sub/deep/train.py", "1\n")
    repo.commit()
    repo.push_to(repo.path.parent / "remote.git")
    return repo


@pytest.mark.parametrize("below", ["", "my sub", "my sub/deep"])
@pytest.mark.parametrize("name", NAMES)
def test_a_word_leads_to_the_path(checkout: Repo, monkeypatch: pytest.MonkeyPatch, name: bytes, below: str) -> None:
    here = checkout.path / below
    monkeypatch.chdir(here)
    monkeypatch.setenv("PWD", str(here))
    top = os.fsencode(checkout.path)
    assert git_word(top) == "git"
    checkout.write(name, "x")
    typed(f"git add -- {path_word(name, top)}", here, checkout.env)
    assert checkout.git("diff", "--cached", "--name-only", "-z") == name + b"\0"


def test_a_folder_keeps_its_final_slash(checkout: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout.path / "my sub")
    monkeypatch.setenv("PWD", str(checkout.path / "my sub"))
    assert path_word(b"data/", os.fsencode(checkout.path)) == "../data/"
    assert path_word(b"my sub/data/", os.fsencode(checkout.path)) == "data/"


def user_at(monkeypatch: pytest.MonkeyPatch, cwd: Path, env: Mapping[str, str]) -> None:
    monkeypatch.chdir(cwd)
    for name, value in {"PWD": str(cwd), **env}.items():
        monkeypatch.setenv(name, value)


def test_a_hook_is_started_at_the_root_for_a_user_below_it(checkout: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    user_at(monkeypatch, checkout.path, {"GIT_PREFIX": "my sub/"})
    assert path_word(b"x", os.fsencode(checkout.path)) == "../x"
    user_at(monkeypatch, checkout.path / "my sub", {"GIT_PREFIX": "not there/"})
    assert path_word(b"x", os.fsencode(checkout.path)) == "../x"


def test_from_elsewhere_the_checkout_is_named(checkout: Repo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    top = os.fsencode(checkout.path)
    outside = tmp_path / "a directory that is far away from the checkout" / "and" / "deep"
    outside.mkdir(parents=True)
    user_at(monkeypatch, outside, {})
    assert (git_word(top), path_word(b"x y", top)) == (f"git -C '../../../{checkout.path.name}'", "'x y'")
    user_at(monkeypatch, checkout.path.parent, {})
    assert git_word(top) == f"git -C '{checkout.path.name}'"


@pytest.mark.parametrize("name", ["x", "it's -x", "-x"])
def test_git_goes_to_another_directory_first(checkout: Repo, program: Program, tmp_path: Path, name: str) -> None:
    """`git -C DIRECTORY` starts this program there; the shell is still elsewhere."""
    checkout.git("config", "coderepo.untracked", "refuse")
    checkout.write(name, "x\n")
    done = typed(
        "cd '" + str(tmp_path) + "' && git -C 'my checkout/my sub' coderepo snapshot",
        tmp_path,
        program.env,
        check=False,
    )
    hints = lines(done, "hint")
    typed(tail(hints[1]), tmp_path, program.env)
    program.run("snapshot", cwd=checkout.path)


def test_a_directory_that_a_program_names(
    checkout: Repo, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.git("config", "coderepo.untracked", "refuse")
    checkout.write("new file", "x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    with pytest.raises(NotReproducible, match="is untracked") as refused:
        git_coderepo.snapshot(str(checkout.path))
    typed(tail(refused.value.hints[1]), tmp_path, program.env)
    program.run("snapshot", cwd=checkout.path)


@pytest.mark.parametrize("name", ["x y", "it's", "-x"])
def test_a_linked_worktree(checkout: Repo, program: Program, tmp_path: Path, name: str) -> None:
    checkout.git("worktree", "add", "--quiet", "-b", "second", tmp_path / "linked")
    linked = Repo(tmp_path / "linked", checkout.env)
    checkout.git("config", "coderepo.untracked", "refuse")
    linked.write(f"other/{name}", "x\n")
    hints = stopped(program, "snapshot", cwd=linked.path / "my sub", says="is untracked")
    typed(tail(hints[1]), linked.path / "my sub", program.env)
    assert program.run("snapshot", cwd=linked.path).json()["code"]["snapshot"]["tree"] == linked.line(
        "rev-parse", "HEAD^{tree}"
    )
