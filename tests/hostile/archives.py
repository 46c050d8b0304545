"""Archives that a platform, or somebody on the way, may send: what honest ones hold, and then what is tried.

Each maker gets the honest archive of the files that are wanted, so that nothing but what it tries speaks against it.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.raw_tar import END, archive, directory, file, gzipped, header, link, padded, pax, raw_pax, record

GROUP = "An archive"
COMMIT = "12" * 20


@dataclass(frozen=True)
class Honest:
    """An archive as the platform makes it: all its members stand below `top`; `tar` is without its end blocks."""

    top: bytes
    members: tuple[bytes, ...]

    @property
    def tar(self) -> bytes:
        return b"".join(self.members)

    def and_then(self, *members: bytes) -> bytes:
        """The gzip with these members behind the honest ones."""
        return gzipped(archive(self.tar, *members))

    def but_first(self, *members: bytes) -> bytes:
        """The gzip with these members before the honest ones."""
        return gzipped(archive(*members, self.tar))


def honest(top: bytes, files: Mapping[bytes, bytes]) -> Honest:
    """What `git archive --prefix=TOP` makes of these files; those whose name ends in `.sh` are executable."""
    members = [pax({b"comment": COMMIT.encode()}, kind=b"g"), directory(top)]
    for path, contents in sorted(files.items()):
        members.append(file(top + path, contents, mode=0o775 if path.endswith(b".sh") else 0o664))
    return Honest(top, tuple(members))


# --- members behind the honest ones ---------------------------------------------------------------

Members = Callable[[bytes], Iterable[bytes]]


def _base256(number: int) -> bytes:
    return (number & ((1 << 96) - 1) | 1 << 95).to_bytes(12, "big")


def _checksum_of_signed_bytes(block: bytes) -> bytes:
    """The header with the sum that old tars made of bytes with a sign."""
    block = block[:148] + b" " * 8 + block[156:]
    total = sum(byte - 256 if byte > 127 else byte for byte in block)
    return block[:148] + b"%06o\0 " % total + block[156:]


def _gnu_long(kind: bytes, text: bytes) -> bytes:
    return header(b"././@LongLink", kind=kind, size=len(text)) + padded(text)


def _old_sparse(name: bytes) -> bytes:
    """GNU's old format: a map of (offset, bytes) in the header, the real size behind it; 8 TiB with one byte in it."""
    block = bytearray(header(name, kind=b"S", size=512, magic=b"ustar  \0"))
    block[386:398], block[398:410] = b"%011o\0" % (8 << 40), b"%011o\0" % 512
    block[483:495] = _base256((8 << 40) + 512)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + padded(b"x")


SPARSE_1_0 = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"8796093022720"}
SPARSE_0_0 = {
    b"GNU.sparse.size": b"8796093022720",
    b"GNU.sparse.numblocks": b"1",
    b"GNU.sparse.offset": b"8796093022208",
}
SPARSE_0_1 = {b"GNU.sparse.size": b"8796093022720", b"GNU.sparse.map": b"8796093022208,512", b"GNU.sparse.name": b"x"}

