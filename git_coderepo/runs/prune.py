"""Remove old runs from the record, and the overlays and objects that no run needs.

Nothing younger than an hour is touched, because a run that is being recorded is younger. Objects can be restored from
base and overlay; manifests and overlays cannot.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from git_coderepo.filesystem.atomic import names_in
from git_coderepo.git.process import Git
from git_coderepo.git.store import Store
from git_coderepo.runs.history import newest
from git_coderepo.runs.record_files import Runs
from git_coderepo.runs.result import Result, state_of
from git_coderepo.runs.search_index import list_month, months_of
from git_coderepo.snapshots.overlay import notes_folder
from git_coderepo.stores.published_commit import note_path

YOUNG = 3600.0
# Older than any running command (private indexes), than the last use of a worktree (seeds), and than a run on another
# host (unfinished results).
_FORGOTTEN = 30 * 86400.0
# From this many loose objects on, a pack is made.
_MANY = 500
_OVERLAY = re.compile(rb"([0-9a-f]{64})\.tar\.gz")


class PruneRequest(NamedTuple):
    """Which runs to remove: older than `older_than` seconds, and not among the newest `keep`; None is no limit."""

    older_than: float | None = None
    keep: int | None = None
    dry_run: bool = False


class Pruned(NamedTuple):
    """What was removed, or with `dry_run` would be: ids of runs, numbers of overlays and objects, and bytes.

    `kept` are the reasons why runs were kept, with their numbers. `unreadable` are the raw paths of manifests that
    cannot be read. If there are any, no overlay or object is removed.
    """

    runs: tuple[str, ...]
    overlays: int
    objects: int
    size: int
    unreadable: tuple[bytes, ...]
    kept: tuple[tuple[str, int], ...] = ()


class _Needs(NamedTuple):
    """What the remaining runs need: trees (hex), and overlays by their sha256."""

    trees: frozenset[str]
    overlays: frozenset[str]
    unreadable: tuple[bytes, ...]


def prune(runs: Runs, store: Store, git: Git, request: PruneRequest, *, now: float) -> Pruned:
    """Remove what the request selects; `now` is in seconds since 1970. Raises OSError, GitFailed."""
    kept: Counter[str] = Counter()
    old = list(_old_runs(runs, request, now, kept))
    if not request.dry_run:
        for id in old:
            # The manifest goes first: without its result it would look like a run whose end is unknown.
            _remove(runs.path_of(id))
            _remove(runs.result_path_of(id))
            _remove(note_path(runs.path_of(id)))
        _tidy_folders(runs, now)
    needs = _needs(runs, frozenset(old))
    overlays = objects = size = 0
    if not needs.unreadable:
        overlays, freed = _prune_overlays(runs, store, needs, request, now)
        objects, freed_objects = _prune_objects(store, git, needs, request, now)
        size = freed + freed_objects + _prune_lfs(store, request, now)
    if not request.dry_run:
        _remove_leftovers(store, now)
    return Pruned(tuple(old), overlays, objects, size, needs.unreadable, tuple(kept.items()))


def _old_runs(runs: Runs, request: PruneRequest, now: float, kept: Counter[str]) -> Iterator[str]:
    """Yield the runs to remove, newest first; count in `kept` the others, by the reason for which they are kept."""
    for count, id in enumerate(newest(runs)):
        reason = _reason_to_keep(runs, id, count, request, now)
        if reason is None:
            yield id
        else:
            kept[reason] += 1


def _reason_to_keep(runs: Runs, id: str, count: int, request: PruneRequest, now: float) -> str | None:
    """Return why a run is kept, None if it is to be removed; `count` is the number of newer runs."""
    if request.older_than is None and request.keep is None:
        return "neither --older-than nor --keep is given"
    if count < (request.keep or 0):
        return f"among the newest {request.keep}"
    created = int(id[:8] + id[9:13], 16) / 1000
    if created > now - (request.older_than or 0.0):
        return "not old enough"
    if created > now - YOUNG:
        return "younger than an hour"
    state = state_of(Result.load(runs.result_path_of(id)))
    if state == "running" or (state == "unfinished" and created > now - _FORGOTTEN):
        return "still running" if state == "running" else "perhaps still running on another host"
    return None


def _needs(runs: Runs, gone: frozenset[str]) -> _Needs:
    """Return what the remaining runs need."""
    trees: set[str] = set()
    overlays: set[str] = set()
    unreadable: list[bytes] = []
    for id in newest(runs):
        if id in gone:
            continue
        path = runs.path_of(id)
        try:
            with open(path, "rb") as file:
                code = json.loads(file.read())["code"]
            _note(code, trees, overlays)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            unreadable.append(path)
    return _Needs(frozenset(trees), frozenset(overlays), tuple(unreadable))


def _note(code: Any, trees: set[str], overlays: set[str]) -> None:
    """Add the tree and the tars of a manifest's `code` and of its submodules."""
    trees.add(str(code["snapshot"]["tree"]))
    if code["overlay"] is not None:
        overlays.add(str(code["overlay"]["sha256"]))
    if code.get("lfs") is not None:
        overlays.add(str(code["lfs"]["sha256"]))
    for submodule in code["submodules"]:
        if submodule["code"] is not None:
            _note(submodule["code"], trees, overlays)


