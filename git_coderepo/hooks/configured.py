"""Hooks in git's configuration, from git 2.54 on: https://git-scm.com/docs/git-hook#_description

Each event has a section of its own, `hook.coderepo-EVENT`. git runs all configured hooks in the order of the
configuration, and the hook in the hooks folder last, so that hooks of other tools need not be changed.
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
    """A section of ours: its block (None if another tool changed its command), its scope, and whether it is enabled."""

    event: str
    scope: str
    block: scripts.Block | None
    enabled: bool


def section(event: str) -> str:
    """Return the section of an event. git does not tell a hook its event, so each event has a section."""
    return f"hook.{_PREFIX}{event}"


def file_of(git: Git, scope: str) -> str:
    """Return the absolute path of the configuration file of a scope. Raises HookRefused if the checkout has none."""
    if scope == LOCAL:
        return config_file(git)
    if scope == WORKTREE:
        if git.start("config", "--type=bool", "--get", "extensions.worktreeConfig").checked(1) != b"true\n":
            raise HookRefused(
                "this checkout has no configuration for a single worktree",
                hints=["git config extensions.worktreeConfig true"],
            )
        return git.line("rev-parse", "--path-format=absolute", "--git-path", "config.worktree")
    # git writes to the last file that exists, and without any to ~/.gitconfig, which is the last.
    candidates = git.line("var", "GIT_CONFIG_GLOBAL").split("\n")
    return next((each for each in reversed(candidates) if os.path.exists(each)), candidates[-1])


def install(git: Git, scope: str, blocks: Sequence[scripts.Block]) -> str:
    """Write or update a section for each block; return the path of the file. Raises HookRefused, OSError."""
    path = file_of(git, scope)

    def write(copy: Git) -> None:
        for block in blocks:
            # First the command: with an event but no command, git would refuse to commit.
            copy.run("config", "--file", "config", "--replace-all", section(block.event) + ".command", block.text)
            copy.run("config", "--file", "config", "--replace-all", section(block.event) + ".event", block.event)

    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb"):
            pass
    _edit(git, path, write)
    return path


def uninstall(git: Git, scope: str, events: Sequence[str]) -> list[str]:
    """Remove the sections of these events; return the events that had one. Raises OSError."""
    try:
        path = file_of(git, scope)
    except HookRefused:
        return []
    if not os.path.exists(path):
        return []
    known = git.start("config", "--file", path, "--name-only", "--null", "--get-regexp", "^hook\\.coderepo-").checked(1)
    names = {os.fsdecode(name) for name in known.split(b"\0")}
    removed = [event for event in events if any(name.startswith(section(event) + ".") for name in names)]

    def write(copy: Git) -> None:
        for event in removed:
            copy.run("config", "--file", "config", "--remove-section", section(event))

    if removed:
        _edit(git, path, write)
        if scope != LOCAL and os.path.getsize(path) == 0 and not os.path.islink(path):
            os.unlink(path)  # an empty file would hide the other one from git
    return removed


def configured(git: Git) -> list[Configured]:
    """Return our hooks in git's configuration, of any scope; of two for one event the last one counts."""
    output = git.start("config", "--null", "--show-scope", "--get-regexp", "^hook\\.coderepo-").checked(1)
    fields = output.split(b"\0")
    values: dict[str, dict[str, tuple[str, bytes]]] = {}
    for scope, entry in zip(fields[0:-1:2], fields[1::2], strict=True):
        key, _, value = entry.partition(b"\n")
        name, _, variable = os.fsdecode(key).removeprefix("hook.").rpartition(".")
        values.setdefault(name, {})[variable] = (scope.decode(), value)
    hooks = []
    for event in scripts.EVENTS:
        known = values.get(_PREFIX + event, {})
        if "command" not in known:
            continue
        scope_of_command, command = known["command"]
        enabled = known.get("enabled", ("", b"true"))[1].lower() not in (b"false", b"no", b"off", b"0")
        fires = known.get("event", ("", b""))[1] == event.encode()
        hooks.append(Configured(event, scope_of_command, scripts.find(command, event), enabled and fires))
    return hooks


def _edit(git: Git, path: str, change: Callable[[Git], None]) -> None:
    """Edit a file as `edit_file` does, but keep the end of a file without a final newline."""

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
