"""Provide the directory in which a command runs: a cached tree, read-only, or a copy that is kept if modified."""

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
    """The tree in which one command runs; a context manager that keeps it from being removed.

    Users other than root run in the cached tree, whose files are read-only. Root can write to those, so the tree is
    mounted read-only if the process has the capability for that; otherwise root runs in a copy (`is_copy`), which is
    removed at the end unless the command wrote to it. `tree` is the path; the command has to inherit `descriptor`.
    Raises TargetUnusable and TreeDiffers.
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
            is_changed = self.changed() is not None
            copy, self._copy = self._copy, None
            if is_changed:
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
        """Describe where the command runs (`directory`); `advice` says how to run it in a writable directory."""
        where = quoted(os.fsencode(directory))
        if self.is_copy:
            return (
                f"running in {where}, a copy in the cache: root can write to it, and its files are kept for 30 days or "
                f"until git coderepo cache prune; {advice}"
            )
        return f"running in {where}, which is read-only; {advice}"

    def changed(self) -> TreeAltered | None:
        """Compare the tree with the verified one after the command has ended; return the difference, or None.

        File contents are read only if the times, sizes or modes of some files differ.
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
        """Report changes to the tree, by the command or another process; return whether there are any."""
        change = self.changed()
        if change is None:
            return False
        if self.is_copy:
            where = quoted(os.fsencode(self.tree))
            self._notify(f"the command wrote into its copy of the code ({change.message}), which is kept: {where}")
        else:
            self._notify(
                f"warning: the code changed while the command ran ({change.message}); the command may have read "
                "the changes"
            )
        return True


def _may_write(tree: str) -> bool:
    """Return whether this process can write despite file modes, as root can with its capabilities."""
    return os.access(tree, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
