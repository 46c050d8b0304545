"""What every method yields into the one writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator


class Entry:
    """One path of a tree with its contents.

    `path`: raw bytes from the root, parted by `/`, without one at the end. `mode`: one of `objects.MODES`, or
    DIRECTORY for a directory that an archive lists (the writer makes none of these: Git knows none, but for
    submodules). `size`: bytes of the contents; a link's contents are its target. `contents`: the bytes themselves,
    or, for large ones, a function that gives them in pieces, to be read before the next entry is asked for.
    """

    __slots__ = ("contents", "mode", "path", "size")

    def __init__(self, path: bytes, mode: int, size: int, contents: bytes | Callable[[], Iterator[bytes]]) -> None:
        self.path = path
        self.mode = mode
        self.size = size
        self.contents = contents

    def chunks(self) -> Iterator[bytes]:
        """The contents in pieces; once."""
        return iter((self.contents,)) if isinstance(self.contents, bytes) else self.contents()

    def read(self) -> bytes:
        """The contents in one piece; once."""
        return self.contents if isinstance(self.contents, bytes) else b"".join(self.contents())

    def __repr__(self) -> str:
        return f"Entry({self.path!r}, {self.mode:o}, {self.size})"
