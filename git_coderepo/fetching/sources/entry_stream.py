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
    """Entries as they arrive and, once all have arrived, the bytes received and the submodules' commits.

    `trees` has the tree objects behind them while the method's context lasts, None where they are not to be had.
    """

    entries: Iterator[Entry]
    received: Callable[[], int]
    gitlinks: Mapping[bytes, bytes] = MappingProxyType({})
    tree_objects: TreeObjects | None = None


class TreeObjects(NamedTuple):
    """The tree objects of the delivered commit or tree `name`, which `git` has."""

    git: Git
    name: str

    def stored(self, made: ObjectId) -> Mapping[bytes, bytes]:
        """Return what git would write otherwise among them (see `stored_trees`), if they are not the tree `made`."""
        if tree_named(self.git, self.name) == made:
            return {}
        return stored_trees(self.git, self.name, made.object_format)


class CountedStream:
    """A stream that knows how many bytes were read from it."""

    def __init__(self, stream: Readable) -> None:
        self._read = stream.read
        self.received = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._read(size)
        self.received += len(piece)
        return piece
