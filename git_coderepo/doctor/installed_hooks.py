"""Check the hooks: installed, current, executable, and where git looks for them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from functools import partial

from git_coderepo.doctor.answers import Known
from git_coderepo.doctor.finding import CheckResult, from_error, note, ok, problem
from git_coderepo.errors import HookRefused
from git_coderepo.filesystem.paths import quoted
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
    findings = [*_elsewhere(git, layout, status), *_stale(git, status.hooks), *map(_state, status.hooks)]
    if not status.is_configured and _is_noexec(os.fsencode(status.folder)):
        findings.append(note(f"the file system of '{status.folder}' is mounted noexec: git cannot run its hooks"))
    found = [finding for finding in findings if finding is not None]
    good = [hook.event for hook in status.hooks if hook.state in (INSTALLED, BY_HAND) and hook.program_exists]
    if good:
        yield ok(f"installed: {', '.join(good)}")
    elif not found:
        yield note("none installed: only `git coderepo run` records runs", "git coderepo hooks install")
    yield from found


def _elsewhere(git: Git, layout: Layout, status: Status) -> Iterator[CheckResult]:
    """Name our scripts in git's default folder while git looks for hooks in another one."""
    own = layout.common_dir + b"/hooks"
    in_use = os.fsencode(status.folder)
    if os.path.realpath(own) == os.path.realpath(in_use) or status.is_configured:
        return
    unused = [
        event
        for event, hook in zip(scripts.EVENTS, status.hooks, strict=True)
        if hook.state == MISSING and folder.find(own, event) is not None
    ]
    if not unused:
        return
    words = f"{', '.join(unused)} in {quoted(own)} does not run: core.hooksPath makes git use {quoted(in_use)}"
    try:
        folder.hooks_folder(git, layout)
    except HookRefused as error:
        yield from_error(error, otherwise="git coderepo hooks install")._replace(detail=words)
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


def _state(hook: Hook) -> CheckResult | None:
    if hook.state == FOREIGN:
        return note(f"{hook.event}: the hook of another tool: {hook.place}")
    if hook.state != OFF or hook.place is None:
        return None
    if hook.scope is not None:
        return note(f"{hook.event}: switched off by '{hook.place.rpartition('.')[0]}'")
    return problem(
        f"{hook.event}: not executable, so git does not run it",
        f"chmod +x {shell_word(hook.place)}",
        partial(_make_executable, hook.place),
    )


def _make_executable(path: str) -> None:
    """Set the execute bits of those who may read a script."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    os.chmod(path, mode | (mode & 0o444) >> 2)


def _is_noexec(path: bytes) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0))
    except OSError:
        return False
