"""A look at the paths that changed: what lies on the disk, before git reads it."""

from __future__ import annotations

import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.checkout.layout import Layout
    from git_coderepo.checkout.status import Change


class Found:
    """The paths to be taken as they lie on the disk: `facts` has what lstat(2) says of each, None where it is gone."""

    __slots__ = ("_began", "changes", "facts")

    def __init__(self, layout: Layout, changes: Sequence[Change]) -> None:
        self.changes = changes
        self._began = time.monotonic_ns(), time.time_ns()
        self.facts: dict[bytes, os.stat_result | None] = {}
        top = layout.toplevel + b"/"
        for change in changes:
            self.facts[change.path] = _look(top + change.path)

    def age(self) -> int:
        """The nanoseconds since this look began, at the most: one clock sleeps with the machine, one may be set."""
        return max(time.monotonic_ns() - self._began[0], time.time_ns() - self._began[1])

    def devices(self) -> set[int]:
        """The file systems on which the paths lie."""
        return {facts.st_dev for facts in self.facts.values() if facts is not None}

    def sizes(self) -> list[tuple[bytes, int]]:
        """Each path with its size in bytes, 0 for what is gone, and for a submodule."""
        return [
            (path, 0 if facts is None or stat.S_ISDIR(facts.st_mode) else facts.st_size)
            for path, facts in self.facts.items()
        ]

    def gone_and_there(self) -> tuple[list[bytes], list[bytes]]:
        """The paths that are gone, and those that git is to look at; what is as the index has it is neither.

        Below a directory that became a link something else may stand under the name that is gone.
        """
        gone: list[bytes] = []
        there: list[bytes] = []
        for change in self.changes:
            if change.worktree != ".":
                is_there = change.worktree != "D" and self.facts[change.path] is not None
                (there if is_there else gone).append(change.path)
        return gone, there

    def is_as_said(self) -> bool:
        """Whether what git said is gone is gone, and all else is there: nothing came or went since."""
        facts = self.facts
        return all((change.worktree == "D") == (facts[change.path] is None) for change in self.changes)


def _look(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
