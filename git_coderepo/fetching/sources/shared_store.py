"""The shared store: the whole snapshot in one archive, by its tree's id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from git_coderepo.errors import DownloadDamaged, StoreDamaged, TreeDiffers, UnsafeTree
from git_coderepo.fetching.sources.delivery import Counted, Delivery
from git_coderepo.git.objects import ObjectId
from git_coderepo.manifest.limits import Limits
from git_coderepo.manifest.tar import TarReader
from git_coderepo.stores.shared import SharedStore


@contextmanager
def store_method(store: SharedStore, tree: ObjectId, limits: Limits) -> Iterator[Delivery]:
    """The whole snapshot, by its tree's id in the shared store: one archive, read as it streams in."""
    with store.open(tree) as stream:
        counted = Counted(stream)
        yield Delivery(TarReader(counted, top_directory=False, limits=limits), lambda: counted.received)


@contextmanager
def told_of_store(store: SharedStore, tree: ObjectId) -> Iterator[None]:
    """A block that makes a tree of what a store gave: raises StoreDamaged where that is not the tree."""
    try:
        yield
    except (TreeDiffers, DownloadDamaged, UnsafeTree) as error:
        raise StoreDamaged(
            f"what the store '{store.url}' has for the tree {tree} is not that tree: {error.message}",
            hints=["git coderepo publish --store RUN, in the checkout that recorded the run, writes it again"],
        ) from error
