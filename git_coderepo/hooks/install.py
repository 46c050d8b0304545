"""`hooks install`, `uninstall` and `status`: which way this git takes hooks, and how they stand."""

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

# From this git on, hooks can stand in its configuration, and `git hook run` takes a name of ours with an option only.
CONFIGURED_SINCE = (2, 54)
HOOK_RUN_SINCE = (2, 36)

INSTALLED, OUTDATED, OFF, BY_HAND, FOREIGN, MISSING = "installed", "outdated", "off", "by hand", "foreign", "missing"


class Done(NamedTuple):
    """What became of one event: where its hook stands (a configuration file or a script), or why it was refused."""

    event: str
    place: str | None
    refused: HookRefused | None = None


class Hook(NamedTuple):
    """How one event's hook stands: `state` is one of the words above, `program` what it would start."""

    event: str
    state: str
    place: str | None = None
    scope: str | None = None
    program: str | None = None
    program_is_there: bool = True


class Status(NamedTuple):
    """How the hooks of a checkout stand, and the line by which a launcher calls pre-run."""

    git: str
    is_configured: bool
    folder: str
    hooks: tuple[Hook, ...]
    launch: tuple[str, ...]

    @property
    def records(self) -> bool:
        """Whether a launcher's call of pre-run records a run."""
        pre_run = next(hook for hook in self.hooks if hook.event == scripts.PRE_RUN)
        return pre_run.state in (INSTALLED, OUTDATED, BY_HAND)


def wanted(events: Sequence[str]) -> tuple[str, ...]:
    """The events that are meant, in our order: all of them where none is named. Raises UsageError."""
    for event in events:
        if event not in scripts.EVENTS:
            raise UsageError(f"'{event}' is no event of ours", hints=[f"choose one of: {', '.join(scripts.EVENTS)}"])
    return tuple(event for event in scripts.EVENTS if not events or event in events)


def install(git: Git, events: Sequence[str], scope: str) -> list[Done]:
    """Install the hooks of these events, or bring them up to date; gives what became of each.

    Raises HookRefused where none of them can be installed here, NotACheckout, OSError.
    """
    check_version(git)
    layout = _layout(git) if scope != GLOBAL else None
    renews = Settings.read(git).choice("onCommit") == "snapshot"
    program = scripts.this_program()
    blocks = [scripts.block(event, program, snapshot=renews) for event in wanted(events)]
    numbers, text = version(git)
    if numbers >= CONFIGURED_SINCE:
        path = configured.install(git, scope, blocks)
        if layout is not None:
            _leave_folders(git, layout, [block.event for block in blocks])
        return [Done(block.event, path) for block in blocks]
    if scope == WORKTREE:
        raise HookRefused(
            f"git {text} has one hooks folder for all worktrees of a checkout",
            hints=[
                "for all of them: git coderepo hooks install",
                "or install git 2.54 or newer, which has hooks for one worktree",
            ],
        )
    if layout is None:
        where = folder.folder_of_the_user(git)
    else:
        where = folder.hooks_folder(git, layout)
        configured.uninstall(git, LOCAL, [block.event for block in blocks])
    return [_into_folder(where, block) for block in blocks]


def _into_folder(where: bytes, block: scripts.Block) -> Done:
    try:
        by_hand = folder.is_by_hand(where, block.event)
        path = by_hand if by_hand is not None else folder.install(where, block)
    except HookRefused as refused:
        return Done(block.event, None, refused)
    return Done(block.event, os.fsdecode(path))


def uninstall(git: Git, events: Sequence[str], scope: str) -> list[Done]:
    """Take the hooks of these events out; gives those that were there. Raises NotACheckout, OSError."""
    numbers, _ = version(git)
    meant = wanted(events)
    layout = _layout(git) if scope != GLOBAL else None
    gone: list[Done] = []
    if scope != GLOBAL or numbers >= CONFIGURED_SINCE:
        path = configured.file_of(git, scope)
        gone += [Done(event, path) for event in configured.uninstall(git, scope, meant)]
    if layout is not None and scope == LOCAL:
        gone += _leave_folders(git, layout, meant)
    if layout is None and numbers < CONFIGURED_SINCE:
        where = folder.folder_of_the_user(git)
        gone += [Done(event, os.fsdecode(path)) for event in meant for path in folder.uninstall(where, event)]
    return gone


