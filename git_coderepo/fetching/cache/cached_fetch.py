"""Fetch through the cache: copy or use a tree that it has, and add one that it lacks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError, TreeDiffers
from git_coderepo.fetching.cache.copying import NoClones, can_share_blocks, copy_listed, copy_tree
from git_coderepo.fetching.cache.location import cache_place, known_cache_place
from git_coderepo.fetching.cache.rehash import Proof, TreeAltered, flat, read_listing, rehash_cached
from git_coderepo.fetching.cache.tree_cache import Cache, Entry
from git_coderepo.fetching.fetch import FetchOptions, fetch
from git_coderepo.fetching.lfs import summed
from git_coderepo.fetching.planned_tree import PlannedTree
from git_coderepo.fetching.receipt import Hashed, Receipt
from git_coderepo.fetching.target import Target
from git_coderepo.filesystem.directories import OPEN_DIRECTORY
from git_coderepo.filesystem.fingerprint import stamp
from git_coderepo.settings import Settings


def open_cache(settings: Settings, *, notify: Callable[[str], None]) -> Cache:
    """Return this user's cache, creating it if necessary. Raises TargetUnusable if it cannot be created."""
    _check_trust(settings, notify)
    return Cache(cache_place(settings, notify=notify), notify=notify, limit=cache_limit(settings))


def known_cache(settings: Settings, *, notify: Callable[[str], None]) -> Cache | None:
    """Return this user's cache if it exists, else None; nothing is created."""
    _check_trust(settings, notify)
    place = known_cache_place(settings)
    return None if place is None else Cache(place, notify=notify, limit=cache_limit(settings))


def cache_limit(settings: Settings) -> int | None:
    """Return `coderepo.cacheLimit` in bytes; None if it is not set."""
    return settings.size("cacheLimit") or None


def _check_trust(settings: Settings, notify: Callable[[str], None]) -> None:
    if settings.text("cacheTrust") != "own":
        notify(
            "warning: coderepo.cacheTrust no longer has any effect: only your own cached trees are used "
            "(coderepo.store shares snapshots between users)"
        )


class InCache(NamedTuple):
    """A verified tree in the cache, locked for use.

    `stamp` is its `filesystem.fingerprint.stamp` from before it was hashed: the same stamp later means that nothing has
    changed since.
    """

    entry: Entry
    receipt: Receipt
    stamp: str


def fetch_with_cache(
    planned: PlannedTree,
    directory: str,
    settings: Settings,
    options: FetchOptions,
    *,
    fill: bool = False,
    notify: Callable[[str], None],
) -> Receipt:
    """Fetch as `fetch` does, but copy a tree that is in the cache, and verify the copy.

    A tree that the cache lacks is written to `directory`, and also to the cache with `fill`, with `coderepo.cache`, or
    if the file system can share the blocks of both. The cache has whole trees with their Git LFS files, so a single
    directory and a tree with pointers are always fetched. Raises what `fetch` raises.
    """
    if planned.keep or not options.lfs:
        return fetch(planned, directory, options)
    started = time.time()
    if fill or settings.flag("cache"):
        cache = open_cache(settings, notify=notify)
        with Target(directory) as target:
            filling = _Filling(planned, options)
            entry, proof = cache.fill(cache_key(planned), partial(_copied, planned, target), filling.make)
            with entry:
                if proof is None:
                    try:
                        proof = _copied(planned, target, entry)
                    except TreeAltered as error:
                        raise TreeDiffers(
                            f"the copy of the cached tree differs from the recorded tree: {error.message}"
                        ) from None
            target.publish()
        return filling.made or _hit(planned, proof, "copy", started)
    known = known_cache(settings, notify=notify)
    if known is None:
        return fetch(planned, directory, options)
    with ExitStack() as stack:
        # The target is opened only if there is a tree to copy: `fetch` opens it itself.
        place: list[Target] = []

        def copied(entry: Entry) -> Proof:
            if not place:
                place.append(stack.enter_context(Target(directory)))
            return _copied(planned, place[0], entry)

        found = known.find(cache_key(planned), copied)
        if found is not None:
            found[0].close()
            place[0].publish()
            return _hit(planned, found[1], "copy", started)
    return fetch(planned, directory, options, proved=partial(_offer, known, planned))


