"""`git coderepo log`: list the recorded runs, newest first."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.colour import Palette
from git_coderepo.cli.history.run_format import check_format, command_line, formatted, local_time
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import CodeRepository, Json
from git_coderepo.cli.pager import paged
from git_coderepo.cli.table import VERBS
from git_coderepo.errors import CodeRepoError, UsageError
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.git.dates import past_moment
from git_coderepo.git.process import Git, shell_word
from git_coderepo.manifest.writer import path_value
from git_coderepo.plural import count
from git_coderepo.registration.resolve import source_here
from git_coderepo.runs.find import runs_here
from git_coderepo.runs.history import RecordedRun, abbreviated, committed_as, ids_since, load_run, select
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
_COUNT = re.compile(r"-[0-9]{1,9}")
_COLOURS = {"ok": "green", "running": "yellow", "recorded": "dim", "unfinished": "yellow"}


class LogVerb(Verb):
    """`log`, which also reads `-5` as `-n 5`, as `git log` does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with_value = {flag for each in self.params if not getattr(each, "is_flag", False) for flag in each.opts}
        before = ["", *args]
        read = [
            f"-n{word[1:]}" if _COUNT.fullmatch(word) and before[at] not in with_value else word
            for at, word in enumerate(args)
        ]
        return super().parse_args(ctx, read)


@app.command(cls=LogVerb)
def log(
    number: Annotated[
        int | None, typer.Option("--max-count", "-n", metavar="N", min=0, help="Show at most N runs; also -N.")
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
            "--since",
            metavar="DATE",
            help="Show only runs since DATE: 90m, 7d, '2 weeks ago', yesterday, 2026-11-23, '2026-11-23 14:30'.",
        ),
    ] = None,
    produced: Annotated[
        str | None,
        typer.Option("--produced", metavar="FILE", help="Show only runs that wrote exactly this file (run --output)."),
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="Show the published runs of the platform.")] = False,
    code_repository: CodeRepository = None,
    group: Annotated[bool, typer.Option("--group", help="Show one line for all runs of the same code.")] = False,
    oneline: Annotated[bool, typer.Option("--oneline", help="Show only id, state, name and command.")] = False,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Show each run in this format, such as '%id %state %name'."),
    ] = None,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Do not use a pager.")] = False,
    as_json: Json = None,
    web: Annotated[
        bool, typer.Option("--web", help="Write a report of the listed runs, and open it in your browser.")
    ] = False,
) -> None:
    """List the recorded runs, newest first.

    Each line shows the beginning of the run's id, its start in local time, its state, its commit (with + if the code
    was dirty), its name and its command. Notes in parentheses say, for example, that dirty code was committed later or
    that the run is published. On a terminal, the list is shown in git's pager. `color.coderepo` sets the colours, as
    for git's own commands.
    """
    _check_form(group=group, oneline=oneline, format=format, as_json=as_json is not None, web=web)
    git = Git()
    wanted = Filter(
        commit=_id_of(git, commit, "commit"),
        tree=_id_of(git, tree, "tree"),
        name=name,
        dirty=dirty,
        since=None if since is None else past_moment(since, git, now=time.time()),
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
    if web:
        # As for any verb, what a report needs is loaded only for a report.
        importlib.import_module(VERBS["report"].module).show_runs(git, list(found))
        return
    if as_json:
        groups = islice(grouped(found).values(), number) if group else ()
        print_json([group_document(each) for each in groups] if group else [document(each) for each in found], as_json)
        return
    pages: Iterator[list[Any]] = _pages(islice(grouped(found).values(), number) if group else found)
    first = next(pages, None)
    if first is None:
        if number != 0:
            _say_empty(wanted, remote=remote, file=produced)
        return
    with paged(git, on=not no_pager):
        palette = Palette.of(Settings.read(git))
        if group:
            show: Callable[[list[Any]], None] = partial(show_groups, palette=palette)
        elif oneline or format is not None:
            show = partial(show_formatted, format=format, palette=palette)
        else:
            show = partial(show_runs, committed=cache(lambda: committed_as(git)), palette=palette)
        for page in chain([first], pages):
            show(page)


def _check_form(*, group: bool, oneline: bool, format: str | None, as_json: bool, web: bool) -> None:
    """Raise UsageError if options exclude each other, or the format is invalid."""
    forms = {"--web": web, "--group": group, "--oneline": oneline, "--format": format is not None}
    chosen = [flag for flag, is_set in forms.items() if is_set]
    chosen += ["--json"] if as_json and chosen[:1] != ["--group"] else []
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} are mutually exclusive")
    if format is not None:
        check_format(format)


