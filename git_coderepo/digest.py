"""The sha256 of a file, whatever its size."""

from __future__ import annotations

from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Readable(Protocol):
        """A file opened for reading bytes."""

        def read(self, size: int, /) -> bytes: ...


_PIECE = 1 << 20


def sha256_of(file: Readable) -> str:
    """Return the sha256, in hex, of what `file` holds from where it stands to its end. Raises what reading raises."""
    digest = sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
