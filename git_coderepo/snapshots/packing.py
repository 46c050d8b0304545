"""Pack what travels with a run, the overlay and the objects of Git LFS.

Files that are too large, secret, unsafe or missing stop the run.
"""

from __future__ import annotations

import os

from git_coderepo.errors import NotReproducible, ObjectMissing, UnsafeTree
from git_coderepo.git.objects import SYMLINK
from git_coderepo.git.tree_diff import blob_sizes, travelling
from git_coderepo.snapshots.find_base import missing_fact
from git_coderepo.snapshots.overlay import (
    IN_MEMORY,
    CachedOverlay,
    build_overlay,
    cache_overlay,
    pack_into,
)
from git_coderepo.snapshots.secret_scan import Scan, allowed_secrets, refuse_tokens
from git_coderepo.snapshots.size_limits import Load, refuse_large, refuse_unserved
from git_coderepo.snapshots.snapshot import Served, Travelling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from git_coderepo.git.lfs_pointer import Pointer, Unpushed
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.snapshots.overlay import LfsObjects, Overlay
    from git_coderepo.snapshots.snapshot import Attempt, Request, Unpacked

    Rows = list[tuple[bytes, int]]


def pack_travelling(
    attempt: Attempt, unpacked: Unpacked, refused: Mapping[str, tuple[bytes, Pointer, str]]
) -> Travelling:
    """Measure, scan and pack the files that are sent with the manifest; `refused` comes from `refused_objects`.

    Raises NotReproducible.
    """
    sending = travelling(unpacked.travels)
    _refuse_names(sending)
    if not unpacked.tree.is_stored:
        return Travelling()
    unpushed: list[Unpushed] = []
    if unpacked.not_in_git.lfs_attributes is not None:
        from git_coderepo.snapshots.lfs import unpushed_objects

        with attempt.waived.waiving():
            try:
                unpushed = unpushed_objects(unpacked, refused, attempt.request.notify)
            except ObjectMissing as error:
                raise _absent(sending, error) from error
        overlay = unpacked.cached_overlay if not unpushed else None
        if overlay is not None:
            return Travelling(overlay=overlay)
    sizes = _sizes(unpacked, sending) if sending else []
    with attempt.waived.waiving():
        rows = [(row.path, size) for row, size in zip(sending, sizes, strict=True)]
        objects = [(each.path, each.pointer.size) for each in unpushed]
        oversize = _refuse_large(attempt, unpacked, rows, objects)
        return _pack(attempt.request, unpacked, unpushed, oversize, contents=sum(sizes))
    return Travelling()


def _refuse_large(attempt: Attempt, unpacked: Unpacked, rows: Rows, objects: Rows) -> NotReproducible | None:
    """Return why what travels needs to be published; None if it fits. Raises NotReproducible."""
    settings, source = unpacked.checkout.settings, unpacked.source

    def load(word: str, sizes: Rows) -> Load:
        def alone(limit: str) -> None:
            served = Served(source=source, base=unpacked.base)
            refuse_unserved(
                settings, sizes, source, limit=limit, missing=lambda: missing_fact(unpacked.checkout, served)
            )

        return Load(word=word, sizes=sizes, alone=alone)

    if objects:
        refuse_large(attempt, unpacked.checkout, load("kept in Git LFS", objects), publishes=False)
    everything = load("not on the platform", rows + objects)
    return refuse_large(attempt, unpacked.checkout, everything, publishes=attempt.request.publishes)


