"""`git coderepo status`: show what a run would record and whether a runner could fetch it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.options import Check, CodeRepository, Json, Subdirectories
from git_coderepo.errors import UsageError
from git_coderepo.git.process import Git
from git_coderepo.registration.mistyped import mistyped
from git_coderepo.snapshots.python.imported import interpreter_of
from git_coderepo.snapshots.report import make_report
from git_coderepo.snapshots.size_limits import shown_size
from git_coderepo.snapshots.snapshot import Request
from git_coderepo.snapshots.warnings import import_sentences, outside_sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.git.status import Status
    from git_coderepo.launch.rehearsal import Rehearsal
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.snapshots.report import Facts, InStore, Report
    from git_coderepo.snapshots.snapshot import Submodule


@app.command(cls=Verb)
def status(
    check: Check = False,
    as_runner: Annotated[
        bool, typer.Option("--as-runner", help="Fetch the code as a runner would, without your own settings.")
    ] = False,
    credentials: Annotated[
        str | None,
        typer.Option("--credentials", metavar="FILE", help="With --as-runner: the credentials file of the runner."),
    ] = None,
    no_git: Annotated[bool, typer.Option("--no-git", help="With --as-runner: fetch without git.")] = False,
    subdirectory: Subdirectories = None,
    code_repository: CodeRepository = None,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="Exit with 0 if reproducible, 1 if not, 4 if a credential is missing or refused, 128 if unknown.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a run would record and if a runner can fetch it.

    This includes the base and how it is known, what travels with the manifest, which files are left out, and why the
    code is not reproducible.
    """
    if not as_runner and (credentials is not None or no_git):
        raise UsageError("--credentials and --no-git require --as-runner")
    report = make_report(
        Git(),
        Request(
            code_repository=code_repository,
            check=check,
            notify=output.say,
            publishes=True,
            scope=[os.fsencode(path) for path in subdirectory or ()],
            thorough=True,
        ),
        interpreter_of(os.environ, os.getcwd(), None),
    )
    rehearsal = None
    if as_runner and report.record is not None:
        from git_coderepo.launch.rehearsal import rehearse

        rehearsal = rehearse(report.record, os.environ, credentials=credentials, without_git=no_git)
    if as_json:
        output.json_data({**report.document(), **({"asRunner": rehearsal.document()} if rehearsal is not None else {})})
    else:
        show(report)
        if rehearsal is not None:
            show_rehearsal(rehearsal)
    if exit_code:
        raise typer.Exit(report.exit_status or (0 if rehearsal is None else rehearsal.exit_status))


def show(report: Report) -> None:
    """Print the report."""
    facts = report.facts
    rows = [("head", "unknown"), ("repository", "unknown")] if facts is None else _facts(report, facts)
    if report.problem is None:
        rows.append(("reproducible", _reproducible(report)))
    else:
        answer = "unknown" if report.reproducible is None else "no"
        rows.append(("reproducible", f"{answer}: {report.problem.message}"))
    output.table(rows)
    hints = report.problem.hints if report.problem is not None else ()
    if not hints and report.missing_fact is not None:
        hints = report.missing_fact.hints
    for text in hints:
        output.hint(text)


def _reproducible(report: Report) -> str:
    """Say that a runner can fetch the snapshot, and under which condition."""
    facts = report.facts
    answer = "yes, on this machine only: the remote is a path" if report.this_machine_only else "yes"
    if facts is None:
        return answer
    if facts.imported or facts.outside:
        answer += ", except for content that is not in Git"
    return answer if facts.travelling.oversize is None else f"{answer}, once it is published"


