"""Create directories for temporary files, and remove them afterwards, even if their process is killed.

Each is locked (flock(2)) until its process ends. A directory without a lock was left by a process that was killed or
ran out of disk space, and the next process removes it.
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
from git_coderepo.filesystem.private import is_exchangeable

# A directory that is younger (seconds) may not be locked yet.
_YOUNG = 60.0
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch_directory(*, place: str | None = None) -> Iterator[str]:
    """Create a private directory in `place` (by default that of TMPDIR), yield its path, and remove it at the end.

    Raises OSError.
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
        shutil.rmtree(path, ignore_errors=True)  # the next process removes what is left
        os.close(descriptor)


def _prefix() -> str:
    return f"git-coderepo-{os.geteuid()}-"


def _sweep(place: str) -> None:
    """Remove this user's scratch directories without a lock, unless other users could have exchanged them."""
    pattern = re.compile(re.escape(_prefix()) + r"[a-z0-9_]{8}")
    before = time.time() - _YOUNG
    try:
        if is_exchangeable(os.stat(place)):
            return
        names = os.listdir(place)
    except OSError:
        return  # writable, but not readable: leftovers stay
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
            # Without support for locks it may be in use, and stays.
            if os.path.samestat(facts, os.fstat(descriptor)) and try_lock(descriptor):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)


# --- The directory for temporary files, which a pod may lack ---------------------------------------------------------

_USUAL = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108


def temporary_place() -> str | None:
    """Return the directory for temporary files; None if none is writable.

    Python falls back to the current directory, which may be the target of a fetch, so that is used only if TMPDIR names
    it.
    """
    import tempfile

    try:
        place = tempfile.gettempdir()
    except FileNotFoundError:
        return None
    named = [os.path.abspath(path) for name in ("TMPDIR", "TEMP", "TMP") if (path := os.environ.get(name))]
    return place if place in (*_USUAL, *named) else None


def temporary_directory() -> str:
    """Return the directory for temporary files; raises TargetUnusable if none is writable."""
    place = temporary_place()
    if place is None:
        raise TargetUnusable(
            "no writable directory for temporary files",
            hints=["name one: TMPDIR=/path/to/a/directory"],
        )
    return place
