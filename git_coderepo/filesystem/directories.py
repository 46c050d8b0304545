"""Open, make and remove directories below a root by descriptors, never through a link, at any depth."""

from __future__ import annotations

import errno
import os
from itertools import islice

from git_coderepo.errors import NoSpace, TargetUnusable, UnsafeTree
from git_coderepo.filesystem.paths import quoted

# A path, or the descriptor of an open directory.
Root = str | bytes | os.PathLike[str] | int

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Far below the limit of 256 open files on macOS.
_MOST_OPEN = 64
# A million directories in a sensible order take a few million; deep ones in random order could take billions.
_MOST_OPENED = 10_000_000

_REASONS = {
    errno.ENOSPC: "there is no space left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "the file system does not permit it",
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.EILSEQ: "the file system does not allow this name",
    errno.EINVAL: "the file system does not allow this name",
    errno.EFBIG: "the file is too large for the file system",
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
    """Return the error for an OSError of an attempt to `verb` (such as "write") the file at `path`.

    `where` is a descriptor on the same file system; without it `path` is looked up from the current directory.
    """
    reason = _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    hints = _HINTS.get(error.errno or 0, [])
    if error.errno == errno.ENOSPC and _has_no_inode(path if where is None else where):
        reason = "the file system has no inodes left"
        hints = ["remove some files (df -i shows the limit), or name a directory on another file system"]
    kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else TargetUnusable
    return kind(f"cannot {verb} {quoted(os.fsencode(path))}: {reason}", hints=hints)


def _has_no_inode(place: Root) -> bool:
    """Return whether the file system of `place`, which need not exist, has no inodes left."""
    if not isinstance(place, int):
        place = os.fsencode(place)
        while place and not os.path.isdir(place):
            place = os.path.dirname(place)
    try:
        facts = os.statvfs(place or b".") if not isinstance(place, int) else os.statvfs(place)
    except OSError:
        return False
    return facts.f_files > 0 and facts.f_favail == 0 and facts.f_bavail > 0


class Directories:
    """Descriptors of the directories below `root`, a path or a descriptor; a bounded number of them is open.

    Paths are raw, from the root, which is `b""`. Each part is opened below its parent's descriptor with O_NOFOLLOW: a
    link instead of a directory raises OSError (ENOTDIR or ELOOP), and no path is too long.
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
        """Return a descriptor of the directory, valid until the next call. Raises OSError."""
        descriptor = self._open.get(path)
        return self._descend(path, make=False) if descriptor is None else descriptor

    def make(self, path: bytes) -> int:
        """Return a descriptor as `open` does, and create the directory unless this object has done so.

        Raises FileExistsError if it exists already.
        """
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
                raise UnsafeTree("the tree's directories are nested too deeply")
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=descriptor)
            if len(self._open) >= _MOST_OPEN:
                oldest = next(islice(self._open, 1, None))  # the first is the root
                os.close(self._open.pop(oldest))
            self._open[path] = descriptor
        return descriptor

    def close(self) -> None:
        """Close every descriptor; the object cannot be used afterwards."""
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
    """Remove the directory `name` below the descriptor `parent` with its contents, read-only or not, at any depth.

    Links are not followed. Raises OSError; FileNotFoundError if it does not exist.
    """
    top = _opened(name, parent)
    try:
        # Nested directories are moved up to the top before they are emptied, so that no path gets long.
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
    """Return a descriptor of a directory, after making the directory writable for its owner."""
    try:
        descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    try:
        os.fchmod(descriptor, 0o700)
    except PermissionError:
        pass  # another user's directory: the caller fails if it cannot write there
    return descriptor


def _listed(descriptor: int) -> list[tuple[str, bool]]:
    with os.scandir(descriptor) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _moved_up(name: str, parent: int, top: int, number: int) -> int:
    """Move a directory to `top`, to a name with a number above `number`; return that number."""
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
    """Flush the descriptor's file system to disk with `syncfs(2)`, or on other systems than Linux with `sync(2)`.

    Raises OSError if the device reports an error.
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
    """Return the disk space that a directory uses, in bytes."""
    size = 0
    for _, _, names, here in os.fwalk(".", dir_fd=directory, onerror=None):
        for name in names:
            try:
                size += os.stat(name, dir_fd=here, follow_symlinks=False).st_blocks * 512
            except OSError:
                continue  # removed meanwhile
    return size
