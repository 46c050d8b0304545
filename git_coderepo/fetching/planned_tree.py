"""The tree that a fetch produces, and where its parts can come from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    InvalidManifest,
    NotReproducible,
    OverlayMissing,
)
from git_coderepo.fetching.lfs import LfsSources
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.receipt import Identity
from git_coderepo.fetching.sources.overlay_tar import OverlayReader, read_overlay
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git
from git_coderepo.git.subtree import common_directory
from git_coderepo.manifest.model import Code, Manifest, Overlay
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.stores.shared_store import SharedStore


class BaseRequest(NamedTuple):
    """Which files are wanted: a commit of a platform, or the directory `part` of it (b"" for all), given from there.

    `tree` is the id of the wanted part, None where a commit's own id proves it; `special` maps a path from the root to
    its mode and, for a link, its target, for a platform whose own download loses them. `reference` is what leads to a
    published commit. `scope` are the paths that are wanted, each in its place (none: all), `asked` a directory that
    holds them all.
    """

    platform: BaseCodeRepository
    commit: ObjectId
    tree: ObjectId | None
    object_format: str
    branch: str | None = None
    reference: str | None = None
    part: bytes = b""
    scope: tuple[bytes, ...] = ()
    asked: bytes = b""
    waits: bool = True
    special: Mapping[bytes, tuple[int, bytes | None]] = MappingProxyType({})
    limits: Limits = Limits()
    environment: Mapping[str, str] = os.environ


class PublishedRequest(NamedTuple):
    """Where a run may have been published: the reference of its id on the platform that serves its base."""

    platform: BaseCodeRepository
    reference: str
    object_format: str
    environment: Mapping[str, str] = os.environ


class LocalTree(NamedTuple):
    """A tree of which every object is at hand for `git`; `whole` if it is the snapshot's, false if it is the base's."""

    git: Git
    tree: ObjectId
    whole: bool


class CarriedOverlay(NamedTuple):
    """An overlay that travelled: its gzip `data`, the digests and the count that the manifest has of it.

    `deleted` are the raw paths of the base that the snapshot does not have.
    """

    data: bytes
    tar_sha256: str
    sha256: str
    files: int | None = None
    deleted: tuple[bytes, ...] = ()

    def opened(self, limits: Limits | None = None) -> OverlayReader:
        """Return its entries, its digests already checked.

        Raises InvalidManifest where they are not as many as is recorded, and what `read_overlay` raises.
        """
        found = read_overlay(self.data, tar_sha256=self.tar_sha256, sha256=self.sha256, limits=limits)
        if self.files not in (None, len(found.paths)):
            raise InvalidManifest(f"the overlay has {len(found.paths)} files, not the recorded {self.files}")
        return found


class PlannedTree(NamedTuple):
    """A tree to produce, and where its parts can come from.

    `tree` is the id of the whole tree; `tree_by` says what promised it: `manifest`, `commit` or `platform`. The parts:

    - `base`: the request to the platform; None if the overlay is the whole tree. Only the paths in `scope` are taken
      from it (empty: all of them). `archive_exact` is False if attributes alter the platform's archives of it.
    - `overlay` is added to the base. `gitlinks` maps the path of each submodule to its raw commit id; None if the
      fetched commit itself lists them. A gitlink that is not in `submodules` stays an empty directory.
    - `store`, `local` and `published` may have the tree, too: the shared store, local objects, and the run as it was
      published. `problem` is the reason why the platform cannot be asked, if `local` or `store` may do without it.
    - `lfs` says where Git LFS objects can come from, without those of submodules.

    `keep` names a directory (raw, from the root): the whole tree is verified, then only that directory is kept.
    `keep_tree` is the tree id of that directory if it is known.
    """

    tree: ObjectId
    tree_by: str
    base: BaseRequest | None
    submodules: tuple[PlannedSubmodule, ...] = ()
    archive_exact: bool = True
    overlay: CarriedOverlay | None = None
    gitlinks: Mapping[bytes, bytes] | None = None
    identity: Identity = Identity()
    local: LocalTree | None = None
    problem: CodeRepoError | None = None
    published: PublishedRequest | None = None
    store: SharedStore | None = None
    scope: tuple[bytes, ...] = ()
    keep: bytes = b""
    keep_tree: ObjectId | None = None
    lfs: LfsSources = LfsSources()

    def of_run(self, manifest: Manifest) -> PlannedTree:
        """Return the same as the run that the manifest describes."""
        return self._replace(identity=self.identity._replace(manifest_digest=manifest.digest, run_id=manifest.run.id))

    def platforms(self) -> Iterator[BaseCodeRepository]:
        """Those that may be asked, for the submodules too."""
        for each in (self.base, self.published):
            if each is not None:
                yield each.platform
        for submodule in self.submodules:
            yield from submodule.planned.platforms()


class PlannedSubmodule(NamedTuple):
    """A submodule with all in it: its raw `path` from its superproject's root, and the commit that is the gitlink."""

    path: bytes
    commit: ObjectId
    planned: PlannedTree


