"""The overlay: what of the snapshot is not in the base's tree, as a gzip tar made from blobs by their ids.

The tar is a function of the two trees alone: rows in git's order, pax (POSIX.1-2001), raw bytes, time 0, uid 0.
https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
"""

from __future__ import annotations

import os

from git_coderepo.errors import GitFailed
from git_coderepo.git.objects import EXECUTABLE, SYMLINK
from git_coderepo.git.process import read_blobs
from git_coderepo.git.tree_diff import travelling

TYPE_CHECKING = False
if TYPE_CHECKING:
    import zlib
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from git_coderepo.git.lfs_pointer import Pointer
    from git_coderepo.git.process import Git
    from git_coderepo.git.tree_diff import Difference

_BLOCK = 512
_PIECE = 1 << 20
_WORTH_A_SAMPLE = 64 << 10
_SAMPLE = 8 << 10


class Overlay:
    """`data` is the gzip, `tar_sha256` of what is inside, `sha256` of `data`, both hex; `deleted` raw paths."""

    __slots__ = ("data", "deleted", "files", "sha256", "tar_sha256")

    def __init__(self, data: bytes, tar_sha256: str, sha256: str, files: int, deleted: list[bytes]) -> None:
        self.data = data
        self.tar_sha256 = tar_sha256
        self.sha256 = sha256
        self.files = files
        self.deleted = deleted


class LfsObjects:
    """The objects that travel: `data` is a gzip'd tar of them, named by oid and sorted; digests in hex.

    `pointers` says which they are. The tar is a function of these objects alone.
    """

    __slots__ = ("data", "pointers", "sha256", "tar_sha256")

    def __init__(self, data: bytes, tar_sha256: str, sha256: str, pointers: list[Pointer]) -> None:
        self.data = data
        self.tar_sha256 = tar_sha256
        self.sha256 = sha256
        self.pointers = pointers


def build_overlay(
    git: Git,
    found: Sequence[Difference],
    screen: Callable[[bytes, Iterable[bytes]], Iterable[bytes]],
    write: Callable[[bytes], object] | None = None,
    count: Callable[[int], object] | None = None,
) -> Overlay:
    """Return the overlay of these differences; `screen` receives and returns each path's contents in pieces.

    With `write`, which takes the gzip in pieces, the overlay has no `data`. `count` receives the size of each piece.
    """
    sending = travelling(found)
    packer = Packer(len(sending), write)
    blobs = read_blobs(git, [difference.id for difference in sending])
    for difference, (_, size, source) in zip(sending, blobs, strict=True):
        pieces = screen(difference.path, _read(source, size, count, difference))
        if difference.mode == SYMLINK:
            packer.add_link(difference.path, b"".join(pieces))
        else:
            packer.add_pieces(difference.path, size, pieces, 0o755 if difference.mode == EXECUTABLE else 0o644)
    data, tar_sha256, sha256 = packer.finish()
    deleted = [difference.path for difference in found if difference.mode == 0]
    return Overlay(data, tar_sha256, sha256, len(sending), deleted)


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
    """A gzip'd tar in the making, of some `count` members; what is ready is kept, or handed to `write`.

    What does not get smaller is stored. A sample of each piece of a member says so, and the deflate stream then goes on
    with another compressor, at a byte's edge (`Z_SYNC_FLUSH` in zlib's manual): one stream and one gzip member (RFC
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
        # A header that holds no time and no name; 3: made on Unix.
        self._keep(b"\x1f\x8b\x08" + bytes(6) + b"\x03")

    def add_link(self, path: bytes, target: bytes) -> None:
        """A symbolic link."""
        self._put(b"".join(tar_header(path, 0, 0o777, link=target)))

    def add_pieces(self, path: bytes, size: int, pieces: Iterable[bytes | memoryview], mode: int) -> None:
        """A file of which these are the contents, `size` bytes together."""
        self._put(b"".join(tar_header(path, size, mode)))
        for piece in pieces:
            self._put(piece)
        self._put(bytes(-size % _BLOCK))

    def finish(self) -> tuple[bytes, str, str]:
        """(the gzip as far as it was kept, the sha256 of the tar inside, its own sha256), digests in hex; once."""
        self._put(bytes(2 * _BLOCK))
        self._keep(self._compressor.flush())
        self._keep(self._checksum.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"))
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
        self._keep(self._compressor.compress(piece))

    def _go_on_with(self, level: int) -> None:
        if level != self._level:
            import zlib

            self._keep(self._compressor.flush(zlib.Z_SYNC_FLUSH))
            self._level = level
            self._compressor = _deflate(level)

    def _keep(self, packed: bytes) -> None:
        if packed:
            self._digest.update(packed)
            self._write(packed)


def _deflate(level: int) -> zlib._Compress:
    import zlib

    return zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)


def _gets_smaller(piece: bytes | memoryview) -> bool:
    """Return whether samples of a piece get smaller by a twentieth; what is packed already, or random, does not."""
    import zlib

    step = (len(piece) - _SAMPLE) // 2
    samples = b"".join([piece[at : at + _SAMPLE] for at in (0, step, 2 * step)])
    return len(zlib.compress(samples, 1)) < len(samples) * 0.95


def tar_header(path: bytes, size: int, mode: int, *, link: bytes | None = None) -> Iterator[bytes]:
    """The header blocks of one member: a pax header first where the path, the link or the size does not fit."""
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
    """`LENGTH NAME=VALUE\\n`, where the length counts itself."""
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


def largest_folders(
    sizes: Iterable[tuple[bytes, int]], *, below: bytes = b"", count: int = 3
) -> list[tuple[bytes, int]]:
    """The folders (or files) in the folder `below` (b"" or ending in `/`) that weigh most: (path, bytes).

    A folder's path ends in `/`.
    """
    totals: dict[bytes, int] = {}
    for path, size in sizes:
        if path.startswith(below):
            first, slash, _ = path[len(below) :].partition(b"/")
            totals[below + first + slash] = totals.get(below + first + slash, 0) + size
    return sorted(totals.items(), key=lambda item: -item[1])[:count]


def disk_time(path: bytes) -> int:
    """When a file was last written, in nanoseconds since 1970, 0 where there is none."""
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return 0
