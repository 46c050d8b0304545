"""Work directories that a process holds by a lock, and what dead processes left of theirs.

A lock (`flock(2)`) dies with its process, whatever killed it: a directory of ours that nobody holds is a leftover.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from git_coderepo.filesystem.directories import OPEN_DIRECTORY, remove_tree
from git_coderepo.filesystem.locks import is_named, try_lock
from git_coderepo.filesystem.private import can_be_exchanged_in


class Held:
    """The directory `name` below the descriptor `parent`, made and locked by this process."""

    def __init__(self, name: str, parent: int, descriptor: int) -> None:
        self.name = name
        self.parent = parent
        self.descriptor = descriptor

    def release(self) -> None:
        """Give up the lock; the directory, wherever it is by now, stays."""
        os.close(self.descriptor)

    def remove(self) -> None:
        """Remove the directory with all in it, then give up the lock; raises OSError where it cannot go."""
        try:
            remove_tree(self.name, parent=self.parent)
        finally:
            self.release()


def hold(parent: int, prefix: str, *, mode: int = 0o777) -> Held:
    """Make `PREFIX<pid>-<random>` below the descriptor `parent` and lock it; raises OSError."""
    while True:
        name = f"{prefix}{os.getpid()}-{os.urandom(8).hex()}"
        os.mkdir(name, mode, dir_fd=parent)
        try:
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            continue  # somebody took it for a leftover before it was locked
        if try_lock(descriptor) is not False and is_named(name, parent, descriptor):
            return Held(name, parent, descriptor)
        os.close(descriptor)


def sweep(parent: int, prefix: str, undo: Callable[[int], bool] | None = None) -> frozenset[str]:
    """Remove what dead processes left of `hold(parent, prefix)`; the names of those that living ones hold.

    `undo` is called with a leftover's descriptor before it goes, and keeps it by giving False. What cannot be locked
    or removed stays where it is, and so does, without `undo`, everything where other users can rename it.
    """
    may_remove = undo is not None or not can_be_exchanged_in(os.fstat(parent))
    pattern = re.compile(re.escape(prefix) + r"[0-9]+-[0-9a-f]{16}")
    living = set()
    for name in os.listdir(parent):
        if not pattern.fullmatch(name):
            continue
        try:
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
        except OSError:
            continue
        try:
            if not try_lock(descriptor):
                living.add(name)
            elif may_remove and is_named(name, parent, descriptor) and (undo is None or undo(descriptor)):
                remove_tree(name, parent=parent)
        except OSError:
            pass  # somebody else's: it is in nobody's way
        finally:
            os.close(descriptor)
    return frozenset(living)
