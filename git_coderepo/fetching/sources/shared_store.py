"""The source `store`: the whole snapshot as one archive in the shared store, by its tree id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

from git_coderepo.errors import (
    CodeRepoError,
    DownloadDamaged,
    MethodUnavailable,
    StoreDamaged,
    TreeDiffers,
    UnsafeTree,
)
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.planned_tree import PlannedTree
from git_coderepo.fetching.sources.entry_stream import CountedStream, EntryStream
from git_coderepo.fetching.sources.source import Failure, Source
from git_coderepo.fetching.sources.tar_reader import TarReader
from git_coderepo.git.objects import ObjectId
from git_coderepo.stores.shared_store import SharedStore


class InSharedStore(Source):
    """Get the whole snapshot from the shared store."""

    name: ClassVar = "store"

    def applies_to(self, planned: PlannedTree) -> bool:
        return planned.store is not None

    def stream(self, planned: PlannedTree, limits: Limits) -> AbstractContextManager[EntryStream]:
        if planned.store is None:
            raise MethodUnavailable(
                "coderepo.store is not set", hints=["set CODEREPO_STORE or coderepo.store to its URL"]
            )
        return store_method(planned.store, planned.tree, limits)

    def explained(self, failure: Failure) -> CodeRepoError:
        """Blame the store if its archive is not the requested tree."""
        error, planned = failure.error, failure.planned
        if planned.store is None or not isinstance(error, TreeDiffers | DownloadDamaged | UnsafeTree):
            return error
        return StoreDamaged(
            f"what the store '{planned.store.url}' has for the tree {planned.tree} is not that tree: {error.message}",
            hints=["in the checkout that recorded the run: git coderepo publish --store RUN"],
        )


SOURCE = InSharedStore()


@contextmanager
def store_method(store: SharedStore, tree: ObjectId, limits: Limits) -> Iterator[EntryStream]:
    """Yield the entries of a tree's archive in the shared store. Raises StoreUnavailable, StoreRefused."""
    with store.open(tree) as stream:
        counted = CountedStream(stream)
        yield EntryStream(TarReader(counted, top_directory=False, limits=limits), lambda: counted.received)
