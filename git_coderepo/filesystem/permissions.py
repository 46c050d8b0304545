"""Tell from a directory's owner and mode whether other users can write to it."""

from __future__ import annotations

import os
import stat
from functools import cache

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def is_trusted_owner(facts: os.stat_result) -> bool:
    """Return whether a file belongs to this user or to root."""
    return facts.st_uid in (0, os.geteuid(), _unmapped_root())


def is_writable_by_others(facts: os.stat_result) -> bool:
    """Return whether anybody but the owner of a directory may write to it."""
    return bool(facts.st_mode & _WRITABLE_BY_OTHERS) and not _only_own_group(facts)


def can_be_exchanged_in(facts: os.stat_result) -> bool:
    """Return whether another user than root can rename what is in a directory, regardless of its owner.

    So a name in it says nothing of what has it: somebody may have given the name of one of our temporary directories to
    another one of this user's, which they could not remove themselves.
    """
    return not is_trusted_owner(facts) or (is_writable_by_others(facts) and not facts.st_mode & stat.S_ISVTX)


def _only_own_group(facts: os.stat_result) -> bool:
    """Return whether only this user may write: with umask 002 every user's own group may write, and has one
    member. As for pam_umask(8), that is a group with the user's own name.
    """
    if facts.st_mode & stat.S_IWOTH or facts.st_uid != os.geteuid():
        return False
    import grp
    import pwd

    try:
        group, name = grp.getgrgid(facts.st_gid), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name}


@cache
def _unmapped_root() -> int:
    """Return the user id that root's files have in a user namespace without a root (Apptainer, bubblewrap).

    Elsewhere 0. See user_namespaces(7).
    """
    try:
        with open("/proc/self/uid_map", "rb") as file:
            starts = [int(line.split()[0]) for line in file]
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            overflow = int(file.read())
    except (OSError, ValueError, IndexError):
        return 0  # no Linux, or no /proc
    return 0 if 0 in starts else overflow
