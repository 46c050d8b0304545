"""Compute the sha256 of a file of any size."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class ReadableFile(Protocol):
        """A file opened for reading bytes."""

        def read(self, size: int, /) -> bytes: ...


_PIECE = 1 << 20


def sha256_of(file: ReadableFile, *, most: int | None = None) -> str:
    """Return the sha256, in lower-case hex, of `file` from its current position to its end.

    With `most` (bytes), reading stops soon after that many bytes, and the digest is then of the part that was read.
    Raises what `file.read` raises.
    """
    from hashlib import sha256  # the hook's path imports this module, and hashes no file in most runs

    digest = sha256()
    left = most
    while piece := file.read(_PIECE):
        digest.update(piece)
        if left is not None and (left := left - len(piece)) < 0:
            break
    return digest.hexdigest()
