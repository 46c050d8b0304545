"""Put the tree of a snapshot, and the trees of its submodules, into the shared store.

The store only saves runners a download: a run is recorded and reproducible without it, so that an error here is a
warning and does not stop the run.
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
from git_coderepo.snapshots.overlay import Packer
from git_coderepo.snapshots.secret_scan import refuse_tokens
from git_coderepo.snapshots.submodules import snapshots_in, unreproducible
from git_coderepo.stores.shared_store import SharedStore, Written

if TYPE_CHECKING:
    from git_coderepo.snapshots.snapshot import Snapshot

_PIECE = 1 << 20


def share_snapshot(snapshot: Snapshot, store: SharedStore, say: Callable[[str], None]) -> None:
    """Put a snapshot into the store; `say` receives a warning if that fails or it is not reproducible."""
    if unreproducible(snapshot):
        say(f"warning: not in the store '{store.url}': it cannot be reproduced")
        return
    for place, each in (b"", snapshot), *snapshots_in(snapshot):
        try:
            share_tree(store, each.git_with_store, each.tree)
        except CodeRepoError as error:
            name = f"the submodule '{os.fsdecode(place[:-1])}': " if place else ""
            say(f"warning: not in the store: {name}{error.message}")
            for text in (*error.hints, "the run is recorded; runners use other sources"):
                say(f"hint: {text}")
            if isinstance(error, StoreRefused):
                return  # the store would refuse the other trees, too


def share_tree(store: SharedStore, git: Git, tree: ObjectId) -> bool:
    """Put a tree, whose objects `git` finds, into the store; return False if the store already has its id.

    Each blob is hashed while it is packed, and the stored tree is read back (see SharedStore.put). Raises
    ObjectMissing, GitFailed, StoreUnavailable, StoreRefused, and CodeRepoError for a damaged object.
    """
    if store.has(tree):
        return False
    put_tree(store, git, tree)
    return True


def put_tree(store: SharedStore, git: Git, tree: ObjectId) -> int:
    """Put a tree into the store, replacing any existing one; return the stored size. Raises as `share_tree`."""
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
    """Yield the contents of a blob in pieces, and verify its id: git does not hash what it reads from a pack."""
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


# --- A run that was recorded earlier ----------------------------------------------------------------------------------


class Stored(NamedTuple):
    """A tree that is in the store now, of the checkout (`path` b"") or of a submodule.

    `size` is the number of bytes written, None if the store already had the tree, which was then verified. `damaged` is
    true if the store had something else under the tree's id.
    """

    path: bytes
    tree: ObjectId
    size: int | None
    damaged: bool = False


class StoreRequest(NamedTuple):
    """How the code of a recorded run goes into a shared store.

    `folder` is the manifest's directory (raw), which may have its overlays. What the platform lacks is searched for
    secrets, except those with a fingerprint in `allowed`; None turns the search off.
    """

    store: SharedStore
    folder: bytes | None
    allowed: Sequence[str] | None
    notify: Callable[[str], None]


def store_run(manifest: Manifest, here: Here, request: StoreRequest) -> Iterator[Stored]:
    """Put the code of a recorded run and its submodules into a shared store; yield the result for each tree.

    Raises NotReproducible, what `restore_tree` raises for what is not here, and what the store raises.
    """
    refuse_unreproducible(manifest.code, manifest.run.id)
    yield from _store_code(manifest.code, manifest.repository, here, b"", (manifest.run.id, request))


def _store_code(
    code: Code, repository: Repository | None, here: Here, path: bytes, of_run: tuple[str, StoreRequest]
) -> Iterator[Stored]:
    run, request = of_run
    here.store.prepare()
    ours = here.store.git(here.git)
    data = code.overlay.data if code.overlay is not None else None
    if code.overlay is not None and data is None:
        overlay = find_overlay(code.overlay.sha256, code.overlay.size, request.folder, here.git)
        data = overlay[0] if overlay is not None else None
    restore_tree(code, repository, data, here.git, here.store, run=run, notify=request.notify)
    if request.allowed is not None:
        base = code.base.tree if code.base is not None else None
        if base is not None and code.scope is not None:
            base = read_part(ours, base.hex, code.scope, code.object_format).tree
        refuse_tokens(ours, travelling(differences(ours, base, code.snapshot_tree)), base, request.allowed)
    gitlinks = {each.path: each.commit.raw for each in code.submodules}
    is_right = is_stored(request.store, code.snapshot_tree, gitlinks)
    size = None if is_right else put_tree(request.store, ours, code.snapshot_tree)
    yield Stored(path, code.snapshot_tree, size, damaged=is_right is False)
    for each in code.submodules:
        if each.state != "fetched":
            continue
        inner = here.submodule(each.path)
        try:
            if inner is None:
                raise CodeRepoError("it is not checked out here", hints=["git submodule update --init"])
            yield from _store_code(check_submodule(each, code), each.repository, inner, each.path, of_run)
        except CodeRepoError as error:
            raise said_of(error, each.path) from error


def is_stored(store: SharedStore, tree: ObjectId, gitlinks: Mapping[bytes, bytes]) -> bool | None:
    """Return whether the store has the right contents for a tree's id, verified in full; None if it has nothing.

    `gitlinks` are the tree's submodules (path to raw commit), which archives lack. Raises what the store raises.
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
