"""A checkout whose hooks are installed and taken out, with the git that `TEST_GIT` chooses."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from git_coderepo.git.process import Git
from git_coderepo.hooks.configured import LOCAL
from git_coderepo.hooks.install import Done, Hook, Status, install, status, uninstall
from tests.support.environment import program_path
from tests.support.repo import Repo

EVENTS = ("pre-run", "post-commit", "post-checkout", "post-merge", "post-rewrite")


def git_version() -> tuple[int, int]:
    words = subprocess.run(["git", "version"], capture_output=True, check=True, env={"PATH": program_path()}).stdout
    major, minor, *_ = words.decode().split()[2].split(".")
    return int(major), int(minor)


IN_CONFIGURATION = git_version() >= (2, 54)
in_folder = pytest.mark.skipif(IN_CONFIGURATION, reason="this git has hooks in its configuration")
in_configuration = pytest.mark.skipif(not IN_CONFIGURATION, reason="this git has hooks in its folder only")


class Hooks:
    """`repo`'s hooks, through the functions that the verbs call."""

    def __init__(self, repo: Repo, env: Mapping[str, str] | None = None) -> None:
        self.repo = repo
        self.git = Git(str(repo.path), environment=repo.env if env is None else env)

    def install(self, *events: str, scope: str = LOCAL) -> list[Done]:
        """Every event that is asked for gets its hook, or the test fails."""
        done = self.try_install(*events, scope=scope)
        assert [each.event for each in done if each.refused is not None] == []
        return done

    def try_install(self, *events: str, scope: str = LOCAL) -> list[Done]:
        return install(self.git, events, scope)

    def uninstall(self, *events: str, scope: str = LOCAL) -> list[Done]:
        return uninstall(self.git, events, scope)

    def status(self) -> Status:
        return status(self.git)

    def states(self) -> dict[str, str]:
        return {hook.event: hook.state for hook in self.status().hooks}

    def __getitem__(self, event: str) -> Hook:
        return next(hook for hook in self.status().hooks if hook.event == event)

    # --- the record ---

    @property
    def current(self) -> Path:
        return self.repo.git_dir() / "coderepo" / "current.json"

    def remember(self) -> None:
        """As a recorded run leaves it."""
        self.current.parent.mkdir(exist_ok=True)
        self.current.write_bytes(b"{}")

    def call_pre_run(self, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> tuple[int, str]:
        """(status, stderr) of the call that `hooks status` shows to launchers."""
        done = subprocess.run(
            self.status().launch, cwd=cwd or self.repo.path, env=self.repo.env if env is None else env,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.stdout == ""
        return done.returncode, done.stderr

    def runs(self) -> list[Path]:
        return [p for p in self.repo.git_dir().glob("coderepo/runs/*/*.json") if not p.name.endswith("result.json")]

    # --- somebody else's hooks ---

    @property
    def folder(self) -> Path:
        return Path(self.repo.line("rev-parse", "--path-format=absolute", "--git-path", "hooks"))

    def foreign(self, event: str, script: bytes | str, mode: int = 0o755) -> Path:
        """A script of another tool."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / event
        path.write_bytes(script.encode() if isinstance(script, str) else script)
        path.chmod(mode)
        return path


def picture(*places: Path) -> dict[str, tuple[int, bytes]]:
    """Every file, folder and link below these: type and mode, and contents. Only our own `coderepo` is left out."""
    found = {}
    for place in places:
        for folder, folders, names in os.walk(place):
            folders[:] = [name for name in folders if name not in ("coderepo", "tmp", ".run")]
            for name in [*folders, *names]:
                path = os.path.join(folder, name)
                mode = os.lstat(path).st_mode
                if stat.S_ISLNK(mode):
                    found[path] = (mode, os.fsencode(os.readlink(path)))
                elif stat.S_ISREG(mode):
                    found[path] = (mode, Path(path).read_bytes())
                else:
                    found[path] = (mode, b"")
    return found


def executable(name: str, env: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=env["PATH"])


def without_programs(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """An environment whose PATH has git and a few of the system's programs, no `git-coderepo` and no Python."""
    folder.mkdir(exist_ok=True)
    for name in ("sh", "cat", "rm", "dirname", "sed", "uname", "basename", "tr", "mkdir"):
        found = executable(name, env)
        if found is not None and not (folder / name).exists():
            (folder / name).symlink_to(found)
    git = executable("git", env)
    assert git is not None
    if not (folder / "git").exists():
        (folder / "git").write_text(f"#!/bin/sh\nexec '{git}' \"$@\"\n")
        (folder / "git").chmod(0o755)
    return {**env, "PATH": str(folder)}
