"""Looking back: which runs there are, and what each of them was.

An id (RFC 9562, version 7) begins with its time, so that most questions need the names of one month's folder only.
Those that look into manifests go to the index.
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
# The first digits of an id, up to the thousandth of a second, tell runs apart that were not started at once.
_ABBREVIATED = 13
_NTH_LAST = re.compile(r"@\{-([1-9][0-9]{0,8})\}")
_CANDIDATES = 5
_FIRST_PAGE = 100


class RecordedRun(NamedTuple):
    """A run as it was written down; `path` is its manifest's, `result` None where none was kept.

    One that only the platform has has no path.
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
        """See Result.state; `recorded` where only its start was noted."""
        if self.path is None:
            return "published"
        return state_of(self.result)


def id_of_run(runs: Runs, word: str) -> str:
    """The id of the run that a word names: `@{-N}` for the N-th last, an id or its beginning, or a name's newest run.

    Raises UnknownRun, with the candidates where several ids begin so.
    """
    nth = _NTH_LAST.fullmatch(word)
    if nth is not None:
        number = int(nth[1])
        for count, id in enumerate(newest(runs), 1):
            if count == number:
                return id
        raise UnknownRun(f"there is no run '{word}': so many have not been recorded", hints=["git coderepo log"])
    found = _by_prefix(runs, word) if is_id_prefix(word) else []
    if len(found) == 1:
        return found[0]
    named = select(runs, Filter(name=_literally(word)), limit=1)
    if named:
        return named[0]
    if found:
        shown = [f"  {id}" for id in found[:_CANDIDATES]]
        more = [f"  and {len(found) - _CANDIDATES} more"] if len(found) > _CANDIDATES else []
        raise UnknownRun(
            f"the id '{word}' is ambiguous: {len(found)} runs begin with it", hints=["one of:", *shown, *more]
        )
    hints = ["git coderepo log"]
    if 0 < len(word) < SHORTEST and set(word) <= set("0123456789abcdef"):
        hints.append(f"the beginning of an id has at least {SHORTEST} digits")
    raise UnknownRun(f"no run '{word}', and no such file", hints=hints)


def newest(runs: Runs) -> Iterator[str]:
    """Every run's id, newest first; a month's folder is listed when it is come to."""
    for month in months_of(runs):
        yield from _ids(runs, month, *bounds(month))


def select(
    runs: Runs, wanted: Filter, limit: int | None = None, *, say: Callable[[str], None] | None = None
) -> list[str]:
    """The ids of the runs that fit, newest first, at most `limit`; `say` hears of an index that takes a while."""

    def ask(index: Index) -> list[str]:
        index.say = say
        index.refresh()
        return index.ids(wanted, limit)

    return with_index(runs, ask)


def ids_since(runs: Runs, since: float | None) -> Iterator[str]:
    """Every run's id from a time on (seconds since the epoch), newest first."""
    first = "" if since is None else _first_id(max(int(since * 1000), 0))
    for id in newest(runs):
        if id < first:
            return
        yield id


def load_run(runs: Runs, id: str) -> RecordedRun:
    """A run by its id. Raises UnknownRun where it is gone, InvalidManifest where it is damaged."""
    path = runs.path_of(id)
    if not os.path.exists(path):
        raise UnknownRun(f"the run {id} is gone")
    manifest = Manifest.load(os.fsdecode(path))
    return RecordedRun(manifest, path, Result.load(runs.result_path_of(id)), is_published(manifest, path))


def abbreviated(ids: list[str]) -> dict[str, str]:
    """Each of these ids as short as it can stand among them, to the thousandth of a second at least."""
    ordered = sorted(ids)
    found: dict[str, str] = {}
    for at, id in enumerate(ordered):
        beside = [each for each in (*ordered[max(at - 1, 0) : at], *ordered[at + 1 : at + 2]) if each != id]
        length = max((_alike(id, each) + 1 for each in beside), default=0)
        found[id] = id[: max(length, _ABBREVIATED)].rstrip("-")
    return found


def _alike(one: str, other: str) -> int:
    """With how many characters two ids begin alike."""
    return next((at for at, (mine, theirs) in enumerate(zip(one, other, strict=True)) if mine != theirs), len(one))


def committed_as(git: Git, *, limit: int = 10_000) -> dict[str, str]:
    """Trees (hex) that are commits of some branch or tag by now, and the oldest of those commits.

    Looks at the newest `limit` commits. Nothing is known where there is none.
    """
    listed = git.start("rev-list", "--all", "--no-commit-header", "--format=%T %H", f"--max-count={limit}").finish()
    if listed.status != 0:
        return {}
    return dict(line.split(" ", 1) for line in listed.stdout.decode().splitlines())


def _by_prefix(runs: Runs, prefix: str) -> list[str]:
    """The ids that begin so, newest first: only the months are looked at that such an id can have."""
    digits = prefix.replace("-", "")
    if len(prefix) == 36 and os.path.exists(runs.path_of(prefix)):
        return [prefix]
    low, high = (bytes.fromhex((digits + fill * 32)[:32]) for fill in "0f")
    found: list[str] = []
    for month in months_of(runs):
        first, after = bounds(month)
        if first <= high and low < after:
            found += _ids(runs, month, max(first, low), min(after, high))
    return found


def _ids(runs: Runs, month: str, low: bytes, high: bytes) -> Iterator[str]:
    """The ids of a month from `low` to `high` (16 bytes each), newest first.

    They come from the index, page by page, as long as it is up to date, else from a look at the folder.
    """
    page = _FIRST_PAGE

    def ask(index: Index) -> list[str] | None:
        return index.ids_between(low, high, page) if index.is_fresh(month) else None

    while (known := with_index(runs, ask, write=False)) is not None:
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
    """A name that the filter takes for no pattern."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
