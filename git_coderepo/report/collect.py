"""Collect the facts of a report: runs, their relatives, and what their code changed, as frozen values."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError
from git_coderepo.fetching.sources.local import Here, restore_tree
from git_coderepo.git.process import Git
from git_coderepo.git.repository import Layout, read_layout, start_layout
from git_coderepo.git.store import Store, find_overlay, quoted_path
from git_coderepo.git.subtree import read_part
from git_coderepo.manifest.model import Base, Code, Head, Manifest
from git_coderepo.report.patches import Pair, Patch, compare
from git_coderepo.runs.history import RecordedRun, committed_as, load_run, select
from git_coderepo.runs.record_files import Runs
from git_coderepo.runs.search_index import Filter

# git's name for a tree without entries, which it knows without storing it.
_EMPTY_TREES = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
# For more runs than that, children outside of the report are not looked up.
_FEW = 20
_MOST_ANCESTORS = 10


class PartChanges(NamedTuple):
    """What a part of the code changed: `path` is b"" or that of a submodule, raw, with a final slash.

    `patch` is None if objects are missing; `reason` then says so.
    """

    path: bytes
    patch: Patch | None
    reason: str | None


class ReportedRun(NamedTuple):
    """A run of a report.

    `changes` lead from `origin_of` its code to the snapshot. `committed` is a later commit with the code of a dirty
    run. `same_code` is the id of a newer run of the report with the same changes, if any.
    """

    recorded: RecordedRun
    changes: tuple[PartChanges, ...]
    committed: str | None
    same_code: str | None

    @property
    def id(self) -> str:
        return self.recorded.id

    @property
    def manifest(self) -> Manifest:
        return self.recorded.manifest


class Comparison(NamedTuple):
    """The older and the newer of two runs, and the changes of the code between them."""

    old: ReportedRun
    new: ReportedRun
    changes: tuple[PartChanges, ...]


class RunReport(NamedTuple):
    """A report: its runs, newest first, and their `relatives`, parents and children that are not in it, by id.

    `name` is that of the repository; `left_out` is the number of older runs that are recorded and not in the report.
    """

    name: bytes
    runs: tuple[ReportedRun, ...]
    relatives: Mapping[str, RecordedRun]
    left_out: int
    comparison: Comparison | None


def collect(git: Git, found: Sequence[RecordedRun], *, left_out: int = 0, together: bool = False) -> RunReport:
    """Return the report of these runs of the repository in which `git` starts; with `together` two are compared.

    Nothing is asked over the network. Objects that are missing, but in a run's overlay, are written to the program's
    own store. Raises NotACheckout.
    """
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    runs = sorted(found, key=lambda each: each.id, reverse=True)
    trees = _Trees(git, layout)
    trees.learn(_trees_of(runs))
    sides = {each.id: [trees.from_base(each, path, code) for path, code in each.manifest.code.codes()] for each in runs}
    between = _between(trees, runs[-1], runs[0]) if together and len(runs) == 2 else []
    patches = trees.compare([*(side for parts in sides.values() for side in parts), *between])
    changes = {id: tuple(_changes(side, patches) for side in parts) for id, parts in sides.items()}
    committed = committed_as(git) if any(each.manifest.code.dirty for each in runs) else {}
    same = _same_code(sides)
    reported = [ReportedRun(each, changes[each.id], _committed(each, committed), same.get(each.id)) for each in runs]
    return RunReport(
        os.path.basename(layout.toplevel.rstrip(b"/").removesuffix(b"/.git").removesuffix(b".git")),
        tuple(reported),
        _relatives(Runs(layout), runs),
        left_out,
        Comparison(reported[1], reported[0], tuple(_changes(side, patches) for side in between)) if between else None,
    )


def _same_code(sides: Mapping[str, Sequence[_Side]]) -> dict[str, str]:
    """Return the newest run with the same changes, for each run but that; runs are given newest first."""
    newest: dict[object, str] = {}
    found: dict[str, str] = {}
    for id, parts in sides.items():
        if all(part.pair is not None for part in parts):
            other = newest.setdefault(tuple((part.path, part.pair) for part in parts), id)
            if other != id:
                found[id] = other
    return found


def _committed(run: RecordedRun, commits: Mapping[str, str]) -> str | None:
    """Return the commit that has the tree of a dirty run by now."""
    code = run.manifest.code
    return commits.get(code.snapshot_tree.hex) if code.dirty and not code.dirty_submodule else None


def origin_of(code: Code) -> Base | Head | None:
    """Return the commit from which a snapshot is shown as a diff: the base, or HEAD if no platform has a base."""
    return code.base if code.base is not None else code.head


def _trees_of(runs: Iterable[RecordedRun]) -> Iterator[str]:
    """Yield the trees of bases and snapshots, in hex; those of submodules are in other repositories."""
    for each in runs:
        yield each.manifest.code.snapshot_tree.hex
        origin = origin_of(each.manifest.code)
        if origin is not None:
            yield origin.tree.hex


class _Side(NamedTuple):
    """Two trees to compare at a path; `pair` is None if one of them is not here, for a `reason`."""

    path: bytes
    pair: Pair | None
    reason: str | None


def _changes(side: _Side, patches: Mapping[Pair, Patch | None]) -> PartChanges:
    patch = patches[side.pair] if side.pair is not None else None
    reason = side.reason or "some objects of its code are not in this repository"
    return PartChanges(side.path, patch, None if patch is not None else reason)


class _Trees:
    """The trees of runs, and the objects to compare them with: the user's, our own, and those of submodules."""

    def __init__(self, git: Git, layout: Layout) -> None:
        self._here = Here(git, layout, Store(layout))
        self._submodules: dict[bytes, Here | None] = {}
        self._objects: dict[bytes, None] = {}
        self._present: dict[str, bool] = {}
        self._parts: dict[tuple[str, tuple[bytes, ...]], str] = {}

    def from_base(self, run: RecordedRun, path: bytes, code: Code) -> _Side:
        """Return the trees of `origin_of(code)` and of the snapshot; that of a scope has only the paths in it."""
        reason = self._missing(run, path, code)
        if reason is not None:
            return _Side(path, None, reason)
        base = _EMPTY_TREES[code.object_format]
        origin = origin_of(code)
        if origin is not None:
            base = origin.tree.hex
            if not self._has(path, base):
                return _Side(path, None, f"the commit {origin.commit.hex[:12]} is not in this repository")
            if code.scope is not None:
                base = self._part(base, code)
        return _Side(path, (base, code.snapshot_tree.hex), None)

    def between(self, path: bytes, sides: tuple[tuple[RecordedRun, Code] | None, ...], object_format: str) -> _Side:
        """Return the trees of two runs at a path; None is a run that has no submodule there."""
        trees = []
        for side in sides:
            reason = self._missing(side[0], path, side[1]) if side is not None else None
            if reason is not None:
                return _Side(path, None, reason)
            trees.append(side[1].snapshot_tree.hex if side is not None else _EMPTY_TREES[object_format])
        return _Side(path, (trees[0], trees[1]), None)

    def compare(self, sides: Iterable[_Side]) -> dict[Pair, Patch | None]:
        pairs = dict.fromkeys(side.pair for side in sides if side.pair is not None)
        return compare(self._git(), pairs)

    def _git(self) -> Git:
        git = self._here.at_hand
        inherited = git.environment.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
        places = [os.fsdecode(quoted_path(each)) for each in self._objects]
        if not places:
            return git
        return git.with_environment(GIT_ALTERNATE_OBJECT_DIRECTORIES=":".join([*places, *filter(None, [inherited])]))

    def _missing(self, run: RecordedRun, path: bytes, code: Code) -> str | None:
        """Return why a snapshot's tree is not here; create it if base and overlay are here."""
        here = self._place(path)
        if code.object_format != here.layout.object_format:
            return f"its objects are {code.object_format}, those of this repository are {here.layout.object_format}"
        if self._has(path, code.snapshot_tree.hex):
            return None
        if run.path is None:
            return "its code is on the platform, not in this repository"
        try:
            folder = os.path.dirname(os.path.abspath(run.path))
            overlay = code.overlay.data if code.overlay is not None else None
            if code.overlay is not None and overlay is None:
                tar = find_overlay(code.overlay.sha256, code.overlay.size, folder, here.git)
                overlay = tar[0] if tar is not None else None
            here.store.prepare()
            restore_tree(code, run.manifest.repository, overlay, here.git, here.store, run=run.id, notify=_ignore)
        except CodeRepoError as error:
            return error.message
        self._present[code.snapshot_tree.hex] = True
        return None

    def _place(self, path: bytes) -> Here:
        """Return the repository at the path of a submodule; without a work tree its objects may be in our own store."""
        if not path:
            return self._here
        if path not in self._submodules:
            here = self._here.submodule(path.rstrip(b"/"))
            self._submodules[path] = here
            self._objects |= {here.layout.objects: None} if here is not None else {}
        return self._submodules[path] or self._here

    def _has(self, path: bytes, tree: str) -> bool:
        if tree not in self._present:
            here = self._place(path)
            answer = here.at_hand.start("cat-file", "-e", tree).finish()
            self._present[tree] = answer.status == 0
        return self._present[tree]

    def learn(self, trees: Iterable[str]) -> None:
        """Look up many trees of this repository at once."""
        wanted = list(dict.fromkeys(trees))
        listed = self._here.at_hand.start(
            "cat-file", "--batch-check", stdin="".join(f"{tree}\n" for tree in wanted).encode()
        ).finish()
        for tree, line in zip(wanted, listed.stdout.splitlines(), strict=False):
            if line.split(b" ")[1:2] == [b"tree"]:
                self._present[tree] = True

    def _part(self, base: str, code: Code) -> str:
        scope = code.scope or ()
        if (base, scope) not in self._parts:
            here = self._here
            here.store.prepare()
            self._parts[base, scope] = read_part(here.at_hand, base, scope, code.object_format).tree.hex
        return self._parts[base, scope]


