"""Find damaged objects in our own store and move them aside, so that they are created again.

A power loss can leave an object empty or cut off, and git neither writes an object that is there nor looks into it.
Format of a loose object: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_object_storage.
"""

from __future__ import annotations

import os
import zlib

from git_coderepo.filesystem.atomic import names_in
from git_coderepo.git.objects import ID_LENGTHS, hasher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.git.store import Store

_PIECE = 1 << 20


def set_damaged_aside(git: Git, store: Store) -> list[bytes]:
    """Move every damaged object and pack of our store into its folder `damaged`; gives their old paths.

    All of them are read, so call it only after git failed. Raises OSError.
    """
    found = []
    for folder in names_in(store.objects):
        if len(folder) != 2:
            continue
        for name in names_in(store.objects + b"/" + folder):
            path = b"/".join((store.objects, folder, name))
            if len(name) == 2 * ID_LENGTHS[store.layout.object_format] - 2 and not _is_whole(
                path, folder + name, store.layout.object_format
            ):
                found.append(path)
    for path in found:
        store.set_aside(path)
    return found + _damaged_packs(git, store)


def set_damaged_of_tree_aside(git: Git, store: Store, tree: str) -> list[bytes]:
    """Move what is damaged of our store's objects in a tree into its folder `damaged`; gives their old paths.

    Of the user's own objects none is read. Raises OSError.
    """
    loose = {
        (folder + name).decode("ascii", "replace"): b"/".join((store.objects, folder, name))
        for folder in names_in(store.objects)
        if len(folder) == 2
        for name in names_in(store.objects + b"/" + folder)
    }
    packs = _damaged_packs(git, store)
    listed = store.git(git).start("rev-list", "--objects", "--no-object-names", "--missing=print", tree).finish()
    if listed.status != 0:
        return packs + set_damaged_aside(git, store)  # a tree is damaged, and what is below it is not listed
    found = [
        path
        for id in listed.stdout.decode().split()
        if (path := loose.get(id)) is not None and not _is_whole(path, id.encode(), store.layout.object_format)
    ]
    for path in found:
        store.set_aside(path)
    return packs + found


def describe_damaged(store: Store, count: int) -> str:
    """Return what is said of `count` damaged objects that were moved aside."""
    place = os.fsdecode(store.directory)
    return f"{count} damaged object{'s' * (count > 1)} in '{place}/objects': moved to '{place}/damaged'"


def _is_whole(path: bytes, id: bytes, object_format: str) -> bool:
    """Return whether a loose object has the contents that its id, in hex, promises."""
    digest, stream = hasher(object_format), zlib.decompressobj()
    try:
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                while piece:
                    digest.update(stream.decompress(piece, _PIECE))
                    piece = stream.unconsumed_tail
        digest.update(stream.flush())
    except FileNotFoundError:
        return True  # `prune` was here
    except zlib.error:
        return False
    return stream.eof and not stream.unused_data and digest.hexdigest().encode() == id


def _damaged_packs(git: Git, store: Store) -> list[bytes]:
    folder = store.objects + b"/pack/"
    found = []
    for name in names_in(folder):
        stem, _, end = name.rpartition(b".")
        if end == b"pack" and not store.git(git).succeeds("verify-pack", folder + stem + b".idx"):
            found.append(folder + name)
            # The index first: git does not look at a pack without one.
            for each in (b".idx", b".rev", b".bitmap", b".pack"):
                if os.path.lexists(folder + stem + each):
                    store.set_aside(folder + stem + each)
    return found
