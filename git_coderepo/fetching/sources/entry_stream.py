"""The stream of entries that a source gives to the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.sources.stored_trees import stored_trees, tree_named
from git_coderepo.fetching.sources.tar_reader import Readable
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git


class EntryStream(NamedTuple):
    """The entries of a source, in the order in which they arrive.

    After the last entry, `received` returns the bytes received, and `gitlinks` has the raw commit id of each submodule
    by path. `tree_objects` can be used inside the source's context; None if the source has none.
    """

    entries: Iterator[Entry]
    received: Callable[[], int]
    gitlinks: Mapping[bytes, bytes] = MappingProxyType({})
    tree_objects: TreeObjects | None = None


class TreeObjects(NamedTuple):
    """The tree objects of the commit or tree `name`, which `git` has."""

    git: Git
    name: str

    def stored(self, made: ObjectId) -> Mapping[bytes, bytes]:
        """Return the contents of tree objects that git would now write differently; empty if the tree is `made`.

        Raises UnsafeTree, GitFailed.
        """
        if tree_named(self.git, self.name) == made:
            return {}
        return stored_trees(self.git, self.name, made.object_format)


class CountedStream:
    """A stream that counts the bytes read from it, in `received`."""

    def __init__(self, stream: Readable) -> None:
        self._read = stream.read
        self.received = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` of the next bytes."""
        piece = self._read(size)
        self.received += len(piece)
        return piece
