"""Taking away what the record need not keep: old runs, overlays that no manifest names, objects that no run needs.

Nothing younger than an hour is touched: a run that is being written is younger. What is read at the same time is
whole or gone. Our objects are a convenience (base and overlay make them again); manifests and overlays are not.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from git_coderepo.errors import UsageError
from git_coderepo.filesystem.atomic import names_in
from git_coderepo.git.process import Git
from git_coderepo.git.store import Store
from git_coderepo.runs.history import newest
from git_coderepo.runs.record_files import Runs
from git_coderepo.runs.result import Result, state_of
from git_coderepo.runs.search_index import list_month, months_of
from git_coderepo.snapshots.overlay_cache import notes_folder
from git_coderepo.stores.published_commit import note_path

YOUNG = 3600.0
# A private index belongs to a running command, a seed to a worktree that is in use, and a run on another host may still
# go on: nothing of it is so old.
_FORGOTTEN = 30 * 86400.0
# So many loose objects are worth a pack.
_MANY = 500
_AGE = re.compile(r"([0-9]{1,6})[ .]?(s|m|h|d|w|y|(?:second|minute|hour|day|week|year)s?)(?:[ .]ago)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_OVERLAY = re.compile(rb"([0-9a-f]{64})\.tar\.gz")


class PruneRequest(NamedTuple):
    """Which runs go: those older than `older_than` seconds that are not among the newest `keep`; None asks nothing."""

    older_than: float | None = None
    keep: int | None = None
    dry_run: bool = False


class Pruned(NamedTuple):
    """What went, or would go: ids of runs, numbers of overlays and objects, and their bytes together.

    `unreadable` are the manifests, raw paths, for whose sake no overlay and no object was touched.
    """

    runs: tuple[str, ...]
    overlays: int
    objects: int
    size: int
    unreadable: tuple[bytes, ...]


class _Needs(NamedTuple):
    """What the kept runs name: trees in hex, sha256 of overlays."""

    trees: frozenset[str]
    overlays: frozenset[str]
    unreadable: tuple[bytes, ...]


def age_in_seconds(text: str) -> float | None:
    """`90m`, `12h`, `7d`, `2w`, `1y`, or `7 days`; None for what is no age."""
    found = _AGE.fullmatch(text.strip().lower())
    return None if found is None else float(int(found[1]) * _UNITS[found[2][0]])


def required_age(text: str) -> float:
    """The same; raises UsageError for what is no age: a guess would remove the wrong runs."""
    age = age_in_seconds(text)
    if age is None:
        raise UsageError(f"'{text}' is no age", hints=["write a number and a unit, such as 12h, 7d, 2w or 1y"])
    return age


def prune(runs: Runs, store: Store, git: Git, request: PruneRequest, *, now: float) -> Pruned:
    """Remove what the request says, `now` in seconds since the epoch. Raises OSError, GitFailed."""
    going = list(_old_runs(runs, request, now))
    if not request.dry_run:
        for id in going:
            # First the manifest: a result alone says nothing, a manifest alone would say that nothing is known.
            _remove(runs.path_of(id))
            _remove(runs.result_path_of(id))
            _remove(note_path(runs.path_of(id)))
        _tidy_folders(runs, now)
    needs = _needs(runs, frozenset(going))
    overlays = objects = size = 0
    if not needs.unreadable:
        overlays, freed = _prune_overlays(runs, store, needs, request, now)
        objects, freed_objects = _prune_objects(store, git, needs, request, now)
        size = freed + freed_objects + _prune_lfs(store, request, now)
    if not request.dry_run:
        _remove_leftovers(store, now)
    return Pruned(tuple(going), overlays, objects, size, needs.unreadable)


def _old_runs(runs: Runs, request: PruneRequest, now: float) -> Iterator[str]:
    if request.older_than is None and request.keep is None:
        return
    age = max(request.older_than or 0.0, YOUNG)
    for count, id in enumerate(newest(runs)):
        created = int(id[:8] + id[9:13], 16) / 1000
        if count < (request.keep or 0) or created > now - age:
            continue
        state = state_of(Result.load(runs.result_path_of(id)))
        if state == "running" or (state == "unfinished" and created > now - _FORGOTTEN):
            continue
        yield id


def _needs(runs: Runs, gone: frozenset[str]) -> _Needs:
    """What every run that stays names."""
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
    """The tree and the tars of a manifest's `code`, and those of its submodules."""
    trees.add(str(code["snapshot"]["tree"]))
    if code["overlay"] is not None:
        overlays.add(str(code["overlay"]["sha256"]))
    if code.get("lfs") is not None:
        overlays.add(str(code["lfs"]["sha256"]))
    for submodule in code["submodules"]:
        if submodule["code"] is not None:
            _note(submodule["code"], trees, overlays)