def _prune_overlays(runs: Runs, store: Store, needs: _Needs, request: PruneRequest, now: float) -> tuple[int, int]:
    """Remove the overlays that no remaining run needs; return (their number, their bytes)."""
    count = size = 0
    for name in names_in(runs.overlays):
        overlay = _OVERLAY.fullmatch(name)
        if overlay is not None and overlay[1].decode() not in needs.overlays:
            freed = _remove_old(runs.overlays + b"/" + name, now - YOUNG, dry_run=request.dry_run)
            count += freed is not None
            size += freed or 0
    for note in names_in(notes_folder(store)):
        # A note without its overlay has no effect, and one that is in use is young.
        _remove_old(notes_folder(store) + b"/" + note, now - YOUNG, dry_run=request.dry_run)
    return count, size


def _prune_lfs(store: Store, request: PruneRequest, now: float) -> int:
    """Remove the objects that the clean filter of git-lfs stored during snapshots; return their bytes.

    What travels is in tars of its own.
    """
    size = 0
    for folder, folders, names in os.walk(store.directory + b"/lfs", topdown=False):
        for name in names:
            size += _remove_old(os.path.join(folder, name), now - YOUNG, dry_run=request.dry_run) or 0
        if not request.dry_run:
            for name in folders:
                try:
                    os.rmdir(os.path.join(folder, name))
                except OSError:
                    pass  # not empty
    return size


# --- objects ---


def _prune_objects(store: Store, git: Git, needs: _Needs, request: PruneRequest, now: float) -> tuple[int, int]:
    """Remove the objects that no kept run needs; return (their number, their bytes).

    The loose objects that are needed go into one pack if there are many of them.
    """
    if not os.path.isdir(store.objects):
        return 0, 0
    ours = store.git(git).with_environment(GIT_NO_REPLACE_OBJECTS="1").offline()
    loose = dict(_loose(store))
    packs = {path: _packed(ours, path) for path in _packs(store)}
    if not loose and not packs:
        return 0, 0
    objects = _Objects(store, ours, loose, packs, _reachable(ours, needs.trees), now - YOUNG)
    count, size = objects.remove_loose(dry_run=request.dry_run)
    useless = sum(1 for ids in packs.values() for id in ids if id not in objects.needed)
    old = objects.old_loose()
    if useless or len(old) >= _MANY:
        before = sum(map(_size, packs))
        if not request.dry_run:
            objects.repack(old)
        count += useless
        size += max(before - sum(map(_size, _packs(store))), 0) if useless and not request.dry_run else 0
    return count, size


class _Objects(NamedTuple):
    """The objects of our store: `loose` (id to path), `packs` (path to ids), and the ids that are `needed`.

    Ids are hex. What was modified since the time `before` is left alone.
    """

    store: Store
    git: Git
    loose: dict[str, bytes]
    packs: dict[bytes, frozenset[str]]
    needed: frozenset[str]
    before: float

    def remove_loose(self, *, dry_run: bool) -> tuple[int, int]:
        """Remove the old loose objects that are not needed; return (their number, their bytes)."""
        freed = [
            _remove_old(path, self.before, dry_run=dry_run) for id, path in self.loose.items() if id not in self.needed
        ]
        sizes = [size for size in freed if size is not None]
        return len(sizes), sum(sizes)

    def old_loose(self) -> list[str]:
        """Return the ids of the old loose objects that are needed."""
        return [id for id, path in self.loose.items() if id in self.needed and _is_old(path, self.before)]

    def repack(self, old: Sequence[str]) -> None:
        """Replace the old packs, and the `old` loose objects, by one pack of what is needed."""
        replaced = {path: ids for path, ids in self.packs.items() if _is_old(path, self.before)}
        packed = {id for ids in replaced.values() for id in ids if id in self.needed} | set(old)
        made = b""
        if packed:
            ids = "".join(f"{id}\n" for id in sorted(packed)).encode()
            prefix = os.fsdecode(self.store.objects) + "/pack/pack"
            name = self.git.run("pack-objects", "-q", prefix, stdin=ids).strip()
            made = self.store.objects + b"/pack/pack-" + name + b".pack"
        for path in replaced:
            if path != made and _is_old(path, self.before):
                # The index first: git ignores a pack without one.
                for end in (b".idx", b".rev", b".bitmap", b".pack"):
                    _remove(path.removesuffix(b".pack") + end)
        for id, path in _loose(self.store):
            if id in packed:
                _remove_old(path, self.before, dry_run=False)


