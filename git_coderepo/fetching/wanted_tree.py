"""What is to be materialised, whatever named it: a manifest, its part, or a commit of a code repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from git_coderepo.fetching.sources.delivery import BaseRequest, LocalTree, PublishedRequest
from git_coderepo.fetching.sources.overlay_tar import OverlayReader, read_overlay
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.subtree import common_directory
from git_coderepo.manifest.model import Code, Manifest, Overlay
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.stores.shared_store import SharedStore


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


class Wanted(NamedTuple):
    """What is to be materialised, whatever named it: a manifest, or a commit of a code repository.

    `tree` is what must come out; `base` None means that the overlay is everything; `gitlinks` are the snapshot's (path
    to raw commit id), None where the commit itself tells them; those that are no `submodules` stay empty. `local` is
    what of it is at hand without the platform; then `problem` may say why nothing else could bring it. `published` is
    where all of it may be, should the base, or the overlay, be gone, and `store` where it may be to begin with. Of the
    base only the `scope` is taken (none: all). Where `keep` names a directory, the whole is proved, and that directory
    stays, with the submodules in it; `keep_tree` is its tree, where that is known already. `lfs`: where the contents
    behind the pointers of Git LFS may come from, those of the submodules apart.
    """

    tree: ObjectId
    tree_by: str
    base: BaseRequest | None
    submodules: tuple[WantedSubmodule, ...] = ()
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

    def of_run(self, manifest: Manifest) -> Wanted:
        """Return the same as the run that the manifest describes."""
        return self._replace(identity=self.identity._replace(manifest_digest=manifest.digest, run_id=manifest.run.id))

    def platforms(self) -> Iterator[BaseCodeRepository]:
        """Those that may be asked, for the submodules too."""
        for each in (self.base, self.published):
            if each is not None:
                yield each.platform
        for submodule in self.submodules:
            yield from submodule.wanted.platforms()


class WantedSubmodule(NamedTuple):
    """A submodule with all in it: its raw `path` from its superproject's root, and the commit that is the gitlink."""

    path: bytes
    commit: ObjectId
    wanted: Wanted


class Means(NamedTuple):
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


def wanted_by_code(
    code: Code, means: Means, *, submodules: tuple[WantedSubmodule, ...] = (), keep: bytes = b""
) -> Wanted:
    """What the `code` of a manifest, or of a submodule in one, asks for.

    `submodules` is what its own submodules ask for, `keep` the directory that is wanted of it, b"" for all. Raises
    OverlayMissing, NotReproducible.
    """
    if code.overlay is None and means.commit is None:
        means = means._replace(commit=code.snapshot_commit)
    means = means._replace(reference=code.snapshot_ref or means.reference)
    base = _base(code, means)
    published = _published(code, means)
    recorded = code.overlay if means.commit is None else None
    overlay = _overlay(recorded, means)
    problem = means.problem
    if recorded is not None and overlay is None:
        problem = OverlayMissing(
            f"the overlay '{recorded.sha256}.tar.gz' is not in the manifest and not beside it",
            hints=["copy it into the manifest's folder, or name it: --overlay FILE"],
        )
        if means.local is None and published is None and means.store is None:
            raise problem
    return Wanted(
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
        local=means.local,
        problem=problem,
        published=published,
        store=means.store,
        scope=code.scope or () if means.commit is None else (),
        keep=keep,
        keep_tree=code.subdirectory.tree if keep == code.subdirectory.path else None,
        lfs=_lfs(code, means),
    )


def _base(code: Code, means: Means) -> BaseRequest | None:
    """What the platform is asked for: the published commit, else the base; None where there is neither, or no platform.

    Raises NotReproducible.
    """
    if means.problem is not None:
        return None
    special = {each.path: (each.mode, each.target) for each in code.special or ()}
    if means.commit is not None:
        if means.platform is None:
            raise NotReproducible("the manifest names a published commit, but no repository that has it")
        return BaseRequest(
            platform=means.platform,
            commit=means.commit,
            tree=code.snapshot_tree,
            object_format=code.object_format,
            reference=means.reference,
            special=special,
            environment=means.environment,
        )
    if code.base is None:
        return None
    if means.platform is None:
        raise NotReproducible("the manifest has a base, but no repository that serves it")
    return BaseRequest(
        platform=means.platform,
        commit=code.base.commit,
        tree=code.base.tree if code.scope is None else None,
        object_format=code.object_format,
        branch=code.head.branch if code.head is not None else None,
        scope=code.scope or (),
        asked=code.subdirectory.path if code.subdirectory.path != b"." else common_directory(code.scope or ()),
        special=special,
        environment=means.environment,
    )


def _published(code: Code, means: Means) -> PublishedRequest | None:
    """Where its run may have been published, where there is a platform to ask."""
    if means.platform is None or means.problem is not None or means.reference is None:
        return None
    return PublishedRequest(means.platform, means.reference, code.object_format, means.environment)


def _overlay(recorded: Overlay | None, means: Means) -> CarriedOverlay | None:
    """The overlay that a manifest records, None where it is not to be found."""
    if recorded is None:
        return None
    data = recorded.data if means.overlay is None else means.overlay
    if data is None:
        return None
    return CarriedOverlay(data, recorded.tar_sha256, recorded.sha256, recorded.files, recorded.deleted)


def _lfs(code: Code, means: Means) -> LfsSources:
    """Where the contents behind its pointers of Git LFS may come from."""
    found = LfsSources(
        folders=means.lfs_folders,
        platform=means.platform,
        branch=code.head.branch if code.head is not None else None,
        environment=means.environment,
    )
    if code.lfs is None:
        return found
    return found._replace(data=code.lfs.data or means.lfs, tar_sha256=code.lfs.tar_sha256, sha256=code.lfs.sha256)
