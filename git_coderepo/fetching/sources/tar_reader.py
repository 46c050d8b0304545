"""A strict streaming reader of tar archives, gzip'd or plain, as `git archive` and the platforms make them.

Format: POSIX.1-2017 `pax` (the ustar header, the extended headers `x` and `g`), the GNU long names `L` and `K` and
base-256 sizes (`Basic Tar Format` in the GNU tar manual); gzip: RFC 1952. It accepts files, directories and
symbolic links and refuses everything else: hard links, devices, sparse files, archives without their end.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import Protocol

from git_coderepo.errors import DownloadDamaged, UnsafeTree
from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.limits import EXTENDED_HEADER_BYTES, Limits
from git_coderepo.filesystem.paths import check_path, quoted
from git_coderepo.git.objects import DIRECTORY, EXECUTABLE, FILE, SYMLINK

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
# The fields that nearly every entry needs: path, mode, size, checksum, type, magic.
_HEADER = Struct("100s 8s 16x 12s 12x 8s c 100x 6s 249x")
_POSIX, _GNU = b"ustar\0", b"ustar "
# The bytes read at once: few at first, so that writing starts early, then more, since two threads that hand over often
# wait more than they work. And the most bytes that one step inflates.
_READ_FIRST = 1 << 15
_READ = 1 << 18
_INFLATE = 1 << 20
# Contents up to this size are passed in one piece.
_IN_ONE_PIECE = 1 << 20
# No archiver writes as many gzip members or extended headers in a row; each takes time without adding a file.
_MOST_MEMBERS = 4096
_MOST_EXTENDED = 8

_REFUSED = {
    b"1": "a hard link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"7": "a contiguous file",
    b"S": "a sparse file",
}


class Readable(Protocol):
    """A stream whose `read` returns up to `size` of the next bytes, and none at its end."""

    def read(self, size: int, /) -> bytes: ...


class Digest(Protocol):
    """A hash object that receives every byte of the tar."""

    def update(self, data: bytes, /) -> object: ...


def entries(stream: Readable, *, top_directory: bool, limits: Limits | None = None) -> TarReader:
    """Return the entries of an archive in its order; see TarReader."""
    return TarReader(stream, top_directory=top_directory, limits=limits)


class TarReader(Iterator[Entry]):
    """Read an archive from `stream` (only `read(n)` is called) once, in bounded memory; `ahead` may do so in a thread.

    With `top_directory`, all paths are below one directory, which is removed from them. `comment` is the global pax
    comment, in which `git archive` writes the commit id; it is set once the first entry was read, None without one.
    Paths are raw and checked by `check_path`; modes are 0o100755 for files that the owner may execute, else 0o100644.

    Raises UnsafeTree for what rule 3 (docs/design/safety.md) refuses and for what exceeds `limits`,
    DownloadDamaged for bytes that are not such an archive, and whatever `stream` raises. After the last entry the
    archive is known to be whole: its end blocks were there, the checksum of gzip was right, and nothing followed.
    """

    def __init__(
        self,
        stream: Readable,
        *,
        top_directory: bool,
        limits: Limits | None = None,
        digest: Digest | None = None,
        ahead: Callable[[Iterator[bytes]], Iterator[bytes]] = iter,
    ) -> None:
        self.comment: bytes | None = None
        self._limits = limits or Limits()
        self._strips = top_directory
        self._top = b""
        self._count = 0
        self._blocks = ahead(_inflated(stream, self._limits.bytes, digest))
        self._buffer = b""
        self._position = 0
        # Contents and padding of the current entry that were not read yet.
        self._contents_left = 0
        self._padding_left = 0

    def __next__(self) -> Entry:
        while True:
            if self._contents_left or self._padding_left:
                self._skip()
            entry = self._next()
            if entry is not None:
                return entry

    def _next(self) -> Entry | None:
        """Return the next entry, None for the top directory. Raises StopIteration."""
        attributes: dict[bytes, bytes] | None = None
        extended = 0
        while True:
            header = self._take(_BLOCK)
            if header == _ZEROS:
                if extended and attributes is not None:
                    raise DownloadDamaged("the archive ends after a header that announces an entry")
                self._finish()
                raise StopIteration
            path, mode, kind, size = _checked(header)
            if kind not in b"xgLK":
                return self._entry(header, path, mode, kind, size, attributes)
            extended += 1
            if extended > _MOST_EXTENDED or size > EXTENDED_HEADER_BYTES:
                raise UnsafeTree("the archive has too many or too large extended headers")
            data = self._take(size)
            self._take(-size % _BLOCK)
            if kind == b"g":
                self._take_global(_records(data))
                continue
            if attributes is None:
                attributes = {}
            if kind == b"x":
                attributes.update(_records(data))
            else:
                attributes[b"path" if kind == b"L" else b"linkpath"] = data.rstrip(b"\0")

    def _entry(
        self, header: bytes, path: bytes, mode: bytes, kind: bytes, size: int, attributes: dict[bytes, bytes] | None
    ) -> Entry | None:
        target = None
        # GNU's older format has other fields where POSIX has the beginning of a long path.
        if header[345] and header[257:263] == _POSIX:
            path = header[345:500].rstrip(b"\0") + b"/" + path
        if attributes is not None:
            path, target = attributes.get(b"path", path), attributes.get(b"linkpath")
            stated = attributes.get(b"size")
            if stated is not None:
                size = _decimal(stated)
            if any(key.startswith(b"GNU.sparse") for key in attributes):
                kind = b"S"
        self._count += 1
        if self._count > self._limits.entries:
            raise UnsafeTree(f"the archive has more than {self._limits.entries} entries")

        if kind in b"0\0":
            path = self._below_top(path, is_directory=False)
            check_path(path)
            return Entry(path, EXECUTABLE if _mode(mode) & 0o100 else FILE, size, self._contents(size))
        if kind not in b"25":
            what = _REFUSED.get(kind) or f"an entry of the unknown type {quoted(kind)}"
            raise UnsafeTree(f"{quoted(path)} is {what} in the archive")
        if size:
            raise DownloadDamaged(f"{quoted(path)} in the archive is not a file but has contents")
        if kind == b"5":
            path = self._below_top(path[:-1] if path.endswith(b"/") else path, is_directory=True)
            if not path:  # the top directory itself
                return None
            check_path(path)
            return Entry(path, DIRECTORY, 0, b"")
        path = self._below_top(path, is_directory=False)
        check_path(path, is_link=True)
        if target is None:
            target = header[157:257].rstrip(b"\0")
        return Entry(path, SYMLINK, len(target), target)

    def _below_top(self, path: bytes, *, is_directory: bool) -> bytes:
        if not self._strips:
            return path
        top = self._top
        if not top:
            first, slash, _ = path.partition(b"/")
            if not slash and not is_directory:
                raise UnsafeTree(f"{quoted(path)} in the archive is not below a top directory")
            check_path(first)
            top = self._top = first + b"/"
        if path.startswith(top):
            return path[len(top) :]
        if is_directory and path == top[:-1]:
            return b""
        raise UnsafeTree(f"{quoted(path)} in the archive is not below its top directory {quoted(top)}")

    def _take_global(self, records: dict[bytes, bytes]) -> None:
        for key, value in records.items():
            if key == b"comment":
                self.comment = value
            elif key in (b"path", b"linkpath", b"size") or key.startswith(b"GNU.sparse"):
                raise UnsafeTree(f"the archive gives all its entries one {quoted(key)}")

    # --- bytes -----------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        """Return the next `size` bytes in one piece."""
        buffer, start = self._buffer, self._position
        end = start + size
        if end <= len(buffer):
            self._position = end
            return buffer[start:end]
        pieces = [buffer[start:]]
        end -= len(buffer)
        while True:
            self._buffer = block = self._more()
            if end <= len(block):
                break
            pieces.append(block)
            end -= len(block)
        self._position = end
        pieces.append(block[:end])
        return b"".join(pieces)

    def _more(self) -> bytes:
        for block in self._blocks:
            return block
        raise DownloadDamaged("the archive is cut off")

    def _contents(self, size: int) -> bytes | Callable[[], Iterator[bytes]]:
        if size <= _IN_ONE_PIECE:
            contents = self._take(size)
            self._padding_left = -size % _BLOCK
            return contents
        if size > self._limits.bytes:
            raise UnsafeTree(f"the archive unpacks to more than {self._limits.bytes} bytes")
        self._contents_left = size
        self._padding_left = -size % _BLOCK
        number = self._count

        def pieces() -> Iterator[bytes]:
            while self._count == number:
                if not self._contents_left:
                    return
                yield self._piece()
            raise RuntimeError("the contents of an entry are read before the next entry is asked for")

        return pieces

    def _piece(self) -> bytes:
        start = self._position
        if start == len(self._buffer):
            self._buffer, start = self._more(), 0
        end = min(len(self._buffer), start + self._contents_left)
        piece = self._buffer[start:end]
        self._position = end
        self._contents_left -= len(piece)
        return piece

    def _skip(self) -> None:
        while self._contents_left:
            self._piece()
        end = self._position + self._padding_left
        if end <= len(self._buffer):
            self._position = end
        else:
            self._take(self._padding_left)
        self._padding_left = 0

    def _finish(self) -> None:
        if self._take(_BLOCK) != _ZEROS:
            raise DownloadDamaged("the archive has data after its end")
        rest = self._buffer[self._position :]
        self._buffer, self._position = b"", 0
        for block in chain((rest,), self._blocks):
            if block.count(0) != len(block):
                raise DownloadDamaged("the archive has data after its end")


def _inflated(stream: Readable, most: int, digest: Digest | None) -> Iterator[bytes]:
    """Yield the contents of `stream` in small pieces, inflated if it is gzip'd; `digest` receives all of them."""
    total = 0
    for block in _pieces(stream):
        total += len(block)
        if total > most:
            raise UnsafeTree(f"the archive unpacks to more than {most} bytes")
        if digest is not None:
            digest.update(block)
        yield block


