"""The overlay: what of a snapshot its base does not have, as a gzip'd tar that travels with the run.

The tar is pax, made from blobs by id: files of mode 0644 or 0755 and symbolic links by their raw paths from the root,
sorted; no directories, no submodules. Its two digests stand in the manifest.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

from git_coderepo.errors import DownloadDamaged, UnsafeTree
from git_coderepo.objects import DIRECTORY
from git_coderepo.paths import quoted
from git_coderepo.runner.entries import Entry
from git_coderepo.runner.limits import Limits
from git_coderepo.runner.tar import TarReader


class OverlayReader:
    """An overlay whose digests were right: its `paths`; each iteration inflates and gives its entries anew."""

    def __init__(self, data: bytes, paths: tuple[bytes, ...], limits: Limits | None) -> None:
        self.paths = paths
        self._data = data
        self._limits = limits

    def __iter__(self) -> Iterator[Entry]:
        return TarReader(io.BytesIO(self._data), top_directory=False, limits=self._limits)


def read_overlay(data: bytes, *, tar_sha256: str, sha256: str, limits: Limits | None = None) -> OverlayReader:
    """Check an overlay's gzip `data` against the hex digests of itself and of the tar inside; nothing goes to the disk.

    Raises DownloadDamaged where a digest is another or the archive is damaged, UnsafeTree as TarReader does.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DownloadDamaged("the overlay is not the one that the manifest names: its sha256 differs")
    digest = hashlib.sha256()
    paths = []
    for entry in TarReader(io.BytesIO(data), top_directory=False, limits=limits, digest=digest):
        if entry.mode == DIRECTORY:
            raise UnsafeTree(f"the overlay lists the directory {quoted(entry.path)}; overlays have none")
        paths.append(entry.path)
    if digest.hexdigest() != tar_sha256:
        raise DownloadDamaged("the overlay is not the one that the manifest names: the sha256 of its tar differs")
    return OverlayReader(data, tuple(paths), limits)
