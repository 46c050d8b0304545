"""Tar archives put together byte by byte, as no archiver makes them."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path

END = bytes(1024)


def header(
    name: bytes,
    *,
    size: int = 0,
    kind: bytes = b"0",
    mode: int = 0o644,
    link: bytes = b"",
    prefix: bytes = b"",
    magic: bytes = b"ustar\x0000",
    size_field: bytes | None = None,
    checksum: int | None = None,
) -> bytes:
    """One header block; the checksum is right unless another is given."""
    block = b"".join(
        [
            name.ljust(100, b"\0"),
            b"%07o\0" % mode,
            b"0000000\0" * 2,
            size_field if size_field is not None else b"%011o\0" % size,
            b"00000000000\0",
            b" " * 8,
            kind,
            link.ljust(100, b"\0"),
            magic,
            b"root".ljust(32, b"\0") * 2,
            b"0000000\0" * 2,
            prefix.ljust(155, b"\0"),
            bytes(12),
        ]
    )
    assert len(block) == 512, "a field is too long"
    total = sum(block) if checksum is None else checksum
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"", *, mode: int = 0o644, kind: bytes = b"0", prefix: bytes = b"") -> bytes:
    return header(name, size=len(data), mode=mode, kind=kind, prefix=prefix) + padded(data)


def link(name: bytes, target: bytes) -> bytes:
    return header(name, kind=b"2", mode=0o777, link=target)


def directory(name: bytes) -> bytes:
    return header(name, kind=b"5", mode=0o755)


def pax(records: Mapping[bytes, bytes], *, kind: bytes = b"x") -> bytes:
    """An extended header (`x`, or `g` for all that follows)."""
    return raw_pax(b"".join(record(key, value) for key, value in records.items()), kind=kind)


def raw_pax(data: bytes, *, kind: bytes = b"x") -> bytes:
    return header(b"pax_header", size=len(data), kind=kind) + padded(data)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    digits = len(str(length))
    while len(str(length + digits)) != digits:
        digits += 1
    return b"%d %b=%b\n" % (length + digits, key, value)


def archive(*members: bytes) -> bytes:
    return b"".join(members) + END


def gzipped(tar: bytes) -> bytes:
    return gzip.compress(tar, 1, mtime=0)


def zeros_gzipped(head: bytes, count: int) -> bytes:
    """gzip of `head` and then `count` NULs, made without ever holding them."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    pieces = [deflater.compress(piece) for piece in (head, *[block] * (count >> 20), bytes(count % (1 << 20)))]
    return b"".join([*pieces, deflater.flush()])


def everything_below(directory: Path) -> dict[str, tuple[object, ...]]:
    """Every path below a directory with type, mode and contents: what must not have changed."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(directory):
        for name in folders + files:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            mode = facts.st_mode
            content: object = None
            if stat.S_ISLNK(mode):
                content = os.readlink(path)
            elif stat.S_ISREG(mode) and facts.st_size > 1 << 30:
                content = facts.st_size  # what holds no more than holes
            elif stat.S_ISREG(mode):
                with open(path, "rb") as stream:
                    content = stream.read()
            found[os.path.relpath(path, directory)] = (mode, content)
    return found