def _pages(found: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield what was found in pages."""
    each = iter(found)
    while page := list(islice(each, _PAGE)):
        yield page


def _say_empty(wanted: Filter, *, remote: bool, file: str | None) -> None:
    """Say that there is nothing to list, and what to do next; `file` is the one that a run had to produce."""
    if file is not None:
        others = "" if wanted == Filter(produced=wanted.produced) else " matching"
        output.say(f"no{others} run recorded exactly these contents (sha256 {wanted.produced})")
        flag = f"--output={shell_word(file)}" if file.startswith("-") else f"--output {shell_word(file)}"
        output.hint(f"to record an output: git coderepo run {flag} -- COMMAND")
    elif wanted != Filter():
        output.say("no run matches")
    elif remote:
        output.say("no published runs yet")
        output.hint("git coderepo publish")
    else:
        output.say("no runs yet")
        output.hint("git coderepo run -- COMMAND")


def found_runs(runs: Runs, wanted: Filter, limit: int | None) -> Iterator[RecordedRun]:
    """Yield the matching runs of the record, newest first; warn of damaged manifests and skip them."""
    ids: Iterable[str] = (
        select(runs, wanted, notify=output.say) if wanted.needs_index else ids_since(runs, wanted.since)
    )
    shown = 0
    for id in ids:
        if shown == limit:
            return
        try:
            yield load_run(runs, id)
        except CodeRepoError as error:
            output.warn(error.message)
            continue
        shown += 1


def published_runs(git: Git, code_repository: str | None, wanted: Filter, limit: int | None) -> Iterator[RecordedRun]:
    """Yield the matching published runs, newest first; warn of runs that cannot be used and skip them."""
    from git_coderepo.stores.published_runs import list_published, read_published

    platform = source_here(git, code_repository).platform()
    listed = list_published(platform, git)
    if wanted.since is not None:
        first = int(wanted.since * 1000)
        listed = [each for each in listed if int(each.id[:8] + each.id[9:13], 16) >= first]
    shown = 0
    size = min(_PAGE, limit or 1) if limit is not None and not wanted.needs_index else _PAGE
    for start in range(0, len(listed), size):
        if shown == limit:
            return
        for found in read_published(platform, listed[start : start + size], git.environment):
            if isinstance(found, CodeRepoError):
                output.warn(found.message)
            elif fits(found.manifest, wanted) and shown != limit:
                shown += 1
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


def show_runs(page: list[RecordedRun], *, committed: Callable[[], dict[str, str]], palette: Palette) -> None:
    """Print a line for each run; `committed` returns the commits of trees by now, and is slow."""
    commits = committed() if any(each.manifest.code.dirty for each in page) else {}
    short = abbreviated([each.id for each in page])
    width = max(map(len, short.values()))
    lines = []
    for each in page:
        run, code = each.manifest.run, each.manifest.code
        commit = commits.get(code.snapshot_tree.hex) if code.dirty and not code.dirty_submodule else None
        notes = []
        if commit is not None:
            notes.append(f"(committed as {commit[:8]})")
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


def show_formatted(page: list[RecordedRun], *, format: str | None, palette: Palette) -> None:
    """Print each run in a format of the user, or without one as a short line."""
    short = abbreviated([each.id for each in page])
    lines = []
    for each in page:
        if format is not None:
            lines.append(formatted(each, format, short[each.id]))
            continue
        state = palette.paint(_COLOURS.get(each.state, "red"), each.state)
        lines.append(" ".join((palette.paint("yellow", short[each.id]), state, *_what(each, palette))))
    output.data("".join(line + "\n" for line in lines))


def show_groups(groups: list[list[RecordedRun]], *, palette: Palette) -> None:
    """Print a line for each tree: the number of runs, and time, state, name and command of the newest."""
    lines = []
    for each in groups:
        last = each[0]
        lines.append(
            " ".join((
                palette.paint("yellow", last.manifest.code.snapshot_tree.hex[:12]),
                f"{count(len(each), 'run'):>8}, last",
                local_time(last.manifest.run.created_on),
                palette.paint(_COLOURS.get(last.state, "red"), f"{last.state:<8}"),
                _code(last),
                *_what(last, palette),
            )).rstrip()
        )  # fmt: skip
    output.data("".join(line + "\n" for line in lines))


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


def _digest(path: str | None) -> str | None:
    """Return the sha256 of a file in hex, or None without a file."""
    if path is None:
        return None
    with open(path, "rb") as file:
        return sha256_of(file)
