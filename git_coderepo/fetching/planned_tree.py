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
    """A request to a platform for the files of a commit, or of its directory `part` (raw, b"" for the root).

    `tree` is the expected tree id of that directory, None if only the commit id is known. `special` maps a path from
    the root to its mode and, for a link, its target, for a platform whose download loses them. `reference` is the ref
    of a published commit. `scope` are the requested paths (empty: all), and `asked` a directory that contains them.
    With `waits` False, a rate limit is an error at once.
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
    """A request for a run that may have been published, by its ref on the platform that serves its base."""

    platform: BaseCodeRepository
    reference: str
    object_format: str
    environment: Mapping[str, str] = os.environ


class LocalTree(NamedTuple):
    """A tree whose objects `git` has: that of the snapshot if `whole`, else that of the base."""

    git: Git
    tree: ObjectId
    whole: bool


class CarriedOverlay(NamedTuple):
    """An overlay: its gzip `data`, and the recorded digests (hex sha256 of the tar and of the gzip) and file count.

    `deleted` are the raw paths of the base that the snapshot does not have.
    """

    data: bytes
    tar_sha256: str
    sha256: str
    files: int | None = None
    deleted: tuple[bytes, ...] = ()

    def opened(self, limits: Limits | None = None) -> OverlayReader:
        """Return its entries after checking its digests.

        Raises InvalidManifest if their number is not the recorded one, and what `read_overlay` raises.
        """
        found = read_overlay(self.data, tar_sha256=self.tar_sha256, sha256=self.sha256, limits=limits)
        if self.files not in (None, len(found.paths)):
            raise InvalidManifest(
                f"the overlay does not have the recorded number of files: {len(found.paths)} instead of {self.files}"
            )
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
        """Return the tree as that of a run, with the run's id and the manifest's digest."""
        return self._replace(identity=self.identity._replace(manifest_digest=manifest.digest, run_id=manifest.run.id))

    def platforms(self) -> Iterator[BaseCodeRepository]:
        """Yield the platforms that may be asked, those for submodules included."""
        for each in (self.base, self.published):
            if each is not None:
                yield each.platform
        for submodule in self.submodules:
            yield from submodule.planned.platforms()


class PlannedSubmodule(NamedTuple):
    """A submodule to fetch: its raw `path` from its superproject's root, and the commit of the gitlink."""

    path: bytes
    commit: ObjectId
    planned: PlannedTree


class CodeLocations(NamedTuple):
    """Where the parts of a recorded `Code` can come from, as far as this is known.

    `overlay` and `lfs` are the gzips of its overlay and its Git LFS objects if they are not in the manifest;
    `lfs_folders` are local folders of Git LFS objects (raw paths). `local` is the tree whose objects are on this
    machine. `problem` is the reason why there is no platform, if `local` or `store` may do without one. `reference` is
    the ref under which the run may have been published, and `commit` the published commit, if it is known from another
    place than the manifest. `store` is asked before any platform.
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
    """Plan the tree of a recorded `code`, that of a manifest or of a submodule in it.

    `submodules` are its planned submodules, and `keep` the directory to keep, raw, b"" for the whole tree. Raises
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
            f"the overlay '{recorded.sha256}.tar.gz' is neither in the manifest nor beside it",
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
    """Return the request for the published commit, else for the base; None without either, or without a platform.

    Raises NotReproducible.
    """
    if locations.problem is not None:
        return None
    special = {each.path: (each.mode, each.target) for each in code.special or ()}
    if locations.commit is not None:
        if locations.platform is None:
            raise NotReproducible("the manifest names a published commit, but no repository")
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
        raise NotReproducible("the manifest has a base, but no repository")
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
    """Return the request for the published run; None without a platform or a ref."""
    if locations.platform is None or locations.problem is not None or locations.reference is None:
        return None
    return PublishedRequest(locations.platform, locations.reference, code.object_format, locations.environment)


def _overlay(recorded: Overlay | None, locations: CodeLocations) -> CarriedOverlay | None:
    """Return the recorded overlay; None if there is none or it was not found."""
    if recorded is None:
        return None
    data = recorded.data if locations.overlay is None else locations.overlay
    if data is None:
        return None
    return CarriedOverlay(data, recorded.tar_sha256, recorded.sha256, recorded.files, recorded.deleted)


def _lfs(code: Code, locations: CodeLocations) -> LfsSources:
    """Return where Git LFS objects can come from."""
    found = LfsSources(
        folders=locations.lfs_folders,
        platform=locations.platform,
        branch=code.head.branch if code.head is not None else None,
        environment=locations.environment,
    )
    if code.lfs is None:
        return found
    return found._replace(data=code.lfs.data or locations.lfs, tar_sha256=code.lfs.tar_sha256, sha256=code.lfs.sha256)
