"""The source `git`: fetch the commit into a bare scratch repository, without a checkout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import ClassVar

from git_coderepo.errors import CodeRepoError, CommitMissing, GitFailed, GitNotFound, MethodUnavailable, TreeDiffers
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.planned_tree import BaseRequest, PlannedTree
from git_coderepo.fetching.sources.entry_stream import EntryStream, TreeObjects
from git_coderepo.fetching.sources.git_tree import blob_entries, listed_tree
from git_coderepo.fetching.sources.source import Failure, Source, base_request
from git_coderepo.transport.scratch_repository import Scratch

_INSTALL = "install git 2.34 or newer, or add it to PATH"


class ByGit(Source):
    """Get the base by fetching its commit."""

    name: ClassVar = "git"
    gives_base: ClassVar = True

    def applies_to(self, planned: PlannedTree) -> bool:
        return planned.base is not None or planned.problem is not None

    def stream(self, planned: PlannedTree, limits: Limits) -> AbstractContextManager[EntryStream]:
        return git_method(base_request(planned, limits))

    def explained(self, failure: Failure) -> CodeRepoError:
        """Say why git is needed here if it is not installed."""
        error, planned = failure.error, failure.planned
        if not isinstance(error, GitNotFound):
            return error
        if failure.insisted:
            return GitNotFound(
                "--method git requires git, and 'git' was not found on PATH", hints=["--method auto", _INSTALL]
            )
        platform = planned.base.platform if planned.base is not None else None
        kind = platform.type if platform is not None else "git"
        if not planned.archive_exact:
            return GitNotFound(
                "git is required: attributes of this tree (export-ignore, export-subst and the like) alter its "
                "archives, and 'git' was not found on PATH",
                hints=[_INSTALL, "or remove these attributes and record the run again"],
            )
        differs = next((each for each in failure.before if isinstance(each, TreeDiffers)), None)
        if differs is not None:
            return GitNotFound(
                "git is required: the platform's archive differs from the recorded tree (as it does where "
                "submodules are missing in it), and 'git' was not found on PATH",
                hints=[_INSTALL, differs.message],
            )
        if any(not isinstance(each, MethodUnavailable) for each in failure.before):
            return GitNotFound("'git' was not found on PATH", hints=[_INSTALL])
        return GitNotFound(
            f"git is required: the platform '{kind}' has no archives, and 'git' was not found on PATH",
            hints=[
                _INSTALL,
                "or register the checkout as github or gitlab, whose archives need no git, and record the run again",
            ],
        )


SOURCE = ByGit()


@contextmanager
def git_method(request: BaseRequest) -> Iterator[EntryStream]:
    """Yield the entries of a commit that is fetched into a bare scratch repository. Raises CommitMissing, GitFailed."""
    with ExitStack() as stack:
        if request.part or request.scope:
            try:
                scratch, wanted, gitlinks = _fetched(request, stack, part_only=True)
            except (CommitMissing, GitFailed):
                # The server does not serve single objects: fetch the whole commit.
                scratch, wanted, gitlinks = _fetched(request, stack, part_only=False)
        else:
            scratch, wanted, gitlinks = _fetched(request, stack, part_only=False)
        name = f"{request.commit}:{os.fsdecode(request.part)}/" if request.part else request.commit.hex
        trees = TreeObjects(scratch.git, name) if not request.scope else None
        yield EntryStream(blob_entries(scratch.git, wanted), scratch.size, gitlinks, trees)


def _fetched(
    request: BaseRequest, stack: ExitStack, *, part_only: bool
) -> tuple[Scratch, list[tuple[bytes, int, str]], dict[bytes, bytes]]:
    """Fetch the requested files: (scratch repository, files, gitlinks); with `part_only` no other contents."""
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