class CodeLocations(NamedTuple):
    """By what a `code` may be had, as far as that is known.

    `overlay` is its gzip where that is not inside, `lfs` that of its Git LFS objects, `lfs_folders` where others lie
    here (raw paths), `local` what this machine already has of it, and `problem` why there is no platform, where `local`
    or `store` may do without one. `reference` is where it may have been published, `commit` the published one, which
    has all of it, where that is known from elsewhere than the manifest; `store` is asked before any platform.
    """

    platform: BaseCodeRepository | None
    environment: Mapping[str, str]
    overlay: bytes | None = None
    lfs: bytes | None = None
    lfs_folders: tuple[bytes, ...] = ()
    local: LocalTree | None = None
    problem: CodeRepoError | None = None
    reference: str | None = None
    commit: ObjectId | None = None
    store: SharedStore | None = None


def plan_code(
    code: Code, locations: CodeLocations, *, submodules: tuple[PlannedSubmodule, ...] = (), keep: bytes = b""
) -> PlannedTree:
    """What the `code` of a manifest, or of a submodule in one, asks for.

    `submodules` is what its own submodules ask for, `keep` the directory that is planned of it, b"" for all. Raises
    OverlayMissing, NotReproducible.
    """
    if code.overlay is None and locations.commit is None:
        locations = locations._replace(commit=code.snapshot_commit)
    locations = locations._replace(reference=code.snapshot_ref or locations.reference)
    base = _base(code, locations)
    published = _published(code, locations)
    recorded = code.overlay if locations.commit is None else None
    overlay = _overlay(recorded, locations)
    problem = locations.problem
    if recorded is not None and overlay is None:
        problem = OverlayMissing(
            f"the overlay '{recorded.sha256}.tar.gz' is not in the manifest and not beside it",
            hints=["copy it into the manifest's folder, or name it: --overlay FILE"],
        )
        if locations.local is None and published is None and locations.store is None:
            raise problem
    return PlannedTree(
        tree=code.snapshot_tree,
        tree_by="manifest",
        base=base,
        submodules=submodules,
        archive_exact=code.base is None or code.base.archive == "exact",
        overlay=overlay,
        gitlinks={each.path: each.commit.raw for each in code.submodules},
        identity=Identity(
            subdirectory=keep or b".",
            commit=code.head.commit if code.head is not None else None,
            overlay_files=recorded.files if recorded is not None else None,
            overlay_deleted=len(recorded.deleted) if recorded is not None else 0,
        ),
        local=locations.local,
        problem=problem,
        published=published,
        store=locations.store,
        scope=code.scope or () if locations.commit is None else (),
        keep=keep,
        keep_tree=code.subdirectory.tree if keep == code.subdirectory.path else None,
        lfs=_lfs(code, locations),
    )


def _base(code: Code, locations: CodeLocations) -> BaseRequest | None:
    """What the platform is asked for: the published commit, else the base; None where there is neither, or no platform.

    Raises NotReproducible.
    """
    if locations.problem is not None:
        return None
    special = {each.path: (each.mode, each.target) for each in code.special or ()}
    if locations.commit is not None:
        if locations.platform is None:
            raise NotReproducible("the manifest names a published commit, but no repository that has it")
        return BaseRequest(
            platform=locations.platform,
            commit=locations.commit,
            tree=code.snapshot_tree,
            object_format=code.object_format,
            reference=locations.reference,
            special=special,
            environment=locations.environment,
        )
    if code.base is None:
        return None
    if locations.platform is None:
        raise NotReproducible("the manifest has a base, but no repository that serves it")
    return BaseRequest(
        platform=locations.platform,
        commit=code.base.commit,
        tree=code.base.tree if code.scope is None else None,
        object_format=code.object_format,
        branch=code.head.branch if code.head is not None else None,
        scope=code.scope or (),
        asked=code.subdirectory.path if code.subdirectory.path != b"." else common_directory(code.scope or ()),
        special=special,
        environment=locations.environment,
    )


def _published(code: Code, locations: CodeLocations) -> PublishedRequest | None:
    """Where its run may have been published, where there is a platform to ask."""
    if locations.platform is None or locations.problem is not None or locations.reference is None:
        return None
    return PublishedRequest(locations.platform, locations.reference, code.object_format, locations.environment)


def _overlay(recorded: Overlay | None, locations: CodeLocations) -> CarriedOverlay | None:
    """The overlay that a manifest records, None where it is not to be found."""
    if recorded is None:
        return None
    data = recorded.data if locations.overlay is None else locations.overlay
    if data is None:
        return None
    return CarriedOverlay(data, recorded.tar_sha256, recorded.sha256, recorded.files, recorded.deleted)


def _lfs(code: Code, locations: CodeLocations) -> LfsSources:
    """Where the contents behind its pointers of Git LFS may come from."""
    found = LfsSources(
        folders=locations.lfs_folders,
        platform=locations.platform,
        branch=code.head.branch if code.head is not None else None,
        environment=locations.environment,
    )
    if code.lfs is None:
        return found
    return found._replace(data=code.lfs.data or locations.lfs, tar_sha256=code.lfs.tar_sha256, sha256=code.lfs.sha256)
