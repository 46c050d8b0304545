"""The overlay: the files of the snapshot that the base's tree lacks, as a gzip tar; large ones are cached.

The tar is a function of the two trees alone: rows in git's order, pax (POSIX.1-2001), raw bytes, time 0, uid 0.
https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
"""

from __future__ import annotations

import os

from git_coderepo import __version__
from git_coderepo.errors import GitFailed
from git_coderepo.filesystem.atomic import pieces_of, temporary_name, write_whole
from git_coderepo.git.objects import EXECUTABLE, SYMLINK
from git_coderepo.git.process import read_blobs
from git_coderepo.git.tree_diff import travelling
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import zlib
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from git_coderepo.git.lfs_pointer import Pointer
    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git
    from git_coderepo.git.store import Store
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.settings import Settings

# Contents of more bytes than this are packed into a file and not in memory.
IN_MEMORY = 8 << 20

_BLOCK = 512
_PIECE = 1 << 20
_WORTH_A_SAMPLE = 64 << 10
_SAMPLE = 8 << 10


class Overlay(Value):
    """`data` is the gzip, `tar_sha256` of the tar inside, `sha256` of `data`, both hex; `deleted` are raw paths."""

    data: bytes
    tar_sha256: str
    sha256: str
    files: int
    deleted: Sequence[bytes]


class LfsObjects(Value):
    """The Git LFS objects that travel: `data` is a gzip'd tar of them, named by oid and sorted; digests in hex.

    `pointers` says which they are. The tar is a function of these objects alone.
    """

    data: bytes
    tar_sha256: str
    sha256: str
    pointers: Sequence[Pointer]


def build_overlay(
    git: Git,
    differences: Sequence[Difference],
    screen: Callable[[bytes, Iterable[bytes]], Iterable[bytes]],
    write: Callable[[bytes], object] | None = None,
    count: Callable[[int], object] | None = None,
) -> Overlay:
    """Return the overlay of these differences; `screen` receives and returns each path's contents in pieces.

    With `write`, which takes the gzip in pieces, the overlay has no `data`. `count` receives the size of each piece.
    """
    sending = travelling(differences)
    packer = Packer(len(sending), write)
    blobs = read_blobs(git, [difference.id for difference in sending])
    for difference, (_, size, source) in zip(sending, blobs, strict=True):
        pieces = screen(difference.path, _read(source, size, count, difference))
        if difference.mode == SYMLINK:
            packer.add_link(difference.path, b"".join(pieces))
        else:
            packer.add_pieces(difference.path, size, pieces, 0o755 if difference.mode == EXECUTABLE else 0o644)
    data, tar_sha256, sha256 = packer.finish()
    deleted = [difference.path for difference in differences if difference.mode == 0]
    return Overlay(data=data, tar_sha256=tar_sha256, sha256=sha256, files=len(sending), deleted=deleted)


def _read(
    source: BinaryIO, size: int, count: Callable[[int], object] | None, difference: Difference
) -> Iterator[bytes]:
    """Yield the contents of a blob in pieces, and report the size of each."""
    while size:
        piece = source.read(min(size, _PIECE))
        if not piece:
            message = f"'{os.fsdecode(difference.path)}' cannot be read: its object {difference.id} is damaged"
            hints = ["copy the files of .git/objects from another clone or a backup, until it is whole: git fsck"]
            raise GitFailed(message, status=0, stderr=b"", hints=hints)
        size -= len(piece)
        if count is not None:
            count(len(piece))
        yield piece


