"""Hooks in git's configuration, from git 2.54 on: https://git-scm.com/docs/git-hook#_description

Each event has a section of its own, `hook.coderepo-EVENT`. All configured hooks run, in the configuration's order, and
the one in the hooks folder last: nobody else's is touched.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.errors import HookRefused
from git_coderepo.hooks import scripts
from git_coderepo.registration.write import config_file, edit_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from git_coderepo.git.process import Git

LOCAL, WORKTREE, GLOBAL = "local", "worktree", "global"
_PREFIX = "coderepo-"


class Configured(NamedTuple):
    """A section of ours: its block (None for a command that is not ours), its scope, whether it is switched on."""

    event: str
    scope: str
    block: scripts.Block | None
    enabled: bool


def section(event: str) -> str:
    """The section of an event. git does not tell a hook its event, so each has one."""
    return f"hook.{_PREFIX}{event}"


def file_of(git: Git, scope: str) -> str:
    """The absolute path of the configuration file of a scope. Raises HookRefused where a checkout has none."""
    if scope == LOCAL:
        return config_file(git)
    if scope == WORKTREE:
        if git.start("config", "--type=bool", "--get", "extensions.worktreeConfig").checked(1) != b"true\n":
            raise HookRefused(
                "this checkout has no configuration for one worktree alone",
                hints=["git config extensions.worktreeConfig true"],
            )
        return git.line("rev-parse", "--path-format=absolute", "--git-path", "config.worktree")
    # git writes to the last one that exists; without any, to ~/.gitconfig, which is the last.
    candidates = git.line("var", "GIT_CONFIG_GLOBAL").split("\n")
    return next((each for each in reversed(candidates) if os.path.exists(each)), candidates[-1])


def install(git: Git, scope: str, blocks: Sequence[scripts.Block]) -> str:
    """Write a section for each block, or bring it up to date; gives the file. Raises HookRefused, OSError."""
    path = file_of(git, scope)

    def write(copy: Git) -> None:
        for block in blocks:
            # The command first: an event without one is fatal for the user's commit.
            copy.run("config", "--file", "config", "--replace-all", section(block.event) + ".command", block.text)
            copy.run("config", "--file", "config", "--replace-all", section(block.event) + ".event", block.event)

    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb"):
            pass
    _edit(git, path, write)
    return path


def uninstall(git: Git, scope: str, events: Sequence[str]) -> list[str]:
    """Take the sections of these events out, whole; gives those that were there. Raises HookRefused, OSError."""
    try:
        path = file_of(git, scope)
    except HookRefused:
        return []
    if not os.path.exists(path):
        return []
    known = git.start("config", "--file", path, "--name-only", "--null", "--get-regexp", "^hook\\.coderepo-").checked(1)
    names = {os.fsdecode(name) for name in known.split(b"\0")}
    there = [event for event in events if any(name.startswith(section(event) + ".") for name in names)]

    def write(copy: Git) -> None:
        for event in there:
            copy.run("config", "--file", "config", "--remove-section", section(event))

    if there:
        _edit(git, path, write)
        if scope != LOCAL and os.path.getsize(path) == 0 and not os.path.islink(path):
            os.unlink(path)  # an empty one would keep git from looking at the other place
    return there


def configured(git: Git) -> list[Configured]:
    """Our hooks as git sees them now, in any scope; of two for one event the last one counts."""
    output = git.start("config", "--null", "--show-scope", "--get-regexp", "^hook\\.coderepo-").checked(1)
    fields = output.split(b"\0")
    values: dict[str, dict[str, tuple[str, bytes]]] = {}
    for scope, entry in zip(fields[0:-1:2], fields[1::2], strict=True):
        key, _, value = entry.partition(b"\n")
        name, _, variable = os.fsdecode(key).removeprefix("hook.").rpartition(".")
        values.setdefault(name, {})[variable] = (scope.decode(), value)
    found = []
    for event in scripts.EVENTS:
        known = values.get(_PREFIX + event, {})
        if "command" not in known:
            continue
        where, command = known["command"]
        enabled = known.get("enabled", ("", b"true"))[1].lower() not in (b"false", b"no", b"off", b"0")
        fires = known.get("event", ("", b""))[1] == event.encode()
        found.append(Configured(event, where, scripts.find(command, event), enabled and fires))
    return found


def _edit(git: Git, path: str, change: Callable[[Git], None]) -> None:
    """As `edit_file`; a file that does not end with a newline does not end with one afterwards."""

    def write(copy: Git) -> None:
        assert isinstance(copy.directory, str)
        with open(os.path.join(copy.directory, "config"), "rb") as file:
            before = file.read()
        change(copy)
        with open(os.path.join(copy.directory, "config"), "rb+") as file:
            after = file.read()
            if before and not before.endswith(b"\n"):
                file.truncate(len(after.removesuffix(b"\n")))

    edit_file(git, path, write)
