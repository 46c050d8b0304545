"""Archives: whatever the bytes, reader and writer end with an error of theirs, or write just what was listed."""

from __future__ import annotations

import atexit
import hashlib
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from functools import cache

from git_coderepo.errors import DownloadDamaged, TargetUnusable, UnsafeTree
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.sources.overlay_tar import read_overlay
from git_coderepo.fetching.sources.tar_reader import TarReader
from git_coderepo.fetching.writer import TreeWriter, WrittenTree
from git_coderepo.filesystem.paths import check_path
from git_coderepo.git.objects import EXECUTABLE, FILE, SYMLINK, blob_id
from tests.hostile.archives import MEMBERS, WHOLE, honest
from tests.raw_tar import archive, directory, everything_below, file, gzipped, link, pax

LIMITS = Limits(entries=200, bytes=1 << 20)
# What the first byte says.
_TOP, _REPAIRED, _PACKED, _OVERLAY = 1, 2, 4, 8
_LONGEST_SEED = 16 << 10


def one(data: bytes) -> None:
    """Write what the archive after the first byte holds below a directory that has a neighbour."""
    flags, tar = data[0] if data else 0, data[1:]
    if flags & _REPAIRED:
        tar = repaired(tar)
    if flags & _PACKED:
        tar = gzipped(tar)
    room = _room()
    target = os.path.join(room, b"target")
    os.mkdir(target)
    try:
        written = _written(target, tar, flags)
        if written is not None:
            _check(written, target)
    except (UnsafeTree, DownloadDamaged, TargetUnusable) as error:
        assert error.message.isprintable(), error.message
    finally:
        shutil.rmtree(target)
    assert everything_below(os.fsdecode(room)) == _NEIGHBOUR, "something was written outside"  # type: ignore[arg-type]


def _written(target: bytes, tar: bytes, flags: int) -> WrittenTree | None:
    with TreeWriter(os.fsdecode(target), limits=LIMITS) as writer:
        if flags & _OVERLAY:
            plain = hashlib.sha256(tar).hexdigest()
            writer.apply_overlay(read_overlay(tar, tar_sha256=plain, sha256=plain, limits=LIMITS))
        else:
            for entry in TarReader(io.BytesIO(tar), top_directory=bool(flags & _TOP), limits=LIMITS):
                check_path(entry.path, is_link=entry.mode == SYMLINK)
                writer.add(entry)
        return writer.finish()


def _check(written: WrittenTree, target: bytes) -> None:
    """What stands there is what the listing says, byte for byte."""
    found: dict[bytes, tuple[int, bytes]] = {}
    for folder, folders, names in os.walk(target):
        for name in folders + names:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            relative = os.path.relpath(path, target)
            if stat.S_ISLNK(facts.st_mode):
                found[relative] = (SYMLINK, blob_id(os.readlink(path), "sha1"))
            elif stat.S_ISREG(facts.st_mode):
                assert not facts.st_mode & 0o7000, "setuid, setgid or sticky"
                mode = EXECUTABLE if facts.st_mode & 0o100 else FILE
                with open(path, "rb") as stream:
                    found[relative] = (mode, blob_id(stream.read(), "sha1"))
            else:
                assert stat.S_ISDIR(facts.st_mode), "neither a file, a link nor a directory"
    assert found == dict(written.entries)


def repaired(tar: bytes) -> bytes:
    """The tar with the right checksum in every block that looks like a header: no mutation finds it by itself."""
    blocks = bytearray(tar)
    for start in range(0, len(tar) - 511, 512):
        if blocks[start + 257 : start + 262] == b"ustar":
            blocks[start + 148 : start + 156] = b" " * 8
            blocks[start + 148 : start + 156] = b"%06o\0 " % sum(blocks[start : start + 512])
    return bytes(blocks)


_NEIGHBOUR = {"outside": (0o040755, None), "outside/file": (0o100644, b"precious")}


@cache
def _room() -> bytes:
    """A directory for this process, in memory where that is possible, with what nobody may touch."""
    memory = "/dev/shm"
    room = tempfile.mkdtemp(prefix="fuzz-tar-", dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    os.mkdir(os.path.join(room, "outside"))
    os.chmod(os.path.join(room, "outside"), 0o755)
    path = os.path.join(room, "outside", "file")
    with open(path, "wb") as stream:
        stream.write(b"precious")
    os.chmod(path, 0o644)
    return os.fsencode(room)


def seeds() -> Iterator[bytes]:
    """Honest archives in every reading, and the hostile ones that are small."""
    plain = archive(
        pax({b"comment": b"1" * 40}, kind=b"g"),
        directory(b"top/"),
        file(b"top/a.py", b"print(1)\n" * 40),
        pax({b"path": b"top/" + b"n" * 150, b"mtime": b"1.5"}),
        file(b"top/n", b"x" * 100, mode=0o755),
        link(b"top/link", b"a.py"),
        pax({b"linkpath": b"t" * 150}),
        link(b"top/long", b"t"),
    )
    overlay = archive(
        file(b"-rf", b"1"), link(b"latest", b"v2"), pax({b"path": b"\xff\n" + b"n" * 200}), file(b"x", b"2")
    )
    for flags in (_TOP, _TOP | _REPAIRED, _TOP | _REPAIRED | _PACKED, 0):
        yield bytes([flags]) + plain
    yield bytes([_TOP]) + gzipped(plain)
    yield bytes([_OVERLAY | _REPAIRED]) + overlay
    yield bytes([_OVERLAY | _PACKED]) + overlay
    h = honest(b"top/", {b"train.py": b"lr = 0.1\n", b"docs/x": b"1"})
    for members in MEMBERS.values():
        tar = archive(*h.members[2:4], *members(h.top))
        if len(tar) < _LONGEST_SEED:
            yield bytes([_TOP | _REPAIRED]) + tar
            yield bytes([_REPAIRED]) + archive(*members(b""))
    for make in WHOLE.values():
        data = make(h)
        if len(data) < _LONGEST_SEED:
            yield bytes([_TOP]) + data
