"""What of a snapshot travels with the run, and the overlay that carries it; what is too large, or lost, stops it."""

from __future__ import annotations

from git_coderepo.checkout.kept import find_kept, keep
from git_coderepo.checkout.overlay import blob_sizes, build_overlay, travelling
from git_coderepo.checkout.screening import refuse_token
from git_coderepo.checkout.snapshot_tree import write_snapshot_tree
from git_coderepo.errors import ObjectMissing
from git_coderepo.objects import empty_tree_id
from git_coderepo.record.lfs import refused_objects, unpushed_objects
from git_coderepo.record.refusals import OVERLAY_LIMIT, absent, refuse_names, refuse_tokens, refuse_unserved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.checkout.lfs import Pointer, Unpushed
    from git_coderepo.checkout.overlay import Difference
    from git_coderepo.record.snapshot import Request, Snapshot


def build(snapshot: Snapshot, request: Request) -> None:
    """What travels, and the overlay that carries it."""
    assert snapshot.tree is not None and snapshot.layout is not None and snapshot.settings is not None
    snapshot.oversize = None  # what is changed may be on the platform all the same
    refused: dict[str, tuple[bytes, Pointer, str]] = {}
    if snapshot.keeps_contents:
        with snapshot.waiving():
            refused = refused_objects(snapshot, request)
    if snapshot.base_part == snapshot.tree and not refused:
        return
    git = snapshot.git_with_store
    assert snapshot.store is not None
    snapshot.store.prepare()
    if snapshot.base_part is None and snapshot.tree == empty_tree_id(snapshot.layout.object_format):
        return
    if snapshot.lfs_attributes is None and _find_kept(snapshot):
        return  # made of the same trees, its names and contents were looked at
    sending = travelling(snapshot.travels)
    refuse_names(sending)
    if not snapshot.keeps_contents:
        return
    settings, source = snapshot.settings, snapshot.source
    unpushed: list[Unpushed] = []
    with snapshot.waiving():
        try:
            unpushed = unpushed_objects(snapshot, refused, request.notify)
        except ObjectMissing as error:
            raise absent(sending, error) from error
    if snapshot.lfs_attributes is not None and not unpushed and _find_kept(snapshot):
        return
    scan = settings.flag("secretScan", True)
    sizes = _sizes(snapshot, sending) if sending else []
    with snapshot.waiving():
        named = [(row.path, size) for row, size in zip(sending, sizes, strict=True)]
        objects = [(each.path, each.pointer.size) for each in unpushed]
        if objects:
            snapshot.refuse_large(
                request,
                objects,
                "kept in Git LFS",
                lambda limit: refuse_unserved(settings, objects, source, limit=limit),
                publishable=False,
            )
        snapshot.refuse_large(
            request,
            named + objects,
            "not on the platform",
            lambda limit: refuse_unserved(settings, named + objects, source, limit=limit),
        )
        screen = refuse_token if scan else _let_pass
        if unpushed:
            from git_coderepo.checkout.lfs import pack

            snapshot.lfs = pack(unpushed, screen)
        if snapshot.base_part == snapshot.tree:
            return  # nothing travels but what the LFS server does not give
        if snapshot.oversize is None:
            overlay = snapshot.overlay = build_overlay(git, snapshot.travels, screen)
            keep(snapshot.store, snapshot.base_part, snapshot.tree, overlay, screened=scan, contents=sum(sizes))
        elif scan:
            refuse_tokens(git, sending)


def _find_kept(snapshot: Snapshot) -> bool:
    """Whether the overlay that was made of the same two trees is here still, and serves."""
    settings, store = snapshot.settings, snapshot.store
    assert settings is not None and store is not None and snapshot.tree is not None
    # Else all checkouts are judged by their sum, or the overlay together with what Git LFS keeps.
    if snapshot.within is not None or snapshot.surveys is not None or not snapshot.keeps_contents:
        return False
    kept = find_kept(store, snapshot.base_part, snapshot.tree, screened=settings.flag("secretScan", True))
    if kept is None or kept.contents > settings.size("overlayLimit", OVERLAY_LIMIT):
        return False
    snapshot.overlay = kept.overlay
    return True


def _sizes(snapshot: Snapshot, sending: Sequence[Difference]) -> list[int]:
    """The sizes of the blobs that travel; one of the last private index that is gone is made again.

    Raises NotReproducible for what a partial clone lacks.
    """
    assert snapshot.layout is not None and snapshot.store is not None
    ids = [difference.id for difference in sending]
    try:
        return blob_sizes(snapshot.git_with_store, ids)
    except ObjectMissing as error:
        taken = {change.path for change in snapshot.taken} if not snapshot.looked_at else frozenset()
        if not any(difference.id == error.id and difference.path in taken for difference in sending):
            raise absent(sending, error) from error
    write_snapshot_tree(snapshot.git, snapshot.layout, snapshot.store, snapshot.taken)
    try:
        return blob_sizes(snapshot.git_with_store, ids)
    except ObjectMissing as error:
        raise absent(sending, error) from error


def _let_pass(path: bytes, contents: bytes) -> None:
    return None
