"""The hooks folder (git before 2.54): beside whatever is there, and out again byte for byte."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from git_coderepo.errors import HookRefused
from git_coderepo.hooks.configured import GLOBAL
from tests.hooks.support import EVENTS, Hooks, in_folder, picture
from tests.support.program import Program

pytestmark = in_folder


def test_a_file_of_our_own_is_executable_as_the_umask_says(hooks: Hooks) -> None:
    old = os.umask(0o027)
    try:
        hooks.install()
    finally:
        os.umask(old)
    for event in EVENTS:
        assert (hooks.folder / event).stat().st_mode & 0o777 == 0o750


SCRIPTS = {
    "sh": b"#!/bin/sh\necho theirs >>.git/theirs\n",
    "bash": b"#!/usr/bin/env bash\nset -euo pipefail\necho theirs >>.git/theirs\n",
    "strict": b"#!/bin/sh -eu\necho theirs >>.git/theirs\n",
    "without a newline at its end": b"#!/bin/sh\necho theirs >>.git/theirs",
    "without a first line": b"echo theirs >>.git/theirs\n",
    "that ends with exit": b"#!/bin/sh\necho theirs >>.git/theirs\nexit 0\n",
    "that ends early": b"#!/bin/sh\necho theirs >>.git/theirs\ntest -n '' || exit 0\necho never >>.git/theirs\n",
    "that ends with exec": b"#!/bin/bash\necho theirs >>.git/theirs\nexec true\n",
    "that is no utf-8": b"#!/usr/bin/env bash\n# garbage: \xa0\xef\x12\xf2\necho theirs >>.git/theirs\n",
    "with a here-document at its end": b"#!/bin/sh\ncat >>.git/theirs <<END\ntheirs\nEND\n",
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_beside_a_shell_script(hooks: Hooks, kind: str) -> None:
    """Our block stands at the top: it runs whatever the script does later, and the script's status is its own."""
    path = hooks.foreign("post-commit", SCRIPTS[kind], mode=0o775)
    before = picture(hooks.repo.path)
    hooks.install()
    assert path.stat().st_mode & 0o7777 == 0o775
    hooks.uninstall()
    assert picture(hooks.repo.path) == before
    hooks.install()
    hooks.install()
    hooks.remember()
    hooks.repo.commit()
    assert not hooks.current.exists()
    assert (hooks.repo.git_dir() / "theirs").read_text() == "theirs\n", "theirs ran, once"


def test_an_empty_hook_is_filled_and_emptied_again(hooks: Hooks) -> None:
    hooks.foreign("post-commit", b"")
    hooks.foreign("post-merge", b"#!/bin/sh\n")
    hooks.foreign("post-checkout", b"#!/bin/sh")
    before = picture(hooks.repo.path)
    hooks.install()
    hooks.uninstall()
    assert picture(hooks.repo.path) == before


def test_the_status_of_the_other_script_is_still_what_git_gets(hooks: Hooks) -> None:
    """A post-checkout that fails makes `git checkout` fail."""
    hooks.foreign("post-checkout", "#!/bin/sh\nexit 3\n")
    hooks.install()
    hooks.remember()
    done = subprocess.run(
        ["git", "checkout", "-q", "-b", "x"], cwd=hooks.repo.path, env=hooks.repo.env, check=False, timeout=60
    )
    assert done.returncode == 1
    assert not hooks.current.exists()


def test_what_the_other_script_reads_and_is_given_is_still_there(hooks: Hooks) -> None:
    hooks.foreign("post-rewrite", '#!/bin/sh\necho "$@" >.git/arguments\ncat >.git/lines\n')
    hooks.install()
    hooks.remember()
    old = hooks.repo.head()
    hooks.repo.git("commit", "-q", "--amend", "-m", "again")
    assert not hooks.current.exists()
    assert (hooks.repo.git_dir() / "arguments").read_text() == "amend\n"
    assert (hooks.repo.git_dir() / "lines").read_text().split() == [old, hooks.repo.head()]


def test_a_pre_run_check_that_fails_after_ours_stops_the_run(hooks: Hooks) -> None:
    hooks.foreign("pre-run", "#!/bin/sh\nexit 5\n")
    hooks.install()
    assert hooks.call_pre_run()[0] == 5