def _facts(report: Report, facts: Facts) -> list[tuple[str, str]]:
    checkout, base = facts.checkout, facts.served.base
    rows: list[tuple[str, str]] = []
    if checkout.head is None:
        rows.append(("head", "no commit yet"))
    else:
        where = f"branch {checkout.head.branch}" if checkout.head.branch is not None else "detached"
        rows.append(("head", f"{checkout.head.commit.hex[:12]} ({where})"))
    rows += [("scope", os.fsdecode(path)) for path in checkout.scope]
    rows.append(("repository", _repository(facts.served.source)))
    if base is not None:
        unpushed = f", {output.count(base.unpushed, 'commit')} after it" if base.unpushed else ""
        rows.append(("base", f"{base.commit.hex[:12]}, known by {base.known_by}{unpushed}"))
        if facts.archive == "altered":
            rows.append(("", "attributes alter its archives: a runner fetches with git"))
    elif facts.tree is not None:
        rows.append(("base", "none: the whole tree travels"))
        if report.missing_fact is not None:
            rows.append(("", report.missing_fact.sentence))
    if facts.tree is not None:
        rows.append(("snapshot", f"tree {facts.tree}, {dirt(checkout.status, dirty=facts.dirty)}"))
    rows += _travels(report, facts)
    rows += submodule_rows(facts.submodules)
    if report.record is not None:
        rows.append(("carried by", ", ".join(report.carriers(report.record))))
    if report.store is not None:
        rows.append(("store", _store(report.store)))
    rows += [("not in Git", text) for text in outside_sentences(facts.outside)]
    rows += [("imports", text) for text in import_sentences(facts.imported, checkout.layout.toplevel)]
    rows += [("left out", f"{os.fsdecode(path)} ({reason})") for path, reason in facts.omitted]
    rows += [("settings", each.sentence) for each in mistyped(checkout.settings)]
    rows += [
        ("not executable", f"{os.fsdecode(path)} on a runner: core.fileMode is false") for path in report.ignored_modes
    ]
    return rows


def _travels(report: Report, facts: Facts) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    overlay, lfs = facts.travelling.overlay, facts.travelling.lfs
    if overlay is not None:
        gone = f", {output.count(len(overlay.deleted), 'deletion')}" if overlay.deleted else ""
        rows.append(("travels", f"{output.count(overlay.files, 'file')}{gone}, {shown_size(len(overlay.data))}"))
    elif facts.travelling.oversize is not None:
        rows.append(("travels", "nothing: the code is too large for an overlay and will be published"))
    elif facts.tree is not None and report.problem is None:
        rows.append(("travels", "nothing"))
    if lfs is not None:
        rows.append(("", f"{output.count(len(lfs.pointers), 'Git LFS object')}, {shown_size(len(lfs.data))}"))
    return rows


def show_rehearsal(rehearsal: Rehearsal) -> None:
    """Print the result of the rehearsal, and what the runner would print."""
    if rehearsal.receipt is None:
        output.table([("as a runner", f"no, status {rehearsal.status}")])
    else:
        seconds, method = rehearsal.receipt["seconds"], rehearsal.receipt["method"]
        files = output.count(rehearsal.receipt["files"], "file")
        output.table(
            [("as a runner", f"yes: {files} by {method} in {seconds:.2f} s, tree {rehearsal.receipt['tree']}")]
        )
    for line in rehearsal.words:
        output.say(line)


def submodule_rows(submodules: Sequence[Submodule], prefix: bytes = b"") -> list[tuple[str, str]]:
    """Return a row for each submodule, followed by the submodules in it."""
    rows: list[tuple[str, str]] = []
    for each in submodules:
        inner, name = each.snapshot, os.fsdecode(prefix + each.path)
        if inner is None:
            rows.append(("submodule", f"{name} at {each.commit[:12]}, not checked out: its directory stays empty"))
            continue
        place = "no repository" if inner.source is None else inner.source.registration.type
        carried = sum(len(each.data) for each in (inner.overlay, inner.lfs) if each is not None)
        travels = f", {shown_size(carried)} travel" if carried else ""
        rows.append(
            ("submodule", f"{name} at {each.commit[:12]}, {dirt(inner.status, dirty=inner.dirty)}; {place}{travels}")
        )
        rows += submodule_rows(inner.submodules, prefix + each.path + b"/")
    return rows


def _store(found: InStore) -> str:
    if found.problem is not None:
        return found.problem.message
    if found.has is None:
        return found.url
    return f"{found.url} has the code" if found.has else f"{found.url} does not have the code yet; a run writes it"


def _repository(source: CodeSource | None) -> str:
    if source is None:
        return "none"
    place = source.remote.url() if source.remote is not None else "no remote"
    known = "registered" if source.registration.registered else "inferred from the remote"
    return f"{source.registration.name}: {source.registration.type}, {place} ({known})"


def dirt(status: Status | None, *, dirty: bool) -> str:
    """Return whether a snapshot is clean, or how many paths are staged, unstaged and untracked."""
    if status is None or not dirty:
        staged = status is not None and status.staged > 0
        return "same as HEAD, but the index differs" if staged else "clean"
    parts = [
        f"{number} {word}"
        for number, word in ((status.staged, "staged"), (status.unstaged, "unstaged"), (status.untracked, "untracked"))
        if number
    ]
    return "dirty: " + ", ".join(parts) if parts else "dirty"