class Packer:
    """Write a gzip'd tar of some `count` members; `write` receives it in pieces, otherwise it stays in memory.

    Contents that do not get smaller are stored. A sample of each piece decides that, and the deflate stream goes on
    with another compressor at a byte boundary (`Z_SYNC_FLUSH` in zlib's manual): one stream and one gzip member (RFC
    1951, RFC 1952), whose bytes are a function of the contents.
    """

    __slots__ = (
        "_checksum",
        "_compressor",
        "_digest",
        "_level",
        "_packing",
        "_pieces",
        "_size",
        "_tar_digest",
        "_write",
    )

    def __init__(self, count: int, write: Callable[[bytes], object] | None = None) -> None:
        import hashlib

        self._tar_digest, self._digest = hashlib.sha256(), hashlib.sha256()
        self._packing = 6 if count < 1000 else 1
        self._level = self._packing
        self._compressor = _deflate(self._level)
        self._checksum = self._size = 0
        self._pieces: list[bytes] = []
        self._write = self._pieces.append if write is None else write
        # A header without time and name; 3: made on Unix.
        self._emit(b"\x1f\x8b\x08" + bytes(6) + b"\x03")

    def add_link(self, path: bytes, target: bytes) -> None:
        """Add a symbolic link."""
        self._put(b"".join(tar_header(path, 0, 0o777, link=target)))

    def add_pieces(self, path: bytes, size: int, pieces: Iterable[bytes | memoryview], mode: int) -> None:
        """Add a file with these contents, `size` bytes together."""
        self._put(b"".join(tar_header(path, size, mode)))
        for piece in pieces:
            self._put(piece)
        self._put(bytes(-size % _BLOCK))

    def finish(self) -> tuple[bytes, str, str]:
        """Return (gzip data, hex sha256 of the tar, hex sha256 of the gzip data). Call this only once.

        The gzip is empty if it went to `write`.
        """
        self._put(bytes(2 * _BLOCK))
        self._emit(self._compressor.flush())
        self._emit(self._checksum.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"))
        return b"".join(self._pieces), self._tar_digest.hexdigest(), self._digest.hexdigest()

    def _put(self, piece: bytes | memoryview) -> None:
        import zlib

        if len(piece) >= _WORTH_A_SAMPLE:
            self._go_on_with(self._packing if _gets_smaller(piece) else 0)
        elif len(piece) > _BLOCK:
            self._go_on_with(self._packing)
        self._tar_digest.update(piece)
        self._checksum = zlib.crc32(piece, self._checksum)
        self._size += len(piece)
        self._emit(self._compressor.compress(piece))

    def _go_on_with(self, level: int) -> None:
        if level != self._level:
            import zlib

            self._emit(self._compressor.flush(zlib.Z_SYNC_FLUSH))
            self._level = level
            self._compressor = _deflate(level)

    def _emit(self, packed: bytes) -> None:
        if packed:
            self._digest.update(packed)
            self._write(packed)


def _deflate(level: int) -> zlib._Compress:
    import zlib

    return zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)


def _gets_smaller(piece: bytes | memoryview) -> bool:
    """Return whether samples of a piece get smaller by a twentieth; compressed or random bytes do not."""
    import zlib

    step = (len(piece) - _SAMPLE) // 2
    samples = b"".join([piece[at : at + _SAMPLE] for at in (0, step, 2 * step)])
    return len(zlib.compress(samples, 1)) < len(samples) * 0.95


def tar_header(path: bytes, size: int, mode: int, *, link: bytes | None = None) -> Iterator[bytes]:
    """Yield the header blocks of a member: a pax header first if the path, the link or the size does not fit."""
    records = b""
    if len(path) > 100:
        records += _pax_record(b"path", path)
    if link is not None and len(link) > 100:
        records += _pax_record(b"linkpath", link)
    if size >= 1 << 33:
        records += _pax_record(b"size", b"%d" % size)
    if records:
        yield _ustar(b"pax", len(records), 0o644, b"x", b"")
        yield records + bytes(-len(records) % _BLOCK)
    yield _ustar(path[:100], size if size < 1 << 33 else 0, mode, b"0" if link is None else b"2", (link or b"")[:100])


def _pax_record(name: bytes, value: bytes) -> bytes:
    """Return `LENGTH NAME=VALUE\\n`, where the length includes itself."""
    rest = len(name) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, name, value)


def _ustar(name: bytes, size: int, mode: int, kind: bytes, link: bytes) -> bytes:
    header = bytearray(_BLOCK)
    header[0 : len(name)] = name
    header[100:108] = b"%07o\0" % mode
    header[108:124] = b"0000000\0" * 2
    header[124:136] = b"%011o\0" % size
    header[136:148] = b"00000000000\0"
    header[148:156] = b"        "
    header[156:157] = kind
    header[157 : 157 + len(link)] = link
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


# --- Large overlays, cached by their pair of trees -------------------------------------------------------------------
#
# `trees/<base tree>-<snapshot tree>` beside the folder of overlays says which file it is.

_WORTH_CACHING = 64 << 10
# git maps a pack in windows, by default of 1 GiB each.
_SMALL_WINDOWS = (("core.packedGitWindowSize", "1m"), ("core.packedGitLimit", "16m"))
# The scan changes with the program: an overlay that another version cached is not used.
_MAGIC = b"git-coderepo overlay 1 " + __version__.encode()


