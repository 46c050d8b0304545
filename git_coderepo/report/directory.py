"""Write a report to a directory: all of it or nothing, in place of an older report, and of nothing else.

Git ignores the directory, by a `.gitignore` in it, so that no snapshot has a report.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from typing import NamedTuple

from git_coderepo.errors import TargetUnusable
from git_coderepo.filesystem.directories import OPEN_DIRECTORY, sync_file_system, unusable
from git_coderepo.filesystem.leftovers import Held, hold, sweep
from git_coderepo.filesystem.paths import quoted
from git_coderepo.report.page import GENERATOR

RUNS = "runs"
INDEX = "index.html"
COMPARISON = "compare.html"
_NAMES = frozenset((INDEX, COMPARISON, "report.css", "report.js", ".gitignore", RUNS))
_PAGE = re.compile(rf"{RUNS}/[0-9a-f-]{{36}}\.html")
# File managers write it into every directory that they show.
_OF_FILE_MANAGERS = ".DS_Store"
_IGNORE = b"# A report of git coderepo is not code.\n*\n"
_HEAD_BYTES = 2_000
_OLD = "old"
_HINT = "name another directory: git coderepo report -o DIR"


class _Destination(NamedTuple):
    """Where a report goes: `directory` as the user named it, and the absolute `parent` and the `name` in it."""

    directory: str
    parent: str
    name: str

    @property
    def prefix(self) -> str:
        return f".{self.name}.coderepo-"


def write_report(directory: str, files: Mapping[str, bytes]) -> str:
    """Write the files (contents by path, of which `index.html` is one) and return the path of `index.html`.

    The directory must be absent, empty, or an older report, which is removed. Raises TargetUnusable.
    """
    path = os.path.join(os.getcwd(), directory.rstrip("/") or "/")
    place = _Destination(directory, *os.path.split(path))
    try:
        if place.name in ("", ".", "..") or _is_current(path):
            raise TargetUnusable(
                f"cannot replace {_shown(directory)}: it is the current directory, or contains it", hints=[_HINT]
            )
        os.makedirs(place.parent, exist_ok=True)
        _check(directory, path)
        parent = os.open(place.parent, OPEN_DIRECTORY)
        try:
            _write(place, parent, {**files, ".gitignore": _IGNORE})
        finally:
            os.close(parent)
    except OSError as error:
        raise unusable(error, directory) from None
    return os.path.join(directory, INDEX)


def _write(place: _Destination, parent: int, files: Mapping[str, bytes]) -> None:
    sweep(parent, place.prefix)
    new = hold(parent, place.prefix)
    try:
        os.mkdir(RUNS, dir_fd=new.descriptor)
        for file, contents in files.items():
            _write_file(file, contents, new.descriptor)
        sync_file_system(new.descriptor)
        if not _try_rename(new, place.name, parent):
            _exchange(place, new, parent)
    except BaseException:
        new.remove()
        raise
    new.release()


def _write_file(file: str, contents: bytes, directory: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(file, flags, 0o666, dir_fd=directory), "wb") as opened:
        opened.write(contents)


def _try_rename(new: Held, name: str, parent: int) -> bool:
    """Move the report to its name if that is absent or an empty directory; return whether it was."""
    try:
        os.rename(new.name, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _exchange(place: _Destination, new: Held, parent: int) -> None:
    """Move the older report into a directory that is removed, and the new one to its name."""
    old = hold(parent, place.prefix)
    try:
        os.rename(place.name, _OLD, src_dir_fd=parent, dst_dir_fd=old.descriptor)
        try:
            # What was written into it since it was looked at must not be removed.
            _check(place.directory, os.path.join(place.parent, old.name, _OLD))
            os.rename(new.name, place.name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            os.rename(_OLD, place.name, src_dir_fd=old.descriptor, dst_dir_fd=parent)
            raise
    finally:
        old.remove()


def _check(directory: str, path: str) -> None:
    """Raise TargetUnusable unless a path is absent, an empty directory, or a report."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    shown = _shown(directory)
    if stat.S_ISLNK(found.st_mode):
        raise TargetUnusable(f"{shown} is a symbolic link", hints=["name the directory itself"])
    if not stat.S_ISDIR(found.st_mode):
        raise TargetUnusable(f"{shown} is a file", hints=[_HINT])
    names = set(os.listdir(path)) - {_OF_FILE_MANAGERS}
    if not names:
        return
    if not _is_report(path):
        raise TargetUnusable(f"{shown} is not empty, and not a report", hints=[_HINT])
    runs = os.path.join(path, RUNS)
    inside = [f"{RUNS}/{each}" for each in _names_in(runs) if each != _OF_FILE_MANAGERS]
    foreign = sorted(names - _NAMES) + sorted(each for each in inside if not _PAGE.fullmatch(each))
    # A directory in the place of a file may have files of the user.
    foreign += sorted(each for each in (names - {RUNS}) | set(inside) if os.path.isdir(os.path.join(path, each)))
    if foreign:
        raise TargetUnusable(
            f"cannot replace the report {shown}: {_shown(foreign[0])} is not part of it", hints=[_HINT]
        )


def _is_report(path: str) -> bool:
    """Return whether a directory has an overview page that this program wrote."""
    try:
        file = os.open(os.path.join(path, INDEX), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with open(file, "rb") as opened:
        return f'<meta name="generator" content="{GENERATOR} '.encode() in opened.read(_HEAD_BYTES)


def _names_in(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def _is_current(path: str) -> bool:
    """Return whether a path is the current directory or contains it: a shell there would see nothing any more."""
    here, there = os.path.realpath(os.curdir), os.path.realpath(path)
    return here == there or here.startswith(there.rstrip("/") + "/")


def _shown(name: str) -> str:
    return quoted(os.fsencode(name))
