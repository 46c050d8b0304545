"""The entries that every source yields to the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator


class Entry:
    """One path of a tree with its contents.

    `path` is raw, from the root, without a slash at its end. `mode` is one of `objects.MODES`, or DIRECTORY for a
    directory that an archive lists, which the writer ignores. `size` is the length of the contents in bytes; the
    contents of a link are its target. `contents` are the bytes or, if they are large, a function that returns them in
    pieces, to be read before the next entry is requested.
    """

    __slots__ = ("contents", "mode", "path", "size")

    def __init__(self, path: bytes, mode: int, size: int, contents: bytes | Callable[[], Iterator[bytes]]) -> None:
        self.path = path
        self.mode = mode
        self.size = size
        self.contents = contents

    def chunks(self) -> Iterator[bytes]:
        """Return the contents in pieces; call it once."""
        return iter((self.contents,)) if isinstance(self.contents, bytes) else self.contents()

    def read(self) -> bytes:
        """Return the contents in one piece; call it once."""
        return self.contents if isinstance(self.contents, bytes) else b"".join(self.contents())

    def __repr__(self) -> str:
        return f"Entry({self.path!r}, {self.mode:o}, {self.size})"
