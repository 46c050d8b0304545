"""The hints of `hooks install`: each is followed, and the hook is then installed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.support import PROJECT, lines
from tests.hints import cures
from tests.hints.support import stopped, tail, typed
from tests.hooks.support import EVENTS, in_folder
from tests.support.program import Program
from tests.support.repo import Repo

pytestmark = pytest.mark.slow

NEWEST = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "git-coderepo" / "newest-git" / "bin"


@pytest.fixture
def checkout(repo: Repo) -> Repo:
    repo.write("train.py", "print('trained')\n")
    repo.commit()
    return repo


def states(program: Program, checkout: Repo, *words: str) -> dict[str, str]:
    shown = program.run("hooks", "status", "--json", *words, cwd=checkout.path, check=False).json()
    return {each["event"]: each["state"] for each in shown["hooks"]}


def with_newest_git(program: Program) -> dict[str, str]:
    if not (NEWEST / "git").exists():
        pytest.skip("no newer git was fetched: see tests/newest_git.sh")
    return {**program.env, "PATH": f"{NEWEST}:{program.env['PATH']}"}


@in_folder
@cures(
    "git config {place} --unset-all core.hooksPath",
    "or install git 2.54 or newer, which runs hooks from its configuration",
)
@pytest.mark.parametrize("scope", ["--local", "--global", "newest"])
def test_hooks_that_are_switched_off(program: Program, checkout: Repo, scope: str) -> None:
    checkout.git("config", "--local" if scope == "newest" else scope, "core.hooksPath", "/dev/null")
    hint, _ = stopped(program, "hooks", "install", cwd=checkout.path, says="hooks are disabled")
    if scope == "newest":
        program.env = with_newest_git(program)
    else:
        typed(hint, checkout.path, program.env)
    program.run("hooks", "install", cwd=checkout.path)
    assert set(states(program, checkout).values()) == {"installed"}


@in_folder
def test_hooks_in_the_work_tree(program: Program, checkout: Repo) -> None:
    (checkout.path / "team's hooks").mkdir()
    checkout.git("config", "core.hooksPath", "team's hooks")
    hints = stopped(program, "hooks", "install", cwd=checkout.path, says="in its work tree")
    for hint in hints[: len(EVENTS)]:
        typed(hint, checkout.path, program.env)
    assert states(program, checkout) == dict.fromkeys(EVENTS, "by hand")


@in_folder
@cures("leave out the option -c core.hooksPath", "rm {shell_word(folder)}")
def test_hooks_that_are_switched_off_for_one_command_or_by_a_file(program: Program, checkout: Repo) -> None:
    command = "git -c core.hooksPath=/dev/null coderepo hooks install"
    assert lines(typed(command, checkout.path, program.env, check=False), "hint")[0] == (
        "leave out the option -c core.hooksPath"
    )
    shutil.rmtree(checkout.git_dir() / "hooks", ignore_errors=True)
    (checkout.git_dir() / "hooks").write_text("")
    (hint,) = stopped(program, "hooks", "install", cwd=checkout.path, says="hooks' is a file")
    typed(hint, checkout.path, program.env)
    program.run("hooks", "install", cwd=checkout.path)
    assert set(states(program, checkout).values()) == {"installed"}


@in_folder
@cures("for every checkout that uses them: git coderepo hooks install --global")
def test_hooks_outside_of_the_checkout(program: Program, checkout: Repo, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    checkout.git("config", "--global", "core.hooksPath", tmp_path / "shared")
    hint, _ = stopped(program, "hooks", "install", cwd=checkout.path, says="outside of it")
    typed(tail(hint), checkout.path, program.env)
    assert set(states(program, checkout).values()) == {"installed"}


@in_folder
@cures("in each checkout: git coderepo hooks install")
def test_hooks_for_all_checkouts_where_git_has_none(program: Program, checkout: Repo) -> None:
    hint, _ = stopped(program, "hooks", "install", "--global", cwd=checkout.path, says="no hooks for all checkouts")
    typed(tail(hint), checkout.path, program.env)
    assert set(states(program, checkout).values()) == {"installed"}


@in_folder
@cures(
    "for all of them: git coderepo hooks install",
    "or install git 2.54 or newer, which has hooks for one worktree",
    "git config extensions.worktreeConfig true",
)
@pytest.mark.parametrize("newest", [False, True])
def test_hooks_for_one_worktree(program: Program, checkout: Repo, newest: bool) -> None:
    words = ("hooks", "install", "--worktree")
    hint, _ = stopped(program, *words, cwd=checkout.path, says="hooks folder for all worktrees")
    if newest:
        program.env = with_newest_git(program)
        (hint,) = stopped(program, *words, cwd=checkout.path, says="no configuration for a single worktree")
        typed(hint, checkout.path, program.env)
        program.run(*words, cwd=checkout.path)
    else:
        typed(tail(hint), checkout.path, program.env)
    assert set(states(program, checkout).values()) == {"installed"}


@in_folder
@cures("add to it: {texts.line_to_add(event)}", "{add} (in its own language)")
@pytest.mark.parametrize("event", ["pre-run", "post-commit"])
@pytest.mark.parametrize("script", ["a link", "another language"])
def test_a_script_that_takes_no_block(program: Program, checkout: Repo, event: str, script: str) -> None:
    path = checkout.git_dir() / "hooks" / event
    path.parent.mkdir(exist_ok=True)
    if script == "a link":
        checkout.write("scripts/hook", "#!/bin/sh\n", mode=0o755)
        path.symlink_to(checkout.path / "scripts" / "hook")
    else:
        path.write_text("#!/usr/bin/env python3\n")
        path.chmod(0o755)
    hint = stopped(program, "hooks", "install", "--event", event, cwd=checkout.path, says=f"'{path}' is ")[0]
    line = tail(hint.removesuffix(" (in its own language)"))
    with path.open("a") as file:
        file.write(f"{line}\n" if script == "a link" else f"import os\nos.system({line!r})\n")
    assert states(program, checkout)[event] == "by hand"


@in_folder
@cures("chmod +x {shell_word(path)}", "or remove it: rm {shell_word(path)}")
@pytest.mark.parametrize("which", [0, 1])
def test_a_script_that_git_does_not_run(program: Program, checkout: Repo, which: int) -> None:
    path = checkout.git_dir() / "hooks" / "post-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    hints = stopped(program, "hooks", "install", "--event", "post-commit", cwd=checkout.path, says="not executable")
    typed(tail(hints[which]), checkout.path, program.env)
    program.run("hooks", "install", "--event", "post-commit", cwd=checkout.path)
    assert states(program, checkout)["post-commit"] == "installed"


@cures("pip install git-coderepo")
def test_a_program_that_is_not_installed(program: Program, checkout: Repo) -> None:
    """Started from its sources by a Python beside which it is not; installed, its script is on PATH."""
    base = os.path.realpath(sys.executable)
    if os.path.exists(os.path.join(os.path.dirname(base), "git-coderepo")):
        pytest.skip("this Python has git-coderepo beside it")
    bare = os.pathsep.join(
        each for each in program.env["PATH"].split(os.pathsep) if not os.path.exists(f"{each}/git-coderepo")
    )
    env = {**program.env, "PATH": bare, "PYTHONPATH": os.pathsep.join([str(PROJECT), *map(str, sys.path[1:])])}
    command = f"{shlex.quote(base)} -m git_coderepo hooks install"
    refused = typed(command, checkout.path, env, check=False)
    assert "'git-coderepo' not found" in refused.errors
    assert lines(refused, "hint") == ["pip install git-coderepo"]
    installed = {**env, "PATH": os.pathsep.join([bare, os.path.dirname(os.fsdecode(program.executable()))])}
    typed(command, checkout.path, installed)
    assert set(states(program, checkout).values()) == {"installed"}
