"""Create work directories that are locked by their process, and remove those of processes that were killed.

A lock (`flock(2)`) ends with its process: a work directory without a lock is a leftover.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from git_coderepo.filesystem.directories import OPEN_DIRECTORY, remove_tree
from git_coderepo.filesystem.locks import is_named, try_lock
from git_coderepo.filesystem.private import is_exchangeable


class Held:
    """The directory `name` below the descriptor `parent`, made and locked by this process."""

    def __init__(self, name: str, parent: int, descriptor: int) -> None:
        self.name = name
        self.parent = parent
        self.descriptor = descriptor

    def release(self) -> None:
        """Release the lock; the directory remains, wherever it has been moved."""
        os.close(self.descriptor)

    def remove(self) -> None:
        """Remove the directory with its contents, then release the lock. Raises OSError."""
        try:
            remove_tree(self.name, parent=self.parent)
        finally:
            self.release()


def hold(parent: int, prefix: str, *, mode: int = 0o777) -> Held:
    """Create `PREFIX<pid>-<random>` below the descriptor `parent`, and lock it. Raises OSError."""
    while True:
        name = f"{prefix}{os.getpid()}-{os.urandom(8).hex()}"
        os.mkdir(name, mode, dir_fd=parent)
        try:
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            continue  # another process removed it before it was locked
        if try_lock(descriptor) is not False and is_named(name, parent, descriptor):
            return Held(name, parent, descriptor)
        os.close(descriptor)


def sweep(parent: int, prefix: str, undo: Callable[[int], bool] | None = None) -> frozenset[str]:
    """Remove the leftovers of `hold(parent, prefix)`; return the names of the directories that are still locked.

    `undo` is called with a leftover's descriptor before the removal, and can prevent that by returning False. What
    cannot be locked or removed stays. Without `undo` nothing is removed if other users can rename the directories.
    """
    may_remove = undo is not None or not is_exchangeable(os.fstat(parent))
    pattern = re.compile(re.escape(prefix) + r"[0-9]+-[0-9a-f]{16}")
    locked = set()
    for name in os.listdir(parent):
        if not pattern.fullmatch(name):
            continue
        try:
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
        except OSError:
            continue
        try:
            if not try_lock(descriptor):
                locked.add(name)
            elif may_remove and is_named(name, parent, descriptor) and (undo is None or undo(descriptor)):
                remove_tree(name, parent=parent)
        except OSError:
            pass  # another user's directory, which does no harm
        finally:
            os.close(descriptor)
    return frozenset(locked)