def _pieces(stream: Readable) -> Iterator[bytes]:
    size = _READ_FIRST
    data = stream.read(size)
    while len(data) < 2:
        more = stream.read(size)
        if not more:
            raise DownloadDamaged("the archive is cut off" if data else "the archive is empty")
        data += more
    if data[:2] != b"\x1f\x8b":
        while data:
            yield data
            size = min(2 * size, _READ)
            data = stream.read(size)
        return
    members = 1
    inflater = zlib.decompressobj(wbits=31)
    while True:
        try:
            block = inflater.decompress(data, _INFLATE)
        except zlib.error as error:
            reason = str(error).rpartition(": ")[2]  # of "Error -3 while decompressing data: incorrect data check"
            raise DownloadDamaged(f"the archive is damaged: {reason}") from None
        if block:
            yield block
        if inflater.eof:
            data = inflater.unused_data or stream.read(size)
            if not data:
                return
            members += 1
            if members > _MOST_MEMBERS:
                raise UnsafeTree("the archive has too many gzip members")
            inflater = zlib.decompressobj(wbits=31)
            continue
        data = inflater.unconsumed_tail
        if not data and len(block) < _INFLATE:
            size = min(2 * size, _READ)
            data = stream.read(size)
            if not data:
                raise DownloadDamaged("the archive is cut off")


