"""Choose the trees that `cache prune` removes."""

from __future__ import annotations

from typing import NamedTuple

from git_coderepo.fetching.cache import Cache, Kept


class Evicted(NamedTuple):
    """What went, or would go, and what would have gone but is in use."""

    gone: tuple[Kept, ...]
    in_use: tuple[Kept, ...]


def prune_cache(cache: Cache, *, max_size: int | None, older_than: float | None, dry_run: bool, now: float) -> Evicted:
    """Remove trees that were not used for `older_than` seconds, then those unused longest above `max_size` bytes.

    What something wrote into goes as well, with `older_than` only what is as old; so does what killed processes left.
    What is in use never does. `max_size` None: the cache's own limit, if it has one.
    """
    if max_size is None and older_than is None:
        max_size = cache.limit
    gone: list[Kept] = []
    in_use: list[Kept] = []
    size = 0
    for each in cache.kept():
        size += each.size
        old = older_than is not None and now - each.used > older_than
        written_into = each.kind != "tree" and older_than is None
        if not old and not written_into and (max_size is None or size <= max_size):
            continue
        size -= each.size
        (gone if dry_run or cache.evict(each.key, each.name) else in_use).append(each)
    if not dry_run:
        for key in cache.all_keys():
            cache.clear(key)
    return Evicted(tuple(gone), tuple(in_use))
