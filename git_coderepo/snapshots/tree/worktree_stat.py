"""The changed paths on the disk, each in one of three groups *before* git reads it.

- settled: every later write shows in the times (`filesystem.file_times`). Only such a file may be reused, see `reuse`.
- doubtful: written to too recently, or open for writing. Git reads it twice, and both times must agree.
- all others: hashed for every snapshot, and compared by lstat before and after.
"""

from __future__ import annotations

import os
import stat
import time

from git_coderepo.errors import ChangedMeanwhile
from git_coderepo.filesystem.file_times import facts_of, is_free, is_older
from git_coderepo.git.process import ignore_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from git_coderepo.git.repository import Layout
    from git_coderepo.git.status import Change


class Found:
    """The changed paths of a snapshot: `facts` has what lstat(2) says of each, None for a missing one."""

    __slots__ = ("began", "changes", "doubtful", "facts", "settled", "toplevel")

    def __init__(self, layout: Layout, changes: Sequence[Change]) -> None:
        self.changes = changes
        self.toplevel = layout.toplevel
        self.began = time.time_ns()
        self.facts: dict[bytes, os.stat_result | None] = {}
        self.settled: frozenset[bytes] = frozenset()
        self.doubtful: frozenset[bytes] = frozenset()
        for change in changes:
            self.facts[change.path] = _look(self.toplevel + b"/" + change.path)

    def sizes(self) -> list[tuple[bytes, int]]:
        """Return each path with its size in bytes, 0 for a deleted file and a submodule."""
        return [
            (path, 0 if facts is None or stat.S_ISDIR(facts.st_mode) else facts.st_size)
            for path, facts in self.facts.items()
        ]

    def gone_and_present(self) -> tuple[list[bytes], list[bytes]]:
        """Return the deleted paths and the paths that git has to read, without paths that match the index.

        Below a directory that became a link another file may have the name of a deleted one.
        """
        gone: list[bytes] = []
        present: list[bytes] = []
        for change in self.changes:
            if change.worktree != ".":
                exists = change.worktree != "D" and self.facts[change.path] is not None
                (present if exists else gone).append(change.path)
        return gone, present

    def judge(self) -> None:
        """Set `settled` and `doubtful`. Call this before git reads any of the files."""
        settled, doubtful = [], []
        known: dict[int, bool] = {}
        for path in self.gone_and_present()[1]:
            facts = self.facts[path]
            if facts is None or stat.S_ISDIR(facts.st_mode):
                continue
            if not is_older(facts, self.began):
                doubtful.append(path)
            elif stat.S_ISREG(facts.st_mode):
                unopened, is_telling = is_free(self.toplevel + b"/" + path, facts, known)
                if unopened and is_telling:
                    settled.append(path)
                elif unopened is False:
                    doubtful.append(path)
        self.settled, self.doubtful = frozenset(settled), frozenset(doubtful)

    def refuse_changed(self, since: int) -> None:
        """Raise ChangedMeanwhile if a path changed since its first stat. Call this after git has read every file.

        The same for a path that was written after `since`, when git began to look at the work tree (nanoseconds since
        1970): another path, unchanged at that time, may have been written together with it.
        """
        now = time.time_ns()
        changed = []
        for path, before in self.facts.items():
            after = _look(self.toplevel + b"/" + path)
            if (
                before is not None
                and after is not None
                and stat.S_ISDIR(before.st_mode)
                and stat.S_ISDIR(after.st_mode)
            ):
                continue  # a submodule
            if facts_of(before) != facts_of(after) or (after is not None and since < after.st_ctime_ns <= now):
                changed.append(path)
        if changed:
            raise self.changed_meanwhile(changed)

    def changed_meanwhile(self, paths: Iterable[bytes]) -> ChangedMeanwhile:
        """Return the error that names the first of these paths."""
        first, *others = sorted(paths)
        hints = ["try again when nothing writes to it"]
        if any(change.untracked and change.path == first for change in self.changes):
            hints.append(f"or exclude it: {ignore_command(first, self.toplevel)}")
        more = f", and {len(others)} more" if others else ""
        return ChangedMeanwhile(f"a file changed while it was read: '{os.fsdecode(first)}'{more}", hints=hints)


def _look(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
