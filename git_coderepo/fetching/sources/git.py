"""A fetch by git of the commit, into a bare scratch repository: nothing is ever checked out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from git_coderepo.errors import CommitMissing, GitFailed
from git_coderepo.fetching.sources.delivery import BaseRequest, DeliveredTrees, Delivery
from git_coderepo.fetching.sources.git_tree import blob_entries, listed_tree
from git_coderepo.transport.scratch_repository import Scratch


@contextmanager
def git_method(request: BaseRequest) -> Iterator[Delivery]:
    """A fetch of the commit into a bare scratch repository, read object by object: nothing is ever checked out."""
    with ExitStack() as stack:
        if request.part or request.scope:
            try:
                scratch, wanted, gitlinks = _fetched(request, stack, part_only=True)
            except (CommitMissing, GitFailed):
                # A server that gives no object by its own id: all of the commit, then.
                scratch, wanted, gitlinks = _fetched(request, stack, part_only=False)
        else:
            scratch, wanted, gitlinks = _fetched(request, stack, part_only=False)
        name = f"{request.commit}:{os.fsdecode(request.part)}/" if request.part else request.commit.hex
        trees = DeliveredTrees(scratch.git, name) if not request.scope else None
        yield Delivery(blob_entries(scratch.git, wanted), scratch.size, gitlinks, trees)


def _fetched(
    request: BaseRequest, stack: ExitStack, *, part_only: bool
) -> tuple[Scratch, list[tuple[bytes, int, str]], dict[bytes, bytes]]:
    """A scratch repository that has what is wanted, and what that is; with `part_only` no other contents come."""
    scratch = stack.enter_context(Scratch(request.object_format, request.environment))
    only = "blob:none" if part_only else None
    scratch.fetch_commit(
        request.platform, request.commit, reference=request.reference, branch=request.branch, only=only
    )
    name = f"{request.commit}:{os.fsdecode(request.part)}/" if request.part else request.commit.hex
    wanted, gitlinks = listed_tree(scratch.git, name, request.limits, request.scope)
    if part_only:
        scratch.fetch_blobs(request.platform, sorted({id for _, _, id in wanted}))
    return scratch, wanted, gitlinks
