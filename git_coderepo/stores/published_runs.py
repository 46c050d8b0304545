"""Find published runs on a platform: list their refs, and read the manifests in their tags.

A ref is named after the run's id, and an id starts with its time, so the newest runs are known before anything is
fetched. The tags are fetched into a scratch repository, without trees and files if the server supports filters.
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
# How many of the newest runs are searched for a name, and how many are fetched at once.
_MOST_NAMED, _PAGE = 1000, 100


class Published(NamedTuple):
    """A ref of a published run and the `tag` it points to, which has not been read."""

    id: str
    tag: ObjectId


class PublishedRun(NamedTuple):
    """The manifest of a published run, and the commit that has its snapshot's tree."""

    manifest: Manifest
    commit: ObjectId


def list_published(platform: BaseCodeRepository, git: Git, prefix: str = "") -> list[Published]:
    """Return the runs published on a platform whose ids start with `prefix` (hex digits and dashes), newest first.

    Raises the errors of `git_words.explain`.
    """
    rows = ask(platform, git, "ls-remote", "--quiet", "--", "{url}", f"{NAMESPACE}{prefix}*").splitlines()
    found = [_ROW.fullmatch(row) for row in rows]
    listed = [Published(row[2].decode(), ObjectId(row[1].decode())) for row in found if row is not None]
    return sorted(listed, key=lambda each: each.id, reverse=True)


def read_published(
    platform: BaseCodeRepository, listed: Sequence[Published], environment: Mapping[str, str]
) -> Iterator[PublishedRun | CodeRepoError]:
    """Yield the manifests of these runs in the same order; an unusable run yields an InvalidManifest instead.

    A manifest is usable if it is valid, has the id of the ref, and names the tree of the tagged commit.
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
        raise InvalidManifest(f"its manifest belongs to the run {manifest.run.id}")
    tree = scratch.tree_of(commit)
    if tree != manifest.code.snapshot_tree:
        raise InvalidManifest(f"its manifest names the tree {manifest.code.snapshot_tree}, its commit has {tree}")
    return PublishedRun(manifest, commit)


def find_published(platform: BaseCodeRepository, git: Git, word: str) -> PublishedRun | None:
    """Return the published run whose id starts with `word`, or the newest run of that name; None without either.

    As for local records, an id takes precedence over a name, and a name over an ambiguous id. Only the newest runs are
    searched for a name. Raises UnknownRun for an ambiguous id, InvalidManifest for an unusable run, PlatformErrors.
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
            f"the id '{word}' is ambiguous: {len(listed)} published runs start with it",
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
    """Download the tree of a published run into the store that `git` writes to (see Store.git).

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
