"""`git coderepo snapshot`: print the run manifest of a checkout or of a commit."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.build_key.key import build_key
from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.options import AllowUnreproducible, Check, CodeRepository, Quiet, Subdirectories
from git_coderepo.cli.progress import stages_shown
from git_coderepo.cli.runner.reporting import warn_unnoted
from git_coderepo.git.process import Git, check_version, shell_word
from git_coderepo.manifest.output_file import OutputFile
from git_coderepo.runs.manifest_files import keep_beside, refuse_tracked, say_left, write_manifest
from git_coderepo.runs.publish_to_store import share_snapshot
from git_coderepo.snapshots.manifest_document import prove_readable, write_record
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.python.imported import interpreter_of, with_imports
from git_coderepo.snapshots.snapshot import Request
from git_coderepo.snapshots.submodules import omission_lines, snapshots_in, unreproducible
from git_coderepo.snapshots.warnings import remarks
from git_coderepo.stores.shared_store import SharedStore

if TYPE_CHECKING:
    from git_coderepo.runs.manifest_files import WrittenFiles
    from git_coderepo.snapshots.manifest_document import Record
    from git_coderepo.snapshots.snapshot import Snapshot


@app.command(cls=Verb)
def snapshot(
    rev: Annotated[
        str | None, typer.Argument(metavar="[REV]", help="A commit to use instead of the work tree.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the manifest to FILE, and its overlay beside it."),
    ] = None,
    subdirectory: Subdirectories = None,
    code_repository: CodeRepository = None,
    check: Check = False,
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="PATH", help="Include an ignored path; can be repeated.")
    ] = None,
    allow_unreproducible: AllowUnreproducible = False,
    quiet: Quiet = False,
) -> None:
    """Print a manifest of the current code; record no run.

    `git coderepo log` does not list it: to record a run, use `git coderepo run` or a hook. Warnings name the files that
    are left out. With `-o`, the code is also written to the shared store if `coderepo.store` is set. FILE can be a
    FIFO, a device such as `/dev/stdout`, or a symbolic link, whose target is written.
    """
    destination = OutputFile(os.fsencode(file)) if file is not None else None
    git = Git()
    if destination is not None:
        refuse_tracked(git, destination, but_records=True)
    git_version = check_version(git)
    request = Request(
        rev=rev,
        code_repository=code_repository,
        check=check,
        notify=output.say,
        scope=[os.fsencode(path) for path in subdirectory or ()],
        allow_unreproducible=allow_unreproducible,
        include=[os.fsencode(path) for path in include or ()],
        thorough=True,
        output=destination.path if destination is not None else None,
        progress=stages_shown(quiet),
    )
    taken = take_snapshot(git, request)
    if rev is None:
        taken = with_imports(taken, git, interpreter_of(os.environ, os.getcwd(), None))
    store = SharedStore.of(taken.settings) if file is not None else None
    key = build_key(taken)
    record = write_record(
        taken, now=time.time(), git_version=git_version, build_key=None if key is None else key.digest
    )
    prove_readable(record)
    keep_beside(taken, record)
    if destination is not None:
        written = write_manifest(record, destination, taken.layout)
        if not quiet:
            _announce(record, taken, written)
        warn_unnoted(destination)
        say_left(written.left, taken.store.overlays, output.say)
        if store is not None:
            share_snapshot(taken, store, output.say)
    else:
        output.data(record.data)
        if record.beside:
            found = (taken, *(inner for _, inner in snapshots_in(taken)))
            overlays = {each.overlay.sha256 for each in found if each.overlay is not None}
            what = "the overlay" if overlays.intersection(record.beside) else "the Git LFS data"
            output.say(f"{what} is too large for the manifest and was stored in this repository")
            output.hint("to write it beside the manifest: git coderepo snapshot -o FILE")
    for text in remarks(taken, request):
        output.warn(text)
    for text in omission_lines(taken):
        output.warn(text)
    for error in taken.unreproducible:
        output.warn(f"not reproducible: {error.message}")


def _announce(record: Record, taken: Snapshot, written: WrittenFiles) -> None:
    """Print which files were written, and how to fetch the code; nothing for a FIFO or a device."""
    for path in written.paths:
        output.say(f"wrote {os.path.relpath(os.fsdecode(path))}")
    if written.paths and not unreproducible(taken):
        file = shell_word(os.path.relpath(written.paths[-1]))
        output.say(f"snapshot {output.short_id(record.id)}; to get its code: git coderepo fetch {file} DIR")
