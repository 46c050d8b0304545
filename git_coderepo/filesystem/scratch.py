"""Directories for temporary files that are removed afterwards, even if their process was killed.

Each is held by a lock (flock(2)), which ends with its process: what nobody holds was left by a process that was killed
or ran out of disk space, and the next one removes it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from git_coderepo.errors import TargetUnusable
from git_coderepo.filesystem.locks import try_lock
from git_coderepo.filesystem.private import can_be_exchanged_in

# Between making a directory and locking it a moment passes in which nobody may take it for abandoned.
_YOUNG = 60.0
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch_directory(*, place: str | None = None) -> Iterator[str]:
    """Make a private directory in `place` (by default where TMPDIR says) and remove it with all in it at the end.

    Gives its path. Raises OSError where none can be made.
    """
    import tempfile  # loads `random`, and most starts of the program make no such directory

    place = place if place is not None else tempfile.gettempdir()
    _sweep(place)
    path = tempfile.mkdtemp(prefix=_prefix(), dir=place)
    descriptor = os.open(path, _DIRECTORY)
    try:
        try_lock(descriptor)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # what is left is swept by the next one
        os.close(descriptor)


def _prefix() -> str:
    return f"git-coderepo-{os.geteuid()}-"


def _sweep(place: str) -> None:
    """Remove this user's directories of that kind that no process holds; none where others can exchange them."""
    pattern = re.compile(re.escape(_prefix()) + r"[a-z0-9_]{8}")
    before = time.time() - _YOUNG
    try:
        if can_be_exchanged_in(os.stat(place)):
            return
        names = os.listdir(place)
    except OSError:
        return  # it may be written to, but not read: what is left there stays
    for name in filter(pattern.fullmatch, names):
        path = os.path.join(place, name)
        try:
            facts = os.lstat(path)
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mtime >= before:
                continue
            descriptor = os.open(path, _DIRECTORY)
        except OSError:
            continue
        try:
            # Without locks nobody can tell whether it is in use.
            if os.path.samestat(facts, os.fstat(descriptor)) and try_lock(descriptor):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)


# --- Where temporary files can lie: a pod may have no such place at all ----------------------------------------------

_USUAL = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108


def temporary_place() -> str | None:
    """The directory for temporary files, None where there is none that can be written to.

    Python falls back to the current directory; ours may be the target, and is not taken unless TMPDIR names it.
    """
    import tempfile

    try:
        place = tempfile.gettempdir()
    except FileNotFoundError:
        return None
    named = [os.path.abspath(path) for name in ("TMPDIR", "TEMP", "TMP") if (path := os.environ.get(name))]
    return place if place in (*_USUAL, *named) else None


def temporary_directory() -> str:
    """The same; raises TargetUnusable where there is none."""
    place = temporary_place()
    if place is None:
        raise TargetUnusable(
            "there is no directory for temporary files that can be written to",
            hints=["name one: TMPDIR=/path/to/a/directory"],
        )
    return place
