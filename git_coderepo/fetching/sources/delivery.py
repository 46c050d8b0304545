"""What a source is asked for, and what it delivers: entries for the one writer, which it does not judge."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.sources.stored_trees import stored_trees, tree_named
from git_coderepo.fetching.sources.tar_reader import Readable
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git
from git_coderepo.platforms.base import BaseCodeRepository


class BaseRequest(NamedTuple):
    """Which files are wanted: a commit of a platform, or the directory `part` of it (b"" for all), given from there.

    `tree` is the id of the wanted part, None where a commit's own id proves it; `special` maps a path from the root to
    its mode and, for a link, its target, for a platform whose own download loses them. `reference` is what leads to a
    published commit. `scope` are the paths that are wanted, each in its place (none: all), `asked` a directory that
    holds them all.
    """

    platform: BaseCodeRepository
    commit: ObjectId
    tree: ObjectId | None
    object_format: str
    branch: str | None = None
    reference: str | None = None
    part: bytes = b""
    scope: tuple[bytes, ...] = ()
    asked: bytes = b""
    special: Mapping[bytes, tuple[int, bytes | None]] = MappingProxyType({})
    limits: Limits = Limits()
    environment: Mapping[str, str] = os.environ


class PublishedRequest(NamedTuple):
    """Where a run may have been published: the reference of its id on the platform that serves its base."""

    platform: BaseCodeRepository
    reference: str
    object_format: str
    environment: Mapping[str, str] = os.environ


class LocalTree(NamedTuple):
    """A tree of which every object is at hand for `git`; `whole` if it is the snapshot's, false if it is the base's."""

    git: Git
    tree: ObjectId
    whole: bool


class Delivery(NamedTuple):
    """Entries as they arrive and, once all have arrived, the bytes received and the submodules' commits.

    `trees` has the tree objects behind them while the method's context lasts, None where they are not to be had.
    """

    entries: Iterator[Entry]
    received: Callable[[], int]
    gitlinks: Mapping[bytes, bytes] = MappingProxyType({})
    trees: DeliveredTrees | None = None


class DeliveredTrees(NamedTuple):
    """The tree objects of the delivered commit or tree `name`, which `git` has."""

    git: Git
    name: str

    def stored(self, made: ObjectId) -> Mapping[bytes, bytes]:
        """Return what git would write otherwise among them (see `stored_trees`), if they are not the tree `made`."""
        if tree_named(self.git, self.name) == made:
            return {}
        return stored_trees(self.git, self.name, made.object_format)


class Counted:
    """A stream that knows how many bytes were read from it."""

    def __init__(self, stream: Readable) -> None:
        self._read = stream.read
        self.received = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._read(size)
        self.received += len(piece)
        return piece
