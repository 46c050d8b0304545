"""Get it back: the base by one of the methods, the overlay on it, one writer, and the proof before anything appears."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from git_coderepo.checkout.scope import common_directory
from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    GitNotFound,
    MethodUnavailable,
    NotReproducible,
    OverlayMissing,
    ScopeMissing,
    TargetUnusable,
    TokenRefused,
    TreeDiffers,
)
from git_coderepo.git import Git, version
from git_coderepo.manifest.model import Manifest
from git_coderepo.objects import ObjectId
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.record.publication import reference_of
from git_coderepo.runner.limits import Limits
from git_coderepo.runner.local import LocalTree, local_method
from git_coderepo.runner.methods import (
    BaseRequest,
    Delivery,
    PublishedRequest,
    archive_method,
    files_method,
    git_method,
    published_method,
)
from git_coderepo.runner.overlay import OverlayReader, read_overlay
from git_coderepo.runner.part import KeptPart, keep_part
from git_coderepo.runner.receipt import Fallback, Receipt
from git_coderepo.runner.scratch import Scratch
from git_coderepo.runner.target import Target
from git_coderepo.runner.writer import TreeWriter, WrittenTree

Method = Callable[[BaseRequest], AbstractContextManager[Delivery]]
# After which of its errors a run is looked for under its own reference.
_GONE = (CommitMissing, OverlayMissing)
METHODS: Mapping[str, Method] = {"archive": archive_method, "git": git_method, "files": files_method}


@dataclass(frozen=True)
class Wanted:
    """What is to be materialised, whatever named it: a manifest, or a commit of a code repository.

    `tree` is what must come out; `base` None means that the overlay is everything; `gitlinks` are the snapshot's
    (path to raw commit id), None where the commit itself tells them. `local` is what of it is at hand without the
    platform; then `problem` may say why nothing else could bring it. `published` is where all of it may be, should the
    base, or the overlay, be gone. Of the base only the `scope` is taken (none: all). Where `keep` names a directory,
    the whole is proved, and that directory stays; `keep_tree` is its tree, where that is known already.
    """

    tree: ObjectId
    tree_by: str
    base: BaseRequest | None
    archive_exact: bool = True
    overlay: bytes | None = None
    overlay_tar_sha256: str = ""
    overlay_sha256: str = ""
    deleted: tuple[bytes, ...] = ()
    gitlinks: Mapping[bytes, bytes] | None = None
    receipt: Mapping[str, object] = field(default_factory=dict)
    local: LocalTree | None = None
    problem: CodeRepoError | None = None
    published: PublishedRequest | None = None
    scope: tuple[bytes, ...] = ()
    keep: bytes = b""
    keep_tree: ObjectId | None = None

    def open_overlay(self) -> OverlayReader | None:
        """The overlay's entries, its digests already checked; None where nothing travels."""
        if self.overlay is None:
            return None
        return read_overlay(self.overlay, tar_sha256=self.overlay_tar_sha256, sha256=self.overlay_sha256)


