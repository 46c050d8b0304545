"""What the cache holds, and what of it may go."""

from __future__ import annotations

import os
from typing import NamedTuple

from git_coderepo.runner.cache import Cache, evict


class CachedTree(NamedTuple):
    """A tree that is kept: its `key`, the bytes it takes on the disk, when it was used last (seconds since the epoch).

    `good` is false for one that was written into, and waits for its last user to end.
    """

    key: str
    directory: str
    size: int
    used: float
    good: bool


class Evicted(NamedTuple):
    """What went, or would go, and what would have gone but is in use."""

    gone: tuple[CachedTree, ...]
    in_use: tuple[CachedTree, ...]


def cached_trees(cache: Cache) -> list[CachedTree]:
    """Every tree of the cache, the one used last first."""
    found = [_looked_at(key, directory) for key in cache.kept() for directory in cache.generations(key)]
    return sorted(found, key=lambda tree: -tree.used)


def prune_cache(cache: Cache, *, max_size: int | None, older_than: float | None, dry_run: bool, now: float) -> Evicted:
    """Remove trees that were not used for `older_than` seconds, then those unused longest above `max_size` bytes.

    Those that were written into, and what killed processes left, go in any case; a tree in use never does.
    """
    gone: list[CachedTree] = []
    in_use: list[CachedTree] = []
    kept = 0
    for tree in cached_trees(cache):
        kept += tree.size
        old = older_than is not None and now - tree.used > older_than
        if tree.good and not old and (max_size is None or kept <= max_size):
            continue
        kept -= tree.size
        (gone if dry_run or evict(tree.directory) else in_use).append(tree)
    if not dry_run:
        for key in cache.kept():
            cache.clear(key)
    return Evicted(tuple(gone), tuple(in_use))


def _looked_at(key: str, directory: str) -> CachedTree:
    size = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                size += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue  # evicted while we look
    try:
        used = os.stat(os.path.join(directory, "use")).st_mtime
    except OSError:
        used = 0.0
    return CachedTree(key, directory, size, used, os.path.exists(os.path.join(directory, "stamp")))
