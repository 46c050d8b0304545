"""What stands in a directory, named as Git names it, and how that differs from what should."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

from git_coderepo.fetching.listing import Listing
from git_coderepo.filesystem.directories import Directories, Root, unusable
from git_coderepo.git.objects import EXECUTABLE, FILE, GITLINK, SYMLINK, blob_hasher, blob_id

# What is neither a file nor a link nor a directory: a pipe, a socket, a device. Never opened.
SPECIAL = 0

_IN_ONE_PIECE = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Differences(NamedTuple):
    """Paths, sorted: with other contents or mode, not there, there but not expected."""

    changed: tuple[bytes, ...]
    missing: tuple[bytes, ...]
    added: tuple[bytes, ...]

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.added)


def rehash(directory: Root, object_format: str, gitlinks: Mapping[bytes, bytes] | None = None) -> Listing:
    """Path to (mode, raw id) of everything below `directory`, read from the disk; no link is followed.

    `gitlinks` (path to raw id) are the submodules that belong there: a directory in the place of one counts as it, and
    is not looked into. Directories as such do not count, as in Git. A special file has the mode SPECIAL and no id.
    The listing's `tree()` is the tree's id. Raises TargetUnusable for what cannot be read.
    """
    gitlinks = gitlinks or {}
    listing = Listing()
    try:
        directories = Directories(directory)
    except OSError as error:
        raise unusable(error, "the directory" if isinstance(directory, int) else directory, "read") from None
    with directories:
        pending = [b""]
        while pending:
            here = pending.pop()
            prefix = here + b"/" if here else b""
            try:
                entries, below = _hashed(directories.open(here), object_format)
            except OSError as error:
                raise unusable(error, here or ".", "read") from None
            for name in below:
                path = prefix + name
                if path in gitlinks:
                    entries[name] = b"%06o%b" % (GITLINK, gitlinks[path])
                else:
                    pending.append(path)
            listing.directories[here] = entries
    listing.prune()
    return listing


def _hashed(parent: int, object_format: str) -> tuple[dict[bytes, bytes], list[bytes]]:
    """What an open directory holds: files and links, packed as the listing wants them, and the names of directories."""
    entries = {}
    below = []
    with os.scandir(parent) as items:
        for item in items:
            name = os.fsencode(item.name)
            try:
                if item.is_dir(follow_symlinks=False):
                    below.append(name)
                elif item.is_symlink():
                    target = os.readlink(name, dir_fd=parent)
                    entries[name] = b"%06o%b" % (SYMLINK, blob_id(target, object_format))
                elif item.is_file(follow_symlinks=False):
                    entries[name] = hashed_file(name, parent, object_format)[0]
                else:
                    entries[name] = b"%06o" % SPECIAL
            except FileNotFoundError:
                continue  # gone while we looked: it is missing
    return entries, below


def hashed_file(name: bytes, parent: int, object_format: str, *, most: int | None = None) -> tuple[bytes, int]:
    """Return a file's mode and id, packed as a listing has them, and its size.

    Of a special file, and of one that is larger than `most` bytes, it is SPECIAL and no id. Raises OSError.
    """
    file = os.open(name, _OPEN, dir_fd=parent)
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode) or (most is not None and facts.st_size > most):
            return b"%06o" % SPECIAL, 0
        mode = EXECUTABLE if facts.st_mode & 0o100 else FILE
        if facts.st_size < _IN_ONE_PIECE:
            return b"%06o%b" % (mode, blob_id(os.read(file, facts.st_size + 1), object_format)), facts.st_size
        # A file that grows or shrinks meanwhile gets an id that no file has: it has changed.
        digest = blob_hasher(facts.st_size, object_format)
        while piece := os.read(file, _IN_ONE_PIECE):
            digest.update(piece)
        return b"%06o%b" % (mode, digest.digest()), facts.st_size
    finally:
        os.close(file)


def compare(expected: Mapping[bytes, tuple[int, bytes]], found: Mapping[bytes, tuple[int, bytes]]) -> Differences:
    """How what `rehash` found differs from the expected paths, each with (mode, raw id)."""
    both = expected.keys() & found.keys()
    return Differences(
        changed=tuple(sorted(path for path in both if expected[path] != found[path])),
        missing=tuple(sorted(expected.keys() - both)),
        added=tuple(sorted(found.keys() - both)),
    )
