"""A run that was published on its platform: git fetches the reference of its id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    GitNotFound,
    GitUnusable,
    MethodUnavailable,
    OverlayMissing,
)
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.planned_tree import PlannedTree, PublishedRequest
from git_coderepo.fetching.sources.entry_stream import EntryStream, TreeObjects
from git_coderepo.fetching.sources.git_tree import blob_entries, listed_tree
from git_coderepo.fetching.sources.source import Source
from git_coderepo.transport.scratch_repository import Scratch


class ByPublishedRun(Source):
    """The whole snapshot, where its run was published; asked by itself only where the base, or the overlay, is gone."""

    name: ClassVar = "published"

    def applies_to(self, planned: PlannedTree) -> bool:
        return planned.published is not None

    def stream(self, planned: PlannedTree, limits: Limits) -> AbstractContextManager[EntryStream]:
        if planned.published is None:
            raise MethodUnavailable("nothing says where the run may have been published")
        return published_method(planned.published)

    def is_due(self, before: Sequence[CodeRepoError]) -> bool:
        return any(isinstance(each, CommitMissing | OverlayMissing) for each in before)

    def in_addition(self, error: CodeRepoError) -> str:
        if isinstance(error, GitNotFound | GitUnusable):
            return "whether it was published only git could tell, which cannot be asked here"
        return f"nor was it published: {error.message}"


SOURCE = ByPublishedRun()


@contextmanager
def published_method(request: PublishedRequest) -> Iterator[EntryStream]:
    """The whole snapshot, by the reference of its run: what it leads to is known to be right once it is hashed."""
    with Scratch(request.object_format, request.environment) as scratch:
        try:
            commit = scratch.fetch_reference(request.platform, request.reference)
        except CommitMissing:
            raise MethodUnavailable(f"'{request.platform.name}' has no reference '{request.reference}'") from None
        wanted, gitlinks = listed_tree(scratch.git, commit.hex)
        trees = TreeObjects(scratch.git, commit.hex)
        yield EntryStream(blob_entries(scratch.git, wanted), scratch.size, gitlinks, trees)
