"""Hooks in git's configuration (git 2.54 and newer): nobody else's section, file or line is touched."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from git_coderepo.errors import CodeRepoError
from git_coderepo.hooks import folder, scripts
from git_coderepo.hooks.configured import GLOBAL
from tests.hooks.support import EVENTS, Hooks, in_configuration, picture
from tests.support.program import Program

pytestmark = in_configuration


def test_each_event_has_a_section_with_its_command_first(hooks: Hooks) -> None:
    """git refuses the user's commit over an event without a command."""
    hooks.install()
    listed = hooks.repo.git("config", "--local", "--name-only", "--list").decode().split()
    ours = [name for name in listed if name.startswith("hook.")]
    assert ours == [f"hook.coderepo-{event}.{name}" for event in EVENTS for name in ("command", "event")]
    for event in EVENTS:
        assert hooks.repo.line("hook", "list", "--allow-unknown-hook-name", event) == f"coderepo-{event}"


def test_other_peoples_hooks_and_lines_stay(hooks: Hooks) -> None:
    config = hooks.repo.git_dir() / "config"
    config.write_bytes(
        config.read_bytes()
        + b'; mine\n[hook "lint"]\n\tcommand = "echo linted >>.git/linted # x"\n\tevent = post-commit'
    )
    config.chmod(0o600)
    hooks.foreign("post-commit", "#!/usr/bin/env python3\nopen('.git/python', 'w')\n")
    before = picture(hooks.repo.path)
    hooks.install()
    hooks.remember()
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    hooks.uninstall()
    assert picture(hooks.repo.path) == before, "and there is still no newline at its end"
    hooks.install()
    hooks.repo.commit()
    assert not hooks.current.exists()
    assert (hooks.repo.git_dir() / "linted").exists() and (hooks.repo.git_dir() / "python").exists()


def test_what_was_added_to_our_sections_goes_with_them(hooks: Hooks) -> None:
    before = picture(hooks.repo.path)
    hooks.install()
    hooks.repo.git("config", "hook.coderepo-post-commit.enabled", "false")
    assert hooks.states()["post-commit"] == "off"
    hooks.remember()
    hooks.repo.commit()
    assert hooks.current.exists()
    hooks.install()
    assert hooks.states()["post-commit"] == "off", "it is the user who switched it off"
    hooks.uninstall()
    assert hooks.repo.git("config", "--local", "--get-regexp", "^hook", check=False) == b""
    assert (hooks.repo.git_dir() / "config").read_bytes() == before[str(hooks.repo.git_dir() / "config")][1]


def test_a_section_of_that_name_with_another_command_is_told_and_made_ours(hooks: Hooks) -> None:
    hooks.repo.git("config", "hook.coderepo-post-merge.command", "echo hello")
    hooks.repo.git("config", "hook.coderepo-post-merge.event", "post-merge")
    assert hooks.states()["post-merge"] == "foreign"
    hooks.install("post-merge")
    assert hooks.states()["post-merge"] == "installed"


def test_husky_and_hooks_switched_off_are_no_hindrance(hooks: Hooks) -> None:
    """`core.hooksPath` says where files are looked for; ours are none."""
    (hooks.repo.path / ".husky" / "_").mkdir(parents=True)
    for path in (".husky/_", "/dev/null"):
        hooks.repo.git("config", "core.hooksPath", path)
        before = picture(hooks.repo.path)
        hooks.install()
        hooks.remember()
        hooks.repo.git("commit", "-q", "--amend", "--allow-empty", "-m", "x")
        assert not hooks.current.exists()
        hooks.uninstall()
        after = picture(hooks.repo.path)
        for name in ("config", "hooks"):
            assert after[str(hooks.repo.git_dir() / name)] == before[str(hooks.repo.git_dir() / name)]


def test_after_an_upgrade_of_git_the_files_make_room_for_the_sections(hooks: Hooks) -> None:
    """Installed by an older git: both would run, and a run would be recorded twice."""
    before = picture(hooks.repo.path)
    theirs = hooks.foreign("post-commit", "#!/bin/sh\necho theirs\n")
    for event in EVENTS:
        block = scripts.block(event, scripts.this_program(), snapshot=False)
        folder.install(bytes(hooks.folder), block)
    assert set(hooks.states().values()) == {"installed"}
    assert hooks.call_pre_run() == (0, "")
    hooks.install()
    assert theirs.read_bytes() == b"#!/bin/sh\necho theirs\n"
    assert [path.name for path in hooks.folder.iterdir() if not path.name.endswith(".sample")] == ["post-commit"]
    assert hooks.call_pre_run() == (0, "")
    assert len(hooks.runs()) == 2
    hooks.uninstall()
    theirs.unlink()
    assert picture(hooks.repo.path) == before


def test_a_lock_of_another_process_is_respected(hooks: Hooks) -> None:
    (hooks.repo.git_dir() / "config.lock").write_bytes(b"")
    before = picture(hooks.repo.path)
    with pytest.raises(CodeRepoError, match="another git process is changing"):
        hooks.install()
    assert picture(hooks.repo.path) == before


def test_the_users_configuration_is_where_git_would_write_it(
    hooks: Hooks, home: Path, env: dict[str, str], program: Program
) -> None:
    """`~/.gitconfig`, else the one below XDG_CONFIG_HOME; a link stays one; one that was not there is gone."""
    contents = (home / ".gitconfig").read_bytes()
    del program.env["GIT_CONFIG_GLOBAL"]
    xdg = home / ".config" / "git" / "config"
    xdg.parent.mkdir(parents=True)

    def installed_and_gone() -> dict[str, tuple[int, bytes]]:
        before = picture(home)
        program.run("hooks", "install", "--global")
        between = picture(home)
        program.run("hooks", "uninstall", "--global")
        assert picture(home) == before
        return {path: between[path] for path in between if between[path] != before.get(path)}

    assert set(installed_and_gone()) == {str(home / ".gitconfig")}
    (home / ".gitconfig").rename(home / "dotfile")
    assert set(installed_and_gone()) == {str(home / ".gitconfig")}
    xdg.write_bytes(contents)
    assert set(installed_and_gone()) == {str(xdg)}
    (home / ".gitconfig").symlink_to("dotfile")
    assert set(installed_and_gone()) == {str(home / "dotfile")}


def test_still_installed_elsewhere(hooks: Hooks) -> None:
    hooks.install(scope=GLOBAL)
    assert hooks.uninstall() == []
    assert {hook.scope for hook in hooks.status().hooks} == {"global"}
