"""Locks that end with their process, whatever killed it: flock(2) on an open file or directory.

So what is locked is in use, and what nobody has locked was left behind.
"""

from __future__ import annotations

import errno
import fcntl
import os

# How file systems without locks, or without locks on directories or across the network, say so.
_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EBADF, errno.EINVAL, errno.ENOSYS)


def try_lock(descriptor: int, *, shared: bool = False) -> bool | None:
    """Return whether the lock is ours now: False while another process has it, None where there are no locks.

    Raises OSError.
    """
    return _lock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def wait_for_lock(descriptor: int, *, shared: bool = False) -> None:
    """Return as soon as the lock is ours, or at once where there are no locks. Raises OSError."""
    _lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def is_named(name: str, parent: int, descriptor: int) -> bool:
    """Return whether an open file is still the one of that name in the directory `parent`. Raises OSError.

    Between opening and locking it, another process may have removed it.
    """
    try:
        return os.path.samestat(os.stat(name, dir_fd=parent, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, kind: int) -> bool | None:
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True
