"""`git coderepo log`: list the recorded runs, newest first."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.colour import Palette
from git_coderepo.cli.options import CodeRepository, Json
from git_coderepo.errors import CodeRepoError, UsageError
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.git.process import Git
from git_coderepo.manifest.writer import path_value
from git_coderepo.registration.resolve import source_here
from git_coderepo.runs.find import runs_here
from git_coderepo.runs.history import RecordedRun, abbreviated, committed_as, ids_since, load_run, select
from git_coderepo.runs.result import seconds_of
from git_coderepo.runs.search_index import Filter
from git_coderepo.settings import Settings

if TYPE_CHECKING:
    from git_coderepo.cli.colour import Palette
    from git_coderepo.git.process import Git
    from git_coderepo.manifest.model import Manifest
    from git_coderepo.runs.history import RecordedRun
    from git_coderepo.runs.record_files import Runs
    from git_coderepo.runs.search_index import Filter

# Runs are read and shown in pages of this size. Ids are abbreviated so that they are unique within a page.
_PAGE = 200
_COLOURS = {"ok": "green", "running": "yellow", "recorded": "dim", "unfinished": "yellow"}


@app.command(cls=Verb)
def log(
    number: Annotated[
        int | None, typer.Option("--max-count", "-n", metavar="N", min=0, help="Show at most N runs.")
    ] = None,
    commit: Annotated[
        str | None, typer.Option("--commit", metavar="REV", help="Show only runs at this commit.")
    ] = None,
    tree: Annotated[
        str | None, typer.Option("--tree", metavar="REV", help="Show only runs of this tree, or of a commit's tree.")
    ] = None,
    dirty: Annotated[bool, typer.Option("--dirty", help="Show only runs of a dirty checkout.")] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Show only runs with this name; * and ? are wildcards.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="DATE", help="Show only runs since DATE: 90m, 12h, 7d, or any date that git reads."
        ),
    ] = None,
    produced: Annotated[
        str | None,
        typer.Option("--produced", metavar="FILE", help="Show only runs that wrote exactly this file (run --output)."),
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="Show the published runs of the platform.")] = False,
    code_repository: CodeRepository = None,
    group: Annotated[bool, typer.Option("--group", help="Show one line for all runs of the same code.")] = False,
    as_json: Json = False,
) -> None:
    """List the recorded runs, newest first.

    Each line shows the beginning of the run's id, its start, its state, its commit (with + if the code was dirty), its
    name and its command. Notes in parentheses say, for example, that dirty code was committed later or that the run is
    published. `pager.coderepo` and `color.coderepo` set the pager and the colours, as for git's own commands.
    """
    git = Git()
    wanted = Filter(
        commit=_id_of(git, commit, "commit"),
        tree=_id_of(git, tree, "tree"),
        name=name,
        dirty=dirty,
        since=_moment(git, since),
        produced=_digest(produced),
    )
    limit = None if group else number
    if code_repository is not None and not remote:
        raise UsageError("--code-repository requires --remote")
    if remote:
        if produced is not None:
            raise UsageError("--produced and --remote are mutually exclusive: outputs are not published")
        found = published_runs(git, code_repository, wanted, limit)
    else:
        found = found_runs(runs_here(git)[0], wanted, limit)
    if group:
        groups = list(islice(grouped(found).values(), number))
        if as_json:
            output.json_data([group_document(each) for each in groups])
        else:
            show_groups(groups, Palette.of(Settings.read(git)))
    elif as_json:
        output.json_data([document(each) for each in found])
    else:
        commits: dict[str, str] | None = None
        while page := list(islice(found, _PAGE)):
            if commits is None and any(each.manifest.code.dirty for each in page):
                commits = committed_as(git)
            show(page, commits or {}, Palette.of(Settings.read(git)))


def found_runs(runs: Runs, wanted: Filter, limit: int | None) -> Iterator[RecordedRun]:
    """Yield the matching runs of the record, newest first; warn of damaged manifests and skip them."""
    ids: Iterable[str] = (
        select(runs, wanted, notify=output.say) if wanted.needs_index else ids_since(runs, wanted.since)
    )
    count = 0
    for id in ids:
        if count == limit:
            return
        try:
            yield load_run(runs, id)
        except CodeRepoError as error:
            output.warn(error.message)
            continue
        count += 1


def published_runs(git: Git, code_repository: str | None, wanted: Filter, limit: int | None) -> Iterator[RecordedRun]:
    """Yield the matching published runs, newest first; warn of runs that cannot be used and skip them."""
    from git_coderepo.stores.published_runs import list_published, read_published

    platform = source_here(git, code_repository).platform()
    listed = list_published(platform, git)
    if wanted.since is not None:
        first = int(wanted.since * 1000)
        listed = [each for each in listed if int(each.id[:8] + each.id[9:13], 16) >= first]
    count = 0
    size = min(_PAGE, limit or 1) if limit is not None and not wanted.needs_index else _PAGE
    for start in range(0, len(listed), size):
        if count == limit:
            return
        for found in read_published(platform, listed[start : start + size], git.environment):
            if isinstance(found, CodeRepoError):
                output.warn(found.message)
            elif fits(found.manifest, wanted) and count != limit:
                count += 1
                yield RecordedRun(found.manifest, None, None, published=True)


def fits(manifest: Manifest, wanted: Filter) -> bool:
    """Return whether a manifest matches a Filter."""
    from fnmatch import fnmatchcase

    run, code = manifest.run, manifest.code
    commit = code.head.commit.hex if code.head is not None else ""
    return (
        (wanted.commit is None or commit.startswith(wanted.commit))
        and (wanted.tree is None or code.snapshot_tree.hex.startswith(wanted.tree))
        and (wanted.name is None or (run.name is not None and fnmatchcase(run.name, wanted.name)))
        and (code.dirty or not wanted.dirty)
    )


def grouped(found: Iterable[RecordedRun]) -> dict[object, list[RecordedRun]]:
    """Group runs by their tree and the trees of their submodules; groups are ordered by their newest run."""
    groups: dict[object, list[RecordedRun]] = {}
    for each in found:
        groups.setdefault(each.manifest.code.trees, []).append(each)
    return groups


def document(each: RecordedRun) -> dict[str, object]:
    """Return a run as JSON values."""
    run, code, result = each.manifest.run, each.manifest.code, each.result
    return {
        "id": run.id,
        "createdOn": run.created_on,
        "name": run.name,
        "parent": run.parent,
        "command": None if run.command is None else [path_value(word) for word in run.command],
        "commit": None if code.head is None else code.head.commit.hex,
        "branch": None if code.head is None else code.head.branch,
        "tree": code.snapshot_tree.hex,
        "dirty": code.dirty,
        "state": each.state,
        "status": None if result is None else result.status,
        "reproducible": not code.obstacles,
        "finishedOn": None if result is None else result.finished_on,
        "edited": [] if result is None else [path_value(path) for path in result.edited],
        "published": each.published,
        "manifest": None if each.path is None else path_value(each.path),
    }


def group_document(group: list[RecordedRun]) -> dict[str, object]:
    """Return all runs of one tree as JSON values."""
    return {"tree": group[0].manifest.code.snapshot_tree.hex, "runs": [document(each) for each in group]}


def show(page: list[RecordedRun], commits: dict[str, str], palette: Palette) -> None:
    """Print a line for each run."""
    short = abbreviated([each.id for each in page])
    width = max(map(len, short.values()))
    lines = []
    for each in page:
        run, code = each.manifest.run, each.manifest.code
        committed = commits.get(code.snapshot_tree.hex) if code.dirty and not code.dirty_submodule else None
        notes = []
        if committed is not None:
            notes.append(f"(committed as {committed[:8]})")
        if code.obstacles:
            notes.append("(not reproducible)")
        if each.result is not None and each.result.edited:
            notes.append("(edited while it ran)")
        if each.published and each.path is not None:
            notes.append("(published)")
        lines.append(
            " ".join((
                palette.paint("yellow", f"{short[run.id]:<{width}}"),
                local_time(run.created_on),
                palette.paint(_COLOURS.get(each.state, "red"), f"{each.state:<8}"),
                _code(each),
                *_what(each, palette),
                *(palette.paint("dim", note) for note in notes),
            )).rstrip()
        )  # fmt: skip
    output.data("".join(line + "\n" for line in lines))


def show_groups(groups: list[list[RecordedRun]], palette: Palette) -> None:
    """Print a line for each tree: the number of runs, and time, state, name and command of the newest."""
    lines = []
    for each in groups:
        last = each[0]
        lines.append(
            " ".join((
                palette.paint("yellow", last.manifest.code.snapshot_tree.hex[:12]),
                f"{output.count(len(each), 'run'):>8}, last",
                local_time(last.manifest.run.created_on),
                palette.paint(_COLOURS.get(last.state, "red"), f"{last.state:<8}"),
                _code(last),
                *_what(last, palette),
            )).rstrip()
        )  # fmt: skip
    output.data("".join(line + "\n" for line in lines))


def local_time(text: str) -> str:
    """Convert an ISO 8601 time to local time, as `YYYY-MM-DD HH:MM:SS`."""
    seconds = seconds_of(text)
    return text if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def command_line(each: RecordedRun) -> str:
    """Return the command quoted for a shell, or an empty string if none was recorded."""
    import shlex

    return shlex.join(os.fsdecode(word) for word in each.manifest.run.command or ())


def _what(each: RecordedRun, palette: Palette) -> list[str]:
    """Return the name and the command of a run, if they were recorded."""
    name, command = each.manifest.run.name, output.clean(command_line(each))
    named = [] if name is None else [palette.paint("bold", output.clean(name) + (":" if command else ""))]
    return [*named, command] if command else named


def _code(each: RecordedRun) -> str:
    code = each.manifest.code
    commit = code.head.commit.hex[:8] if code.head is not None else "(none)  "
    return commit + ("+" if code.dirty else " ")


def _id_of(git: Git, word: str | None, kind: str) -> str | None:
    """Return the full id of a revision, or the word itself if it could be an abbreviated id. Raises UsageError."""
    if word is None:
        return None
    answer = git.start("rev-parse", "--verify", "--quiet", "--end-of-options", f"{word}^{{{kind}}}").finish()
    if answer.status == 0:
        return answer.stdout.decode().strip()
    folded = word.lower()
    if 4 <= len(folded) <= 64 and set(folded) <= set("0123456789abcdef"):
        return folded
    raise UsageError(f"unknown revision '{word}'")


def _moment(git: Git, text: str | None) -> float | None:
    """Return an age such as `7d`, or a date that git reads, in seconds since the epoch."""
    if text is None:
        return None
    from git_coderepo.runs.prune import age_in_seconds  # reads whole overlays: only --since needs it

    age = age_in_seconds(text)
    if age is not None:
        return time.time() - age
    return float(git.line("rev-parse", f"--since={text}").removeprefix("--max-age="))


def _digest(path: str | None) -> str | None:
    """Return the sha256 of a file in hex, or None without a file."""
    if path is None:
        return None
    with open(path, "rb") as file:
        return sha256_of(file)
