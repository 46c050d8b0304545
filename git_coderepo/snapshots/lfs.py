"""Git LFS in a snapshot: whether its tree uses it, which objects the server may not have, and their archive."""

from __future__ import annotations

import os

from git_coderepo.errors import NotReproducible
from git_coderepo.git.process import git_word, path_word
from git_coderepo.snapshots.archive_check import wants_lfs
from git_coderepo.snapshots.overlay import LfsObjects, Packer
from git_coderepo.snapshots.overlay_cache import write_into

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from git_coderepo.git.attributes.rules import Attributes
    from git_coderepo.git.lfs_pointer import Pointer, Unpushed
    from git_coderepo.git.store import Store
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.snapshots.snapshot import Request, Snapshot

# Objects of more bytes than this together are packed into a file and not in memory.
_LARGE = 8 << 20
_PIECE = 1 << 20


def lfs_attributes(texts: Mapping[bytes, bytes]) -> Attributes | None:
    """Return the attributes of a tree with these files, by directory; None where they give nothing to Git LFS."""
    if not wants_lfs(texts.values()):
        return None
    from git_coderepo.git.attributes.rules import Attributes

    return Attributes(texts)


def unpushed_objects(
    snapshot: Snapshot, refused: Mapping[str, tuple[bytes, Pointer, str]], notify: Callable[[str], None]
) -> list[Unpushed]:
    """The objects of Git LFS that the server may not have; see `git.lfs_pointer.find_unpushed`, which says what it
    raises and what `notify` hears. `refused` is what `refused_objects` found.

    The differences of the snapshot are known already.
    """
    if snapshot.lfs_attributes is None:
        return []
    from git_coderepo.git.lfs_pointer import LfsCheckout, find_here, find_unpushed

    git, base = snapshot.git_with_store, snapshot.base_tree
    checkout = LfsCheckout(
        git=git,
        layout=snapshot.layout,
        store=snapshot.store,
        settings=snapshot.settings,
        attributes=snapshot.lfs_attributes,
        edited=frozenset(change.path for change in snapshot.status.changes) if snapshot.status else frozenset(),
        base_listing=lambda: b"" if base is None else git.run("ls-tree", "-r", "-z", "--full-tree", base.hex),
    )
    found = find_unpushed(checkout, snapshot.travels, notify)
    if not refused:
        return found
    known = {each.pointer.oid for each in found}
    others = {oid: facts for oid, facts in refused.items() if oid not in known}
    found += find_here(snapshot.layout, snapshot.store, snapshot.settings, others)
    return sorted(found, key=lambda each: each.pointer.oid)


def refused_objects(snapshot: Snapshot, request: Request) -> dict[str, tuple[bytes, Pointer, str]]:
    """By oid, what the base's tree and the snapshot's name and the LFS server does not give when it is asked:
    (raw path, pointer, the server's reason). Nothing where it is not to be asked.

    Raises NotReproducible for a pointer that cannot be used, and what asking raises (`LfsServer.actions`).
    """
    attributes, base, settings = snapshot.lfs_attributes, snapshot.base_tree, snapshot.settings
    if not request.check or attributes is None or base is None or snapshot.source is None:
        return {}
    from git_coderepo.git.lfs_pointer import has_lfs, read_pointers
    from git_coderepo.git.partial_clone import rows_here
    from git_coderepo.git.tree_diff import Difference

    assert snapshot.tree is not None
    git = snapshot.git_with_store
    toplevel = snapshot.layout.toplevel
    base_listing = git.run("ls-tree", "-r", "-z", "--full-tree", base.hex)
    known = {row.partition(b"\t")[0][12:] for row in base_listing.split(b"\0")}  # ids of blobs
    listing = git.run("ls-tree", "-r", "-z", "--full-tree", snapshot.tree.hex)
    lfsconfig, rows = None, []
    for row in rows_here(git, settings, snapshot.tree.hex, listing).split(b"\0"):
        facts, _, path = row.partition(b"\t")
        if not facts.startswith(b"100"):
            continue
        id = facts[12:].decode()
        if path == b".lfsconfig":
            lfsconfig = git.run("cat-file", "blob", id)
        elif facts[12:] in known and has_lfs(attributes, path):
            rows.append(Difference(path, 0, int(facts[:6], 8), id))
    pointers = (
        {pointer.oid: (row.path, pointer) for row, pointer in read_pointers(git, rows, toplevel)[0]} if rows else {}
    )
    branch = snapshot.head.branch if snapshot.head is not None else None
    reasons = _asked(snapshot.source, [pointer for _, pointer in pointers.values()], lfsconfig, branch, request.notify)
    return {oid: (*pointers[oid], why) for oid, why in reasons.items()}


def _asked(
    source: CodeSource,
    pointers: Sequence[Pointer],
    lfsconfig: bytes | None,
    branch: str | None,
    notify: Callable[[str], None],
) -> dict[str, str]:
    """By oid, why the LFS server of the platform does not give an object."""
    if not pointers:
        return {}
    from git_coderepo.errors import LfsObjectMissing
    from git_coderepo.git.lfs_pointer import object_path
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

    if sum(each.pointer.size for each in objects) <= _LARGE:
        data, tar_sha256, sha256 = packed(None)
    else:
        digests: list[str] = []

        def make(write: Callable[[bytes], object]) -> str:
            digests.extend(packed(write)[1:])
            return digests[1]

        data = write_into(store, make)
        tar_sha256, sha256 = digests
    return LfsObjects(data, tar_sha256, sha256, [each.pointer for each in objects])


def _contents(each: Unpushed, count: Callable[[int], object] | None) -> Iterator[bytes]:
    """Yield the contents of an object in pieces, and raise NotReproducible at the end if they are others."""
    import hashlib

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