def _checked(header: bytes) -> tuple[bytes, bytes, bytes, int]:
    """Return (path, mode, type, size) of a header block after checking its magic and checksum."""
    path, mode, length, checksum, kind, magic = _HEADER.unpack(header)
    if magic not in (_POSIX, _GNU):
        raise DownloadDamaged("malformed archive: not a tar archive")
    # The sum of the bytes, the checksum's own field counted as spaces. adler32 gives a sum at C's speed,
    # modulo 65521, which 512 bytes of ASCII do not reach.
    total = (zlib.adler32(header) & 0xFFFF) - 1 if header.isascii() else sum(header)
    if _octal(checksum) != total - sum(checksum) + 256:
        raise DownloadDamaged("malformed archive: wrong checksum in a tar header")
    size = int.from_bytes(length[1:], "big") if length[0] == 0x80 else _octal(length)
    return path.rstrip(b"\0"), mode, kind, size


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits.isdigit():
        raise DownloadDamaged("malformed archive: invalid number in a tar header")
    try:
        return int(digits, 8)
    except ValueError:
        raise DownloadDamaged("malformed archive: invalid number in a tar header") from None


_mode = lru_cache(maxsize=64)(_octal)  # an archive has two or three modes


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 20:
        raise DownloadDamaged("malformed archive: invalid number in an extended header")
    return int(digits)


def _records(data: bytes) -> dict[bytes, bytes]:
    """Return the records `LENGTH KEY=VALUE` of a pax extended header, value by key."""
    records = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 21)
        end = position + _decimal(data[position:space]) if space > position else position
        if not position < space < end <= len(data) or data[end - 1] != 0x0A:
            raise DownloadDamaged("malformed archive: wrong length of a record in an extended header")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise DownloadDamaged("malformed archive: a record without a key in an extended header")
        records[key] = value
        position = end
    return records