class CachedOverlay(Value):
    """An overlay that was made before; `contents` is the size in bytes of all files in it.

    `is_scanned` says that it was searched for tokens, and nothing in it was excused by a setting.
    """

    overlay: Overlay
    contents: int
    is_scanned: bool


def find_cached(
    store: Store, base_tree: ObjectId | None, snapshot_tree: ObjectId, settings: Settings
) -> Overlay | None:
    """Return the cached overlay between two trees, if the current settings still allow it."""
    cached = read_cached(store, base_tree, snapshot_tree)
    if cached is None or cached.contents > settings.size("overlayLimit"):
        return None
    return cached.overlay if cached.is_scanned or not settings.flag("secretScan") else None


def read_cached(store: Store, base_tree: ObjectId | None, snapshot_tree: ObjectId) -> CachedOverlay | None:
    """Return the cached overlay between two trees; None if it is missing or damaged. Raises no exception."""
    import hashlib

    try:
        with open(_note(store, base_tree, snapshot_tree), "rb") as file:
            lines = file.read().split(b"\n", 3)
        if len(lines) != 4 or lines[0] != _MAGIC:
            return None
        tar_sha256, sha256, size, files, contents = lines[2].split(b" ")
        path = store.overlays + b"/" + sha256 + b".tar.gz"
        os.utime(path)  # `prune` touches nothing that was just used
        data = _mapped(path) if os.path.getsize(path) == int(size) else b""
        digest = hashlib.sha256()
        for piece in pieces_of(data):
            digest.update(piece)
        if digest.hexdigest() != sha256.decode():
            store.set_aside(path)
            return None
        store.note_whole(path)
    except (OSError, ValueError):
        return None
    deleted = lines[3].split(b"\0")[:-1]
    return CachedOverlay(
        overlay=Overlay(
            data=data, tar_sha256=tar_sha256.decode(), sha256=sha256.decode(), files=int(files), deleted=deleted
        ),
        contents=int(contents),
        is_scanned=lines[1] == b"screened",
    )


def cache_overlay(store: Store, base_tree: ObjectId | None, snapshot_tree: ObjectId, cached: CachedOverlay) -> None:
    """Store an overlay that is large enough, the file first and then the note of it. Raises OSError."""
    overlay = cached.overlay
    if len(overlay.data) < _WORTH_CACHING:
        return
    store.keep_overlay(overlay.sha256, overlay.data)
    numbers = f"{overlay.tar_sha256} {overlay.sha256} {len(overlay.data)} {overlay.files} {cached.contents}".encode()
    deleted = b"".join(name + b"\0" for name in overlay.deleted)
    note = _note(store, base_tree, snapshot_tree)
    os.makedirs(os.path.dirname(note), exist_ok=True)
    write_whole(note, b"\n".join((_MAGIC, b"screened" if cached.is_scanned else b"as it is", numbers, deleted)))


def pack_into(
    store: Store,
    git: Git,
    differences: Sequence[Difference],
    screen: Callable[[bytes, Iterable[bytes]], Iterable[bytes]],
    count: Callable[[int], object] | None = None,
) -> Overlay:
    """Build a large overlay directly in the overlay folder, without holding it in memory. Raises OSError."""
    made: list[Overlay] = []

    def make(write: Callable[[bytes], object]) -> str:
        made.append(build_overlay(git.with_settings(*_SMALL_WINDOWS), differences, screen, write, count))
        return made[0].sha256

    data = write_into(store, make)
    return made[0].replace(data=data)


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
            file.flush()
            os.fsync(file.fileno())
        path = store.overlays + b"/" + sha256.encode() + b".tar.gz"
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    store.note_whole(path)
    return _mapped(path)


def notes_folder(store: Store) -> bytes:
    """Return the folder of the notes."""
    return store.directory + b"/trees"


def _note(store: Store, base_tree: ObjectId | None, snapshot_tree: ObjectId) -> bytes:
    base = b"none" if base_tree is None else base_tree.hex.encode()
    return notes_folder(store) + b"/" + base + b"-" + snapshot_tree.hex.encode()


def _mapped(path: bytes) -> bytes:
    """Return the contents of a file, which are read when they are used. Raises ValueError for an empty file.

    It is a view, which can be measured, cut, hashed and written as the bytes that it shows.
    """
    import mmap

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))  # type: ignore[return-value]
    finally:
        os.close(descriptor)