MEMBERS: dict[str, Members] = {
    # paths
    "traversal": lambda t: [file(t + b"../../outside/evil", b"evil")],
    "traversal out of the top directory": lambda t: [file(t + b"../evil", b"evil")],
    "traversal in the middle": lambda t: [file(t + b"a/../../../outside/evil", b"evil")],
    "traversal as a directory": lambda t: [directory(t + b"../evil/")],
    "a link that traverses in its name": lambda t: [link(t + b"../evil", b"/etc")],
    "absolute path": lambda t: [file(b"/tmp/evil", b"evil")],
    "absolute path below the top directory": lambda t: [file(t + b"/tmp/evil", b"evil")],
    "absolute path by ustar's prefix": lambda t: [file(b"evil", b"evil", prefix=b"/tmp")],
    "a dot in the path": lambda t: [file(t + b"./evil", b"evil")],
    "an empty part in the path": lambda t: [file(t + b"a//evil", b"evil")],
    "a file named as a directory": lambda t: [file(t + b"a/", b"evil")],
    "empty name": lambda t: [file(b"", b"evil")],
    "a name of slashes": lambda t: [file(b"////", b"evil")],
    "a directory of slashes": lambda t: [directory(b"//")],
    "NUL in a name": lambda t: [pax({b"path": t + b"a\0b"}), file(b"a", b"evil")],
    "NUL in a name of the header": lambda t: [file(t + b"a\0/../../evil", b"evil")],
    "a path of 20,000 bytes": lambda t: [pax({b"path": t + b"d/" * 10_000 + b"f"}), file(b"f", b"evil")],
    "a name of 4,000 bytes": lambda t: [pax({b"path": t + b"n" * 4000}), file(b"f", b"evil")],
    "a path that steers the terminal": lambda t: [file(t + b"../\x1b[2J\x1b]0;owned\x07\r\n", b"evil")],
    "a path with the mark of right to left": lambda t: [file(t + "../\u202etxt.live".encode(), b"evil")],
    "a path that is not UTF-8": lambda t: [file(t + b"../\xff\xfe", b"evil")],
    "a drive of Windows": lambda t: [file(b"C:\\evil", b"evil")],
    # .git
    ".git": lambda t: [file(t + b".git/hooks/post-checkout", b"#!/bin/sh\n", mode=0o775)],
    ".git as a file": lambda t: [file(t + b".git", b"gitdir: /tmp/evil\n")],
    ".git as a link": lambda t: [link(t + b".git", b"/tmp/evil")],
    ".git as a directory": lambda t: [directory(t + b".git/")],
    ".git in a folder": lambda t: [file(t + b"docs/.git/config", b"evil")],
    ".GIT": lambda t: [file(t + b".GIT/config", b"evil")],
    "git~1": lambda t: [file(t + b"git~1/config", b"evil")],
    "GIT~1": lambda t: [file(t + b"GIT~1/config", b"evil")],
    ".g\\u200cit": lambda t: [file(t + ".g\u200cit/config".encode(), b"evil")],
    ".git and a BOM": lambda t: [file(t + ".git\ufeff/config".encode(), b"evil")],
    ".git and a space": lambda t: [file(t + b".git /config", b"evil")],
    ".git and a dot": lambda t: [file(t + b".git./config", b"evil")],
    ".git and dots and spaces": lambda t: [file(t + b".git . . /config", b"evil")],
    ".git::$INDEX_ALLOCATION": lambda t: [file(t + b".git::$INDEX_ALLOCATION/config", b"evil")],
    ".git behind a backslash": lambda t: [file(t + b"docs\\.git\\config", b"evil")],
    ".git as the top directory": lambda t: [file(b".git/config", b"evil")],
    ".gitmodules as a link": lambda t: [link(t + b".gitmodules", b"docs/x")],
    ".gitmodules as a link by its short name": lambda t: [link(t + b"GITMOD~1", b"docs/x")],
    ".gitmodules as a link by its hashed name": lambda t: [link(t + b"GI7EBA~1", b"docs/x")],
    # kinds
    "hard link to the outside": lambda t: [header(t + b"evil", kind=b"1", link=b"/etc/passwd")],
    "hard link inside": lambda t: [header(t + b"evil", kind=b"1", link=t + b"train.py")],
    "hard link with contents": lambda t: [
        header(t + b"evil", kind=b"1", link=t + b"train.py", size=4) + padded(b"evil")
    ],
    "character device": lambda t: [header(t + b"null", kind=b"3", mode=0o666)],
    "block device": lambda t: [header(t + b"sda", kind=b"4", mode=0o666)],
    "FIFO": lambda t: [header(t + b"pipe", kind=b"6", mode=0o666)],
    "contiguous file": lambda t: [file(t + b"evil", b"evil", kind=b"7")],
    "Solaris's access list": lambda t: [file(t + b"evil", b"evil", kind=b"A")],
    "GNU's dump of a directory": lambda t: [file(t + b"evil", b"Ya\0\0", kind=b"D")],
    "another volume's continuation": lambda t: [file(t + b"evil", b"evil", kind=b"M")],
    "a volume's label": lambda t: [header(b"evil", kind=b"V")],
    "an unknown type": lambda t: [file(t + b"evil", b"evil", kind=b"Z")],
    "a huge sparse file, old": lambda t: [_old_sparse(t + b"huge")],
    "a huge sparse file, 0.0": lambda t: [pax(SPARSE_0_0), file(t + b"huge", b"x")],
    "a huge sparse file, 0.1": lambda t: [pax(SPARSE_0_1), file(t + b"huge", b"x")],
    "a huge sparse file, 1.0": lambda t: [pax(SPARSE_1_0), file(t + b"huge", b"1\n8796093022208\n512\n")],
    "a sparse file for all": lambda t: [pax(SPARSE_1_0, kind=b"g"), file(t + b"huge", b"x")],
    "a sparse file for all, in no text": lambda t: [
        pax({b"GNU.sparse.real\xe6ize": b"1"}, kind=b"g"),
        file(t + b"a", b"x"),
    ],
    # links
    "a link, then a file through it": lambda t: [link(t + b"a", b"../../outside"), file(t + b"a/evil", b"evil")],
    "a file, then a link in its folder's place": lambda t: [file(t + b"a/x", b"1"), link(t + b"a", b"../../outside")],
    "a chain of links, then a file through it": lambda t: [
        link(t + b"a", b"b"),
        link(t + b"b", b"../../outside"),
        file(t + b"a/evil", b"evil"),
    ],
    "'..' through a link": lambda t: [link(t + b"a", b"docs"), file(t + b"a/../../../outside/evil", b"evil")],
    "a link, then a directory in its place": lambda t: [
        link(t + b"a", b"../../outside"),
        directory(t + b"a/"),
        file(t + b"a/evil", b"evil"),
    ],
    "a link in the place of a folder": lambda t: [file(t + b"a/b/c", b"1"), link(t + b"a/b", b"../../../outside")],
    "a link in the place of the top directory": lambda t: [link(t.rstrip(b"/"), b"/tmp"), file(t + b"evil", b"evil")],
    "a link without a target": lambda t: [link(t + b"a", b"")],
    "a link to a target with NUL": lambda t: [pax({b"linkpath": b"a\0b"}), link(t + b"a", b"")],
    "a link to a target of 5,000 bytes": lambda t: [_gnu_long(b"K", b"x" * 5000 + b"\0"), link(t + b"a", b"")],
    "a link with contents": lambda t: [header(t + b"a", kind=b"2", link=b"b", size=4) + padded(b"evil")],
    "a link to an absolute target": lambda t: [link(t + b"a", b"/etc/passwd")],
    "a link to itself": lambda t: [link(t + b"a", b"a")],
    "links that lead through one another": lambda t: [
        link(t + b"l%03d" % number, b"l%03d/" % (number + 1) * 10) for number in range(600)
    ],
    # the same place twice
    "duplicate entry": lambda t: [file(t + b"train.py", b"import evil\n")],
    "a duplicate that is a link": lambda t: [link(t + b"train.py", b"/tmp/evil.py")],
    "a duplicate of a link": lambda t: [link(t + b"a", b"../../outside/x"), file(t + b"a", b"evil")],
    "file over directory": lambda t: [file(t + b"docs", b"evil")],
    "file over an empty directory": lambda t: [directory(t + b"a/"), file(t + b"a", b"evil")],
    "directory over file": lambda t: [file(t + b"train.py/evil", b"evil")],
    "an empty directory over a file": lambda t: [directory(t + b"train.py/")],
    # where the top directory should be
    "two top folders": lambda t: [file(b"other/evil", b"evil")],
    "no top folder": lambda t: [file(b"evil", b"evil")],
    "a top folder with a longer name": lambda t: [file(t.rstrip(b"/") + b"-evil/evil", b"evil")],
    "the top folder as a file": lambda t: [file(t.rstrip(b"/"), b"evil")],
    # extended headers
    "a pax path that traverses": lambda t: [pax({b"path": b"../outside/evil"}), file(t + b"harmless", b"evil")],
    "a pax path for all": lambda t: [pax({b"path": t + b"evil"}, kind=b"g"), file(t + b"b", b"1")],
    "a pax target for all": lambda t: [pax({b"linkpath": b"/etc"}, kind=b"g"), link(t + b"b", b"c")],
    "a pax size for all": lambda t: [pax({b"size": b"0"}, kind=b"g"), file(t + b"b", b"1")],
    "a pax size that hides an entry": lambda t: [
        pax({b"size": b"1536"}),
        header(t + b"a"),
        file(t + b"../../evil", b"evil"),
        bytes(512),
    ],
    "a pax size that shows what is hidden": lambda t: [
        pax({b"size": b"0"}),
        header(t + b"a", size=1024),
        file(t + b"../../evil", b"evil"),
    ],
    "a negative pax size": lambda t: [pax({b"size": b"-512"}), file(t + b"a", b"1")],
    "a pax size of 20 digits": lambda t: [pax({b"size": b"9" * 20}), header(t + b"a")],
    "a pax size of 1,000 digits": lambda t: [pax({b"size": b"9" * 1000}), header(t + b"a")],
    "a pax size with zeros before it": lambda t: [pax({b"size": b"0" * 300 + b"1"}), file(t + b"a", b"1")],
    "a pax size in other digits": lambda t: [pax({b"size": "٣".encode()}), file(t + b"a", b"1")],
    "a pax size with an underscore": lambda t: [pax({b"size": b"1_0"}), file(t + b"a", b"1")],
    "a pax size of a link": lambda t: [pax({b"size": b"512"}), link(t + b"a", b"b"), bytes(512)],
    "an empty pax path": lambda t: [pax({b"path": b""}), file(t + b"a", b"1")],
    "a pax record too long": lambda t: [raw_pax(b"99 path=a\n"), file(t + b"a", b"1")],
    "a pax record too short": lambda t: [raw_pax(b"5 path=a\n"), file(t + b"a", b"1")],
    "a pax record of length 0": lambda t: [raw_pax(b"0 path=a\n"), file(t + b"a", b"1")],
    "a pax record of a negative length": lambda t: [raw_pax(b"-9 path=a\n"), file(t + b"a", b"1")],
    "a pax record of a huge length": lambda t: [raw_pax(b"9" * 400 + b" path=a\n"), file(t + b"a", b"1")],
    "a pax record without a length": lambda t: [raw_pax(b"path=a\n"), file(t + b"a", b"1")],
    "a pax record without a key": lambda t: [raw_pax(record(b"", b"x")), file(t + b"a", b"1")],
    "a pax record without a value": lambda t: [raw_pax(b"9 pathxx\n"), file(t + b"a", b"1")],
    "a pax record with another in it": lambda t: [
        pax({b"comment": b"x\n24 path=../outside/evil"}),
        file(t + b"a", b"1"),
    ],
    "an extended header of 1 GiB": lambda t: [header(b"x", kind=b"x", size=1 << 30)],
    "extended headers without an end": lambda t: [pax({b"comment": b"x"}, kind=b"g")] * 50 + [file(t + b"a", b"1")],
    "an extended header before the end": lambda t: [pax({b"path": t + b"a"})],
    "GNU's long name that traverses": lambda t: [_gnu_long(b"L", b"../outside/evil\0"), file(t + b"a", b"evil")],
    "GNU's long name of 1 GiB": lambda t: [header(b"././@LongLink", kind=b"L", size=1 << 30)],
    "GNU's long name that is empty": lambda t: [_gnu_long(b"L", b"\0"), file(t + b"a", b"evil")],
    "GNU's long target with NUL": lambda t: [_gnu_long(b"K", b"a\0b\0"), link(t + b"a", b"c")],
    # numbers
    "wrong checksum": lambda t: [header(t + b"a", checksum=1)],
    "the checksum of bytes with a sign": lambda t: [_checksum_of_signed_bytes(header(t + b"caf\xe9\xe9\xe9"))],
    "a checksum that is no number": lambda t: [header(t + b"a")[:148] + b"zzzzzz\0 " + header(t + b"a")[156:]],
    "a size that is no number": lambda t: [header(t + b"a", size_field=b"0000000000x\0")],
    "a negative size": lambda t: [header(t + b"a", size_field=b"-0000000001\0")],
    "a size with a sign": lambda t: [header(t + b"a", size_field=b"+0000000001\0") + padded(b"x")],
    "a size with underscores": lambda t: [header(t + b"a", size_field=b"0000_0000_1\0") + padded(b"x")],
    "a size with an 8": lambda t: [header(t + b"a", size_field=b"00000000008\0")],
    "an empty size": lambda t: [header(t + b"a", size_field=bytes(12))],
    "a negative base-256 size": lambda t: [header(t + b"a", size_field=b"\xff" * 12)],
    "a huge base-256 size": lambda t: [header(t + b"a", size_field=b"\x80" + b"\xff" * 11)],
    "a file of 21 GiB": lambda t: [header(t + b"a", size_field=_base256(21 << 30))],
    "a file that reaches beyond the end": lambda t: [header(t + b"a", size=1 << 20), bytes(512)],
    "a mode that is no number": lambda t: [_with(header(t + b"a"), 100, b"rwxr-xr\0")],
    "a header without a magic": lambda t: [header(t + b"a", magic=bytes(8))],
}


