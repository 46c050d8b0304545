"""A read-only mount of a directory that only this process and the commands that it starts can see.

A namespace of its own (mount_namespaces(7)) is made only by a process that has the capability already. A user namespace
would give it to any user, but would also change user ids, and break sudo and FUSE for the command.
"""

from __future__ import annotations

import os

_CAP_SYS_ADMIN = 21
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_NOATIME, _MS_NODIRATIME, _MS_BIND, _MS_REC = 32, 1024, 2048, 4096, 16384
_MS_SLAVE, _MS_RELATIME = 1 << 19, 1 << 21
_MNT_DETACH = 2
# What statvfs(3) says of a mount, and mount(2) has to be told again: flags may be locked in a container.
_KEPT = ((1, _MS_RDONLY), (2, _MS_NOSUID), (4, _MS_NODEV), (8, _MS_NOEXEC), (1024, _MS_NOATIME),
         (2048, _MS_NODIRATIME), (4096, _MS_RELATIME))  # fmt: skip


def mount_read_only(directory: str) -> bool:
    """Make `directory` (absolute) read-only for this process and its children; return whether it is.

    Mounts of the machine that come later still appear; those that the command makes are its own.
    """
    if not _has_capability():
        return False
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    path = os.fsencode(directory)
    if libc.unshare(_CLONE_NEWNS) != 0:
        return False
    # The bind mount must not appear on the machine.
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None) != 0:
        return False
    if libc.mount(path, path, None, ctypes.c_ulong(_MS_BIND), None) != 0:
        return False
    flags = os.statvfs(directory).f_flag
    kept = sum(mount for shown, mount in _KEPT if flags & shown)
    again = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept
    if libc.mount(path, path, None, ctypes.c_ulong(again), None) != 0 or not os.statvfs(directory).f_flag & 1:
        libc.umount2(path, _MNT_DETACH)
        return False
    return True


def _has_capability() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            capabilities = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return False  # no Linux, or no /proc
    return bool(int(capabilities, 16) >> _CAP_SYS_ADMIN & 1)
