"""Overlays that are kept by their pair of trees, so that the same one is not built, compressed and screened again.

`trees/<base tree>-<snapshot tree>` beside the folder of overlays says which file it is. Small ones are not worth it.
"""

from __future__ import annotations

import os

from git_coderepo import __version__
from git_coderepo.filesystem.atomic import pieces_of, temporary_name, write_whole
from git_coderepo.snapshots.overlay import Overlay, build_overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git
    from git_coderepo.git.store import Store
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.snapshots.snapshot import Snapshot

_WORTH_IT = 64 << 10
# git maps a pack in windows, of 1 GiB each where nothing else is said.
_SMALL_WINDOWS = (("core.packedGitWindowSize", "1m"), ("core.packedGitLimit", "16m"))
# What is screened for changes with the program: an overlay that another one kept is screened anew.
_MAGIC = b"git-coderepo overlay 1 " + __version__.encode()


class Kept:
    """An overlay that was there already, and the size in bytes of all contents in it."""

    __slots__ = ("contents", "overlay")

    def __init__(self, overlay: Overlay, contents: int) -> None:
        self.overlay = overlay
        self.contents = contents


def find_kept(store: Store, base_tree: ObjectId | None, snapshot_tree: ObjectId, *, screened: bool) -> Kept | None:
    """The overlay between these trees; with `screened` only one that was searched for tokens. Raises nothing."""
    import hashlib

    try:
        with open(_note(store, base_tree, snapshot_tree), "rb") as file:
            lines = file.read().split(b"\n", 3)
        if len(lines) != 4 or lines[0] != _MAGIC or (screened and lines[1] != b"screened"):
            return None
        tar_sha256, sha256, size, files, contents = lines[2].split(b" ")
        path = store.overlays + b"/" + sha256 + b".tar.gz"
        os.utime(path)  # `prune` touches nothing that was just used
        data = _mapped(path, int(size))
        digest = hashlib.sha256()
        for piece in pieces_of(data or b""):
            digest.update(piece)
        if data is None or digest.hexdigest() != sha256.decode():
            store.set_aside(path)
            return None
        store.note_whole(path)
    except (OSError, ValueError):
        return None
    deleted = lines[3].split(b"\0")[:-1]
    return Kept(Overlay(data, tar_sha256.decode(), sha256.decode(), int(files), deleted), int(contents))


def keep(
    store: Store,
    base_tree: ObjectId | None,
    snapshot_tree: ObjectId,
    overlay: Overlay,
    *,
    screened: bool,
    contents: int,
) -> None:
    """Keep an overlay that is large enough, the file first and then the note of it. Raises OSError."""
    if len(overlay.data) < _WORTH_IT:
        return
    store.keep_overlay(overlay.sha256, overlay.data)
    numbers = f"{overlay.tar_sha256} {overlay.sha256} {len(overlay.data)} {overlay.files} {contents}".encode()
    deleted = b"".join(name + b"\0" for name in overlay.deleted)
    note = _note(store, base_tree, snapshot_tree)
    os.makedirs(os.path.dirname(note), exist_ok=True)
    write_whole(note, b"\n".join((_MAGIC, b"screened" if screened else b"as it is", numbers, deleted)))


def pack_into(
    store: Store,
    git: Git,
    found: Sequence[Difference],
    screen: Callable[[bytes, Iterable[bytes]], Iterable[bytes]],
    count: Callable[[int], object] | None = None,
) -> Overlay:
    """Build a large overlay straight into the folder of overlays: it is never whole in memory. Raises OSError."""
    made: list[Overlay] = []

    def make(write: Callable[[bytes], object]) -> str:
        made.append(build_overlay(git.with_settings(*_SMALL_WINDOWS), found, screen, write, count))
        return made[0].sha256

    data = write_into(store, make)
    made[0].data = data
    return made[0]


def write_into(store: Store, make: Callable[[Callable[[bytes], object]], str]) -> bytes:
    """Write a file into the folder of overlays and return a view of its contents, which are never whole in memory.

    `make` passes the contents in pieces to its argument, and returns their sha256. Raises OSError.
    """
    os.makedirs(store.overlays, exist_ok=True)
    temporary = temporary_name(store.overlays + b"/overlay")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with open(descriptor, "wb") as file:
            sha256 = make(file.write)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        path = store.overlays + b"/" + sha256.encode() + b".tar.gz"
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    store.note_whole(path)
    data = _mapped(path, size)
    assert data is not None
    return data


def notes_folder(store: Store) -> bytes:
    """Where the notes lie."""
    return store.directory + b"/trees"


def _note(store: Store, base_tree: ObjectId | None, snapshot_tree: ObjectId) -> bytes:
    base = b"none" if base_tree is None else base_tree.hex.encode()
    return notes_folder(store) + b"/" + base + b"-" + snapshot_tree.hex.encode()


def _mapped(path: bytes, size: int) -> bytes | None:
    """The contents of a file, read when they are looked at; None where it has another size.

    It is a view, which whoever measures, cuts, hashes or writes takes as the bytes that it shows.
    """
    import mmap

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size != size or not size:
            return None
        return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))  # type: ignore[return-value]
    finally:
        os.close(descriptor)


def use_kept(snapshot: Snapshot) -> bool:
    """Use the overlay that was made of the same two trees; return whether it is still here and serves."""
    settings, store = snapshot.settings, snapshot.store
    assert snapshot.tree is not None
    # Else all checkouts are judged by their sum, or the overlay together with what Git LFS keeps.
    if snapshot.checkout.depth or snapshot.surveys is not None or not snapshot.keeps_contents:
        return False
    kept = find_kept(store, snapshot.base_part, snapshot.tree, screened=settings.flag("secretScan"))
    if kept is None or kept.contents > settings.size("overlayLimit"):
        return False
    snapshot.overlay = kept.overlay
    return True
