"""The overlay of what travels with a run, made now; what is too large for it, or lost, stops the run."""

from __future__ import annotations

from git_coderepo.errors import ObjectMissing
from git_coderepo.git.tree_diff import blob_sizes, travelling
from git_coderepo.snapshots.checks import absent, refuse_large, refuse_names, refuse_tokens, refuse_unserved
from git_coderepo.snapshots.find_base import missing_fact
from git_coderepo.snapshots.lfs import pack_objects, unpushed_objects
from git_coderepo.snapshots.overlay import build_overlay
from git_coderepo.snapshots.overlay_cache import keep, pack_into, use_kept
from git_coderepo.snapshots.secret_scan import Scan, allowed_secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from git_coderepo.git.lfs_pointer import Pointer, Unpushed
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.snapshots.snapshot import Request, Snapshot

# Contents of more bytes than this are packed into a file and not in memory.
_LARGE = 8 << 20


def pack_overlay(snapshot: Snapshot, request: Request, refused: Mapping[str, tuple[bytes, Pointer, str]]) -> None:
    """Measure and screen what travels, and make the overlay; `refused` is what `refused_objects` found.

    Raises NotReproducible.
    """
    assert snapshot.tree is not None
    git = snapshot.git_with_store
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
    if snapshot.lfs_attributes is not None and not unpushed and use_kept(snapshot):
        return

    scans = settings.flag("secretScan")
    sizes = _sizes(snapshot, sending) if sending else []
    with snapshot.waiving():
        named = [(row.path, size) for row, size in zip(sending, sizes, strict=True)]
        objects = [(each.path, each.pointer.size) for each in unpushed]
        if objects:
            refuse_large(
                snapshot,
                objects,
                "kept in Git LFS",
                lambda limit: refuse_unserved(
                    settings, objects, source, limit=limit, missing=lambda: missing_fact(snapshot)
                ),
                publishes=False,
            )
        refuse_large(
            snapshot,
            named + objects,
            "not on the platform",
            lambda limit: refuse_unserved(
                settings, named + objects, source, limit=limit, missing=lambda: missing_fact(snapshot)
            ),
            publishes=request.publishes,
        )
        allowed = allowed_secrets(settings)
        scan = Scan(allowed)
        screen = scan.look_through if scans else _let_pass
        objects_tar = overlay = None
        if unpushed:
            with _Packing(request, sum(size for _, size in objects)) as count:
                objects_tar = pack_objects(unpushed, screen, snapshot.store, count)
        # Else nothing travels but what the LFS server does not give.
        if snapshot.base_part != snapshot.tree:
            if snapshot.oversize is None:
                if sum(sizes) > _LARGE:
                    with _Packing(request, sum(sizes)) as count:
                        overlay = pack_into(snapshot.store, git, snapshot.travels, screen, count)
                else:
                    overlay = build_overlay(git, snapshot.travels, screen)
            elif scans:
                refuse_tokens(git, sending, snapshot.base_tree, allowed)
        scan.check(git, snapshot.base_tree)
        snapshot.lfs, snapshot.overlay = objects_tar, overlay
        if overlay is not None:
            # What a setting excuses is looked at again next time: the setting may be gone.
            screened = scans and not scan.has_excused
            keep(snapshot.store, snapshot.base_part, snapshot.tree, overlay, screened=screened, contents=sum(sizes))


def _sizes(snapshot: Snapshot, sending: Sequence[Difference]) -> list[int]:
    """The sizes of the blobs that travel; one of the last private index that is gone is made again.

    Raises NotReproducible for what a partial clone lacks.
    """
    ids = [difference.id for difference in sending]
    try:
        return blob_sizes(snapshot.git_with_store, ids)
    except ObjectMissing as error:
        taken = {change.path for change in snapshot.taken} if not snapshot.looked_at else frozenset()
        if not any(difference.id == error.id and difference.path in taken for difference in sending):
            raise absent(sending, error) from error
    snapshot.make_again()
    try:
        return blob_sizes(snapshot.git_with_store, ids)
    except ObjectMissing as error:
        raise absent(sending, error) from error


class _Packing:
    """Show how far packing is, where somebody watches; the value counts the bytes, None if nobody does."""

    __slots__ = ("_done", "_shown")

    def __init__(self, request: Request, total: int) -> None:
        self._done = 0
        self._shown = request.progress("packing", total, lambda: self._done) if request.progress is not None else None

    def __enter__(self) -> Callable[[int], None] | None:
        if self._shown is None:
            return None
        self._shown.__enter__()
        return self._count

    def _count(self, size: int) -> None:
        self._done += size

    def __exit__(self, *error: object) -> None:
        if self._shown is not None:
            self._shown.__exit__(None, None, None)


def _let_pass(path: bytes, pieces: Iterable[bytes]) -> Iterable[bytes]:
    return pieces
