"""Parts of `fetch` and `exec`: the receipt file, messages about failed sources, termination by signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from git_coderepo.cli import output
from git_coderepo.errors import UsageError
from git_coderepo.git.own_files import notes_for
from git_coderepo.git.process import ignore_command
from git_coderepo.manifest.output_file import OutputFile

if TYPE_CHECKING:
    from git_coderepo.fetching.receipt import Receipt
    from git_coderepo.git.own_files import Notes


def receipt_file(name: str | None, *, made: str | None) -> OutputFile | None:
    """Return the file that `--receipt` names; `made` is the target directory of the fetch."""
    if name is None:
        return None
    if made is not None and os.path.realpath(name) == os.path.realpath(made):
        raise UsageError(f"cannot write the receipt to '{name}': it is the target directory")
    return OutputFile(os.fsencode(name), made=os.fsencode(made) if made is not None else None)


def warn_unnoted(file: OutputFile) -> None:
    """Warn if the next snapshot will include an output file as code."""
    if not file.is_noted:
        _warn_code(os.fsdecode(file.name), notes_for(os.path.realpath(file.name)))


def warn_unnotable(directory: str) -> None:
    """Warn if the next snapshot will include a target directory as code, because its note cannot be written."""
    notes = notes_for(os.path.realpath(os.fsencode(directory)))
    if notes is not None and not notes.is_writable:
        _warn_code(directory, notes)


def _warn_code(name: str, notes: Notes | None) -> None:
    output.warn(f"cannot record '{name}' as output: the next snapshot of its checkout will include it as code")
    if notes is not None:
        path = os.path.relpath(os.path.realpath(os.fsencode(name)), notes.root)
        output.hint(ignore_command(path, notes.root))


def show_fallbacks(receipt: Receipt) -> None:
    """Warn of each source that failed."""
    for each in receipt.fallbacks:
        output.warn(f"{each.method} failed: {each.reason}")
    for inner in receipt.submodules:
        for each in inner.fallbacks:
            output.warn(f"{each.method} failed for '{os.fsdecode(inner.path)}': {each.reason}")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that an incomplete target is removed."""

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
