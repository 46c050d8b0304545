"""Archives as the platforms make them, with `git archive`, and as they should never be."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.forge.http import PIECE

Rewrite = Callable[[bytes], bytes]


def archive(
    bare: Path, env: dict[str, str], commit: str, prefix: str, path: str | None = None
) -> Iterator[bytes] | None:
    """`git archive --format=tar.gz` of a commit, as it is made; None where git makes none (no such path)."""
    limit = ["--", path] if path is not None else []
    command = ["git", "archive", "--format=tar.gz", f"--prefix={prefix}/", commit, *limit]
    process = subprocess.Popen(command, cwd=bare, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    pieces = _output(process)
    first = next(pieces, b"")
    if not first:
        return None
    return _chain(first, pieces)


def _output(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    assert process.stdout is not None
    try:
        while piece := process.stdout.read(PIECE):
            yield piece
    finally:
        process.stdout.close()
        process.kill()
        process.wait()


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield first
        yield from rest
    finally:
        rest.close()  # type: ignore[attr-defined]


def rewritten(data: bytes, rewrite: Rewrite) -> bytes:
    """The tar.gz with its tar replaced; its gzip checksums are right again."""
    return gzip.compress(rewrite(gzip.decompress(data)), compresslevel=1, mtime=0)


def with_lfs_contents(tar: bytes, given: Mapping[bytes, bytes], *, but: str | None = None) -> bytes:
    """What GitLab, and GitHub where it is set so, make of an archive: LFS's contents in the place of pointers.

    `given` are contents by pointer; a file whose name ends with `but` stays as it is.
    """
    made = io.BytesIO()
    options: Any = {"errors": "surrogateescape", "format": tarfile.PAX_FORMAT}
    with (
        tarfile.open(fileobj=io.BytesIO(tar), **options) as old,
        tarfile.open(fileobj=made, mode="w", pax_headers=old.pax_headers, **options) as new,
    ):
        for member in old:
            file = old.extractfile(member) if member.isreg() else None
            data = file.read() if file is not None else b""
            if but is None or not member.name.endswith(but):
                data = given.get(data, data)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return made.getvalue()


def flipped(tar: bytes, name: str | None = None) -> bytes:
    """The tar with one bit of one file's content turned: of `name` (without the top directory), or of the first."""
    for member in members(tar):
        if member.isreg() and member.size and (name is None or member.name.partition("/")[2] == name):
            position = member.offset_data + member.size // 2
            return tar[:position] + bytes([tar[position] ^ 1]) + tar[position + 1 :]
    raise AssertionError(f"no file with content to change in the archive: {name}")


def without(tar: bytes, name: str | None = None) -> bytes:
    """The tar without one file: `name` (without the top directory), or the last one."""
    found = [member for member in members(tar) if member.isreg()]
    if name is not None:
        found = [member for member in found if member.name.partition("/")[2] == name]
    assert found, f"no such file in the archive: {name}"
    last = found[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    return tar[: last.offset] + tar[end:]


def members(tar: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", errors="surrogateescape") as opened:
        return opened.getmembers()