def _reachable(git: Git, trees: Iterable[str]) -> frozenset[str]:
    """Return the ids of all objects in these trees that are here."""
    ids = "".join(f"{tree}\n" for tree in sorted(trees)).encode()
    if not ids:
        return frozenset()
    answers = git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", "--buffer", stdin=ids)
    present = b"".join(line.split()[0] + b"\n" for line in answers.splitlines() if line.endswith(b" tree"))
    if not present:
        return frozenset()
    listed = git.run("rev-list", "--objects", "--no-object-names", "--missing=allow-any", "--stdin", stdin=present)
    return frozenset(listed.decode().split())


def _loose(store: Store) -> Iterator[tuple[str, bytes]]:
    """Yield (id in hex, path) of each loose object in our store."""
    for folder in names_in(store.objects):
        if len(folder) == 2:
            for name in names_in(store.objects + b"/" + folder):
                if len(name) in (38, 62):
                    yield (folder + name).decode("ascii", "replace"), b"/".join((store.objects, folder, name))


def _packs(store: Store) -> list[bytes]:
    folder = store.objects + b"/pack/"
    return [folder + name for name in names_in(folder) if name.startswith(b"pack-") and name.endswith(b".pack")]


def _packed(git: Git, path: bytes) -> frozenset[str]:
    """Return the ids in a pack (git-show-index(1))."""
    with open(path.removesuffix(b".pack") + b".idx", "rb") as file:
        listed = git.run("show-index", stdin=file.read())
    return frozenset(line.split()[1].decode() for line in listed.splitlines())


# --- files ---


def _tidy_folders(runs: Runs, now: float) -> None:
    """Remove results and notes without a manifest, and empty folders of past months."""
    recent = time.strftime("%Y-%m", time.gmtime(now - 2 * 86400))
    for month in months_of(runs):
        folder = runs.directory + b"/" + month.encode()
        ids, results = list_month(runs, month)
        for id in results.difference(ids):
            _remove_old(folder + b"/" + id.encode() + b".result.json", now - YOUNG, dry_run=False)
        known = set(ids)
        for name in names_in(folder):
            if name.endswith(b".published.json") and name[:36].decode("ascii", "replace") not in known:
                _remove_old(folder + b"/" + name, now - YOUNG, dry_run=False)
        if month < recent:  # no new run goes there
            try:
                os.rmdir(folder)
            except OSError:
                pass


def _remove_leftovers(store: Store, now: float) -> None:
    """Remove what killed processes left half-written."""
    folders = [store.overlays, *(store.directory + b"/runs/" + name for name in names_in(store.directory + b"/runs"))]
    for folder in folders:
        for name in names_in(folder):
            if name.endswith(b".tmp"):
                _remove_old(folder + b"/" + name, now - YOUNG, dry_run=False)
    for name in names_in(store.directory + b"/damaged"):
        _remove_leftover_index(store.directory + b"/damaged/" + name, now - _FORGOTTEN)
    for name in names_in(store.directory):
        if name.startswith((b"index.", b"seed")):
            _remove_leftover_index(store.directory + b"/" + name, now - _FORGOTTEN)


def _remove_leftover_index(path: bytes, before: float) -> None:
    """Remove a private index that was created before a time; its mtime is that of the user's index."""
    try:
        if os.stat(path).st_ctime < before:
            _remove(path)
    except FileNotFoundError:
        pass


def _is_old(path: bytes, before: float) -> bool:
    try:
        return os.stat(path).st_mtime < before
    except FileNotFoundError:
        return False


def _remove_old(path: bytes, before: float, *, dry_run: bool) -> int | None:
    """Remove a file that was not modified since `before`; return its size, or None if it stays."""
    if not _is_old(path, before):
        return None
    size = _size(path)
    if not dry_run:
        _remove(path)
    return size


def _size(path: bytes) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