def fetch(
    wanted: Wanted,
    directory: str,
    *,
    method: str = "auto",
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Receipt:
    """Materialise it in `directory` (absent, empty, or an empty mount point) and give the receipt.

    `progress` is called with (entries, bytes received) now and then. Raises TreeDiffers, TargetUnusable, and what the
    methods raise; then nothing is left behind.
    """
    started = time.time()
    fallbacks: list[Fallback] = []
    errors: list[CodeRepoError] = []
    with Target(directory) as target:
        fresh = ""
        if wanted.base is None and wanted.local is None and wanted.problem is None:
            fresh = target.fresh()
            written, received = _write(wanted, fresh, None, limits, progress)
            used = "overlay"
        else:
            used = ""
            for name in _order(wanted, method):
                if name == "published" and method == "auto" and not any(isinstance(each, _GONE) for each in errors):
                    continue
                fresh = target.fresh()
                try:
                    written, received = _by(name, wanted, fresh, limits, progress)
                except TargetUnusable:
                    raise  # by any other way, too, it would end there
                except CodeRepoError as error:
                    if method != "auto":
                        if name == "archive" and not error.hints:
                            error.hints = ("--method git brings it another way",)
                        raise
                    if name == "published":
                        errors[-1].hints = (*errors[-1].hints, f"nor was it published: {error.message}")
                        continue
                    errors.append(error)
                    if not isinstance(error, MethodUnavailable):
                        fallbacks.append(Fallback(name, error.message))
                    continue
                used = name
                break
            if not used:
                raise _best(errors, fallbacks)
        kept = KeptPart(written.tree, written.files, tuple(written.outside_links))
        if wanted.keep:
            kept = keep_part(fresh, wanted.keep, written.entries, wanted.tree.object_format)
            if wanted.keep_tree not in (None, kept.tree):
                raise TreeDiffers(f"the part is the tree {kept.tree}, not {wanted.keep_tree}: nothing was kept")
        target.publish()
    for each in (wanted.base, wanted.published):
        if each is not None:
            each.platform.close()
    return replace(
        Receipt(
            tree=kept.tree,
            tree_by=wanted.tree_by,
            method=used,
            started=started,
            finished=time.time(),
            fallbacks=tuple(fallbacks),
            files=kept.files,
            received=received,
            outside_links=kept.outside_links,
            git=_git_version(),
        ),
        **{**wanted.receipt, **_without_overlay(wanted, used)},  # type: ignore[arg-type]
    )


def _order(wanted: Wanted, method: str) -> tuple[str, ...]:
    if method != "auto":
        return (method,)
    order: tuple[str, ...] = ("archive", "git") if wanted.archive_exact else ("git", "archive")
    if wanted.base is not None and wanted.base.platform.needs_special:
        order = (*order, "files")
    if wanted.problem is not None:
        order = order[:1]  # it is the same, whatever is tried
    if wanted.published is not None:
        order = (*order, "published")
    return ("local", *order) if wanted.local is not None else order


def _without_overlay(wanted: Wanted, used: str) -> Mapping[str, object]:
    """What the receipt says where the whole tree came in one."""
    if used != "published" and (used != "local" or wanted.local is None or not wanted.local.whole):
        return {}
    return {"overlay_files": None, "overlay_deleted": 0}


def _by(
    name: str, wanted: Wanted, directory: str, limits: Limits | None, progress: Callable[[int, int], None] | None
) -> tuple[WrittenTree, int]:
    """One attempt by a method."""
    if name == "local":
        local = wanted.local
        if local is None:
            raise MethodUnavailable("the code of the run is not all here", hints=["--method auto asks the platform"])
        if local.whole:
            wanted = replace(wanted, overlay=None, deleted=())
        return _write(wanted, directory, local_method(local, () if local.whole else wanted.scope), limits, progress)
    if name == "published":
        if wanted.published is None:
            raise MethodUnavailable("nothing says where the run may have been published")
        source = published_method(wanted.published)
        return _write(replace(wanted, overlay=None, deleted=()), directory, source, limits, progress)
    if wanted.problem is not None:
        raise wanted.problem
    assert wanted.base is not None
    return _write(wanted, directory, METHODS[name](wanted.base), limits, progress)


def _best(errors: list[CodeRepoError], fallbacks: list[Fallback]) -> CodeRepoError:
    """The error that says most: the last one, with what the ways before it said as hints.

    Where an API names the missing scope, and git says of the same token only that it is refused, the API's word.
    """
    best = errors[-1]
    if isinstance(best, TokenRefused):
        best = next((error for error in errors if isinstance(error, ScopeMissing)), best)
    if best is errors[-1]:
        earlier = [f"before that, {each.method}: {each.reason}" for each in fallbacks if each.reason != best.message]
        best.hints = (*best.hints, *earlier)
    return best


def _write(
    wanted: Wanted,
    directory: str,
    source: AbstractContextManager[Delivery] | None,
    limits: Limits | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[WrittenTree, int]:
    """One attempt: everything is written below `directory`, the base from `source` (None: no base), then proved."""
    overlay = wanted.open_overlay()
    replaced = frozenset(overlay.paths if overlay is not None else ()) | frozenset(wanted.deleted)
    request = wanted.base
    limits = limits if limits is not None else Limits()
    object_format = wanted.tree.object_format
    received = 0
    base_tree: ObjectId | None = None
    delivery = Delivery(iter(()), int)
    with TreeWriter(directory, object_format=object_format, limits=limits, replaced=replaced) as writer:
        if source is not None:
            with source as delivery:
                for count, entry in enumerate(delivery.entries):
                    writer.add(entry)
                    if progress is not None and count % 256 == 0:
                        progress(count, delivery.received())
                received = delivery.received()
                base_tree = writer.base_tree(delivery.gitlinks or wanted.gitlinks)
        gitlinks = wanted.gitlinks if wanted.gitlinks is not None else delivery.gitlinks
        writer.apply_overlay(overlay if overlay is not None else (), wanted.deleted, gitlinks)
        written = writer.finish()
    if written.tree != wanted.tree:
        came = "" if request is None or request.tree in (None, base_tree) else " (the base is another one already)"
        raise TreeDiffers(
            f"what came is the tree {written.tree}, not {wanted.tree}{came}: nothing was kept",
            hints=["the platform, or something on the way, gave other bytes than the ones that were recorded"],
        )
    return written, received


def _git_version() -> str | None:
    try:
        return version(Git())[1]
    except GitNotFound:
        return None


def wanted_by_manifest(
    manifest: Manifest,
    platform: BaseCodeRepository | None,
    *,
    overlay: bytes | None,
    environment: Mapping[str, str],
    local: LocalTree | None = None,
    problem: CodeRepoError | None = None,
    commit: ObjectId | None = None,
    keep: bytes = b"",
) -> Wanted:
    """What a manifest asks for; `overlay` is its gzip where that is not inside, `local` what is at hand of it.

    `problem` is why there is no platform, where `local` may do without one. `commit` is the published one, which has
    all of it, where that is known from elsewhere than the manifest. `keep` is the directory that is wanted of it, b""
    for all. Raises OverlayMissing, NotReproducible.
    """
    code = manifest.code
    base = None
    published = None
    reference = code.snapshot_ref or reference_of(manifest.run.id)
    if code.overlay is None and commit is None:
        commit = code.snapshot_commit
    if platform is not None and problem is None:
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
            if local is None and published is None:
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
        scope=code.scope or () if commit is None else (),
        keep=keep,
        keep_tree=code.subdirectory.tree if keep == code.subdirectory.path else None,
        overlay=data if carried is not None else None,
        overlay_tar_sha256=carried.tar_sha256 if carried is not None else "",
        overlay_sha256=carried.sha256 if carried is not None else "",
        deleted=carried.deleted if carried is not None else (),
        gitlinks={each.path: each.commit.raw for each in code.submodules},
        receipt={
            "manifest_digest": manifest.digest,
            "run_id": manifest.run.id,
            "subdirectory": keep or b".",
            "commit": code.head.commit if code.head is not None else None,
            "overlay_files": carried.files if carried is not None else None,
            "overlay_deleted": len(carried.deleted) if carried is not None else 0,
        },
    )


def wanted_by_commit(
    platform: BaseCodeRepository, commit: ObjectId, part: bytes, *, environment: Mapping[str, str]
) -> Wanted:
    """What `NAME@COMMIT[:PATH]` asks for: the tree is read from the commit itself, by git.

    Without git it is what the platform says of the commit. Raises CommitMissing, MethodUnavailable, PlatformErrors.
    """
    try:
        with Scratch(commit.object_format, environment) as scratch:
            scratch.fetch_commit(platform, commit, only="blob:none" if part else "tree:0")
            tree, tree_by = scratch.tree_of(commit, part), "commit"
    except (GitNotFound, MethodUnavailable):
        answer = None if part else platform.commit_tree(commit)
        if answer is None:
            raise MethodUnavailable(
                f"nothing can tell the tree of the commit {commit}: here is no git, and the platform does not say",
                hints=["install git, or fetch by a run manifest, which holds the tree"],
            ) from None
        tree, tree_by = answer, "platform"
    base = BaseRequest(
        platform=platform,
        commit=commit,
        tree=tree,
        object_format=commit.object_format,
        part=part,
        environment=environment,
    )
    return Wanted(tree=tree, tree_by=tree_by, base=base, receipt={"commit": commit, "subdirectory": part or b"."})