def test_a_run_that_is_not_recorded_does_not_get_to_the_other_checks(hooks: Hooks) -> None:
    hooks.foreign("pre-run", "#!/bin/sh\necho theirs >.git/theirs\n")
    hooks.install()
    hooks.repo.git("config", "coderepo.dirty", "refuse")
    hooks.repo.write("train.py", "lr = 9\n")
    assert hooks.call_pre_run()[0] == 1
    assert not (hooks.repo.git_dir() / "theirs").exists()


def test_a_hook_in_another_language_is_left_alone_and_the_line_to_add_is_told(hooks: Hooks, program: Program) -> None:
    path = hooks.foreign("post-commit", "#!/usr/bin/env python3\nprint('theirs')\n")
    hooks.foreign("pre-run", b"\x7fELF\0\0")
    theirs = path.read_bytes()
    done = program.run("hooks", "install", cwd=hooks.repo.path, check=False)
    assert done.status == 1
    assert [line.split(":")[0] for line in done.text.splitlines()] == ["post-checkout", "post-merge", "post-rewrite"]
    assert f"error: '{path}' is not a script for sh or bash" in done.errors
    assert 'hint: add to it: rm -f "$(git rev-parse --git-path coderepo/current.json)"' in done.errors
    assert "hint: add to it: git coderepo hook pre-run || exit 1" in done.errors
    assert path.read_bytes() == theirs
    hooks.uninstall()
    assert path.read_bytes() == theirs


def test_the_line_that_was_told_does_what_the_hook_would_do(hooks: Hooks) -> None:
    line = 'rm -f "$(git rev-parse --git-path coderepo/current.json)"'
    script = f"#!/usr/bin/env python3\nimport os\nos.system('{line}')\n"
    path = hooks.foreign("post-commit", script)
    hooks.foreign("pre-run", "#!/usr/bin/perl\nsystem('git coderepo hook pre-run') == 0 or exit 1;\n")
    hooks.install()
    assert (hooks.states()["post-commit"], hooks.states()["pre-run"]) == ("by hand", "by hand")
    hooks.remember()
    hooks.repo.commit()
    assert not hooks.current.exists()
    assert hooks.status().records
    hooks.uninstall()
    assert path.read_text() == script


def test_a_hook_that_git_does_not_run_is_not_woken_up(hooks: Hooks) -> None:
    path = hooks.foreign("post-commit", "#!/bin/sh\nrm -rf important\n", mode=0o644)
    before = picture(hooks.repo.path)
    (refused,) = [each.refused for each in hooks.try_install() if each.refused is not None]
    assert refused.message == f"'{path}' is not executable: git does not run it"
    hooks.uninstall()
    assert picture(hooks.repo.path) == before


@pytest.mark.parametrize("target", ["/nowhere/hook", "../../scripts/hook"])
def test_a_link_is_left_alone_dead_or_not(hooks: Hooks, target: str) -> None:
    """What it leads to may be a tracked file of the work tree."""
    hooks.repo.write("scripts/hook", "#!/bin/sh\n", mode=0o755)
    (hooks.folder / "post-commit").symlink_to(target)
    before = picture(hooks.repo.path)
    (refused,) = [each.refused for each in hooks.try_install() if each.refused is not None]
    assert "is a symbolic link" in refused.message
    hooks.uninstall()
    assert picture(hooks.repo.path) == before


def test_hooks_that_stand_in_the_work_tree_are_left_alone_and_all_lines_are_told(hooks: Hooks) -> None:
    (hooks.repo.path / ".husky" / "_").mkdir(parents=True)
    hooks.repo.git("config", "core.hooksPath", ".husky/_")
    below = hooks.repo.path / "a"
    below.mkdir()
    before = picture(hooks.repo.path)
    for place in (hooks.repo.path, below):
        hooks.git = hooks.git.at(str(place))
        with pytest.raises(HookRefused, match=r"are in its work tree: 'core\.hooksPath' is '\.husky/_'") as told:
            hooks.install()
        lines = [hint for hint in told.value.hints if hint.startswith("printf ")]
        assert "/.husky/pre-run" in lines[0] and "git coderepo hook pre-run || exit 1" in lines[0]
    assert picture(hooks.repo.path) == before
    assert set(hooks.states().values()) == {"missing"}
    subprocess.run(["sh", "-c", lines[3]], check=True)
    assert hooks.states()["post-merge"] == "by hand"


def test_a_link_to_a_folder_of_the_work_tree_is_no_way_around(hooks: Hooks) -> None:
    hooks.folder.rename(hooks.repo.path / "team hooks")
    hooks.folder.symlink_to("../team hooks")
    before = picture(hooks.repo.path)
    with pytest.raises(HookRefused, match="work tree"):
        hooks.install()
    assert picture(hooks.repo.path) == before


