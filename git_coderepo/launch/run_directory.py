"""The place where a command runs in a cached tree: read-only, or a copy that is kept if it was modified."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from git_coderepo.errors import TargetUnusable, TreeDiffers
from git_coderepo.fetching.cache.cached_fetch import InCache, cache_key
from git_coderepo.fetching.cache.rehash import TreeAltered, rehash_cached
from git_coderepo.fetching.cache.tree_cache import Cache, Entry
from git_coderepo.fetching.planned_tree import PlannedTree
from git_coderepo.filesystem.fingerprint import stamp
from git_coderepo.filesystem.mounts import mount_read_only
from git_coderepo.filesystem.paths import quoted


class RunDirectory:
    """The tree in which one command runs; a context manager that holds it.

    A user who may not write to a read-only file runs in the cached tree. Root may; so for root the tree is mounted
    read-only where the process has the capability for that, else root runs in a copy: it is removed at the end, unless
    the command wrote something into it. `tree` is the path, `descriptor` has to be inherited by the command, `is_copy`
    tells which of the two it is. Raises TargetUnusable and TreeDiffers.
    """

    def __init__(self, planned: PlannedTree, cache: Cache, cached: InCache, *, notify: Callable[[str], None]) -> None:
        self._planned = planned
        self._cache = cache
        self._key = cache_key(planned)
        self._entry = cached.entry
        self._listing = cached.entry.listing()
        self._notify = notify
        self._stack = ExitStack()
        self._stack.callback(cached.entry.close)
        self._stamp = cached.stamp
        self._copy: Entry | None = None

    def __enter__(self) -> RunDirectory:
        try:
            if _may_write(self._entry.tree) and not mount_read_only(self._entry.tree):
                self._copy = self._cache.copy(self._key, self._entry)
                with self._copy.opened() as tree:
                    self._stamp = stamp(tree)
                    rehash_cached(self._planned, tree, self._listing)
        except TreeAltered as error:
            self.__exit__()
            raise TreeDiffers(f"the copy of the cached tree differs from the recorded tree: {error.message}") from None
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._copy is not None:
            kept = self.changed() is not None
            copy, self._copy = self._copy, None
            if kept:
                copy.close()
            else:
                self._cache.discard(self._key, copy)
        self._stack.close()

    @property
    def is_copy(self) -> bool:
        return self._copy is not None

    @property
    def tree(self) -> str:
        return (self._copy or self._entry).tree

    @property
    def descriptor(self) -> int:
        return (self._copy or self._entry).descriptor

    def describe(self, directory: str, *, advice: str) -> str:
        """Say where the command runs: in `directory`; `advice` is how to get a place that it may write to."""
        where = quoted(os.fsencode(directory))
        if self.is_copy:
            return (
                f"running in {where}, a copy in the cache: root can write to it, and what is written there is kept "
                f"for 30 days or until git coderepo cache prune; {advice}"
            )
        return f"running in {where}, which is read-only; {advice}"

    def changed(self) -> TreeAltered | None:
        """Look at the tree again, once the command has ended: what differs from the proved tree, None for nothing.

        Its contents are only read where some path looks another way than before.
        """
        try:
            with (self._copy or self._entry).opened() as tree:
                now = stamp(tree)
                if now != self._stamp:
                    rehash_cached(self._planned, tree, self._listing)
                    self._stamp = now
        except TreeAltered as error:
            return error
        except TargetUnusable as error:
            return TreeAltered(reason=error.message)
        return None

    def report(self) -> bool:
        """Say what the command, or something else, wrote into the tree; whether there was anything."""
        found = self.changed()
        if found is None:
            return False
        if self.is_copy:
            where = quoted(os.fsencode(self.tree))
            self._notify(f"the command wrote into its copy of the code ({found.message}), which is kept: {where}")
        else:
            self._notify(
                f"warning: the code changed while the command ran ({found.message}); the command may have read "
                "the changes"
            )
        return True


def _may_write(tree: str) -> bool:
    """Return whether this process can write despite file modes, as root can with its capabilities."""
    return os.access(tree, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
