"""Mount a directory read-only for this process and the commands that it starts.

Only a process that already has the capability makes a mount namespace (mount_namespaces(7)). A user namespace would
give the capability to any user, but it would also change user ids, and break sudo and FUSE for the command.
"""

from __future__ import annotations

import os

_CAP_SYS_ADMIN = 21
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_NOATIME, _MS_NODIRATIME, _MS_BIND, _MS_REC = 32, 1024, 2048, 4096, 16384
_MS_SLAVE, _MS_RELATIME = 1 << 19, 1 << 21
_MNT_DETACH = 2
# The flags of statvfs(3), and those of mount(2) that keep them: in a container they may be locked.
_FLAGS = ((1, _MS_RDONLY), (2, _MS_NOSUID), (4, _MS_NODEV), (8, _MS_NOEXEC), (1024, _MS_NOATIME),
         (2048, _MS_NODIRATIME), (4096, _MS_RELATIME))  # fmt: skip


def mount_read_only(directory: str) -> bool:
    """Make `directory` (absolute) read-only for this process and its children; return whether that was possible.

    Later mounts of the machine remain visible; mounts that the command makes do not appear on the machine.
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
    own_flags = sum(mount for shown, mount in _FLAGS if flags & shown)
    remount = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | own_flags
    if libc.mount(path, path, None, ctypes.c_ulong(remount), None) != 0 or not os.statvfs(directory).f_flag & 1:
        libc.umount2(path, _MNT_DETACH)
        return False
    return True


def _has_capability() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            capabilities = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return False  # not Linux, or without /proc
    return bool(int(capabilities, 16) >> _CAP_SYS_ADMIN & 1)
