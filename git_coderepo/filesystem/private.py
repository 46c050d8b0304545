"""Open directories that no other user can replace: each parent is opened below the one before, and checked.

OpenSSH (`StrictModes`) and sudo check their files in the same way. A check by path is not enough: between the check and
the use, a user who can rename one of the parents could replace it.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import cache

from git_coderepo.filesystem.directories import OPEN_DIRECTORY
from git_coderepo.filesystem.paths import quoted

# A parent may be searchable but not readable (/home with 0711): O_PATH needs no permission to read.
_PARENT = getattr(os, "O_PATH", 0) | OPEN_DIRECTORY
_MOST_LINKS = 40  # the limit of Linux


def open_unexchangeable(path: str, *, make: bool) -> int:
    """Return a descriptor of the directory at the absolute `path`, after checking that no other user can replace it.

    The descriptor can be used as `dir_fd` and for fstat(2) only. Each directory from the root on, and each symbolic
    link, has to belong to root or to this user, and a directory that others can write to needs the sticky bit. With
    `make`, missing directories are created with mode 0700. Raises PermissionError, which names the directory, and
    OSError.
    """
    descriptor, shown = os.open("/", _PARENT), "/"
    try:
        _check(os.fstat(descriptor), shown)
        parts = _parts(path)
        links = 0
        while parts:
            name = parts.pop()
            below = os.path.normpath(os.path.join(shown, name))
            facts = _facts(name, descriptor, make=make)
            if stat.S_ISLNK(facts.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                _check_owner(facts, below)
                target = os.readlink(name, dir_fd=descriptor)
                parts += _parts(target)
                if not target.startswith("/"):
                    continue
                below, name = "/", "/"  # open(2) ignores `dir_fd` for an absolute name
            opened = os.open(name, _PARENT, dir_fd=descriptor)
            os.close(descriptor)
            descriptor, shown = opened, below
            _check(os.fstat(descriptor), shown)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_private(name: str, parent: int, *, make: bool) -> int:
    """Return a descriptor of the directory `name` below `parent`, which is private to this user (mode 0700).

    Raises PermissionError if it belongs to another user or others can write to it, and OSError.
    """
    if make:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            pass
    descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    try:
        check_own(os.fstat(descriptor), name)
        os.fchmod(descriptor, 0o700)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_own(facts: os.stat_result, shown: str) -> None:
    """Raise PermissionError unless a directory belongs to this user and no other user can write to it."""
    if facts.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{quoted(os.fsencode(shown))} belongs to user {facts.st_uid}")
    if is_writable_by_others(facts):
        raise PermissionError(errno.EPERM, f"other users can write to {quoted(os.fsencode(shown))}")


def _parts(path: str) -> list[str]:
    """Return the names in a path, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _facts(name: str, parent: int, *, make: bool) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        pass  # another process created it meanwhile
    return os.stat(name, dir_fd=parent, follow_symlinks=False)


def _check(facts: os.stat_result, shown: str) -> None:
    _check_owner(facts, shown)
    if is_exchangeable(facts):
        raise PermissionError(errno.EPERM, f"other users can replace what is in {quoted(os.fsencode(shown))}")


def _check_owner(facts: os.stat_result, shown: str) -> None:
    if not is_trusted_owner(facts):
        raise PermissionError(errno.EPERM, f"{quoted(os.fsencode(shown))} belongs to user {facts.st_uid}")


# --- Tell from a directory's owner and mode whether other users can write to it --------------------------------------

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def is_trusted_owner(facts: os.stat_result) -> bool:
    """Return whether a file belongs to this user or to root."""
    return facts.st_uid in (0, os.geteuid(), _unmapped_root())


def is_writable_by_others(facts: os.stat_result) -> bool:
    """Return whether a user other than the owner can write to a directory."""
    return bool(facts.st_mode & _WRITABLE_BY_OTHERS) and not _only_own_group(facts)


def is_exchangeable(facts: os.stat_result) -> bool:
    """Return whether a user other than root and this one could rename the entries of a directory.

    Names in such a directory cannot be trusted: another user may have renamed a directory of this user, which they
    cannot remove, to the name of one of our temporary directories.
    """
    return not is_trusted_owner(facts) or (is_writable_by_others(facts) and not facts.st_mode & stat.S_ISVTX)


def _only_own_group(facts: os.stat_result) -> bool:
    """Return whether a group-writable directory is writable by this user alone: the group has no other member.

    With umask 002 directories are writable by the user's own group, which has the user's name (see pam_umask(8)).
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
    """Return the user id of root's files: not 0 in a user namespace without root (Apptainer, bubblewrap).

    See user_namespaces(7).
    """
    try:
        with open("/proc/self/uid_map", "rb") as file:
            starts = [int(line.split()[0]) for line in file]
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            overflow = int(file.read())
    except (OSError, ValueError, IndexError):
        return 0  # not Linux, or without /proc
    return 0 if 0 in starts else overflow
