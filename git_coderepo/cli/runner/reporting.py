"""What `fetch` and `exec` share: how they are ended, and what they print about sources that failed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from git_coderepo.cli import output
from git_coderepo.errors import UsageError
from git_coderepo.git.own_files import notes_for
from git_coderepo.git.process import ignore_command
from git_coderepo.manifest.output_file import OutputFile

if TYPE_CHECKING:
    from git_coderepo.fetching.plan import FetchPlan
    from git_coderepo.fetching.receipt import Receipt
    from git_coderepo.git.own_files import Notes


def receipt_file(name: str | None, *, made: str | None) -> OutputFile | None:
    """Return the file that `--receipt` names; `made` is the directory that is going to be filled."""
    if name is None:
        return None
    if made is not None and os.path.realpath(name) == os.path.realpath(made):
        raise UsageError(f"cannot write the receipt to '{name}': the code is written there")
    return OutputFile(os.fsencode(name), made=os.fsencode(made) if made is not None else None)


def warn_unnoted(file: OutputFile) -> None:
    """Say that a file was written into a checkout that will take it for code."""
    if not file.is_noted:
        _warn_code(os.fsdecode(file.name), notes_for(os.path.realpath(file.name)))


def warn_unnotable(directory: str) -> None:
    """Say that a directory is going to be written into a checkout that will take it for code."""
    notes = notes_for(os.path.realpath(os.fsencode(directory)))
    if notes is not None and not notes.is_writable:
        _warn_code(directory, notes)


def _warn_code(name: str, notes: Notes | None) -> None:
    output.warn(
        f"'{name}' is in a checkout whose record cannot be written: its next snapshot takes the output for code"
    )
    if notes is not None:
        path = os.path.relpath(os.path.realpath(os.fsencode(name)), notes.root)
        output.hint(ignore_command(path, notes.root))


def refuse_input(receipt: OutputFile | None, plan: FetchPlan) -> None:
    """Raise UsageError for a receipt that would replace the manifest or an overlay that is being read."""
    if receipt is None or receipt.path is None:
        return
    for path in (plan.manifest_path, *plan.overlay_paths, *plan.lfs_paths):
        if path is not None and os.path.realpath(path) == receipt.path:
            name = os.fsdecode(receipt.name)
            raise UsageError(f"cannot write the receipt to '{name}': that file is an input of the fetch")


def show_resolved(plan: FetchPlan, *, quiet: bool = False) -> None:
    """Print the full id of the commit that a branch, tag or short id named."""
    if plan.resolved is not None and not quiet:
        revision, commit = plan.resolved
        output.say(f"'{revision}' is commit {commit}")


def show_fallbacks(receipt: Receipt) -> None:
    """What was tried in vain, and why."""
    for each in receipt.fallbacks:
        output.warn(f"by {each.method}: {each.reason}")
    for inner in receipt.submodules:
        for each in inner.fallbacks:
            output.warn(f"'{os.fsdecode(inner.path)}' by {each.method}: {each.reason}")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A machine that shuts down ends us through the same doors as an error: what we were at is taken away again."""
    import signal

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
