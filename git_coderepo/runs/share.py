"""Into the shared store: the whole tree of a snapshot, and those of its submodules, once each.

The store only ever saves runners a way: a run is recorded and reproducible without it, so that nothing that goes wrong
here stops one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from git_coderepo.errors import CodeRepoError, StoreRefused
from git_coderepo.git.objects import EXECUTABLE, SYMLINK, ObjectId, blob_hasher
from git_coderepo.git.process import Git, read_blobs
from git_coderepo.snapshots.overlay import Packer, differences, travelling
from git_coderepo.snapshots.submodules import snapshots_in, unreproducible
from git_coderepo.stores.shared import SharedStore, Written

if TYPE_CHECKING:
    from git_coderepo.snapshots.snapshot import Snapshot

_PIECE = 1 << 20


def share_snapshot(snapshot: Snapshot, store: SharedStore, say: Callable[[str], None]) -> None:
    """Put a snapshot into the store; `say` hears what went wrong. Nothing of what nobody can get back goes there."""
    if unreproducible(snapshot):
        say(f"warning: not in the store '{store.url}': it cannot be reproduced")
        return
    for place, each in (b"", snapshot), *snapshots_in(snapshot):
        assert each.tree is not None
        try:
            share_tree(store, each.git_with_store, each.tree)
        except CodeRepoError as error:
            name = f"the submodule '{os.fsdecode(place[:-1])}': " if place else ""
            say(f"warning: not in the store: {name}{error.message}")
            for text in (*error.hints, "the run is none the worse for it: its runners do without"):
                say(f"hint: {text}")
            if isinstance(error, StoreRefused):
                return  # it would be the same for the others


def share_tree(store: SharedStore, git: Git, tree: ObjectId) -> bool:
    """Put a tree, whose objects `git` finds, into the store; False where something is there under its id already.

    Each blob is held against its id as it is packed, and what was stored is read back (see SharedStore.put). Raises
    ObjectMissing for what is not here, GitFailed, StoreUnavailable, StoreRefused, CodeRepoError for a damaged object.
    """
    if store.has(tree):
        return False
    put_tree(store, git, tree)
    return True


def put_tree(store: SharedStore, git: Git, tree: ObjectId) -> int:
    """The same, whatever is there already; gives the size in bytes of what was stored."""
    rows = travelling(differences(git, None, tree))

    def pack(file: Written) -> None:
        packer = Packer(len(rows), file.write)
        blobs = read_blobs(git, [row.id for row in rows])
        for row, (_, size, source) in zip(rows, blobs, strict=True):
            pieces = _proved(row.path, row.id, size, source, tree.object_format)
            if row.mode == SYMLINK:
                packer.add_link(row.path, b"".join(pieces))
            else:
                packer.add_pieces(row.path, size, pieces, 0o755 if row.mode == EXECUTABLE else 0o644)
        packer.finish()

    return store.put(tree, pack)


def _proved(path: bytes, id: str, size: int, source: BinaryIO, object_format: str) -> Iterator[bytes]:
    """The contents of a blob in pieces; git itself does not hash what it reads out of a pack."""
    digest = blob_hasher(size, object_format)
    left = size
    while left and (piece := source.read(min(left, _PIECE))):
        left -= len(piece)
        digest.update(piece)
        yield piece
    if digest.hexdigest() != id:
        raise CodeRepoError(f"'{os.fsdecode(path)}': the object {id} is damaged here", hints=["git fsck"])
