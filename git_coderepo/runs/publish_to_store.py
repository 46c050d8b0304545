"""Into the shared store: the whole tree of a snapshot, and those of its submodules, once each.

The store only ever saves runners a way: a run is recorded and reproducible without it, so that nothing that goes wrong
here stops one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from git_coderepo.errors import CodeRepoError, DownloadDamaged, StoreDamaged, StoreMissing, StoreRefused, UnsafeTree
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.sources.local import Here, restore_tree
from git_coderepo.fetching.sources.shared_store import store_method
from git_coderepo.fetching.target import check_submodule, said_of
from git_coderepo.git.objects import EXECUTABLE, GITLINK, SYMLINK, ObjectId, TreeEntry, blob_hasher, tree_id
from git_coderepo.git.process import Git, read_blobs
from git_coderepo.git.store import find_overlay
from git_coderepo.git.subtree import read_part
from git_coderepo.git.tree_diff import differences, travelling
from git_coderepo.manifest.model import Code, Manifest, Repository, refuse_unreproducible
from git_coderepo.snapshots.checks import refuse_tokens
from git_coderepo.snapshots.overlay import Packer
from git_coderepo.snapshots.submodules import snapshots_in, unreproducible
from git_coderepo.stores.shared_store import SharedStore, Written

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
        raise CodeRepoError(
            f"'{os.fsdecode(path)}': the object {id} is damaged here",
            hints=[
                "move the files with damaged objects out of .git/objects; this names them: git fsck",
                "then copy the files of .git/objects from another clone or a backup, which overwrites nothing",
            ],
        )


# --- Whether what the shared store has is what it should be ----------------------------------------------------------


class Stored(NamedTuple):
    """A tree that is in the store, of the checkout (`path` b"") or of a submodule: `size` bytes were written, if any.

    Without `size` it was there already, and every byte of it was proved; `damaged`: what was there was not the tree.
    """

    path: bytes
    tree: ObjectId
    size: int | None
    damaged: bool = False


def store_run(
    manifest: Manifest,
    store: SharedStore,
    here: Here,
    *,
    folder: bytes | None,
    allowed: Sequence[str] | None,
    notify: Callable[[str], None],
) -> Iterator[Stored]:
    """Put the code of a run that was recorded into the store, as far as it is not there; its submodules' too.

    `folder` is the manifest's, where its overlays may lie. What is not on the platform is searched for the shape of a
    token, but for the fingerprints `allowed`; None: not at all. Raises NotReproducible, what `restore_tree` raises for
    what is not here, and what the store raises.
    """
    refuse_unreproducible(manifest.code, manifest.run.id)
    yield from _store_code(
        manifest.code, manifest.repository, store, here, b"", folder, allowed, manifest.run.id, notify
    )


def _store_code(
    code: Code,
    repository: Repository | None,
    store: SharedStore,
    here: Here,
    path: bytes,
    folder: bytes | None,
    allowed: Sequence[str] | None,
    run: str,
    notify: Callable[[str], None],
) -> Iterator[Stored]:
    here.store.prepare()
    ours = here.store.git(here.git)
    data = code.overlay.data if code.overlay is not None else None
    if code.overlay is not None and data is None:
        found = find_overlay(code.overlay.sha256, code.overlay.size, folder, here.git)
        data = found[0] if found is not None else None
    restore_tree(code, repository, data, here.git, here.store, run=run, notify=notify)
    if allowed is not None:
        base = code.base.tree if code.base is not None else None
        if base is not None and code.scope is not None:
            base = read_part(ours, base.hex, code.scope, code.object_format).tree
        refuse_tokens(ours, travelling(differences(ours, base, code.snapshot_tree)), base, allowed)
    gitlinks = {each.path: each.commit.raw for each in code.submodules}
    known = is_stored(store, code.snapshot_tree, gitlinks)
    size = None if known else put_tree(store, ours, code.snapshot_tree)
    yield Stored(path, code.snapshot_tree, size, damaged=known is False)
    for each in code.submodules:
        if each.state != "fetched":
            continue
        inner = here.submodule(each.path)
        try:
            if inner is None:
                raise CodeRepoError("it is not checked out here", hints=["git submodule update --init"])
            yield from _store_code(
                check_submodule(each, code), each.repository, store, inner, each.path, folder, allowed, run, notify
            )
        except CodeRepoError as error:
            raise said_of(error, each.path) from error


def is_stored(store: SharedStore, tree: ObjectId, gitlinks: Mapping[bytes, bytes]) -> bool | None:
    """Whether what the store has under a tree's id is that tree, every byte looked at; None where it has nothing.

    `gitlinks` (path to raw commit) are of the tree, and in no archive. Raises what the store raises.
    """
    entries = [TreeEntry(path, GITLINK, commit) for path, commit in gitlinks.items()]
    try:
        with store_method(store, tree, Limits()) as delivery:
            for entry in delivery.entries:
                digest = blob_hasher(entry.size, tree.object_format)
                for piece in entry.chunks():
                    digest.update(piece)
                entries.append(TreeEntry(entry.path, entry.mode, digest.digest()))
        return tree_id(entries, tree.object_format) == tree
    except StoreMissing:
        return None
    except (DownloadDamaged, StoreDamaged, UnsafeTree):
        return False