def _ignore(_: str) -> None:
    """Drop a message: a page says what is missing."""


def _between(trees: _Trees, old: RecordedRun, new: RecordedRun) -> list[_Side]:
    codes = [dict(each.manifest.code.codes()) for each in (old, new)]
    sides = []
    for path in dict.fromkeys([*codes[0], *codes[1]]):
        pair = tuple((run, code[path]) if path in code else None for run, code in zip((old, new), codes, strict=True))
        sides.append(trees.between(path, pair, old.manifest.code.object_format))
    return sides


def _relatives(record: Runs, runs: Sequence[RecordedRun]) -> dict[str, RecordedRun]:
    """Return the recorded ancestors of runs, and the children of a few runs, that are not among them."""
    known = {each.id for each in runs}
    found: dict[str, RecordedRun] = {}
    ahead = [each.manifest.run.parent for each in runs]
    for _ in range(_MOST_ANCESTORS):
        ahead = [
            run.manifest.run.parent
            for id in ahead
            if id is not None
            and id not in known
            and id not in found
            and (run := _loaded(record, id, found)) is not None
        ]
    if len(runs) <= _FEW:
        for each in runs:
            for id in select(record, Filter(parent=each.id), limit=_FEW):
                if id not in known and id not in found:
                    _loaded(record, id, found)
    return found


def _loaded(record: Runs, id: str, found: dict[str, RecordedRun]) -> RecordedRun | None:
    try:
        found[id] = load_run(record, id)
    except CodeRepoError:
        return None
    return found[id]
