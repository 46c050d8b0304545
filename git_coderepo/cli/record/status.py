"""`git coderepo status`: show what a run would record and whether a runner could fetch it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.colour import Palette
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Check, CodeRepository, Json, Subdirectories
from git_coderepo.cli.progress import stages_shown
from git_coderepo.errors import UsageError
from git_coderepo.git.process import Git
from git_coderepo.plural import count
from git_coderepo.registration.mistyped import mistyped
from git_coderepo.settings import Settings
from git_coderepo.snapshots.python.imported import interpreter_of
from git_coderepo.snapshots.report import make_report
from git_coderepo.snapshots.size_limits import shown_size
from git_coderepo.snapshots.snapshot import Request
from git_coderepo.snapshots.warnings import import_sentences, outside_sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.status import Status
    from git_coderepo.launch.rehearsal import Rehearsal
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.snapshots.report import Facts, InStore, Report
    from git_coderepo.snapshots.snapshot import Checkout, Submodule


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
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also show HEAD, the repository, the tree and how facts are known.")
    ] = False,
    as_json: Json = None,
) -> None:
    """Show what a run would record and if a runner can fetch it.

    The first line says whether a run would be reproducible, or why not. The others name the base, what would travel
    with the manifest and why, and what a runner would not get.
    """
    if not as_runner and (credentials is not None or no_git):
        raise UsageError("--credentials and --no-git require --as-runner")
    git = Git()
    report = make_report(
        git,
        Request(
            code_repository=code_repository,
            check=check,
            notify=output.say,
            publishes=True,
            progress=stages_shown(),
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
        runner = {"asRunner": rehearsal.document()} if rehearsal is not None else {}
        print_json({**report.document(), **runner}, as_json)
    else:
        show(report, Palette.of(Settings.read(git)), verbose=verbose)
        if rehearsal is not None:
            show_rehearsal(rehearsal)
    if exit_code:
        raise typer.Exit(report.exit_status or (0 if rehearsal is None else rehearsal.exit_status))


def show(report: Report, palette: Palette, *, verbose: bool = False) -> None:
    """Print the answer, then what it is based on."""
    rows = [("reproducible", _answer(report, palette))]
    if report.facts is not None:
        rows += _facts(report, report.facts, verbose=verbose)
    output.table(rows, palette)
    hints = report.problem.hints if report.problem is not None else ()
    if not hints and report.missing_fact is not None:
        hints = report.missing_fact.hints
    for text in hints:
        output.hint(text)


def _answer(report: Report, palette: Palette) -> str:
    """Say whether a runner could fetch the snapshot, under which condition, or why not."""
    if report.problem is not None:
        unknown = report.reproducible is None
        word = palette.paint("yellow", "unknown") if unknown else palette.paint("red", "no")
        return f"{word}: {output.clean(report.problem.message)}"
    facts = report.facts
    answer = palette.paint("green", "yes")
    if report.this_machine_only:
        answer = palette.paint("yellow", "yes") + ", on this machine only: the remote is a path"
    if facts is None:
        return answer
    if facts.imported or facts.outside:
        answer += ", except for content that is not in Git"
    return answer if facts.travelling.oversize is None else f"{answer}, once it is published"


def _facts(report: Report, facts: Facts, *, verbose: bool) -> list[tuple[str, str]]:
    checkout = facts.checkout
    rows = _details(facts) if verbose else []
    rows += [("scope", os.fsdecode(path)) for path in checkout.scope]
    rows += _base(report, facts, verbose=verbose)
    rows += _travels(report, facts)
    rows += submodule_rows(facts.submodules)
    if verbose and report.record is not None:
        rows.append(("carried by", ", ".join(report.carriers(report.record))))
    if report.store is not None and (verbose or report.store.problem is not None):
        rows.append(("store", _store(report.store)))
    rows += [("not in Git", text) for text in outside_sentences(facts.outside)]
    rows += [("imports", text) for text in import_sentences(facts.imported, checkout.layout.toplevel)]
    rows += [("left out", f"{os.fsdecode(path)} ({reason})") for path, reason in facts.omitted]
    rows += [("settings", each.sentence) for each in mistyped(checkout.settings)]
    rows += [
        ("not executable", f"{os.fsdecode(path)} on a runner: core.fileMode is false") for path in report.ignored_modes
    ]
    return rows


def _details(facts: Facts) -> list[tuple[str, str]]:
    """Return the rows of HEAD, the code repository and the tree."""
    head = facts.checkout.head
    if head is None:
        rows = [("head", "no commit yet")]
    else:
        where = f"branch {head.branch}" if head.branch is not None else "detached"
        rows = [("head", f"{head.commit.hex[:12]} ({where})")]
    rows.append(("repository", _repository(facts.served.source)))
    if facts.tree is not None:
        rows.append(("snapshot", f"tree {facts.tree}, {dirt(facts.checkout.status, dirty=facts.dirty)}"))
    return rows


def _base(report: Report, facts: Facts, *, verbose: bool) -> list[tuple[str, str]]:
    """Return the rows of the base, such as `origin/main (22300fd), 1 unpushed commit`."""
    base = facts.served.base
    if base is None:
        rows = [("base", "none: the whole tree travels")] if facts.tree is not None else []
        missing = report.missing_fact if rows else None
        return rows if missing is None else [*rows, ("", missing.sentence)]
    source = facts.served.source
    remote = source.remote_name if source is not None else None
    branch = _tracking_branch(facts.checkout, remote, base.commit) if remote is not None else None
    name = f"{branch} ({base.commit.hex[:7]})" if branch is not None else base.commit.hex[:12]
    parts = [f"{name}, {count(base.unpushed, 'unpushed commit')}" if base.unpushed else name]
    if verbose:
        parts.append(f"commit {base.commit}, known by {base.known_by}")
        if facts.archive == "altered":
            parts.append("attributes alter its archives: a runner fetches with git")
    return [("base", parts[0]), *(("", text) for text in parts[1:])]


def _tracking_branch(checkout: Checkout, remote: str, commit: ObjectId) -> str | None:
    """Return a remote-tracking branch at a commit, such as `origin/main`; preferably that of the current branch."""
    form = "%(refname:lstrip=2)%00%(symref)"
    listed = checkout.git.run("for-each-ref", f"--points-at={commit}", f"--format={form}", f"refs/remotes/{remote}/")
    rows = [row.partition(b"\0") for row in listed.splitlines()]
    names = [os.fsdecode(name) for name, _, target in rows if not target]
    own = f"{remote}/{checkout.head.branch}" if checkout.head is not None else None
    return own if own in names else next(iter(names), None)


def _travels(report: Report, facts: Facts) -> list[tuple[str, str]]:
    """Return the rows of what travels, and why."""
    rows: list[tuple[str, str]] = []
    overlay, lfs, base = facts.travelling.overlay, facts.travelling.lfs, facts.served.base
    if overlay is not None:
        gone = f", {count(len(overlay.deleted), 'deletion')}" if overlay.deleted else ""
        unpushed = [count(base.unpushed, "unpushed commit")] if base is not None and base.unpushed else []
        reasons = [*unpushed, *_edits(facts.checkout.status)] if base is not None else ["no base"]
        why = f" ({', '.join(reasons)})" if reasons else ""
        rows.append(("travels", f"{count(overlay.files, 'file')}{gone}, {shown_size(len(overlay.data))}{why}"))
    elif facts.travelling.oversize is not None:
        rows.append(("travels", "nothing: the code is too large for an overlay and will be published"))
    elif facts.tree is not None and report.problem is None:
        rows.append(("travels", "nothing"))
    if lfs is not None:
        rows.append(("", f"{count(len(lfs.pointers), 'Git LFS object')}, {shown_size(len(lfs.data))}"))
    return rows


def show_rehearsal(rehearsal: Rehearsal) -> None:
    """Print the result of the rehearsal, and what the runner would print."""
    if rehearsal.receipt is None:
        output.table([("as a runner", f"no, status {rehearsal.status}")])
    else:
        seconds, method = rehearsal.receipt["seconds"], rehearsal.receipt["method"]
        files = count(rehearsal.receipt["files"], "file")
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
    parts = _edits(status)
    return "dirty: " + ", ".join(parts) if parts else "dirty"


def _edits(status: Status | None) -> list[str]:
    """Return the numbers of staged, unstaged and untracked paths, without zeros."""
    if status is None:
        return []
    numbers = ((status.staged, "staged"), (status.unstaged, "unstaged"), (status.untracked, "untracked"))
    return [f"{number} {word}" for number, word in numbers if number]
