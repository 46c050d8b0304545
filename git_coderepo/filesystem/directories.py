"""Directories below a root, reached by descriptors and never through a link, however deep they are."""

from __future__ import annotations

import errno
import os
from itertools import islice

from git_coderepo.errors import NoSpace, TargetUnusable, UnsafeTree
from git_coderepo.filesystem.paths import quoted

# A path, or the descriptor of an open directory.
Root = str | bytes | os.PathLike[str] | int

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Far below the 256 that macOS lets a process open.
_MOST_OPEN = 64
# A million directories in any sensible order cost a few million; deep ones in no order could cost billions.
_MOST_OPENED = 10_000_000

_WORDS = {
    errno.ENOSPC: "there is no space left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "the file system does not permit it",
    errno.ENAMETOOLONG: "the file system takes no name as long as this",
    errno.EILSEQ: "the file system takes no such name",
    errno.EINVAL: "the file system takes no such name",
    errno.EFBIG: "the file system takes no file as large as this",
    errno.EMFILE: "too many files are open in this process",
    errno.ENFILE: "too many files are open on this machine",
}

_HINTS = {
    errno.ENOSPC: ["free some space, or name a directory on another file system"],
    errno.EDQUOT: ["free some space, or name a directory on another file system"],
    errno.EROFS: ["name a directory that can be written to"],
    errno.EACCES: ["name a directory that can be written to"],
}


def unusable(
    error: OSError, path: str | bytes | os.PathLike[str], verb: str = "write", *, where: int | None = None
) -> TargetUnusable:
    """What the operating system's refusal to `verb` `path` means, in a user's words.

    `where` is a descriptor on the file system where that was; without it `path` leads there from the working directory.
    """
    reason = _WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    hints = _HINTS.get(error.errno or 0, [])
    if error.errno == errno.ENOSPC and _has_no_inode(path if where is None else where):
        reason = "the file system has no inode left for another file"
        hints = ["remove some files (df -i shows how many there may be), or name a directory on another file system"]
    kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else TargetUnusable
    return kind(f"cannot {verb} {quoted(os.fsencode(path))}: {reason}", hints=hints)


def _has_no_inode(place: Root) -> bool:
    """Whether the file system that holds `place`, or would, counts inodes and has none left."""
    if not isinstance(place, int):
        place = os.fsencode(place)
        while place and not os.path.isdir(place):
            place = os.path.dirname(place)
    try:
        found = os.statvfs(place or b".") if not isinstance(place, int) else os.statvfs(place)
    except OSError:
        return False
    return found.f_files > 0 and found.f_favail == 0 and found.f_bavail > 0


class Directories:
    """Descriptors of the directories below `root` (a path, or a descriptor that is duplicated), a bounded number open.

    Paths are raw bytes from the root, `b""` the root itself. Every part is opened below its parent's descriptor
    with O_NOFOLLOW: a link in the place of a directory raises OSError (ENOTDIR or ELOOP), and no path is too long.
    """

    def __init__(self, root: Root) -> None:
        opened = os.dup(root) if isinstance(root, int) else os.open(root, OPEN_DIRECTORY)
        self._root = opened
        self._open: dict[bytes, int] = {b"": opened}
        self._made: set[bytes] = set()
        self._opened = 0

    @property
    def root(self) -> int:
        return self._root

    def open(self, path: bytes) -> int:
        """A descriptor of the directory, good until the next call; raises OSError."""
        descriptor = self._open.get(path)
        return self._descend(path, make=False) if descriptor is None else descriptor

    def make(self, path: bytes) -> int:
        """As `open`, but makes what this object has not made before; raises FileExistsError where something stands."""
        descriptor = self._open.get(path)
        return self._descend(path, make=True) if descriptor is None else descriptor

    def _descend(self, path: bytes, *, make: bool) -> int:
        missing = []
        while path not in self._open:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        descriptor = self._open[path]
        for path in reversed(missing):
            name = path.rpartition(b"/")[2]
            if make and path not in self._made:
                os.mkdir(name, dir_fd=descriptor)
                self._made.add(path)
            self._opened += 1
            if self._opened > _MOST_OPENED:
                raise UnsafeTree("the tree's directories are nested without measure")
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=descriptor)
            if len(self._open) >= _MOST_OPEN:
                oldest = next(islice(self._open, 1, None))  # the first is the root
                os.close(self._open.pop(oldest))
            self._open[path] = descriptor
        return descriptor

    def close(self) -> None:
        """Close every descriptor; the object is of no use afterwards."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __enter__(self) -> Directories:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def joined(directory: bytes, name: bytes) -> bytes:
    """Return the path of a name in a directory of the tree, whose root is b""."""
    return directory + b"/" + name if directory else name


def remove_tree(name: str | bytes, *, parent: int) -> None:
    """Remove the directory `name` below the descriptor `parent` with all in it: read-only ones, too, and any depth.

    Follows no link. Raises OSError; FileNotFoundError when there is none.
    """
    top = _opened(name, parent)
    try:
        # A directory inside is moved up to the top before it is emptied, so that no path grows long.
        moved = 0
        while children := _listed(top):
            for child, is_directory in children:
                if not is_directory:
                    os.unlink(child, dir_fd=top)
                    continue
                directory = _opened(child, top)
                try:
                    for grandchild, is_directory_too in _listed(directory):
                        if not is_directory_too:
                            os.unlink(grandchild, dir_fd=directory)
                            continue
                        os.close(_opened(grandchild, directory))
                        moved = _moved_up(grandchild, directory, top, moved)
                finally:
                    os.close(directory)
                os.rmdir(child, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _opened(name: str | bytes, parent: int) -> int:
    """A descriptor of a directory in which we may do what we like."""
    try:
        descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    try:
        os.fchmod(descriptor, 0o700)
    except PermissionError:
        pass  # somebody else's: what follows says whether it matters
    return descriptor


def _listed(descriptor: int) -> list[tuple[str, bool]]:
    with os.scandir(descriptor) as found:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]


def _moved_up(name: str, parent: int, top: int, number: int) -> int:
    """Move a directory to `top` under a name that is a number above `number`; that number."""
    while True:
        number += 1
        try:
            os.rename(name, f".removed-{number:x}", src_dir_fd=parent, dst_dir_fd=top)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            continue
        return number


def sync_file_system(descriptor: int) -> None:
    """Have all that was written to the descriptor's file system on its disk: one `syncfs(2)`, elsewhere `sync(2)`.

    Raises OSError when the device reports an error.
    """
    import ctypes

    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        os.sync()
        return
    if syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def size_on_disk(directory: int) -> int:
    """Return the bytes that a directory takes on the disk."""
    size = 0
    for _, _, names, here in os.fwalk(".", dir_fd=directory, onerror=None):
        for name in names:
            try:
                size += os.stat(name, dir_fd=here, follow_symlinks=False).st_blocks * 512
            except OSError:
                continue  # removed while we look
    return size
