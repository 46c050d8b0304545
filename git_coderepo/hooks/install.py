"""`hooks install`, `uninstall` and `status`, by git's configuration or by the hooks folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from git_coderepo.errors import HookRefused, UsageError
from git_coderepo.filesystem.paths import is_within
from git_coderepo.git.process import Git, check_version, version
from git_coderepo.git.repository import Layout, read_layout, start_layout
from git_coderepo.hooks import configured, folder, scripts
from git_coderepo.hooks.configured import GLOBAL, LOCAL, WORKTREE
from git_coderepo.settings import Settings

# From this version on git runs hooks from its configuration, and `git hook run` accepts our name only with an option.
CONFIGURED_SINCE = (2, 54)
HOOK_RUN_SINCE = (2, 36)

INSTALLED, OUTDATED, OFF, BY_HAND, FOREIGN, MISSING = "installed", "outdated", "off", "by hand", "foreign", "missing"


class Done(NamedTuple):
    """The result for one event: the place of its hook (a configuration file or a script), or why it was refused."""

    event: str
    place: str | None
    refused: HookRefused | None = None


class Hook(NamedTuple):
    """The hook of an event: `state` is one of the words above, `program` the program that it starts."""

    event: str
    state: str
    place: str | None = None
    scope: str | None = None
    program: str | None = None
    program_exists: bool = True


class Status(NamedTuple):
    """The hooks of a checkout, and the command by which a launcher runs pre-run."""

    git: str
    is_configured: bool
    folder: str
    hooks: tuple[Hook, ...]
    launch: tuple[str, ...]

    @property
    def records(self) -> bool:
        """Whether pre-run records a run when a launcher runs it."""
        return self.state_of(scripts.PRE_RUN) in (INSTALLED, OUTDATED, BY_HAND)

    def state_of(self, event: str) -> str:
        """Return the state of the hook of an event."""
        return next(hook.state for hook in self.hooks if hook.event == event)


def chosen_events(events: Sequence[str]) -> tuple[str, ...]:
    """Return the named events in our order, or all events if none is named. Raises UsageError for an unknown one."""
    for event in events:
        if event not in scripts.EVENTS:
            raise UsageError(f"unknown event '{event}'", hints=[f"choose one of: {', '.join(scripts.EVENTS)}"])
    return tuple(event for event in scripts.EVENTS if not events or event in events)


def install(git: Git, events: Sequence[str], scope: str) -> list[Done]:
    """Install or update the hooks of these events; return the result for each.

    Raises HookRefused if no hook can be installed in this checkout, NotACheckout, OSError.
    """
    check_version(git)
    layout = _layout(git) if scope != GLOBAL else None
    writes_again = Settings.read(git).choice("onCommit") == "snapshot"
    program = scripts.this_program()
    blocks = [scripts.block(event, program, snapshot=writes_again) for event in chosen_events(events)]
    numbers, text = version(git)
    if numbers >= CONFIGURED_SINCE:
        path = configured.install(git, scope, blocks)
        if layout is not None:
            _leave_folders(git, layout, [block.event for block in blocks])
        return [Done(block.event, path) for block in blocks]
    if scope == WORKTREE:
        raise HookRefused(
            f"git {text} has only one hooks folder for all worktrees of a checkout",
            hints=[
                "for all of them: git coderepo hooks install",
                "or install git 2.54 or newer, which has hooks for one worktree",
            ],
        )
    if layout is None:
        hooks_folder = folder.folder_of_the_user(git)
    else:
        hooks_folder = folder.hooks_folder(git, layout)
        configured.uninstall(git, LOCAL, [block.event for block in blocks])
    return [_into_folder(hooks_folder, block) for block in blocks]


def _into_folder(hooks_folder: bytes, block: scripts.Block) -> Done:
    try:
        by_hand = folder.script_by_hand(hooks_folder, block.event)
        if by_hand is not None:
            folder.check_executable(hooks_folder, by_hand)
        path = by_hand if by_hand is not None else folder.install(hooks_folder, block)
    except HookRefused as refused:
        return Done(block.event, None, refused)
    return Done(block.event, os.fsdecode(path))


def uninstall(git: Git, events: Sequence[str], scope: str) -> list[Done]:
    """Uninstall the hooks of these events; return those that were installed. Raises NotACheckout, OSError."""
    numbers, _ = version(git)
    chosen = chosen_events(events)
    layout = _layout(git) if scope != GLOBAL else None
    removed: list[Done] = []
    if scope != GLOBAL or numbers >= CONFIGURED_SINCE:
        path = configured.file_of(git, scope)
        removed += [Done(event, path) for event in configured.uninstall(git, scope, chosen)]
    if layout is not None and scope == LOCAL:
        removed += _leave_folders(git, layout, chosen)
    if layout is None and numbers < CONFIGURED_SINCE:
        users = folder.folder_of_the_user(git)
        removed += [Done(event, os.fsdecode(path)) for event in chosen for path in folder.uninstall(users, event)]
    return removed


def _leave_folders(git: Git, layout: Layout, events: Sequence[str]) -> list[Done]:
    """Remove our blocks from the checkout's own hooks folders: the one in use, and git's default one."""
    own = layout.common_dir + b"/hooks"
    folders = {os.path.realpath(own): own}
    in_use = folder.folder_in_use(git, layout)
    if is_within(os.path.realpath(in_use), os.path.realpath(layout.common_dir)):
        folders.setdefault(os.path.realpath(in_use), in_use)
    return [
        Done(event, os.fsdecode(path))
        for each in folders.values()
        for event in events
        for path in folder.uninstall(each, event)
    ]


def status(git: Git) -> Status:
    """Return the state of the hooks of this checkout. Raises NotACheckout, GitFailed."""
    numbers, text = version(git)
    layout = _layout(git)
    writes_again = Settings.read(git).choice("onCommit") == "snapshot"
    in_use = folder.folder_in_use(git, layout)
    is_configured = numbers >= CONFIGURED_SINCE
    in_configuration = {each.event: each for each in configured.configured(git)} if is_configured else {}
    hooks = []
    for event in scripts.EVENTS:
        section = in_configuration.get(event)
        hooks.append(
            _configured(section, writes_again) if section is not None else _in_folder(in_use, event, writes_again)
        )
    return Status(text, is_configured, os.fsdecode(in_use), tuple(hooks), launch(numbers))


def launch(numbers: tuple[int, int]) -> tuple[str, ...]:
    """Return the command by which a launcher runs pre-run with this version of git."""
    if numbers < HOOK_RUN_SINCE:
        return ("sh", "-c", '"$(git rev-parse --git-path hooks)/pre-run"')
    return ("git", "hook", "run", *(["--allow-unknown-hook-name"] if numbers >= CONFIGURED_SINCE else []), "pre-run")


def _configured(section: configured.Configured, writes_again: bool) -> Hook:
    place = f"{configured.section(section.event)}.command"
    if section.block is None:
        return Hook(section.event, FOREIGN, place, section.scope)
    state = OFF if not section.enabled else _age(section.block, writes_again)
    return _hook(state, place, section.scope, section.block)


def _in_folder(hooks_folder: bytes, event: str, writes_again: bool) -> Hook:
    ours = folder.find(hooks_folder, event)
    if ours is not None:
        state = _age(ours.block, writes_again) if os.access(ours.path, os.X_OK) else OFF
        return _hook(state, os.fsdecode(ours.path), None, ours.block)
    by_hand = folder.script_by_hand(hooks_folder, event)
    if by_hand is not None:
        state = BY_HAND if folder.is_run(hooks_folder, by_hand) else OFF
        return Hook(event, state, os.fsdecode(by_hand))
    return Hook(event, MISSING)


def _age(block: scripts.Block, writes_again: bool) -> str:
    """Return INSTALLED if the text is the one that `hooks install` would write now, else OUTDATED."""
    now = scripts.block(block.event, block.program or b"", snapshot=writes_again, launcher=block.launcher).of_kind(
        block.kind
    )
    return INSTALLED if now.text == block.text else OUTDATED


def _hook(state: str, place: str, scope: str | None, block: scripts.Block) -> Hook:
    program = block.program
    if program is None:
        return Hook(block.event, state, place, scope)
    return Hook(block.event, state, place, scope, os.fsdecode(program), os.access(program, os.X_OK))


def _layout(git: Git) -> Layout:
    return read_layout(start_layout(git), git)


def as_json(status: Status) -> Mapping[str, object]:
    """Return the status as JSON values; paths have surrogates for bytes that are not UTF-8."""
    return {
        "git": status.git,
        "mechanism": "configuration" if status.is_configured else "folder",
        "folder": status.folder,
        "hooks": [
            {
                "event": hook.event,
                "state": hook.state,
                "place": hook.place,
                "scope": hook.scope,
                "program": hook.program,
                "programIsThere": hook.program_exists if hook.program is not None else None,
            }
            for hook in status.hooks
        ],
        "recorded": {"run": True, "launcher": status.records, "otherwise": False},
        "launcher": list(status.launch),
    }
