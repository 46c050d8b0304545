"""What the file system made of the names and modes it was given."""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from git_coderepo.errors import TargetUnusable
from git_coderepo.fetching.listing import Listing
from git_coderepo.filesystem.directories import Directories, joined, unusable
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.objects import EXECUTABLE, FILE, GITLINK, SYMLINK

_PACKED_EXECUTABLE = b"%06o" % EXECUTABLE
_PACKED_LINK = b"%06o" % SYMLINK
# What is looked at of a mode, and which of it is right: kind and exec bit, of links and directories the kind alone.
_LOOKED_AT = 0o170100
_RIGHT = {
    b"%06o" % FILE: (stat.S_IFREG,),
    b"%06o" % EXECUTABLE: (stat.S_IFREG | 0o100,),
    b"%06o" % SYMLINK: (stat.S_IFLNK, stat.S_IFLNK | 0o100),
    b"%06o" % GITLINK: (stat.S_IFDIR, stat.S_IFDIR | 0o100),
}


def read_back(directories: Directories, listing: Listing) -> None:
    """Hold every name and mode below `directories` to the listing; raises TargetUnusable with the paths that differ."""
    subdirectories = listing.subdirectories()
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    for directory in sorted(listing.directories):
        entries = listing.directories[directory]
        below: AbstractSet[bytes] = subdirectories.get(directory, frozenset())
        found: set[bytes] = set()
        try:
            with os.scandir(directories.open(directory)) as items:
                for item in items:
                    name = item.name.encode(encoding, errors)
                    found.add(name)
                    packed = entries.get(name)
                    if packed is None:
                        continue  # a directory, or a stranger that the count below finds
                    mode = item.stat(follow_symlinks=False).st_mode
                    if mode & _LOOKED_AT not in _RIGHT[packed[:6]]:
                        raise _wrong_mode(joined(directory, name), packed[:6], mode)
        except OSError as error:
            raise unusable(error, directory or "the target") from None
        if len(found) != len(entries) + len(below) or not (found >= below and found >= entries.keys()):
            raise _wrong_names(directory, entries.keys() | below, found)


def collision(listing: Listing, path: bytes) -> TargetUnusable:
    """Why `path`, which the listing does not have yet, is there already: another path that is the same name here."""
    subdirectories = listing.subdirectories()
    parts = path.split(b"/")
    for depth in range(len(parts)):
        directory, name = b"/".join(parts[:depth]), parts[depth]
        siblings = listing.directories.get(directory, {}).keys() | subdirectories.get(directory, frozenset())
        twin = _twin(name, siblings)
        if twin is not None:
            return _folded(joined(directory, twin), joined(directory, name))
    return TargetUnusable(f"cannot write {quoted(path)}: something else has put it there")


def _wrong_mode(path: bytes, wanted: bytes, mode: int) -> TargetUnusable:
    if wanted == _PACKED_LINK:
        return TargetUnusable(f"the file system of the target has no symbolic links: {quoted(path)} is none")
    if not stat.S_ISREG(mode):
        return TargetUnusable(f"something else has replaced {quoted(path)} in the target")
    if wanted == _PACKED_EXECUTABLE:
        return TargetUnusable(
            f"{quoted(path)} cannot be made executable in the target",
            hints=["look at the umask, and at the options with which the target's file system is mounted"],
        )
    return TargetUnusable(f"the file system of the target makes every file executable: {quoted(path)}")


def _wrong_names(directory: bytes, wanted: AbstractSet[bytes], found: AbstractSet[bytes]) -> TargetUnusable:
    strangers = found - wanted
    for name in sorted(wanted - found):
        twin = _twin(name, wanted)
        if twin is not None:
            return _folded(joined(directory, twin), joined(directory, name))
        twin = _twin(name, strangers)
        if twin is not None:
            return TargetUnusable(
                f"the file system of the target changes names: {quoted(joined(directory, name))} became "
                f"{_distinct(joined(directory, twin))}"
            )
        return TargetUnusable(f"{quoted(joined(directory, name))} is gone from the target again")
    stranger = joined(directory, min(strangers))
    return TargetUnusable(f"something else writes into the target: {quoted(stranger)} is not of this tree")


def _folded(one: bytes, other: bytes) -> TargetUnusable:
    return TargetUnusable(
        f"{quoted(one)} and {_distinct(other)} are one name on the file system of the target",
        hints=["name a directory on a file system that tells upper from lower case and leaves Unicode as it is"],
    )


def _twin(name: bytes, others: Iterable[bytes]) -> bytes | None:
    folded = _fold(name)
    return next((other for other in sorted(others) if other != name and _fold(other) == folded), None)


def _fold(name: bytes) -> str:
    """What file systems that fold make equal: case (all of them), Unicode's forms (HFS+, APFS, some of ext4)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", os.fsdecode(name)).casefold())


def _distinct(path: bytes) -> str:
    """As `quoted`, but with code points where two paths may look alike."""
    return quoted(path) if path.isascii() else ascii(path.decode("utf-8", "backslashreplace"))
