"""Write files atomically, and remove the temporary files of killed writers."""

from __future__ import annotations

import errno
import os

from git_coderepo.errors import CodeRepoError as Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from git_coderepo.errors import CodeRepoError

_PIECE = 1 << 20
_MADV_DONTNEED = 4  # on Linux and macOS; importing `mmap` would cost more
# No write of ours takes as long as this (seconds).
_ABANDONED = 60.0


def pieces_of(contents: bytes | memoryview) -> Iterator[memoryview]:
    """Yield the contents piece by piece; no more than one piece of a mapped file stays in memory."""
    view = memoryview(contents)
    forget = getattr(view.obj, "madvise", None)
    for at in range(0, len(view), _PIECE):
        yield view[at : at + _PIECE]
        if forget is not None:
            forget(_MADV_DONTNEED, at, min(_PIECE, len(view) - at))


def names_in(folder: bytes) -> list[bytes]:
    """Return the sorted names in a folder; none if the folder does not exist. Raises OSError."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def temporary_name(path: bytes) -> bytes:
    """Return a temporary name for the file at `path`: `NAME.PID.RANDOM.tmp` in the same folder."""
    return b"%b.%d.%b.tmp" % (path, os.getpid(), os.urandom(4).hex().encode())


def final_name(path: bytes) -> bytes | None:
    """Return the path for which `temporary_name` made this name; None for any other name."""
    pieces = path.rsplit(b".", 3)
    if len(pieces) < 4 or pieces[3] != b"tmp" or not pieces[1].isdigit() or len(pieces[2]) != 8:
        return None
    name, random = pieces[0], pieces[2]
    return name if name and not name.endswith(b"/") and not random.strip(b"0123456789abcdef") else None


def write_whole(path: bytes, contents: bytes, *, mode: int = 0o666, exact: bool = False) -> None:
    """Write a file atomically: to a temporary name, then fsync and rename. Raises OSError.

    The umask applies to `mode` unless `exact`.
    """
    temporary = temporary_name(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            for piece in pieces_of(contents):
                view = piece
                while view:
                    view = view[os.write(descriptor, view) :]
            if exact:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def not_yet_noted(note: bytes, paths: Iterable[bytes]) -> frozenset[bytes]:
    """Return the paths that are not yet in the file `note`, and add them; if it cannot be written they are new again.

    They are added by one write, so that two processes may add some at once.
    """
    try:
        with open(note, "rb") as file:
            known = frozenset(file.read().split(b"\0"))
    except FileNotFoundError:
        known = frozenset()
    new = frozenset(paths) - known
    if new:
        try:
            os.makedirs(os.path.dirname(note), exist_ok=True)
            descriptor = os.open(note, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return new
        try:
            os.write(descriptor, b"".join(path + b"\0" for path in sorted(new)))
        finally:
            os.close(descriptor)
    return new


def sweep(folder: bytes, name: bytes) -> None:
    """Remove the temporary files that killed writers of the file `name` (raw, without a slash) left in `folder`.

    Removes only this user's files that are no longer being written. Raises OSError if the folder cannot be read.
    """
    import time

    before = time.time() - _ABANDONED
    for each in os.listdir(folder):
        if final_name(each) != name:
            continue
        path = folder + b"/" + each
        try:
            facts = os.lstat(path)
            if facts.st_uid == os.geteuid() and facts.st_mtime < before:
                os.unlink(path)
        except OSError:
            continue


def unwritable(directory: bytes, error: OSError) -> CodeRepoError:
    """Return the error for a directory of the record that cannot be written; the hint names another directory."""
    refused = error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
    return Error(
        f"cannot write to '{os.fsdecode(directory)}': {(error.strerror or 'unknown error').lower()}",
        hints=["export CODEREPO_RECORD_DIR=/path/to/directory"] if refused else [],
    )
