"""One directory of a tree that was proved whole: what of it stays, and where it then stands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError
from git_coderepo.fetching.listing import Listing
from git_coderepo.filesystem.directories import OPEN_DIRECTORY, Directories, remove_tree, unusable
from git_coderepo.filesystem.paths import links_that_leave, quoted
from git_coderepo.git.objects import SYMLINK, ObjectId


class KeptPart(NamedTuple):
    """What stays: the `tree` id of the directory, its number of `files`, and the links that lead out of it."""

    tree: ObjectId
    files: int
    outside_links: tuple[bytes, ...]


def below(entries: Mapping[bytes, tuple[int, bytes]], path: bytes) -> dict[bytes, tuple[int, bytes]]:
    """The entries (mode and raw id by path) below a directory, named from there.

    Raises CodeRepoError where there is no such directory.
    """
    prefix = path + b"/"
    found = {name[len(prefix) :]: entry for name, entry in entries.items() if name.startswith(prefix)}
    if not found:
        raise CodeRepoError(
            f"the tree has no directory {quoted(path)}", hints=["give the path from the root, without a leading '/'"]
        )
    return found


def keep_part(directory: str, path: bytes, entries: Listing, object_format: str) -> KeptPart:
    """Leave of the tree in `directory`, whose `entries` these are, what is below `path`, and put it in its place.

    Nobody else uses `directory` yet. Raises CodeRepoError where there is no such path, TargetUnusable.
    """
    kept = below(entries, path)
    try:
        links = {
            name: os.readlink(os.path.join(os.fsencode(directory), path, name))
            for name, (mode, _) in kept.items()
            if mode == SYMLINK
        }
        _move_up(directory, path)
    except OSError as error:
        raise unusable(error, directory) from None
    return KeptPart(entries.part(path).tree(object_format), len(kept), links_that_leave(links))


def _move_up(directory: str, path: bytes) -> None:
    above, _, name = path.rpartition(b"/")
    with Directories(directory) as directories:
        root = directories.root
        # No name of the tree: 128 bits are not met by chance.
        hidden = b".coderepo-part-" + os.urandom(16).hex().encode()
        os.rename(name, hidden, src_dir_fd=directories.open(above), dst_dir_fd=root)
        for other in os.listdir(root):
            if os.fsencode(other) == hidden:
                continue
            try:
                os.unlink(other, dir_fd=root)
            except (IsADirectoryError, PermissionError):
                remove_tree(other, parent=root)
        part = os.open(hidden, OPEN_DIRECTORY, dir_fd=root)
        try:
            for each in os.listdir(part):
                os.rename(each, each, src_dir_fd=part, dst_dir_fd=root)
        finally:
            os.close(part)
        os.rmdir(hidden, dir_fd=root)
