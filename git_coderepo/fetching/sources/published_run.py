"""A run that was published on its platform: git fetches the reference of its id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from git_coderepo.errors import CommitMissing, MethodUnavailable
from git_coderepo.fetching.sources.delivery import DeliveredTrees, Delivery, PublishedRequest
from git_coderepo.fetching.sources.git_tree import blob_entries, listed_tree
from git_coderepo.transport.scratch_repository import Scratch


@contextmanager
def published_method(request: PublishedRequest) -> Iterator[Delivery]:
    """The whole snapshot, by the reference of its run: what it leads to is known to be right once it is hashed."""
    with Scratch(request.object_format, request.environment) as scratch:
        try:
            commit = scratch.fetch_reference(request.platform, request.reference)
        except CommitMissing:
            raise MethodUnavailable(f"'{request.platform.name}' has no reference '{request.reference}'") from None
        wanted, gitlinks = listed_tree(scratch.git, commit.hex)
        trees = DeliveredTrees(scratch.git, commit.hex)
        yield Delivery(blob_entries(scratch.git, wanted), scratch.size, gitlinks, trees)
