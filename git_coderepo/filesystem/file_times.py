"""Detect whether lstat(2) shows every later write to a file.

Alone it proves little: a shared mapping changes a file without a sign while its page is dirty, and a clock that ticks
in whole seconds hides a second write. A file is *settled* if it is a regular file on a file system listed below, its
mtime and ctime are older than the clock's resolution, and no process has it open for writing (the kernel grants a read
lease, `F_SETLEASE` in fcntl(2)). A later writer must open it first, and the write changes its ctime.
"""

from __future__ import annotations

import os
import stat

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


def facts_of(facts: os.stat_result | None) -> bytes:
    """Return everything that lstat(2) returns for a file, except its access time; b"" for a missing file."""
    if facts is None:
        return b""
    return b"%o %d %d %d %d %d %d %d %d" % (
        facts.st_mode, facts.st_ino, facts.st_dev, facts.st_nlink, facts.st_uid, facts.st_gid, facts.st_size,
        facts.st_mtime_ns, facts.st_ctime_ns,
    )  # fmt: skip


def is_older(facts: os.stat_result, moment: int) -> bool:
    """Return whether a write at `moment` (nanoseconds since 1970) or later is sure to change the file's times."""
    resolution = TICK if facts.st_ctime_ns % _MILLISECOND else _COARSE
    return max(facts.st_mtime_ns, facts.st_ctime_ns) < moment - resolution


def is_settled(path: bytes, facts: os.stat_result, moment: int, known: dict[int, bool]) -> bool:
    """Return whether a file with these facts is settled at `moment` (ns since 1970); `known` as for `is_free`."""
    return stat.S_ISREG(facts.st_mode) and is_older(facts, moment) and is_free(path, facts, known) == (True, True)


def is_free(path: bytes, facts: os.stat_result, known: dict[int, bool]) -> tuple[bool | None, bool]:
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
