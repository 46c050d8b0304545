"""What of a snapshot travels with the run: nothing, the overlay that was made before, or one that is made now."""

from __future__ import annotations

from git_coderepo.git.objects import empty_tree_id
from git_coderepo.settings import overlay_limit
from git_coderepo.snapshots.lfs import refused_objects
from git_coderepo.snapshots.overlay_cache import find_kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.lfs import Pointer
    from git_coderepo.snapshots.snapshot import Request, Snapshot


def build(snapshot: Snapshot, request: Request) -> None:
    """What travels, and the overlay that carries it."""
    assert snapshot.tree is not None
    refused: dict[str, tuple[bytes, Pointer, str]] = {}
    if snapshot.keeps_contents:
        with snapshot.waiving():
            refused = refused_objects(snapshot, request)
    if snapshot.base_part == snapshot.tree and not refused:
        return
    snapshot.store.prepare()
    if snapshot.base_part is None and snapshot.tree == empty_tree_id(snapshot.layout.object_format):
        return
    if snapshot.lfs_attributes is None and find_overlay(snapshot):
        return  # made of the same trees, its names and contents were looked at
    from git_coderepo.snapshots.packing import pack_overlay

    pack_overlay(snapshot, request, refused)


def find_overlay(snapshot: Snapshot) -> bool:
    """Whether the overlay that was made of the same two trees is here still, and serves."""
    settings, store = snapshot.settings, snapshot.store
    assert snapshot.tree is not None
    # Else all checkouts are judged by their sum, or the overlay together with what Git LFS keeps.
    if snapshot.checkout.depth or snapshot.surveys is not None or not snapshot.keeps_contents:
        return False
    kept = find_kept(store, snapshot.base_part, snapshot.tree, screened=settings.flag("secretScan", True))
    if kept is None or kept.contents > overlay_limit(settings):
        return False
    snapshot.overlay = kept.overlay
    return True
