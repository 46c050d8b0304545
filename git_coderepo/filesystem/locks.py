"""Lock files and directories with flock(2): the lock ends with its process, however that ends.

What is locked is in use; what is not locked was left behind.
"""

from __future__ import annotations

import errno
import fcntl
import os

# The errors of file systems without locks, or without locks on directories or over the network.
_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EBADF, errno.EINVAL, errno.ENOSYS)


def try_lock(descriptor: int, *, shared: bool = False) -> bool | None:
    """Try to acquire the lock; return False if another process has it, None without support for locks.

    Raises OSError.
    """
    return _lock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def wait_for_lock(descriptor: int, *, shared: bool = False) -> None:
    """Wait until the lock is acquired; without support for locks return at once. Raises OSError."""
    _lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def is_named(name: str, parent: int, descriptor: int) -> bool:
    """Return whether `name` in the directory `parent` is still the open file `descriptor`. Raises OSError.

    Another process may remove a file between the calls that open and lock it.
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
