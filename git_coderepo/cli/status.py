"""`git coderepo status`: what would be recorded now, and whether a runner could fetch it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.options import Check, CodeRepository, Json, Subdirectories

if TYPE_CHECKING:
    from git_coderepo.record.report import Report


@app.command(cls=Verb)
def status(
    check: Check = False,
    subdirectory: Subdirectories = None,
    code_repository: CodeRepository = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 0 reproducible, 1 not, 4 no credential.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what would be recorded now, and if a runner can get it.

    Also by what the base is known, what travels, what is left out, and why it is not reproducible, if it is not.
    """
    from git_coderepo.git import Git
    from git_coderepo.record.report import make_report
    from git_coderepo.record.snapshot import Request

    report = make_report(
        Git(),
        Request(
            code_repository=code_repository,
            check=check,
            notify=output.say,
            publishes=True,
            scope=[os.fsencode(path) for path in subdirectory or ()],
        ),
    )
    if as_json:
        output.json_data(report.document())
    else:
        show(report)
    if exit_code:
        raise typer.Exit(report.exit_status)


def show(report: Report) -> None:
    """The report for people."""
    from git_coderepo.record.refusals import shown_size

    taken = report.snapshot
    rows: list[tuple[str, str]] = []
    if taken.head is None:
        rows.append(("head", "no commit yet"))
    else:
        where = f"branch {taken.head.branch}" if taken.head.branch is not None else "detached"
        rows.append(("head", f"{taken.head.commit.hex[:12]} ({where})"))
    rows += [("looked at", f"only {os.fsdecode(path)}") for path in taken.scope]
    rows.append(("repository", _repository(report)))
    if taken.base is not None:
        unpushed = f", {output.count(taken.base.unpushed, 'commit')} after it" if taken.base.unpushed else ""
        rows.append(("base", f"{taken.base.commit.hex[:12]}, known by {taken.base.known_by}{unpushed}"))
        if taken.archive == "altered":
            rows.append(("", "its attributes alter an archive: a runner asks git"))
    elif taken.tree is not None:
        rows.append(("base", "none: the whole tree travels"))
    if taken.tree is not None:
        rows.append(("snapshot", f"tree {taken.tree}, {_dirt(report)}"))
    if taken.overlay is not None:
        gone = f", {output.count(len(taken.overlay.deleted), 'deletion')}" if taken.overlay.deleted else ""
        size = shown_size(len(taken.overlay.data))
        rows.append(("travels", f"{output.count(taken.overlay.files, 'file')}{gone}, {size}"))
    elif taken.oversize is not None:
        rows.append(("travels", "nothing: what is too large for an overlay is published when it runs"))
    elif taken.tree is not None and report.problem is None:
        rows.append(("travels", "nothing"))
    if report.record is not None:
        rows.append(("carried by", ", ".join(report.carriers(report.record))))
    rows += [("left out", f"{os.fsdecode(path)} ({reason})") for path, reason in taken.omitted]
    if report.problem is None:
        answer = "yes, on this machine only: the remote is a path" if report.this_machine_only else "yes"
        rows.append(("reproducible", answer if taken.oversize is None else f"{answer}, once it is published"))
    else:
        rows.append(("reproducible", f"no: {report.problem.message}"))
    output.table(rows)
    if report.problem is not None:
        for text in report.problem.hints:
            output.hint(text)


def _repository(report: Report) -> str:
    source = report.snapshot.source
    if source is None:
        return "none"
    place = source.remote.url() if source.remote is not None else "no remote"
    known = "registered" if source.registration.registered else "inferred from the remote"
    return f"{source.registration.name}: {source.registration.type}, {place} ({known})"


def _dirt(report: Report) -> str:
    taken = report.snapshot
    found = taken.status
    if found is None or not taken.dirty:
        staged = found is not None and found.staged > 0
        return "the same as HEAD's, though the index differs" if staged else "clean"
    parts = [
        f"{number} {word}"
        for number, word in ((found.staged, "staged"), (found.unstaged, "unstaged"), (found.untracked, "untracked"))
        if number
    ]
    return "dirty: " + ", ".join(parts)
