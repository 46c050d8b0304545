"""Query the record of runs.

An id (RFC 9562, version 7) begins with its time, so that most queries read only the names in one month's folder.
Queries about the contents of manifests use the index.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from git_coderepo.errors import UnknownRun
from git_coderepo.git.process import Git
from git_coderepo.manifest.model import Manifest, is_id_prefix
from git_coderepo.runs.record_files import Runs
from git_coderepo.runs.result import Result, state_of
from git_coderepo.runs.search_index import Filter, Index, bounds, list_month, months_of, with_index
from git_coderepo.stores.published_commit import is_published

SHORTEST = 4
# Digits of an id up to the millisecond: enough to tell apart runs that were not started at once.
_ABBREVIATED = 13
_NTH_LAST = re.compile(r"@\{-([1-9][0-9]{0,8})\}")
_CANDIDATES = 5
_FIRST_PAGE = 100


class RecordedRun(NamedTuple):
    """A recorded run: its manifest, the `path` of that, and the `result`, None if there is none.

    `path` is None for a run that only the platform has.
    """

    manifest: Manifest
    path: bytes | None
    result: Result | None
    published: bool = False

    @property
    def id(self) -> str:
        return self.manifest.run.id

    @property
    def state(self) -> str:
        """The state of the result (see `Result.state`), `recorded` without a result, or `published`."""
        if self.path is None:
            return "published"
        return state_of(self.result)


def id_of_run(runs: Runs, word: str) -> str:
    """Return the id of the run that a word names: `@{-N}` (the N-th last), an id or its beginning, or a run's name.

    A name means its newest run. Raises UnknownRun; for an ambiguous beginning the hints list the candidates.
    """
    nth = _NTH_LAST.fullmatch(word)
    if nth is not None:
        number = int(nth[1])
        for count, id in enumerate(newest(runs), 1):
            if count == number:
                return id
        raise UnknownRun(f"unknown run '{word}': fewer runs are recorded", hints=["git coderepo log"])
    ids = _by_prefix(runs, word) if is_id_prefix(word) else []
    if len(ids) == 1:
        return ids[0]
    named = select(runs, Filter(name=_literally(word)), limit=1)
    if named:
        return named[0]
    if ids:
        shown = [f"  {id}" for id in ids[:_CANDIDATES]]
        more = [f"  and {len(ids) - _CANDIDATES} more"] if len(ids) > _CANDIDATES else []
        raise UnknownRun(
            f"the id '{word}' is ambiguous: {len(ids)} runs begin with it", hints=["one of:", *shown, *more]
        )
    hints = ["git coderepo log"]
    if 0 < len(word) < SHORTEST and set(word) <= set("0123456789abcdef"):
        hints.append(f"abbreviate an id to no fewer than {SHORTEST} digits")
    raise UnknownRun(f"unknown run '{word}', and no file has this name", hints=hints)


def newest(runs: Runs) -> Iterator[str]:
    """Yield the ids of all runs, newest first; each month's folder is listed when it is reached."""
    for month in months_of(runs):
        yield from _ids(runs, month, *bounds(month))


def select(
    runs: Runs, filter: Filter, limit: int | None = None, *, notify: Callable[[str], None] | None = None
) -> list[str]:
    """Return the ids of the runs that match, newest first, at most `limit`.

    `notify` receives a message if the index has to be built, which takes long.
    """

    def query(index: Index) -> list[str]:
        index.refresh(notify=notify)
        return index.ids(filter, limit)

    return with_index(runs, query)


def ids_since(runs: Runs, since: float | None) -> Iterator[str]:
    """Yield the ids of the runs since a time (seconds since 1970; None for all), newest first."""
    first = "" if since is None else _first_id(max(int(since * 1000), 0))
    for id in newest(runs):
        if id < first:
            return
        yield id


def load_run(runs: Runs, id: str) -> RecordedRun:
    """Read a run. Raises UnknownRun if it has been removed, InvalidManifest if its manifest is damaged."""
    path = runs.path_of(id)
    if not os.path.exists(path):
        raise UnknownRun(f"run {id} no longer exists")
    manifest = Manifest.load(os.fsdecode(path))
    return RecordedRun(manifest, path, Result.load(runs.result_path_of(id)), is_published(manifest, path))


def abbreviated(ids: list[str]) -> dict[str, str]:
    """Abbreviate ids so that each stays unique among them, to the millisecond at least."""
    ordered = sorted(ids)
    short: dict[str, str] = {}
    for at, id in enumerate(ordered):
        neighbours = [each for each in (*ordered[max(at - 1, 0) : at], *ordered[at + 1 : at + 2]) if each != id]
        length = max((_common_length(id, each) + 1 for each in neighbours), default=0)
        short[id] = id[: max(length, _ABBREVIATED)].rstrip("-")
    return short


def _common_length(one: str, other: str) -> int:
    """Return the length of the common beginning of two ids."""
    return next((at for at, (mine, theirs) in enumerate(zip(one, other, strict=True)) if mine != theirs), len(one))


def committed_as(git: Git, *, limit: int = 10_000) -> dict[str, str]:
    """Return the trees (hex) that branches and tags have in a commit by now, each with the oldest such commit.

    Only the newest `limit` commits are examined.
    """
    listed = git.start("rev-list", "--all", "--no-commit-header", "--format=%T %H", f"--max-count={limit}").finish()
    if listed.status != 0:
        return {}
    return dict(line.split(" ", 1) for line in listed.stdout.decode().splitlines())


def _by_prefix(runs: Runs, prefix: str) -> list[str]:
    """Return the ids with a prefix, newest first; only the months that such an id can have are listed."""
    digits = prefix.replace("-", "")
    if len(prefix) == 36 and os.path.exists(runs.path_of(prefix)):
        return [prefix]
    low, high = (bytes.fromhex((digits + fill * 32)[:32]) for fill in "0f")
    ids: list[str] = []
    for month in months_of(runs):
        first, after = bounds(month)
        if first <= high and low < after:
            ids += _ids(runs, month, max(first, low), min(after, high))
    return ids


def _ids(runs: Runs, month: str, low: bytes, high: bytes) -> Iterator[str]:
    """Yield the ids of a month from `low` to `high` (16 bytes each), newest first.

    They come from the index, page by page, while it is up to date; otherwise the folder is listed.
    """
    page = _FIRST_PAGE

    def query(index: Index) -> list[str] | None:
        return index.ids_between(low, high, page) if index.is_fresh(month) else None

    while (known := with_index(runs, query, write=False)) is not None:
        yield from known
        if len(known) < page:
            return
        high = (int(known[-1].replace("-", ""), 16) - 1).to_bytes(16, "big")
        page *= 10
    last = high.hex()
    listed = list_month(runs, month)[0]
    yield from sorted((id for id in listed if low.hex() <= id.replace("-", "") <= last), reverse=True)


def _first_id(milliseconds: int) -> str:
    text = f"{milliseconds:012x}"
    return f"{text[:8]}-{text[8:12]}"


def _literally(name: str) -> str:
    """Escape a name so that the filter matches it literally."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