def _pack(
    request: Request,
    unpacked: Unpacked,
    unpushed: Sequence[Unpushed],
    oversize: NotReproducible | None,
    *,
    contents: int,
) -> Travelling:
    """Pack the objects of Git LFS, and the overlay unless it is `oversize`; `contents` are the bytes of its files.

    Raises NotReproducible where a token would travel.
    """
    checkout, tree = unpacked.checkout, unpacked.tree
    git, store, settings = checkout.git_with_store, checkout.store, checkout.settings
    scans, allowed = settings.flag("secretScan"), allowed_secrets(settings)
    scan = Scan(allowed)
    screen = scan.look_through if scans else _let_pass
    lfs: LfsObjects | None = None
    overlay: Overlay | None = None
    if unpushed:
        from git_coderepo.snapshots.lfs import pack_objects

        with _Progress(request, sum(each.pointer.size for each in unpushed)) as count:
            lfs = pack_objects(unpushed, screen, store, count)
    # With the same tree only objects travel that the LFS server does not serve.
    if unpacked.base_part != tree.id:
        if oversize is not None:
            if scans:
                refuse_tokens(git, travelling(unpacked.travels), unpacked.base_tree, allowed)
        elif contents > IN_MEMORY:
            with _Progress(request, contents) as count:
                overlay = pack_into(store, git, unpacked.travels, screen, count)
        else:
            overlay = build_overlay(git, unpacked.travels, screen)
    scan.check(git, unpacked.base_tree)
    if overlay is not None:
        # What a setting excuses is scanned again next time: the setting may be gone.
        is_scanned = scans and not scan.has_excused
        cached = CachedOverlay(overlay=overlay, contents=contents, is_scanned=is_scanned)
        cache_overlay(store, unpacked.base_part, tree.id, cached)
    return Travelling(overlay=overlay, lfs=lfs, oversize=oversize)


def _sizes(unpacked: Unpacked, sending: Sequence[Difference]) -> list[int]:
    """Return the sizes of the blobs that travel; one that is gone since the last snapshot is written again.

    Raises NotReproducible for what a partial clone lacks.
    """
    git, tree = unpacked.checkout.git_with_store, unpacked.tree
    ids = [difference.id for difference in sending]
    try:
        return blob_sizes(git, ids)
    except ObjectMissing as error:
        changed = {change.path for change in tree.selection.changes} if not unpacked.checkout.looked_at else frozenset()
        if not any(difference.id == error.id and difference.path in changed for difference in sending):
            raise _absent(sending, error) from error
    tree.differences.write_again()
    try:
        return blob_sizes(git, ids)
    except ObjectMissing as error:
        raise _absent(sending, error) from error


class _Progress:
    """Show how much is packed, if the caller shows progress; its value counts bytes, else it is None."""

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


def _absent(sending: Sequence[Difference], error: ObjectMissing) -> NotReproducible:
    """Return the error for a path of `sending` whose contents this partial clone does not have."""
    path = next((row.path for row in sending if row.id == error.id), None)
    if path is None:
        return error
    return NotReproducible(
        f"'{os.fsdecode(path)}' would travel with the run, and its contents are not in this partial clone",
        hints=error.hints,
    )


# The code points that HFS+ leaves out of a name begin so in UTF-8.
_PASSED_OVER = (b"\xe2\x80", b"\xe2\x81", b"\xef\xbb\xbf")

_GITS_OWN = frozenset((b".gitattributes", b".gitignore", b".gitkeep", b".github", b".gitlab-ci.yml", b".gitmodules"))


def _refuse_names(sending: Sequence[Difference]) -> None:
    """Raise NotReproducible for a path that runners refuse to write: a spelling of `.git` that git accepts here.

    Only what travels is checked: the platforms accept no such path either.
    """
    names = b"\0".join([row.path for row in sending]).lower()
    if b"git" not in names and not any(mark in names for mark in _PASSED_OVER):
        return
    for row in sending:
        path = row.path.lower()
        if not (b"git" in path or any(mark in path for mark in _PASSED_OVER)):
            continue
        if (
            row.mode != SYMLINK
            and path.isascii()
            and all(b"git" not in part or part in _GITS_OWN for part in path.split(b"/"))
        ):
            continue  # what most checkouts have: the check itself costs the hook the import of `re`
        from git_coderepo.filesystem.paths import check_path

        try:
            check_path(row.path, is_link=row.mode == SYMLINK)
        except UnsafeTree as error:
            raise NotReproducible(
                f"no runner writes such a path: {error.message}", hints=["exclude it: git coderepo ignore PATH"]
            ) from error
