"""The source `published`: a run that was published on its platform, fetched by the ref of its id."""

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
    """Get the whole snapshot of a published run; it is tried only if the base or the overlay is missing."""

    name: ClassVar = "published"

    def applies_to(self, planned: PlannedTree) -> bool:
        return planned.published is not None

    def stream(self, planned: PlannedTree, limits: Limits) -> AbstractContextManager[EntryStream]:
        if planned.published is None:
            raise MethodUnavailable("no platform is known on which the run may have been published")
        return published_method(planned.published)

    def is_due(self, before: Sequence[CodeRepoError]) -> bool:
        return any(isinstance(each, CommitMissing | OverlayMissing) for each in before)

    def in_addition(self, error: CodeRepoError) -> str:
        if isinstance(error, GitNotFound | GitUnusable):
            return "only git could say whether it was published, and git cannot be used here"
        return f"nor was it published: {error.message}"


SOURCE = ByPublishedRun()


@contextmanager
def published_method(request: PublishedRequest) -> Iterator[EntryStream]:
    """Yield the entries of the commit to which the ref of a run points; they are verified when they are hashed.

    Raises MethodUnavailable, PlatformErrors, GitFailed.
    """
    with Scratch(request.object_format, request.environment) as scratch:
        try:
            commit = scratch.fetch_reference(request.platform, request.reference)
        except CommitMissing:
            raise MethodUnavailable(f"'{request.platform.name}' has no ref '{request.reference}'") from None
        wanted, gitlinks = listed_tree(scratch.git, commit.hex)
        trees = TreeObjects(scratch.git, commit.hex)
        yield EntryStream(blob_entries(scratch.git, wanted), scratch.size, gitlinks, trees)
