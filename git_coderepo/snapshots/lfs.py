"""Git LFS in a snapshot: the objects that the platform's server may not have, and the tar of them that travels."""

from __future__ import annotations

import hashlib
import os

from git_coderepo.errors import LfsObjectMissing, NotReproducible
from git_coderepo.git.lfs_pointer import LfsCheckout, find_here, find_unpushed, has_lfs, object_path, read_pointers
from git_coderepo.git.partial_clone import rows_here
from git_coderepo.git.process import git_word, path_word
from git_coderepo.git.tree_diff import Difference
from git_coderepo.snapshots.overlay import IN_MEMORY, LfsObjects, Packer, write_into

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from git_coderepo.git.lfs_pointer import Pointer, Unpushed
    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.store import Store
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.snapshots.snapshot import Unpacked

_PIECE = 1 << 20


def refused_objects(unpacked: Unpacked, notify: Callable[[str], None]) -> dict[str, tuple[bytes, Pointer, str]]:
    """Ask the LFS server for the objects that the base's tree and the snapshot name.

    Return those that it does not serve by oid: (raw path, pointer, the server's reason). Raises NotReproducible for a
    pointer that cannot be used, and what asking raises (`LfsServer.actions`).
    """
    attributes, base_tree, source = unpacked.not_in_git.lfs_attributes, unpacked.base_tree, unpacked.source
    if attributes is None or base_tree is None or source is None:
        return {}
    checkout, tree = unpacked.checkout, unpacked.tree.id
    git, toplevel = checkout.git_with_store, checkout.layout.toplevel
    base_ids = {row.partition(b"\t")[0][12:] for row in _listing(unpacked, base_tree).split(b"\0")}
    lfsconfig, rows = None, []
    for row in rows_here(git, checkout.settings, tree.hex, _listing(unpacked, tree)).split(b"\0"):
        facts, _, path = row.partition(b"\t")
        if not facts.startswith(b"100"):
            continue
        id = facts[12:].decode()
        if path == b".lfsconfig":
            lfsconfig = git.run("cat-file", "blob", id)
        elif facts[12:] in base_ids and has_lfs(attributes, path):
            rows.append(Difference(path, 0, int(facts[:6], 8), id))
    found, _ = read_pointers(git, rows, toplevel) if rows else ([], [])
    pointers = {pointer.oid: (row.path, pointer) for row, pointer in found}
    branch = checkout.head.branch if checkout.head is not None else None
    reasons = _server_reasons(source, [pointer for _, pointer in pointers.values()], lfsconfig, branch, notify)
    return {oid: (*pointers[oid], why) for oid, why in reasons.items()}


def _listing(unpacked: Unpacked, tree: ObjectId) -> bytes:
    return unpacked.checkout.git_with_store.run("ls-tree", "-r", "-z", "--full-tree", tree.hex)


def _server_reasons(
    source: CodeSource,
    pointers: Sequence[Pointer],
    lfsconfig: bytes | None,
    branch: str | None,
    notify: Callable[[str], None],
) -> dict[str, str]:
    """Return, by oid, why the platform's LFS server does not serve an object."""
    if not pointers:
        return {}
    from git_coderepo.platforms.lfs import BATCH, LfsServer

    platform = source.platform(notify=notify)
    try:
        server = LfsServer(platform, lfsconfig=lfsconfig, branch=branch, environment=source.git.environment)
    except LfsObjectMissing as error:
        return {each.oid: error.message for each in pointers}
    reasons: dict[str, str] = {}
    try:
        if server.folder is not None:
            lacking = [each for each in pointers if not os.path.isfile(object_path(server.folder, each.oid))]
            return {each.oid: "it is not there" for each in lacking}
        for start in range(0, len(pointers), BATCH):
            answers = server.actions(pointers[start : start + BATCH])
            reasons.update((oid, answer) for oid, answer in answers.items() if isinstance(answer, str))
    except LfsObjectMissing as error:
        return {each.oid: error.message for each in pointers}
    finally:
        server.close()
    return reasons


def unpushed_objects(
    unpacked: Unpacked, refused: Mapping[str, tuple[bytes, Pointer, str]], notify: Callable[[str], None]
) -> list[Unpushed]:
    """Return the objects of Git LFS that the server may not have, sorted by oid; see `find_unpushed`."""
    attributes, checkout, base_tree = unpacked.not_in_git.lfs_attributes, unpacked.checkout, unpacked.base_tree
    if attributes is None:
        return []
    lfs_checkout = LfsCheckout(
        git=checkout.git_with_store,
        layout=checkout.layout,
        store=checkout.store,
        settings=checkout.settings,
        attributes=attributes,
        edited=frozenset(change.path for change in checkout.status.changes) if checkout.status else frozenset(),
        base_listing=lambda: b"" if base_tree is None else _listing(unpacked, base_tree),
    )
    unpushed = find_unpushed(lfs_checkout, unpacked.travels, notify)
    if not refused:
        return unpushed
    known = {each.pointer.oid for each in unpushed}
    others = {oid: facts for oid, facts in refused.items() if oid not in known}
    unpushed += find_here(checkout.layout, checkout.store, checkout.settings, others)
    return sorted(unpushed, key=lambda each: each.pointer.oid)


def pack_objects(
    objects: Sequence[Unpushed],
    screen: Callable[[bytes, Iterable[bytes]], Iterable[bytes]],
    store: Store,
    count: Callable[[int], object] | None = None,
) -> LfsObjects:
    """Return the objects in a tar; `screen` gets each one's path and contents in pieces, and gives those back.

    Large ones go straight into the store's folder of overlays. `count` receives the size of each piece. Raises
    NotReproducible where one is not what its name says, OSError.
    """

    def packed(write: Callable[[bytes], object] | None) -> tuple[bytes, str, str]:
        packer = Packer(len(objects), write)
        for each in objects:
            pieces = screen(each.path, _contents(each, count))
            packer.add_pieces(each.pointer.oid.encode(), each.pointer.size, pieces, 0o644)
        return packer.finish()

    if sum(each.pointer.size for each in objects) <= IN_MEMORY:
        data, tar_sha256, sha256 = packed(None)
    else:
        digests: list[str] = []

        def make(write: Callable[[bytes], object]) -> str:
            digests.extend(packed(write)[1:])
            return digests[1]

        data = write_into(store, make)
        tar_sha256, sha256 = digests
    pointers = [each.pointer for each in objects]
    return LfsObjects(data=data, tar_sha256=tar_sha256, sha256=sha256, pointers=pointers)


def _contents(each: Unpushed, count: Callable[[int], object] | None) -> Iterator[bytes]:
    """Yield the contents of an object in pieces, and raise NotReproducible at the end if they are others."""
    digest = hashlib.sha256()
    left = each.pointer.size
    try:
        with open(each.file, "rb", buffering=0) as file:
            while left >= 0 and (piece := file.read(_PIECE)):
                left -= len(piece)
                if left < 0:
                    break
                digest.update(piece)
                if count is not None:
                    count(len(piece))
                yield piece
    except OSError as error:
        raise NotReproducible(
            f"the Git LFS object of '{os.fsdecode(each.path)}' cannot be read: {error.strerror}"
        ) from None
    if left or digest.hexdigest() != each.pointer.oid:
        git, word = git_word(each.toplevel), path_word(each.path, each.toplevel)
        raise NotReproducible(
            f"the Git LFS object of '{os.fsdecode(each.path)}' is damaged here: {each.pointer.oid}",
            hints=[
                "git lfs fsck; git lfs pull",
                f"or, if the file itself is whole: {git} lfs fsck; {git} add --renormalize -- {word}",
            ],
        )
