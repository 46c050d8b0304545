"""Read an overlay: the files of a snapshot that its base lacks, as a gzip'd tar that travels with the run.

The tar is pax, made from blobs by id: files of mode 0644 or 0755 and symbolic links by their raw paths from the root,
sorted; no directories, no submodules. The manifest has the digests of tar and gzip.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping

from git_coderepo.errors import DownloadDamaged, UnsafeTree
from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.sources.tar_reader import TarReader
from git_coderepo.filesystem.paths import check_path, quoted
from git_coderepo.git.objects import DIRECTORY, GITLINK, SYMLINK, ObjectId, TreeEntry, blob_hasher, tree_id

# The directories that any overlay may have, and how many more for each byte of its gzip. Real trees, even of empty
# files, take more than ten bytes for a directory.
_FREE_DIRECTORIES = 10_000
_DIRECTORIES_PER_BYTE = 1


class OverlayReader:
    """An overlay with the right digests: its `paths`, and on each iteration its entries."""

    def __init__(self, data: bytes, paths: tuple[bytes, ...], limits: Limits | None) -> None:
        self.paths = paths
        self._data = data
        self._limits = limits

    def __iter__(self) -> Iterator[Entry]:
        return TarReader(io.BytesIO(self._data), top_directory=False, limits=self._limits)

    def tree(self, gitlinks: Mapping[bytes, bytes], object_format: str) -> ObjectId:
        """Return the tree id of the overlay without a base, with submodules (raw commit id by path).

        Nothing is written to the disk. Raises UnsafeTree, DownloadDamaged.
        """
        rows = [TreeEntry(path, GITLINK, commit) for path, commit in gitlinks.items()]
        for entry in self:
            check_path(entry.path, is_link=entry.mode == SYMLINK)
            digest = blob_hasher(entry.size, object_format)
            for piece in entry.chunks():
                digest.update(piece)
            rows.append(TreeEntry(entry.path, entry.mode, digest.digest()))
        return tree_id(rows, object_format)


class _Directories:
    """Count the directories of paths, in memory that depends on their number and not on their depth."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers: dict[tuple[int, bytes], int] = {}

    def count(self, path: bytes) -> None:
        """Count the directories of one more path. Raises UnsafeTree above the bound."""
        number = 0
        for name in path.split(b"/")[:-1]:
            number = self._numbers.setdefault((number, name), len(self._numbers) + 1)
        if len(self._numbers) > self._most:
            raise UnsafeTree(f"the overlay has more than {self._most} directories, too many for its size")


def read_overlay(data: bytes, *, tar_sha256: str, sha256: str, limits: Limits | None = None) -> OverlayReader:
    """Check an overlay's gzip `data` against the hex sha256 of itself and of the tar inside, in memory.

    Raises DownloadDamaged if a digest differs or the archive is damaged, UnsafeTree as TarReader does, and for more
    directories than an overlay of its size can need: a few kilobytes could contain a million of them.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DownloadDamaged("the overlay is not the recorded one: its sha256 differs")
    digest = hashlib.sha256()
    paths = []
    directories = _Directories(_FREE_DIRECTORIES + _DIRECTORIES_PER_BYTE * len(data))
    for entry in TarReader(io.BytesIO(data), top_directory=False, limits=limits, digest=digest):
        if entry.mode == DIRECTORY:
            raise UnsafeTree(f"the overlay lists the directory {quoted(entry.path)}; overlays have none")
        directories.count(entry.path)
        paths.append(entry.path)
    if digest.hexdigest() != tar_sha256:
        raise DownloadDamaged("the overlay is not the recorded one: the sha256 of its tar differs")
    return OverlayReader(data, tuple(paths), limits)
