"""Detect whether lstat(2) shows every later write to a file.

By itself lstat(2) is not enough: a shared mapping changes a file without changing its times while the page is dirty,
and a clock with a resolution of a second hides a second write. A file is *settled* if it is a regular file on a file
system listed below, its mtime and ctime are older than the clock's resolution, and no process has it open for writing
(the kernel grants a read lease, `F_SETLEASE` in fcntl(2)). A later writer has to open it first, and the write changes
its ctime.
"""

from __future__ import annotations

import os
import stat

# On these local file systems every write through a new mapping changes the ctime. It does not on tmpfs (shared pages
# are mapped writable without a fault), overlayfs (a mapping is of the lower layer's file) and network file systems.
_FILE_SYSTEMS = frozenset((b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs"))
# The kernel's clock for files may lag by one tick: 10 ms at 100 Hz.
TICK = 20_000_000
# If ctimes are multiples of a millisecond, the resolution is unknown; the coarsest is that of FAT, 2 s.
_COARSE = 2_000_000_000 + TICK
_MILLISECOND = 1_000_000
# A broken lease sends SIGIO, which would end the process; SIGURG is ignored by default.
_SIGURG = 23


def facts_of(facts: os.stat_result | None) -> bytes:
    """Return what lstat(2) says about a file, without the access time, as bytes; b"" for a missing file."""
    if facts is None:
        return b""
    return b"%o %d %d %d %d %d %d %d %d" % (
        facts.st_mode, facts.st_ino, facts.st_dev, facts.st_nlink, facts.st_uid, facts.st_gid, facts.st_size,
        facts.st_mtime_ns, facts.st_ctime_ns,
    )  # fmt: skip


def is_older(facts: os.stat_result, moment: int) -> bool:
    """Return whether a write at `moment` (nanoseconds since 1970) or later is certain to change the file's times."""
    resolution = TICK if facts.st_ctime_ns % _MILLISECOND else _COARSE
    return max(facts.st_mtime_ns, facts.st_ctime_ns) < moment - resolution


def is_settled(path: bytes, facts: os.stat_result, moment: int, known: dict[int, bool]) -> bool:
    """Return whether a file with these facts is settled at `moment` (ns since 1970); `known` as for `is_free`."""
    return stat.S_ISREG(facts.st_mode) and is_older(facts, moment) and is_free(path, facts, known) == (True, True)


def is_free(path: bytes, facts: os.stat_result, known: dict[int, bool]) -> tuple[bool | None, bool]:
    """Return whether no process has a file open for writing (None: unknown), and whether its times are reliable.

    `known` caches the second result by device. The lease is held only between two system calls; a writer that opens
    the file just then waits that long, and the signal that it causes is ignored.
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
        is_reliable = known.get(facts.st_dev)
        if is_reliable is None:
            is_reliable = known[facts.st_dev] = _file_system(descriptor) in _FILE_SYSTEMS
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, _SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return False, is_reliable
        except OSError:
            return None, is_reliable  # another user's file, or a file system without leases
        return True, is_reliable
    finally:
        os.close(descriptor)


def _file_system(descriptor: int) -> bytes:
    """Return the type of an open file's file system, b"" if unknown; see `mountinfo` in proc(5)."""
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