def test_a_folder_for_several_checkouts_is_only_used_when_all_are_meant(
    hooks: Hooks, home: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared hooks"
    shared.mkdir()
    hooks.repo.git("config", "--global", "core.hooksPath", shared)
    before = picture(home, hooks.repo.path, shared)
    with pytest.raises(HookRefused, match="outside of it") as told:
        hooks.install()
    assert told.value.hints[0].endswith("git coderepo hooks install --global")
    hooks.install(scope=GLOBAL)
    hooks.remember()
    hooks.repo.git("commit", "-q", "--amend", "--allow-empty", "-m", "x")
    assert not hooks.current.exists()
    assert hooks.uninstall() == [], "they are those of all checkouts"
    hooks.uninstall(scope=GLOBAL)
    after = picture(home, shared)
    assert after == {path: before[path] for path in after}
    assert list(shared.iterdir()) == []


def test_without_such_a_folder_there_is_none_for_all_checkouts(hooks: Hooks, home: Path) -> None:
    before = picture(home, hooks.repo.path)
    with pytest.raises(HookRefused, match="no hooks for all checkouts"):
        hooks.install(scope=GLOBAL)
    assert picture(home, hooks.repo.path) == before


def test_hooks_that_are_switched_off_are_told_to_be(hooks: Hooks) -> None:
    hooks.repo.git("config", "core.hooksPath", "/dev/null")
    with pytest.raises(HookRefused, match="hooks are disabled"):
        hooks.install()
    assert set(hooks.states().values()) == {"missing"}


def test_the_checkouts_own_folder_by_another_name_will_do(hooks: Hooks) -> None:
    for path in (".git/hooks", str(hooks.repo.git_dir() / "my hooks")):
        hooks.repo.git("config", "core.hooksPath", path)
        before = picture(hooks.repo.path)
        hooks.install()
        assert set(hooks.states().values()) == {"installed"}
        hooks.uninstall()
        assert picture(hooks.repo.path) == before


def test_installed_before_another_tool_took_the_folder_over(hooks: Hooks) -> None:
    hooks.install()
    hooks.repo.git("config", "core.hooksPath", ".husky/_")
    assert set(hooks.states().values()) == {"missing"}, "git looks elsewhere now"
    assert [each.event for each in hooks.uninstall()] == list(EVENTS)
    assert not any((hooks.repo.git_dir() / "hooks" / event).exists() for event in EVENTS)


@pytest.mark.parametrize("of_another", [False, True])
def test_only_our_own_file_is_made_executable_again(hooks: Hooks, of_another: bool) -> None:
    if of_another:
        hooks.foreign("pre-run", "#!/bin/sh\ntrue\n")
    hooks.install("pre-run")
    (hooks.folder / "pre-run").chmod(0o644)
    (done,) = hooks.try_install("pre-run")
    assert (done.refused is not None) is of_another
    assert hooks.states()["pre-run"] == ("off" if of_another else "installed")


def test_lines_added_to_our_own_file_stay_when_ours_go(hooks: Hooks) -> None:
    hooks.install("post-commit")
    path = hooks.folder / "post-commit"
    path.write_bytes(path.read_bytes() + b"echo theirs\n")
    hooks.uninstall()
    assert path.read_bytes() == b"#!/bin/sh\necho theirs\n"


def test_sections_of_a_newer_git_make_room_for_the_files(hooks: Hooks) -> None:
    """The checkout is used with two gits: whichever installs last has the hooks, so that no run is recorded twice."""
    before = picture(hooks.repo.path)
    hooks.repo.git("config", "hook.coderepo-pre-run.command", "git-coderepo hook pre-run")
    hooks.repo.git("config", "hook.coderepo-pre-run.event", "pre-run")
    assert hooks.states()["pre-run"] == "missing"
    hooks.install()
    assert hooks.repo.git("config", "--get-regexp", "^hook", check=False) == b""
    hooks.uninstall()
    assert picture(hooks.repo.path) == before


def test_a_folder_that_cannot_be_written_is_an_error(hooks: Hooks, program: Program) -> None:
    hooks.folder.rename(hooks.folder.with_name("kept"))
    hooks.folder.with_name("hooks").write_bytes(b"no folder")
    done = program.run("hooks", "install", cwd=hooks.repo.path, check=False)
    assert done.status == 128
    assert done.errors.startswith("fatal: hooks are disabled")