def _with(block: bytes, at: int, field: bytes) -> bytes:
    """The header with another field and a right checksum."""
    changed = bytearray(block)
    changed[at : at + len(field)] = field
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed)
    return bytes(changed)


# --- what is done to the whole ----------------------------------------------------------------------


def _other_commit(h: Honest) -> bytes:
    """An archive that names another commit than was asked for, and has one more file."""
    return gzipped(archive(h.tar.replace(COMMIT.encode(), b"34" * 20), file(h.top + b"evil", b"evil")))


def _bomb(h: Honest) -> bytes:
    """42 kB that are 43 MB."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    size = 43 << 20
    pieces = [deflater.compress(h.tar + header(h.top + b"bomb", size=size))]
    pieces += [deflater.compress(bytes(1 << 20)) for _ in range(43)]
    return b"".join([*pieces, deflater.compress(END), deflater.flush()])


def _deep(levels: int) -> Callable[[Honest], bytes]:
    return lambda h: h.and_then(pax({b"path": h.top + b"d/" * levels + b"f"}), file(b"f", b"x"))


def _deeper_and_deeper(h: Honest) -> bytes:
    """2,500 levels, each an entry of its own that is one level below the one before it."""

    def members() -> Iterable[bytes]:
        for level in range(1, 2501):
            path = h.top + b"d/" * level
            if len(path) > 100:
                yield pax({b"path": path})
            yield directory(path[:100])

    return h.and_then(*members())


def _many(kind: str, count: int) -> Callable[[Honest], bytes]:
    """So many entries of a kind, made and packed piece by piece."""

    def make(h: Honest) -> bytes:
        deflater = zlib.compressobj(1, zlib.DEFLATED, 31)
        pieces = [deflater.compress(h.tar)]
        one = directory(h.top)
        for start in range(0, count, 1000):
            if kind == "same":
                block = one * 1000
            else:
                block = b"".join(directory(h.top + b"d%07d/" % number) for number in range(start, start + 1000))
            pieces.append(deflater.compress(block))
        return b"".join([*pieces, deflater.compress(END), deflater.flush()])

    return make


def _long_names(h: Honest) -> bytes:
    """Directories in directories: few bytes here, and hundreds of megabytes of paths."""
    return h.and_then(
        *(
            piece
            for number in range(80)
            for piece in (pax({b"path": h.top + b"x%02d/" % number + b"y/" * 2000}), directory(b"y/"))
        )
    )


def _long_targets(h: Honest) -> bytes:
    """Symbolic links whose targets together are 40 MB."""
    target = pax({b"linkpath": b"t" * 1_000_000})
    return h.and_then(*(piece for number in range(40) for piece in (target, link(h.top + b"l%03d" % number, b""))))


def _zip(h: Honest) -> bytes:
    import zipfile

    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as packed:
        packed.writestr("../../evil", "evil")
    return memory.getvalue()


def _xz(h: Honest) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:xz") as tar:
        tar.addfile(tarfile.TarInfo("../../evil"))
    return memory.getvalue()


WHOLE: dict[str, Callable[[Honest], bytes]] = {
    "nothing at all": lambda h: b"",
    "a tar that is cut off in its first header": lambda h: gzipped(h.tar[:300]),
    "a tar that is cut off after a header": lambda h: gzipped(h.tar + header(h.top + b"a", size=10)),
    "a tar without its end": lambda h: gzipped(h.tar),
    "a tar with half of its end": lambda h: gzipped(h.tar + bytes(512)),
    "an end block in the middle": lambda h: h.and_then(bytes(512), file(h.top + b"evil", b"evil")),
    "an archive behind the end": lambda h: gzipped(archive(h.tar) + archive(file(h.top + b"../evil", b"evil"))),
    "gzip that is cut off": lambda h: h.and_then()[:-20],
    "gzip that is cut off in its checksum": lambda h: h.and_then()[:-1],
    "gzip with a wrong checksum": lambda h: h.and_then()[:-8] + b"\1\2\3\4" + h.and_then()[-4:],
    "gzip with a wrong length": lambda h: h.and_then()[:-4] + b"\1\2\3\4",
    "gzip with garbage behind it": lambda h: h.and_then() + b"garbage",
    "gzip with NULs behind it": lambda h: h.and_then() + bytes(1000),
    "gzip with another archive behind it": lambda h: h.and_then() + gzipped(archive(file(h.top + b"../evil", b"evil"))),
    "gzip members, the second one hostile": lambda h: (
        gzipped(h.tar) + gzipped(archive(file(h.top + b"../evil", b"evil")))
    ),
    "10,000 gzip members": lambda h: gzipped(b"") * 10_000 + h.and_then(),
    "gzip in gzip": lambda h: gzip.compress(h.and_then()),
    "gzip of nothing": lambda h: gzipped(b""),
    "a gzip header with a name without an end": lambda h: b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"n" * 100_000,
    "gzip by a method that there is not": lambda h: b"\x1f\x8b\x09" + h.and_then()[3:],
    "gzip of a web page": lambda h: gzipped(b"<!DOCTYPE html><title>Sign in</title>" + b" " * 2000),
    "zip": _zip,
    "xz": _xz,
    "the archive of another commit": _other_commit,
    "a file less": lambda h: gzipped(archive(*h.members[:-1])),
    "a file more": lambda h: h.and_then(file(h.top + b"evil.py", b"import os\n")),
    "a file before the others": lambda h: h.but_first(file(h.top + b"sitecustomize.py", b"import os\n")),
    "setuid and writable by all": lambda h: h.and_then(file(h.top + b"evil", b"#!/bin/sh\n", mode=0o6777)),
    "another top folder, from the first": lambda h: h.but_first(file(b"../evil", b"evil")),
    "no top folder, from the first": lambda h: h.but_first(file(b"evil", b"evil")),
    "a top folder named '..'": lambda h: gzipped(archive(directory(b"../"), file(b"../evil", b"evil"))),
    "a top folder named '.git'": lambda h: gzipped(archive(directory(b".git/"), file(b".git/config", b"evil"))),
}
# Small on the wire, or when they are made, and large when they are read.
HEAVY: dict[str, Callable[[Honest], bytes]] = {
    "a bomb of 42 kB": _bomb,
    "a path of 5,000 levels": _deep(5_000),
    "a path of 100,000 levels": _deep(100_000),
    "2,500 levels, one by one": _deeper_and_deeper,
    "paths of hundreds of megabytes": _long_names,
    "targets of 40 MB": _long_targets,
}
# These take the better part of a minute: their entries must be read to be counted.
LONG: dict[str, Callable[[Honest], bytes]] = {
    "a million entries, all the same": _many("same", 1_001_000),
    "a million directories": _many("different", 1_001_000),
}


def _maker(members: Members) -> Callable[[Honest], bytes]:
    return lambda h: h.and_then(*members(h.top))


ARCHIVES: dict[str, Callable[[Honest], bytes]] = {
    **{name: _maker(members) for name, members in MEMBERS.items()},
    **WHOLE,
    **HEAVY,
    **LONG,
}