def cached_tree(planned: PlannedTree, cache: Cache, options: FetchOptions) -> InCache:
    """Return the tree from the cache, verified and locked for use; it is fetched first if the cache lacks it.

    Raises what `fetch` raises; then the cache is unchanged.
    """
    started = time.time()

    def check(entry: Entry) -> tuple[str, Proof]:
        with entry.opened() as tree:
            return stamp(tree), rehash_cached(planned, tree, entry.listing())

    filling = _Filling(planned, options)
    entry, found = cache.fill(cache_key(planned), check, filling.make)
    if found is not None:
        return InCache(entry, _hit(planned, found[1], "cache", started), found[0])
    assert filling.made is not None
    with entry.opened() as tree:
        return InCache(entry, filling.made, stamp(tree))


def cache_key(planned: PlannedTree) -> str:
    """Return the key of a tree in the cache: its hex id and, with submodules, a digest of their paths and keys."""
    if not planned.submodules:
        return planned.tree.hex
    inside = sorted((each.path, cache_key(each.planned).encode()) for each in planned.submodules)
    digest = sha256(b"".join(b"%b\0%b\0" % row for row in inside)).hexdigest()
    return f"{planned.tree.hex}-{digest[:32]}"


class _Filling:
    """Fetch a tree into the cache; `made` is the receipt, None if the tree was not fetched."""

    def __init__(self, planned: PlannedTree, options: FetchOptions) -> None:
        self._planned = planned
        self._options = options
        self.made: Receipt | None = None

    def make(self, directory: str) -> bytes:
        listings: list[bytes] = []
        self.made = fetch(
            self._planned,
            directory,
            self._options,
            proved=lambda _, listing: listings.append(listing),
            is_output=False,
        )
        return listings[0]


def _copied(planned: PlannedTree, target: Target, entry: Entry) -> Proof:
    """Copy an entry's tree into the target and rehash the copy. Raises TreeAltered, TargetUnusable."""
    listing = entry.listing()
    paths = flat(read_listing(planned, listing))
    made = target.fresh()
    with entry.opened() as tree:
        copy_listed(tree, made, paths)
    copy = os.open(made, OPEN_DIRECTORY)
    try:
        return rehash_cached(planned, copy, listing)
    finally:
        os.close(copy)


def _offer(cache: Cache, planned: PlannedTree, directory: str, listing: bytes) -> None:
    """Add the tree that was just verified in `directory`, if blocks can be shared, so that it takes no space."""
    if not can_share_blocks(directory, cache.place.path):
        return

    def make(tree: str) -> bytes:
        os.mkdir(tree)
        copy_tree(directory, tree, clones_only=True)
        return listing

    try:
        cache.fill(cache_key(planned), lambda entry: None, make)[0].close()
    except CodeRepoError as error:
        if not isinstance(error, NoClones):
            cache.notify(f"warning: the cache: {error.message}")


def _hit(planned: PlannedTree, proof: Proof, what: str, started: float) -> Receipt:
    """Return the receipt of a tree from the cache; `what` says what was hashed, see `Hashed`."""
    nodes = list(proof.nodes())
    receipt = Receipt(
        tree=planned.tree,
        tree_by=planned.tree_by,
        method="cache",
        started=started,
        finished=time.time(),
        files=proof.files,
        outside_links=tuple(prefix + path for prefix, node in nodes for path in node.outside),
        conversions=tuple(each.below(prefix) for prefix, node in nodes for each in node.conversions),
        submodules=tuple(proof.receipts("cache")),
        lfs=summed(node.lfs for _, node in nodes if node.lfs is not None),
        cache_hit=True,
        proof=Hashed(what, sum(node.files for _, node in nodes), sum(node.size for _, node in nodes)),
    )
    return receipt.of(planned.identity)
