"""Check the hooks: installed, current, executable, and where git looks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial

from git_coderepo.doctor.answers import Known
from git_coderepo.doctor.finding import PROBLEM, CheckResult, command_of, note, ok, problem
from git_coderepo.errors import HookRefused
from git_coderepo.filesystem.paths import is_within, quoted
from git_coderepo.git.process import Git, shell_word
from git_coderepo.git.repository import Layout
from git_coderepo.hooks import folder, scripts
from git_coderepo.hooks.configured import GLOBAL, LOCAL, WORKTREE
from git_coderepo.hooks.install import BY_HAND, FOREIGN, INSTALLED, MISSING, OFF, OUTDATED, Hook, Status
from git_coderepo.hooks.install import install as install_hooks
from git_coderepo.hooks.install import status as hooks_status


def hooks(known: Known) -> Iterator[CheckResult]:
    """Check each hook that is installed."""
    checkout = known.place.checkout
    if checkout is None:
        return
    git, layout = checkout.git, checkout.layout
    status = hooks_status(git)
    elsewhere = list(_elsewhere(git, layout, status))
    findings = [*elsewhere, *_stale(git, status.hooks), *(_state(hook, layout) for hook in status.hooks)]
    if not status.is_configured and _is_noexec(os.fsencode(status.folder)):
        findings.append(note(f"the file system of '{status.folder}' is mounted noexec: git cannot run its hooks"))
    found = [finding for finding in findings if finding is not None]
    good = [hook.event for hook in status.hooks if hook.state in (INSTALLED, BY_HAND) and hook.program_exists]
    if good:
        yield ok(f"installed: {', '.join(good)}")
        if status.state_of(scripts.PRE_RUN) in (MISSING, FOREIGN) and not elsewhere:
            words = "pre-run is not installed: runs are not recorded automatically, except by `git coderepo run`"
            yield note(words, _first_step(git, layout, status))
    elif not any(finding.state == PROBLEM for finding in found):
        words = "none installed; they are optional: without them, only `git coderepo run` records runs"
        yield note(words, _first_step(git, layout, status))
    yield from found


def _first_step(git: Git, layout: Layout, status: Status) -> str:
    """Return the line that installs the missing hooks, or pre-run by hand where they cannot be installed."""
    line = "git coderepo hooks install"
    if status.is_configured:
        return line
    by_hand = folder.folder_by_hand(git, layout)
    if by_hand is not None:
        return folder.line_by_hand(by_hand, scripts.PRE_RUN, layout)
    try:
        place = folder.hooks_folder(git, layout)
    except HookRefused as refused:
        first = command_of(refused, otherwise=line)
        return first if first.startswith(line) else f"{first} && {line}"
    refusal = folder.refusal(place, scripts.PRE_RUN)
    if refusal is None:
        return line
    first = next(iter(refusal.hints), "")
    return f"{first} && {line}" if first.startswith("chmod") else folder.line_by_hand(place, scripts.PRE_RUN, layout)


def _elsewhere(git: Git, layout: Layout, status: Status) -> Iterator[CheckResult]:
    """Name our scripts in git's default folder while git looks for hooks in another one."""
    own = layout.common_dir + b"/hooks"
    in_use = os.fsencode(status.folder)
    if os.path.realpath(own) == os.path.realpath(in_use) or status.is_configured:
        return
    setting = folder.hooks_path(git)
    if setting is not None and not setting.value:
        yield problem("core.hooksPath is empty, so git runs no hooks", setting.hint(layout))
        return
    unused = [
        event
        for event, hook in zip(scripts.EVENTS, status.hooks, strict=True)
        if hook.state == MISSING and folder.find(own, event) is not None
    ]
    if not unused:
        return
    words = f"in {quoted(own)} does not run: core.hooksPath makes git use {quoted(in_use)}"
    by_hand = folder.folder_by_hand(git, layout)
    if by_hand is not None:
        for event in unused:
            yield problem(f"{event} {words}", folder.line_by_hand(by_hand, event, layout))
        return
    words = f"{', '.join(unused)} {words}"
    try:
        folder.hooks_folder(git, layout)
    except HookRefused as error:
        yield problem(words, command_of(error, otherwise="git config --edit"))
        return
    yield _reinstalled(git, words, unused, None)


def _stale(git: Git, hooks: Sequence[Hook]) -> Iterator[CheckResult]:
    """Yield one problem for all hooks of a scope that `hooks install` would rewrite."""
    stale = [hook for hook in hooks if hook.state == OUTDATED or not hook.program_exists]
    for scope in dict.fromkeys(hook.scope for hook in stale):
        these = [hook for hook in stale if hook.scope == scope]
        missing = [hook for hook in these if not hook.program_exists]
        words = f"outdated: {', '.join(hook.event for hook in these)}"
        if missing:
            words = f"{', '.join(hook.event for hook in missing)}: the program '{missing[0].program}' does not exist"
        yield _reinstalled(git, words, [hook.event for hook in these], scope)


def _reinstalled(git: Git, words: str, events: Sequence[str], scope: str | None) -> CheckResult:
    options = [f"--{scope}"] if scope in (GLOBAL, WORKTREE) else []
    if len(events) < len(scripts.EVENTS):
        options += [word for event in events for word in ("--event", event)]
    line = " ".join(["git coderepo hooks install", *options])
    own = scope in (None, LOCAL)
    return problem(words, line, partial(install_hooks, git, events, LOCAL) if own else None)


def _state(hook: Hook, layout: Layout) -> CheckResult | None:
    if hook.state == FOREIGN:
        return note(f"{hook.event}: the hook of another tool: {hook.place}")
    if hook.state != OFF or hook.place is None:
        return None
    if hook.scope is not None:
        return note(f"{hook.event}: switched off by '{hook.place.rpartition('.')[0]}'")
    # In the work tree, the mode of a script is an edit of the user's.
    own = is_within(os.path.realpath(os.fsencode(hook.place)), os.path.realpath(layout.common_dir))
    return problem(
        f"{hook.event}: not executable, so git does not run it",
        f"chmod +x {shell_word(hook.place)}",
        partial(folder.make_executable, hook.place) if own else None,
    )


def _is_noexec(path: bytes) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0))
    except OSError:
        return False
