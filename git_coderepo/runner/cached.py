"""Through the cache: a tree that is on this machine already is not asked for again, and one that comes is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from git_coderepo.errors import CodeRepoError, TreeDiffers
from git_coderepo.git import Git
from git_coderepo.runner.cache import Cache, Entry
from git_coderepo.runner.cacheplace import cache_place, known_cache_place, other_parts
from git_coderepo.runner.copying import NoClones, can_share_blocks, copy_tree
from git_coderepo.runner.fetch import fetch
from git_coderepo.runner.receipt import Receipt
from git_coderepo.runner.stamps import contents_id
from git_coderepo.runner.target import Target
from git_coderepo.runner.verification import verify_directory
from git_coderepo.runner.wanted import Wanted
from git_coderepo.settings import Settings

TRUST = ("own", "ask", "any")


class CacheRules(NamedTuple):
    """What the settings say: `trust` is whose trees are used, `fill` whether a fetch keeps what it brings.

    `own`: those that this user made, without a question; `ask`: others' too, after the platform said that it would
    serve the code; `any`: whatever verifies.
    """

    trust: str = "own"
    fill: bool = False

    @classmethod
    def of(cls, settings: Settings) -> CacheRules:
        """From `coderepo.cacheTrust` and `coderepo.cache`."""
        return cls(settings.choice("cacheTrust", TRUST, "own"), settings.flag("cache", False))


def fetch_with_cache(
    wanted: Wanted,
    directory: str,
    settings: Settings,
    *,
    fill: bool = False,
    notify: Callable[[str], None],
    lfs: bool = True,
    **options: Any,
) -> Receipt:
    """As `fetch`, whose `options` it takes; but what the cache has is copied out of it, and proved once more.

    What it lacks goes straight into `directory`, and into the cache with `fill`, with `coderepo.cache`, or where the
    file system can share the blocks of both. The cache has whole trees, and what Git LFS keeps of them: a part of one,
    and one with the pointers (`lfs` False), is fetched.
    """
    if wanted.keep or not lfs:
        return fetch(wanted, directory, lfs=lfs, **options)
    rules = CacheRules.of(settings)
    if fill or rules.fill:
        cache = Cache(cache_place(settings, notify=notify), notify=notify)
        with Target(directory) as target:
            entry, receipt = cached_tree(wanted, cache, rules, **options)
            with entry:
                _copy_out(entry, target)
        return receipt
    place = known_cache_place(settings)
    if place is None:
        return fetch(wanted, directory, **options)
    cache = Cache(place, notify=notify)
    started = time.time()
    if rules.trust == "ask":
        _ask(wanted)
    entry_here = cache.find(cache_key(wanted))
    if entry_here is None:
        return fetch(wanted, directory, proved=partial(_offer, cache, wanted), **options)
    with entry_here, Target(directory) as target:
        _copy_out(entry_here, target)
        return _hit(wanted, started)


def cached_tree(wanted: Wanted, cache: Cache, rules: CacheRules, **options: Any) -> tuple[Entry, Receipt]:
    """The tree in the cache, held for use, and how it came there. `options` are those of `fetch`, which it may call.

    Raises what `fetch` raises; then the cache is as it was.
    """
    started = time.time()
    made: list[Receipt] = []

    def make(directory: str) -> None:
        if rules.trust != "own" and _from_others(wanted, cache, directory):
            return
        made.append(fetch(wanted, directory, **options))

    if rules.trust == "ask":
        _ask(wanted)
    entry = cache.fill(cache_key(wanted), make)
    return entry, made[0] if made else _hit(wanted, started)


def cache_key(wanted: Wanted) -> str:
    """Under what a tree is kept: its id, and where there are submodules in it, a digest over theirs."""
    if not wanted.submodules:
        return wanted.tree.hex
    inside = sorted((each.path, cache_key(each.wanted).encode()) for each in wanted.submodules)
    digest = sha256(b"".join(b"%b\0%b\0" % row for row in inside)).hexdigest()
    return f"{wanted.tree.hex}-{digest[:32]}"


def _ask(wanted: Wanted) -> None:
    """Have the platform say that it would serve the code to whoever asks; raises what it answers otherwise."""
    if wanted.problem is not None:
        raise wanted.problem
    if wanted.base is not None:
        platform = wanted.base.platform
        platform.login()
        if platform.has_commit(wanted.base.commit) is False:
            raise CodeRepoError(f"the platform no longer has the commit {wanted.base.commit}")


def _from_others(wanted: Wanted, cache: Cache, directory: str) -> bool:
    """Make the tree from what another user keeps of it; every byte is hashed on our side. Whether it was there."""
    for part in other_parts(cache.place):
        for tree in Cache(part, notify=_silent).trees(cache_key(wanted)):
            try:
                with Target(directory) as target:
                    made = target.fresh()
                    copy_tree(tree, made)
                    if verify_directory(wanted, made, git=Git()).same_tree:
                        target.publish()
                        return True
            except CodeRepoError:
                continue  # evicted meanwhile, or not for us to read: the platform has it
    return False


def _copy_out(entry: Entry, target: Target) -> None:
    made = target.fresh()
    copy_tree(entry.tree, made)
    if contents_id(made) != entry.contents:
        raise TreeDiffers("what came out of the cache is not what was put into it: nothing was kept")
    target.publish()


def _offer(cache: Cache, wanted: Wanted, directory: str) -> None:
    """Keep what was just proved in `directory`, if that costs no space: where blocks can be shared."""
    if not can_share_blocks(directory, cache.place):
        return

    def make(tree: str) -> None:
        os.mkdir(tree)
        copy_tree(directory, tree, clones_only=True)

    try:
        cache.fill(cache_key(wanted), make).__exit__()
    except CodeRepoError as error:
        if not isinstance(error, NoClones):
            cache.notify(f"warning: the cache: {error.message}")


def _hit(wanted: Wanted, started: float) -> Receipt:
    receipt = Receipt(
        tree=wanted.tree, tree_by=wanted.tree_by, method="cache", started=started, finished=time.time(), cache_hit=True
    )
    return receipt._replace(**wanted.receipt)  # type: ignore[arg-type]


def _silent(text: str) -> None:
    return None
