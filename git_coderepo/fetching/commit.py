"""Resolve `NAME@REVISION[:PATH]`: a commit of a code repository, without a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    GitFailed,
    GitNotFound,
    MethodUnavailable,
    UnsafeTree,
)
from git_coderepo.fetching.gitmodules import MOST_BYTES, submodule_urls, too_large
from git_coderepo.fetching.lfs import LfsSources
from git_coderepo.fetching.node import Wanted, WantedSubmodule
from git_coderepo.fetching.sources.git_tree import listed_tree
from git_coderepo.fetching.sources.methods import BaseRequest
from git_coderepo.fetching.target import said_of
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.objects import EXECUTABLE, FILE, ObjectId
from git_coderepo.git.process import Git
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.transport.scratch_repository import Scratch

# `.gitmodules` can lead anywhere, in a circle too.
_MOST_LEVELS = 8
_MOST_SUBMODULES = 256

Opener = Callable[[BaseCodeRepository, str], BaseCodeRepository]


class _Facts(NamedTuple):
    """A commit's tree (of the wanted part), how it is known (`commit` or `platform`), and its submodules.

    `gitlinks` is None where the fetch itself tells them; `urls` has the submodules' URLs by their paths from the root.
    """

    tree: ObjectId
    tree_by: str
    gitlinks: Mapping[bytes, bytes] | None = None
    urls: Mapping[bytes, str] = {}


class _Budget:
    """The number of submodules that may still be followed."""

    def __init__(self) -> None:
        self.left = _MOST_SUBMODULES

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise UnsafeTree(f"the commit has more than {_MOST_SUBMODULES} submodules")


def resolve_revision(platform: BaseCodeRepository, revision: str, environment: Mapping[str, str]) -> ObjectId:
    """Return the commit that a branch, a tag or the beginning of an id names on the platform.

    Asked are its API, else git. Raises CommitMissing, PlatformErrors.
    """
    try:
        found = platform.resolve(revision)
        error: CodeRepoError | None = None
    except CodeRepoError as failed:
        found, error = None, failed
    if found is None:
        try:
            found = _by_ls_remote(platform, revision, environment)
        except (GitNotFound, MethodUnavailable):
            pass  # the API has answered, or has failed
        except CodeRepoError as failed:
            error = error or failed
    if found is None:
        raise error or CommitMissing(
            f"'{platform.name}' has no branch, tag or commit '{revision}'",
            hints=["check the spelling", "without an API, give the full id of a commit"],
        )
    return found


def _by_ls_remote(platform: BaseCodeRepository, revision: str, environment: Mapping[str, str]) -> ObjectId | None:
    from git_coderepo.transport.git import ask

    # As git itself reads a name: a tag before a branch; what an annotated tag stands for has `^{}` behind its name.
    names = [f"refs/tags/{revision}^{{}}", f"refs/tags/{revision}", f"refs/heads/{revision}"]
    names += [revision] if revision == "HEAD" or revision.startswith("refs/") else []
    output = ask(platform, Git(environment=environment), "ls-remote", "--quiet", "--", "{url}", *names)
    rows = [line.split("\t") for line in output.decode("utf-8", "surrogateescape").splitlines()]
    ids = {name: id for id, name in rows}
    return next((ObjectId(ids[name]) for name in names if name in ids), None)


def wanted_by_commit(
    platform: BaseCodeRepository,
    commit: ObjectId,
    part: bytes,
    *,
    environment: Mapping[str, str],
    open_submodule: Opener | None,
) -> Wanted:
    """Return what a commit, or its directory `part`, is: the tree is read from the commit itself, by git.

    Without git it is what the platform says of the commit. `open_submodule` gives the platform of a submodule from its
    superproject's and its URL; None leaves submodules empty. Raises CommitMissing, MethodUnavailable, UnsafeTree,
    PlatformErrors.
    """
    return _wanted(platform, commit, part, environment, open_submodule, _Budget(), 0)


def _wanted(
    platform: BaseCodeRepository,
    commit: ObjectId,
    part: bytes,
    environment: Mapping[str, str],
    open_submodule: Opener | None,
    budget: _Budget,
    level: int,
) -> Wanted:
    follow = open_submodule is not None
    try:
        facts = _by_git(platform, commit, part, environment, follow=follow)
    except (GitNotFound, MethodUnavailable):
        found = _by_platform(platform, commit, part, follow=follow)
        if found is None:
            raise MethodUnavailable(
                f"cannot find the tree of the commit {commit}: git is not installed, and the platform does not say",
                hints=["install git, or fetch by a run manifest, which records the tree"],
            ) from None
        facts = found
    submodules = []
    for path, id in sorted((facts.gitlinks or {}).items()):
        url = facts.urls.get(part + b"/" + path if part else path)
        if url is None or open_submodule is None:
            continue  # nothing says where it is: its directory stays empty
        budget.spend()
        if level == _MOST_LEVELS:
            raise UnsafeTree(f"submodules are nested more than {_MOST_LEVELS} levels deep: {quoted(path)}")
        try:
            inner = ObjectId.from_raw(id)
            home = open_submodule(platform, url)
            wanted = _wanted(home, inner, b"", environment, open_submodule, budget, level + 1)
        except UnsafeTree:
            raise
        except CodeRepoError as error:
            error.hints = (*error.hints, "--no-submodules leaves submodules empty") if level == 0 else error.hints
            raise said_of(error, path) from None
        submodules.append(WantedSubmodule(path, inner, wanted))
    return Wanted(
        tree=facts.tree,
        tree_by=facts.tree_by,
        base=BaseRequest(
            platform=platform,
            commit=commit,
            tree=facts.tree,
            object_format=commit.object_format,
            part=part,
            environment=environment,
        ),
        submodules=tuple(submodules),
        gitlinks=facts.gitlinks,
        lfs=LfsSources(platform=platform, environment=environment),
        receipt={"commit": commit, "subdirectory": part or b".", "overlay_files": None, "overlay_deleted": 0},
    )


def _by_git(
    platform: BaseCodeRepository, commit: ObjectId, part: bytes, environment: Mapping[str, str], *, follow: bool
) -> _Facts:
    """Read the commit itself: first with its root's tree, which tells whether there are submodules, then all trees."""
    with ExitStack() as stack:
        scratch = stack.enter_context(Scratch(commit.object_format, environment))
        scratch.fetch_commit(platform, commit, only="blob:none" if part else "tree:1" if follow else "tree:0")
        tree = scratch.tree_of(commit, part)
        blob = _gitmodules_of(scratch, commit) if follow else None
        if blob is None:
            return _Facts(tree, "commit")
        if not part:
            scratch = stack.enter_context(Scratch(commit.object_format, environment))
            scratch.fetch_commit(platform, commit, only="blob:none")
        _, gitlinks = listed_tree(scratch.git, tree.hex)
        if not gitlinks:
            return _Facts(tree, "commit", gitlinks)
        try:
            scratch.fetch_blobs(platform, [blob])
        except (CommitMissing, GitFailed):
            # A server that gives no object by its own id: all of the commit, then.
            scratch = stack.enter_context(Scratch(commit.object_format, environment))
            scratch.fetch_commit(platform, commit)
        try:
            contents = scratch.contents("blob", blob, MOST_BYTES)
        except UnsafeTree:
            raise too_large() from None
        return _Facts(tree, "commit", gitlinks, submodule_urls(contents))


def _gitmodules_of(scratch: Scratch, commit: ObjectId) -> str | None:
    """Return the id of the `.gitmodules` in the root of a commit."""
    row = scratch.git.run("ls-tree", "-z", "--full-tree", commit.hex, "--", ".gitmodules").partition(b"\0")[0]
    facts = row.partition(b"\t")[0].split(b" ")
    return facts[2].decode() if len(facts) == 3 and int(facts[0], 8) in (FILE, EXECUTABLE) else None


def _by_platform(platform: BaseCodeRepository, commit: ObjectId, part: bytes, *, follow: bool) -> _Facts | None:
    """Return the facts that the platform's API gives; None where it has none."""
    described = platform.describe_tree(commit, part)
    if described is None:
        tree = None if part else platform.commit_tree(commit)
        return None if tree is None else _Facts(tree, "platform")
    contents = platform.read_file(commit, ".gitmodules") if follow and described.gitlinks else None
    urls = submodule_urls(contents) if contents is not None else {}
    return _Facts(described.tree, "platform", described.gitlinks, urls)
