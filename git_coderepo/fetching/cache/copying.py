"""Copy a tree between directories, sharing disk blocks if the file system can."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from git_coderepo.errors import CodeRepoError
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.listing import Listing
from git_coderepo.filesystem.directories import Directories, joined, unusable
from git_coderepo.git.objects import GITLINK

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_GITLINK = b"%06o" % GITLINK
# ioctl_ficlone(2): the new file shares the blocks of the other one until one of the two is written to.
_FICLONE = 0x40049409
_PIECE = 1 << 20


class NoClones(CodeRepoError):
    """The two directories are not on one file system that can share blocks."""


def copy_tree(source: str | int, target: str, *, clones_only: bool = False) -> None:
    """Copy everything below `source` into the empty directory `target`: directories, files with their exec bit, links.

    Files get the modes 666 or 777 less the umask and the current time, and are never hard links: writing to the copy
    changes nothing else. With `clones_only`, blocks are shared or NoClones is raised. Raises TargetUnusable.
    """
    clone = True
    with Directories(source) as sources, Directories(target) as targets:
        pending = [b""]
        while pending:
            here = pending.pop()
            try:
                reading, writing = sources.open(here), targets.make(here)
                with os.scandir(reading) as items:
                    for item in items:
                        name = os.fsencode(item.name)
                        if item.is_dir(follow_symlinks=False):
                            pending.append(joined(here, name))
                        elif item.is_symlink():
                            os.symlink(os.readlink(name, dir_fd=reading), name, dir_fd=writing)
                        else:
                            clone = _copy_file(name, reading, writing, clone=clone, clones_only=clones_only)
            except OSError as error:
                raise unusable(error, here or target) from None


def copy_listed(source: int, target: str, listing: Listing) -> None:
    """Copy the paths of `listing` below the open directory `source` into `target`, as `copy_tree` does.

    Other paths are not read, and a path that is no longer a file or a link is left out: the caller hashes the copy.
    Raises TargetUnusable.
    """
    clone = True
    left = Limits().bytes  # a sparse file may claim to be of any size
    with Directories(source) as sources, Directories(target) as targets:
        for here in sorted(listing.directories):
            try:
                writing = targets.make(here)
                try:
                    reading = sources.open(here)
                except OSError:
                    continue  # missing, or no longer a directory
                for name, packed in listing.directories[here].items():
                    if packed[:6] == _GITLINK:
                        targets.make(joined(here, name))
                        reading, writing = sources.open(here), targets.open(here)
                        continue
                    try:
                        facts = os.stat(name, dir_fd=reading, follow_symlinks=False)
                        link = os.readlink(name, dir_fd=reading) if stat.S_ISLNK(facts.st_mode) else None
                    except OSError:
                        continue
                    if link is not None:
                        os.symlink(link, name, dir_fd=writing)
                    elif stat.S_ISREG(facts.st_mode) and facts.st_size <= left and _may_read(name, reading):
                        left -= facts.st_size
                        clone = _copy_file(name, reading, writing, clone=clone, clones_only=False)
            except OSError as error:
                raise unusable(error, here or target) from None


def _may_read(name: bytes, parent: int) -> bool:
    return os.access(name, os.R_OK, dir_fd=parent, effective_ids=os.access in os.supports_effective_ids)


def can_share_blocks(one: str, other: str) -> bool:
    """Return whether files in the directory `one` can share blocks with files in `other`."""
    if os.stat(one).st_dev != os.stat(other).st_dev:
        return False
    import tempfile

    with tempfile.TemporaryFile(dir=other) as source, tempfile.TemporaryFile(dir=other) as target:
        source.write(b"?")
        source.flush()
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError:
            return False
    return True


def _copy_file(name: bytes, reading: int, writing: int, *, clone: bool, clones_only: bool) -> bool:
    """Copy one file, and return whether sharing blocks is worth a try for the next one."""
    source = os.open(name, _READ, dir_fd=reading)
    try:
        facts = os.fstat(source)
        target = os.open(name, _CREATE, 0o777 if stat.S_IMODE(facts.st_mode) & 0o100 else 0o666, dir_fd=writing)
        try:
            if clone and facts.st_size:
                try:
                    fcntl.ioctl(target, _FICLONE, source)
                    return True
                except OSError as error:
                    if clones_only:
                        raise NoClones("the file system cannot share blocks") from error
                    clone = False
            _copy_bytes(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)
    return clone


def _copy_bytes(source: int, target: int) -> None:
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
        return
    except AttributeError:
        pass  # not on this system
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            raise
    while piece := os.read(source, _PIECE):
        view = memoryview(piece)
        while view:
            view = view[os.write(target, view) :]


def make_read_only(directory: str) -> None:
    """Remove write permission from `directory` and everything below it. Raises TargetUnusable."""
    with Directories(directory) as directories:
        pending = [b""]
        while pending:
            here = pending.pop()
            try:
                opened = directories.open(here)
                with os.scandir(opened) as items:
                    for item in items:
                        name = os.fsencode(item.name)
                        if item.is_dir(follow_symlinks=False):
                            pending.append(joined(here, name))
                        elif not item.is_symlink():
                            mode = item.stat(follow_symlinks=False).st_mode
                            os.chmod(name, stat.S_IMODE(mode) & ~0o222, dir_fd=opened)
                os.fchmod(opened, stat.S_IMODE(os.fstat(opened).st_mode) & ~0o222)
            except OSError as error:
                raise unusable(error, here or directory) from None