def _leave_folders(git: Git, layout: Layout, events: Sequence[str]) -> list[Done]:
    """Take our blocks out of the checkout's own hooks folders: the one in use, and the one that git has by default."""
    own = layout.common_dir + b"/hooks"
    places = {os.path.realpath(own): own}
    in_use = folder.folder_in_use(git, layout)
    if is_within(os.path.realpath(in_use), os.path.realpath(layout.common_dir)):
        places.setdefault(os.path.realpath(in_use), in_use)
    return [
        Done(event, os.fsdecode(path))
        for place in places.values()
        for event in events
        for path in folder.uninstall(place, event)
    ]


def status(git: Git) -> Status:
    """How the hooks of this checkout stand. Raises NotACheckout, GitFailed."""
    numbers, text = version(git)
    layout = _layout(git)
    renews = Settings.read(git).choice("onCommit") == "snapshot"
    in_use = folder.folder_in_use(git, layout)
    is_configured = numbers >= CONFIGURED_SINCE
    in_configuration = {each.event: each for each in configured.configured(git)} if is_configured else {}
    hooks = []
    for event in scripts.EVENTS:
        section = in_configuration.get(event)
        hooks.append(_configured(section, renews) if section is not None else _in_folder(in_use, event, renews))
    return Status(text, is_configured, os.fsdecode(in_use), tuple(hooks), launch(numbers))


def launch(numbers: tuple[int, int]) -> tuple[str, ...]:
    """The words by which a launcher calls pre-run with a git of this version, for a shell where it takes one."""
    if numbers < HOOK_RUN_SINCE:
        return ("sh", "-c", '"$(git rev-parse --git-path hooks)/pre-run"')
    return ("git", "hook", "run", *(["--allow-unknown-hook-name"] if numbers >= CONFIGURED_SINCE else []), "pre-run")


def _configured(section: configured.Configured, renews: bool) -> Hook:
    place = f"{configured.section(section.event)}.command"
    if section.block is None:
        return Hook(section.event, FOREIGN, place, section.scope)
    state = OFF if not section.enabled else _age(section.block, renews)
    return _hook(state, place, section.scope, section.block)


def _in_folder(where: bytes, event: str, renews: bool) -> Hook:
    found = folder.find(where, event)
    if found is not None:
        state = _age(found.block, renews) if os.access(found.path, os.X_OK) else OFF
        return _hook(state, os.fsdecode(found.path), None, found.block)
    by_hand = folder.is_by_hand(where, event)
    if by_hand is not None:
        return Hook(event, BY_HAND, os.fsdecode(by_hand))
    return Hook(event, MISSING)


def _age(block: scripts.Block, renews: bool) -> str:
    """Whether the text is the one that `hooks install` would write now."""
    now = scripts.block(block.event, block.program or b"", snapshot=renews, launcher=block.launcher).of_kind(block.kind)
    return INSTALLED if now.text == block.text else OUTDATED


def _hook(state: str, place: str, scope: str | None, block: scripts.Block) -> Hook:
    program = block.program
    if program is None:
        return Hook(block.event, state, place, scope)
    return Hook(block.event, state, place, scope, os.fsdecode(program), os.access(program, os.X_OK))


def _layout(git: Git) -> Layout:
    return read_layout(start_layout(git), git)


def as_json(status: Status) -> Mapping[str, object]:
    """The status for the next program; paths with surrogates for bytes that are not UTF-8."""
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
                "programIsThere": hook.program_is_there if hook.program is not None else None,
            }
            for hook in status.hooks
        ],
        "recorded": {"run": True, "launcher": status.records, "otherwise": False},
        "launcher": list(status.launch),
    }
