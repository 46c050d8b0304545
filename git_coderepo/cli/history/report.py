"""`git coderepo report [RUN…]`: write a report of recorded runs, which a browser shows."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.errors import CodeRepoError, UsageError
from git_coderepo.git.process import Git
from git_coderepo.plural import count
from git_coderepo.report.collect import collect
from git_coderepo.report.directory import COMPARISON, write_report
from git_coderepo.report.files import files_of
from git_coderepo.runs.find import find_run, recorded_run, runs_here
from git_coderepo.runs.history import RecordedRun, load_run, newest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from git_coderepo.report.collect import RunReport
    from git_coderepo.runs.record_files import Runs

DIRECTORY = "coderepo-report"
MOST_RUNS = 1_000


@app.command(cls=Verb)
def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]", help="Runs, each as for `show` (default: the newest runs). Two are compared."
        ),
    ] = None,
    directory: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="The directory to write.")
    ] = DIRECTORY,
    number: Annotated[
        int, typer.Option("--max-count", "-n", metavar="N", min=1, help="Without RUN: report at most N runs.")
    ] = MOST_RUNS,
    is_opened: Annotated[bool, typer.Option("--open", help="Open the report in your browser.")] = False,
) -> None:
    """Write an HTML report of recorded runs.

    The report has a table of the runs and a page for each: its code as a diff from the base, its command, environment
    and result, and the commands that get the code back. The pages load nothing from the network. An older report in
    the directory is replaced; any other directory that is not empty is refused. Git ignores the report, so that no
    snapshot has it.
    """
    git = Git()
    if runs:
        found, left_out = named_runs(runs, git), 0
    else:
        found, left_out = newest_runs(runs_here(git)[0], number)
    show(collect(git, found, left_out=left_out, together=len(runs or ()) == 2), directory, is_opened=is_opened)


def named_runs(words: Sequence[str], git: Git) -> list[RecordedRun]:
    """Return the runs that these words name, each once. Raises InvalidManifest, UnknownRun."""
    found: dict[str, RecordedRun] = {}
    for word in words:
        any_run = find_run(word, git)
        named = any_run.named
        run = recorded_run(named) or RecordedRun(named.manifest, named.path, None, any_run.platform is not None)
        found.setdefault(run.id, run)
    if len(words) == 2 and len(found) == 1:
        raise UsageError(f"'{words[0]}' and '{words[1]}' name the same run")
    return list(found.values())


def newest_runs(record: Runs, number: int) -> tuple[list[RecordedRun], int]:
    """Return at most `number` runs, newest first, and how many more are recorded; warn of damaged manifests."""
    ids = newest(record)
    found = list(_loaded(record, islice(ids, number)))
    return found, sum(1 for _ in ids)


def _loaded(record: Runs, ids: Iterator[str]) -> Iterator[RecordedRun]:
    for id in ids:
        try:
            yield load_run(record, id)
        except CodeRepoError as error:
            output.warn(error.message)


def show_runs(git: Git, found: Sequence[RecordedRun]) -> None:
    """Write a report of these runs to the usual directory, and open it."""
    show(collect(git, found), is_opened=True)


def show(report: RunReport, directory: str = DIRECTORY, *, is_opened: bool = False) -> None:
    """Write a report, print the path of its first page, and open it."""
    index = write_report(directory, files_of(report))
    output.line(index)
    if report.left_out:
        output.say(f"{count(report.left_out, 'older run')} not shown: use --max-count to show more")
    page = index if report.comparison is None else os.path.join(directory, COMPARISON)
    if is_opened and not webbrowser.open(Path(page).absolute().as_uri()):
        output.warn(f"no browser found: open '{page}' yourself")
