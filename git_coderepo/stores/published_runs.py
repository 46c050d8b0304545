"""Runs as a platform has them: which references there are, and the manifests that hang on them.

Their names are ids, which begin with their time: what is newest is known before anything is fetched. The tags, with
the manifests, come into a scratch repository, without a tree or a file of the code where the server can leave them out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError, InvalidManifest, TreeDiffers, UnknownRun
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git, read_blobs
from git_coderepo.manifest.model import Manifest, is_id_prefix
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.stores.published_commit import NAMESPACE, read_tag, reference_of
from git_coderepo.transport.git_remote import ask, fetch
from git_coderepo.transport.scratch_repository import Scratch

_ROW = re.compile(
    rb"([0-9a-f]{40}|[0-9a-f]{64})\t"
    + re.escape(NAMESPACE.encode())
    + rb"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
)
_CANDIDATES = 5
# So many of the newest runs are read for a name, and so many at a time.
_MOST_NAMED, _PAGE = 1000, 100


class Published(NamedTuple):
    """A run by its reference: the `tag` that it names; nothing of it has been looked at."""

    id: str
    tag: ObjectId


class PublishedRun(NamedTuple):
    """A run's manifest as it was published, and the commit whose tree is its snapshot's."""

    manifest: Manifest
    commit: ObjectId


def list_published(platform: BaseCodeRepository, git: Git, prefix: str = "") -> list[Published]:
    """The runs that are published on a platform, newest first; their ids begin with `prefix` (hex digits and dashes).

    Raises what `git_words.explain` makes of git's words.
    """
    rows = ask(platform, git, "ls-remote", "--quiet", "--", "{url}", f"{NAMESPACE}{prefix}*").splitlines()
    found = [_ROW.fullmatch(row) for row in rows]
    listed = [Published(row[2].decode(), ObjectId(row[1].decode())) for row in found if row is not None]
    return sorted(listed, key=lambda each: each.id, reverse=True)


def read_published(
    platform: BaseCodeRepository, listed: Sequence[Published], environment: Mapping[str, str]
) -> Iterator[PublishedRun | CodeRepoError]:
    """The manifests of these runs, in their order; what cannot be used is an InvalidManifest in its place.

    A manifest counts where it is valid, is of that run, and names the tree of the commit that its tag is on.
    """
    if not listed:
        return
    with Scratch(listed[0].tag.object_format, environment) as scratch:
        tags = [each.tag.hex for each in listed]
        fetch(platform, scratch.git, list(dict.fromkeys(tags)), depth=1, filter="tree:0")
        contents = [source.read(size) for _, size, source in read_blobs(scratch.git, tags)]
        for each, tag in zip(listed, contents, strict=True):
            try:
                yield _checked(each, tag, scratch)
            except CodeRepoError as error:
                yield InvalidManifest(f"the published run {each.id} cannot be used: {error.message}")


def _checked(published: Published, tag: bytes, scratch: Scratch) -> PublishedRun:
    commit, data = read_tag(tag)
    manifest = Manifest.parse(data)
    if manifest.run.id != published.id:
        raise InvalidManifest(f"its manifest is that of the run {manifest.run.id}")
    tree = scratch.tree_of(commit)
    if tree != manifest.code.snapshot_tree:
        raise InvalidManifest(f"its manifest names the tree {manifest.code.snapshot_tree}, its commit has {tree}")
    return PublishedRun(manifest, commit)


def find_published(platform: BaseCodeRepository, git: Git, word: str) -> PublishedRun | None:
    """Return the one published run whose id begins so, or the newest of that name; None where there is none.

    As in the record here: an id goes before a name, and a name before an ambiguous id. Names are looked for in the
    newest runs only. Raises UnknownRun where several ids begin so, InvalidManifest for one that cannot be used,
    PlatformErrors.
    """
    listed = list_published(platform, git, word) if is_id_prefix(word) else []
    if len(listed) != 1:
        named = _newest_named(platform, git, word)
        if named is not None:
            return named
    if len(listed) > 1:
        shown = [f"  {each.id}" for each in listed[:_CANDIDATES]]
        more = [f"  and {len(listed) - _CANDIDATES} more"] if len(listed) > _CANDIDATES else []
        raise UnknownRun(
            f"the id '{word}' is ambiguous: {len(listed)} published runs begin with it",
            hints=["one of:", *shown, *more],
        )
    for found in read_published(platform, listed, git.environment):
        if isinstance(found, CodeRepoError):
            raise found
        return found
    return None


def _newest_named(platform: BaseCodeRepository, git: Git, name: str) -> PublishedRun | None:
    listed = list_published(platform, git)[:_MOST_NAMED]
    for start in range(0, len(listed), _PAGE):
        for found in read_published(platform, listed[start : start + _PAGE], git.environment):
            if isinstance(found, PublishedRun) and found.manifest.run.name == name:
                return found
    return None


def bring_tree(platform: BaseCodeRepository, run: PublishedRun, git: Git) -> None:
    """Bring the tree of a published run to where `git` (see Store.git) writes objects: to our own store.

    Raises PlatformErrors, TreeDiffers.
    """
    manifest, commit = run
    tree = manifest.code.snapshot_tree
    with Scratch(commit.object_format, git.environment) as scratch:
        scratch.fetch_commit(platform, commit, reference=reference_of(manifest.run.id))
        if scratch.tree_of(commit) != tree:
            raise TreeDiffers(f"the tree of the published commit {commit} is not the run's tree {tree}")
        objects = scratch.git.run("rev-list", "--objects", "--no-object-names", tree.hex)
        git.run("unpack-objects", "-q", stdin=scratch.git.run("pack-objects", "--stdout", "-q", stdin=objects))