def _prune_overlays(runs: Runs, store: Store, needs: _Needs, request: PruneRequest, now: float) -> tuple[int, int]:
    """(how many, bytes)."""
    count = size = 0
    for name in names_in(runs.overlays):
        found = _OVERLAY.fullmatch(name)
        if found is not None and found[1].decode() not in needs.overlays:
            freed = _remove_old(runs.overlays + b"/" + name, now - YOUNG, dry_run=request.dry_run)
            count += freed is not None
            size += freed or 0
    for note in names_in(notes_folder(store)):
        # Which overlay it names is of no matter: without its file a note is passed over, and one that is used is young.
        _remove_old(notes_folder(store) + b"/" + note, now - YOUNG, dry_run=request.dry_run)
    return count, size


def _prune_lfs(store: Store, request: PruneRequest, now: float) -> int:
    """Bytes of the Git LFS objects that git-lfs laid down while we looked: what travelled is in tars of its own."""
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
    """(how many, bytes): loose objects that no kept run needs; those that are needed go into one pack if many."""
    if not os.path.isdir(store.objects):
        return 0, 0
    ours = store.git(git).with_environment(GIT_NO_REPLACE_OBJECTS="1").offline()
    loose = dict(_loose(store))
    packs = {path: _packed(ours, path) for path in _packs(store)}
    if not loose and not packs:
        return 0, 0
    needed = _reachable(ours, needs.trees)
    count = size = 0
    for id, path in loose.items():
        if id not in needed:
            freed = _remove_old(path, now - YOUNG, dry_run=request.dry_run)
            count += freed is not None
            size += freed or 0
    useless = sum(1 for ids in packs.values() for id in ids if id not in needed)
    old = [id for id, path in loose.items() if id in needed and _is_old(path, now - YOUNG)]
    if useless or len(old) >= _MANY:
        before = sum(map(_size, packs))
        if not request.dry_run:
            _repack(store, ours, old, packs, needed, now)
        count += useless
        size += max(before - sum(map(_size, _packs(store))), 0) if useless and not request.dry_run else 0
    return count, size


def _repack(
    store: Store, git: Git, old: Sequence[str], packs: dict[bytes, frozenset[str]], needed: frozenset[str], now: float
) -> None:
    """One pack of what is needed, in the place of old packs and old loose objects."""
    going = {path: ids for path, ids in packs.items() if _is_old(path, now - YOUNG)}
    kept = {id for ids in going.values() for id in ids if id in needed} | set(old)
    made = b""
    if kept:
        listed = "".join(f"{id}\n" for id in sorted(kept)).encode()
        folder = os.fsdecode(store.objects) + "/pack/pack"
        name = git.run("pack-objects", "-q", folder, stdin=listed).strip()
        made = store.objects + b"/pack/pack-" + name + b".pack"
    for path in going:
        if path != made and _is_old(path, now - YOUNG):
            # The index first: git does not look at a pack without one.
            for end in (b".idx", b".rev", b".bitmap", b".pack"):
                _remove(path.removesuffix(b".pack") + end)
    for id, path in _loose(store):
        if id in kept:
            _remove_old(path, now - YOUNG, dry_run=False)


def _reachable(git: Git, trees: Iterable[str]) -> frozenset[str]:
    """Every object of these trees, as far as it is here."""
    asked = "".join(f"{tree}\n" for tree in sorted(trees)).encode()
    if not asked:
        return frozenset()
    answers = git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", "--buffer", stdin=asked)
    present = b"".join(line.split()[0] + b"\n" for line in answers.splitlines() if line.endswith(b" tree"))
    if not present:
        return frozenset()
    listed = git.run("rev-list", "--objects", "--no-object-names", "--missing=allow-any", "--stdin", stdin=present)
    return frozenset(listed.decode().split())


def _loose(store: Store) -> Iterator[tuple[str, bytes]]:
    """(id, path) of each loose object of ours."""
    for folder in names_in(store.objects):
        if len(folder) == 2:
            for name in names_in(store.objects + b"/" + folder):
                if len(name) in (38, 62):
                    yield (folder + name).decode("ascii", "replace"), b"/".join((store.objects, folder, name))


def _packs(store: Store) -> list[bytes]:
    folder = store.objects + b"/pack/"
    return [folder + name for name in names_in(folder) if name.startswith(b"pack-") and name.endswith(b".pack")]


def _packed(git: Git, path: bytes) -> frozenset[str]:
    """The ids in a pack (git-show-index(1))."""
    with open(path.removesuffix(b".pack") + b".idx", "rb") as file:
        listed = git.run("show-index", stdin=file.read())
    return frozenset(line.split()[1].decode() for line in listed.splitlines())


# --- files ---


def _tidy_folders(runs: Runs, now: float) -> None:
    """Results and notes whose manifest is gone, half-written files, and folders of past months with nothing in them."""
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
        if month < recent:  # nobody writes there any more
            try:
                os.rmdir(folder)
            except OSError:
                pass


def _remove_leftovers(store: Store, now: float) -> None:
    """What a process that was killed left half-written."""
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
    """Remove a private index that was made before; its own time is that of the user's index, however old that is."""
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
    """Remove a file that was not touched since `before`; its bytes, None where it stays."""
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
