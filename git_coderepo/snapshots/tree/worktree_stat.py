"""The changed paths on the disk, and whether lstat(2) can tell that one of them was written to.

lstat alone proves little: a shared mapping changes a file without a sign while its page is dirty, and a clock that
ticks in whole seconds hides a second write. So each path is put into one of three groups, *before* git reads it:

- settled: a regular file on a file system listed below, whose mtime and ctime are older than the clock's resolution,
  and which nobody has open for writing (the kernel grants a read lease, `F_SETLEASE` in fcntl(2)). Whoever writes to it
  from now on must open it first, and the write changes its ctime. Only such a file may be reused, see `reuse`.
- doubtful: younger than the resolution, or open for writing. Git reads it twice, and both times must agree.
- all others: hashed for every snapshot, and compared by lstat before and after.
"""

from __future__ import annotations

import os
import stat
import time

from git_coderepo.errors import ChangedMeanwhile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from git_coderepo.git.repository import Layout
    from git_coderepo.git.status import Change

# Local, and every write through a new mapping changes the ctime: not so on tmpfs (its shared pages are mapped writable
# without a fault), nor on overlayfs (a mapping holds the file of the layer below) and network file systems.
_FILE_SYSTEMS = frozenset((b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs"))
# The kernel's clock for files may lag by one tick: 10 ms at 100 Hz.
TICK = 20_000_000
# Of a file system whose ctimes are multiples of a millisecond the resolution is unknown; FAT has the coarsest, 2 s.
_COARSE = 2_000_000_000 + TICK
_MILLISECOND = 1_000_000
# Default action: ignore. A lease that is broken would send SIGIO, which ends the process.
_SIGURG = 23


class Found:
    """The changed paths of a snapshot: `facts` has what lstat(2) says of each, None for a missing one."""

    __slots__ = ("_toplevel", "began", "changes", "doubtful", "facts", "settled")

    def __init__(self, layout: Layout, changes: Sequence[Change]) -> None:
        self.changes = changes
        self._toplevel = layout.toplevel + b"/"
        self.began = time.time_ns()
        self.facts: dict[bytes, os.stat_result | None] = {}
        self.settled: frozenset[bytes] = frozenset()
        self.doubtful: frozenset[bytes] = frozenset()
        for change in changes:
            self.facts[change.path] = _look(self._toplevel + change.path)

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

    def judge(self) -> None:
        """Fill in `settled` and `doubtful`; call it before git reads any of the files."""
        settled, doubtful = [], []
        known: dict[int, bool] = {}
        for path in self.gone_and_there()[1]:
            facts = self.facts[path]
            if facts is None or stat.S_ISDIR(facts.st_mode):
                continue
            if not _is_older(facts, self.began):
                doubtful.append(path)
            elif stat.S_ISREG(facts.st_mode):
                is_free, is_telling = _is_free(self._toplevel + path, facts, known)
                if is_free and is_telling:
                    settled.append(path)
                elif is_free is False:
                    doubtful.append(path)
        self.settled, self.doubtful = frozenset(settled), frozenset(doubtful)

    def refuse_changed(self, since: int) -> None:
        """Look again, after git has read everything. Raises ChangedMeanwhile where a path is not as it was found.

        And where one was written after `since`, when git began to look at the work tree (nanoseconds since 1970): then
        a path that had not changed yet may have been written together with it.
        """
        now = time.time_ns()
        changed = []
        for path, before in self.facts.items():
            after = _look(self._toplevel + path)
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
            from git_coderepo.git.exclude import ignore_command

            hints.append(f"or leave it out: {ignore_command(first)}")
        more = f", and {len(others)} more" if others else ""
        return ChangedMeanwhile(f"a file changed while it was read: '{os.fsdecode(first)}'{more}", hints=hints)


def facts_of(facts: os.stat_result | None) -> bytes:
    """Return everything that lstat(2) returns for a file, except its access time; b"" for a missing file."""
    if facts is None:
        return b""
    return b"%o %d %d %d %d %d %d %d %d" % (
        facts.st_mode, facts.st_ino, facts.st_dev, facts.st_nlink, facts.st_uid, facts.st_gid, facts.st_size,
        facts.st_mtime_ns, facts.st_ctime_ns,
    )  # fmt: skip


def _look(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _is_older(facts: os.stat_result, moment: int) -> bool:
    """Return whether a write at `moment` (nanoseconds since 1970) or later is sure to change the file's times."""
    resolution = TICK if facts.st_ctime_ns % _MILLISECOND else _COARSE
    return max(facts.st_mtime_ns, facts.st_ctime_ns) < moment - resolution


def is_settled(path: bytes, facts: os.stat_result, moment: int, known: dict[int, bool]) -> bool:
    """Return whether a file with these facts is settled at `moment` (nanoseconds since 1970); `known` as `_is_free`."""
    return stat.S_ISREG(facts.st_mode) and _is_older(facts, moment) and _is_free(path, facts, known) == (True, True)


def _is_free(path: bytes, facts: os.stat_result, known: dict[int, bool]) -> tuple[bool | None, bool]:
    """Return whether no process has a file open for writing (None: unknown), and whether its times are reliable.

    `known` has the answer to the second question by device. The lease is held for the time between two system calls;
    a writer that opens the file just then waits for that long, and the signal that it causes is ignored.
    """
    import fcntl

    if not hasattr(fcntl, "F_SETLEASE"):
        return None, False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None, False
    try:
        if facts_of(os.fstat(descriptor)) != facts_of(facts):
            return False, False
        is_telling = known.get(facts.st_dev)
        if is_telling is None:
            is_telling = known[facts.st_dev] = _file_system(descriptor) in _FILE_SYSTEMS
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, _SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return False, is_telling
        except OSError:
            return None, is_telling  # another user's file, or a file system without leases
        return True, is_telling
    finally:
        os.close(descriptor)


def _file_system(descriptor: int) -> bytes:
    """Return the kind of file system that an open file lies on, b"" where it cannot be told: proc(5), `mountinfo`."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
            mount = file.read().partition(b"mnt_id:")[2].split(None, 1)[0]
        with open("/proc/self/mountinfo", "rb") as file:
            for line in file:
                if line.split(b" ", 1)[0] == mount:
                    return line.partition(b" - ")[2].split(b" ", 1)[0]
    except (OSError, IndexError):
        pass
    return b""
