"""Keep one directory of a verified tree."""

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
    """The kept directory: its `tree` id, its number of `files`, and the links that point outside it."""

    tree: ObjectId
    files: int
    outside_links: tuple[bytes, ...]


def below(entries: Mapping[bytes, tuple[int, bytes]], path: bytes) -> dict[bytes, tuple[int, bytes]]:
    """Return the entries (mode and raw id by path) of a directory, with paths from there.

    Raises CodeRepoError if the directory does not exist.
    """
    prefix = path + b"/"
    found = {name[len(prefix) :]: entry for name, entry in entries.items() if name.startswith(prefix)}
    if not found:
        raise CodeRepoError(
            f"the tree has no directory {quoted(path)}", hints=["give the path from the root, without a leading '/'"]
        )
    return found


def keep_part(directory: str, path: bytes, entries: Listing, object_format: str) -> KeptPart:
    """Replace the tree in `directory`, which has these `entries`, by its subdirectory at the raw `path`.

    No other process may use `directory`. Raises CodeRepoError if the path does not exist, TargetUnusable.
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
        # 128 random bits: no name in the tree is equal by chance.
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
