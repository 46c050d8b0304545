"""Read a tree from git: its listing, and its files object by object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

from git_coderepo.errors import UnsafeTree
from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.limits import NAME_BYTES, Limits
from git_coderepo.git.objects import GITLINK, canonical_mode
from git_coderepo.git.process import Git, read_blobs
from git_coderepo.git.subtree import pathspecs

# Larger blobs are passed in pieces.
_WHOLE = 1 << 20


def tree_rows(git: Git, name: str, limits: Limits | None = None, scope: Sequence[bytes] = ()) -> list[bytes]:
    """Return the rows `MODE TYPE ID TAB PATH` (see git-ls-tree(1)) of a tree or commit, without directories.

    With a `scope`, only paths inside of it are listed. A few small objects can produce more paths than there is memory
    for, so rows are counted while they are read. Raises UnsafeTree, GitFailed.
    """
    most = (limits or Limits()).entries
    pieces: list[bytes] = []
    rows = size = 0
    with git.stream("ls-tree", "-r", "-t", "-z", "--full-tree", name, *pathspecs(scope)) as output:
        while piece := output.read(1 << 20):
            pieces.append(piece)
            rows += piece.count(0)
            size += len(piece)
            if rows > most:
                raise UnsafeTree(f"the tree has more than {most} entries")
            if size > 2 * NAME_BYTES:
                raise UnsafeTree("the names in the tree are too long")
    return [row for row in b"".join(pieces).split(b"\0") if row and not row.startswith(b"040000 ")]


def listed_tree(
    git: Git, name: str, limits: Limits | None = None, scope: tuple[bytes, ...] = ()
) -> tuple[list[tuple[bytes, int, str]], dict[bytes, bytes]]:
    """List a tree or commit: ((path, mode, hex id) of each file and link, raw commit id of each submodule by path).

    With a `scope`, only paths inside of it are listed. Raises GitFailed, and UnsafeTree for more entries than `limits`.
    """
    parted = (row.partition(b"\t") for row in tree_rows(git, name, limits, scope))
    rows = [(facts.split(b" "), path) for facts, _, path in parted]
    gitlinks = {path: bytes.fromhex(facts[2].decode()) for facts, path in rows if int(facts[0], 8) == GITLINK}
    files = [
        (path, canonical_mode(int(facts[0], 8)), facts[2].decode()) for facts, path in rows if path not in gitlinks
    ]
    return files, gitlinks


def blob_entries(git: Git, rows: list[tuple[bytes, int, str]]) -> Iterator[Entry]:
    """Yield the files and links of a listing, read object by object. Raises GitFailed."""
    for (path, mode, _), (_, size, source) in zip(rows, read_blobs(git, [id for _, _, id in rows]), strict=True):
        if size <= _WHOLE:
            yield Entry(path, mode, size, source.read(size))
            continue

        yield Entry(path, mode, size, partial(_pieces, source, size))


def _pieces(source: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the next `size` bytes of a file in pieces."""
    while size > 0 and (piece := source.read(min(size, _WHOLE))):
        size -= len(piece)
        yield piece
