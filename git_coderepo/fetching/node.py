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
from git_coderepo.fetching.receipt import Identity
from git_coderepo.fetching.sources.delivery import BaseRequest, LocalTree, PublishedRequest
from git_coderepo.fetching.sources.overlay import OverlayReader, read_overlay
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.subtree import common_directory
from git_coderepo.manifest.limits import Limits
from git_coderepo.manifest.model import Code, Manifest
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.stores.shared import SharedStore


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
    overlay: bytes | None = None
    overlay_tar_sha256: str = ""
    overlay_sha256: str = ""
    overlay_files: int | None = None
    deleted: tuple[bytes, ...] = ()
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

    def open_overlay(self, limits: Limits | None = None) -> OverlayReader | None:
        """The overlay's entries, its digests already checked; None where nothing travels.

        Raises InvalidManifest where they are not as many as is recorded, and what `read_overlay` raises.
        """
        if self.overlay is None:
            return None
        opened = read_overlay(
            self.overlay, tar_sha256=self.overlay_tar_sha256, sha256=self.overlay_sha256, limits=limits
        )
        if self.overlay_files not in (None, len(opened.paths)):
            raise InvalidManifest(f"the overlay has {len(opened.paths)} files, not the recorded {self.overlay_files}")
        return opened

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


def wanted_by_code(
    code: Code,
    platform: BaseCodeRepository | None,
    *,
    overlay: bytes | None,
    environment: Mapping[str, str],
    lfs: bytes | None = None,
    lfs_folders: tuple[bytes, ...] = (),
    local: LocalTree | None = None,
    problem: CodeRepoError | None = None,
    reference: str | None = None,
    commit: ObjectId | None = None,
    store: SharedStore | None = None,
    submodules: tuple[WantedSubmodule, ...] = (),
    keep: bytes = b"",
) -> Wanted:
    """What the `code` of a manifest, or of a submodule in one, asks for.

    `overlay` is its gzip where that is not inside, `lfs` that of its Git LFS objects, `lfs_folders` where others lie
    here (raw paths), `local` what is at hand of it, `problem` why there is no platform, where `local` or `store` may do
    without one, and `submodules` what its own submodules ask for. `reference` is where it may have been published,
    `commit` the published one, which has all of it, where that is known from elsewhere than the manifest; `store` is
    asked before any platform. `keep` is the directory that is wanted of it, b"" for all. Raises OverlayMissing,
    NotReproducible.
    """
    base = None
    published = None
    reference = code.snapshot_ref or reference
    if code.overlay is None and commit is None:
        commit = code.snapshot_commit
    if platform is not None and problem is None and reference is not None:
        published = PublishedRequest(platform, reference, code.object_format, environment)
    if commit is not None and problem is None:
        if platform is None:
            raise NotReproducible("the manifest names a published commit, but no repository that has it")
        base = BaseRequest(
            platform=platform,
            commit=commit,
            tree=code.snapshot_tree,
            object_format=code.object_format,
            reference=reference,
            special={each.path: (each.mode, each.target) for each in code.special or ()},
            environment=environment,
        )
    elif code.base is not None and problem is None:
        if platform is None:
            raise NotReproducible("the manifest has a base, but no repository that serves it")
        base = BaseRequest(
            platform=platform,
            commit=code.base.commit,
            tree=code.base.tree if code.scope is None else None,
            object_format=code.object_format,
            branch=code.head.branch if code.head is not None else None,
            scope=code.scope or (),
            asked=code.subdirectory.path if code.subdirectory.path != b"." else common_directory(code.scope or ()),
            special={each.path: (each.mode, each.target) for each in code.special or ()},
            environment=environment,
        )
    carried = code.overlay if commit is None else None
    data = overlay
    if carried is not None and data is None:
        data = carried.data
        if data is None:
            missing = OverlayMissing(
                f"the overlay '{carried.sha256}.tar.gz' is not in the manifest and not beside it",
                hints=["copy it into the manifest's folder, or name it: --overlay FILE"],
            )
            if local is None and published is None and store is None:
                raise missing
            problem = missing
    return Wanted(
        tree=code.snapshot_tree,
        tree_by="manifest",
        base=base,
        archive_exact=code.base is None or code.base.archive == "exact",
        local=local,
        problem=problem,
        published=published,
        store=store,
        scope=code.scope or () if commit is None else (),
        keep=keep,
        keep_tree=code.subdirectory.tree if keep == code.subdirectory.path else None,
        overlay=data if carried is not None else None,
        overlay_tar_sha256=carried.tar_sha256 if carried is not None else "",
        overlay_sha256=carried.sha256 if carried is not None else "",
        overlay_files=carried.files if carried is not None else None,
        deleted=carried.deleted if carried is not None else (),
        submodules=submodules,
        gitlinks={each.path: each.commit.raw for each in code.submodules},
        lfs=LfsSources(
            data=(code.lfs.data or lfs) if code.lfs is not None else None,
            tar_sha256=code.lfs.tar_sha256 if code.lfs is not None else "",
            sha256=code.lfs.sha256 if code.lfs is not None else "",
            folders=lfs_folders,
            platform=platform,
            branch=code.head.branch if code.head is not None else None,
            environment=environment,
        ),
        identity=Identity(
            subdirectory=keep or b".",
            commit=code.head.commit if code.head is not None else None,
            overlay_files=carried.files if carried is not None else None,
            overlay_deleted=len(carried.deleted) if carried is not None else 0,
        ),
    )
