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


def sha256_of(file: Readable, *, most: int | None = None) -> str:
    """Return the sha256, in hex, of what `file` holds from where it stands to its end. Raises what reading raises.

    Of a file with more bytes than `most`, no more than the next piece is read: the digest is another one then.
    """
    digest = sha256()
    left = most
    while piece := file.read(_PIECE):
        digest.update(piece)
        if left is not None and (left := left - len(piece)) < 0:
            break
    return digest.hexdigest()
