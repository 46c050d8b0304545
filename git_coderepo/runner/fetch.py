"""Get it back: the base by one of the methods, the overlay on it, one writer, and the proof before anything appears."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

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
from git_coderepo.manifest.model import Code, Manifest
from git_coderepo.objects import ObjectId
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.record.publication import reference_of
from git_coderepo.runner.conversion import Converted, archive_attributes, convert, restore
from git_coderepo.runner.directories import Root
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
from git_coderepo.runner.part import keep_part
from git_coderepo.runner.receipt import Fallback, Receipt, SubmoduleReceipt
from git_coderepo.runner.scratch import Scratch
from git_coderepo.runner.submodules import SubmodulePlace, said_of
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
    (path to raw commit id), None where the commit itself tells them; those that are no `submodules` stay empty. `local`
    is what of it is at hand without the platform; then `problem` may say why nothing else could bring it. `published`
    is where all of it may be, should the base, or the overlay, be gone. Of the base only the `scope` is taken (none:
    all). Where `keep` names a directory, the whole is proved, and that directory stays, with the submodules in it;
    `keep_tree` is its tree, where that is known already.
    """

    tree: ObjectId
    tree_by: str
    base: BaseRequest | None
    submodules: tuple[WantedSubmodule, ...] = ()
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

    def open_overlay(self, limits: Limits | None = None) -> OverlayReader | None:
        """The overlay's entries, its digests already checked; None where nothing travels."""
        if self.overlay is None:
            return None
        return read_overlay(self.overlay, tar_sha256=self.overlay_tar_sha256, sha256=self.overlay_sha256, limits=limits)

    def platforms(self) -> Iterator[BaseCodeRepository]:
        """Those that may be asked, for the submodules too."""
        for each in (self.base, self.published):
            if each is not None:
                yield each.platform
        for submodule in self.submodules:
            yield from submodule.wanted.platforms()


@dataclass(frozen=True)
class WantedSubmodule:
    """A submodule with all in it: its raw `path` from its superproject's root, and the commit that is the gitlink."""

    path: bytes
    commit: ObjectId
    wanted: Wanted


def fetch(
    wanted: Wanted,
    directory: str,
    *,
    method: str = "auto",
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
    proved: Callable[[str], None] | None = None,
) -> Receipt:
    """Materialise it in `directory` (absent, empty, or an empty mount point) and give the receipt.

    `progress` is called with (entries, bytes received) now and then, `proved` with the path of the proved tree before
    it becomes visible. Raises TreeDiffers, TargetUnusable, and what the methods raise; then nothing is left behind.
    """
    started = time.time()
    with Target(directory) as target:
        place = ""

        def fresh() -> str:
            nonlocal place
            place = target.fresh()
            return place

        made = _materialise(wanted, fresh, method, limits or Limits(), progress)
        tree, files, links = made.written.tree, made.written.files, tuple(made.outside_links())
        receipts, conversions = tuple(made.receipts()), tuple(made.all_conversions())
        if wanted.keep:
            kept = keep_part(place, wanted.keep, made.written.entries, wanted.tree.object_format)
            if wanted.keep_tree not in (None, kept.tree):
                raise TreeDiffers(f"the part is the tree {kept.tree}, not {wanted.keep_tree}: nothing was kept")
            tree, files = kept.tree, kept.files
            start = len(wanted.keep) + 1
            inner = (path for each, inside in made.submodules for path in inside.outside_links(each.path + b"/"))
            links = (*kept.outside_links, *(path[start:] for path in inner))
            receipts = tuple(
                replace(each, path=each.path[start:]) for each in receipts if each.path.startswith(wanted.keep + b"/")
            )
            conversions = (*convert(place, made.written.entries.part(wanted.keep)), *_below(wanted.keep, conversions))
        if proved is not None:
            proved(place)
        target.publish()
    for platform in wanted.platforms():
        platform.close()
    return replace(
        Receipt(
            tree=tree,
            tree_by=wanted.tree_by,
            method=made.method,
            started=started,
            finished=time.time(),
            fallbacks=made.fallbacks,
            files=files,
            received=made.received,
            outside_links=links,
            submodules=receipts,
            conversions=conversions,
            git=_git_version(),
        ),
        **{**wanted.receipt, **_without_overlay(wanted, made.method)},  # type: ignore[arg-type]
    )


@dataclass(frozen=True)
class _Made:
    """A tree that stands in its directory, proved: how it came, and what stands in its submodules."""

    written: WrittenTree
    received: int
    method: str
    fallbacks: tuple[Fallback, ...]
    conversions: tuple[Converted, ...] = ()
    submodules: tuple[tuple[WantedSubmodule, _Made], ...] = ()

    @property
    def left(self) -> Limits:
        """What of the limits is not used up."""
        return self.submodules[-1][1].left if self.submodules else self.written.left

    def outside_links(self, prefix: bytes = b"") -> Iterator[bytes]:
        """The links that lead out of their own tree, each from the root."""
        yield from (prefix + path for path in self.written.outside_links)
        for each, inner in self.submodules:
            yield from inner.outside_links(prefix + each.path + b"/")

    def all_conversions(self, prefix: bytes = b"") -> Iterator[Converted]:
        """What was done to files, in the submodules too, each path from the root."""
        for each in self.conversions:
            yield replace(each, left=[prefix + path for path in each.left])
        for submodule, inner in self.submodules:
            yield from inner.all_conversions(prefix + submodule.path + b"/")

    def receipts(self, prefix: bytes = b"") -> Iterator[SubmoduleReceipt]:
        """What became of each gitlink of the tree, and of those in its submodules."""
        filled = {each.path: (each.wanted, inner) for each, inner in self.submodules}
        for path, commit in sorted(self.written.gitlinks.items()):
            if path not in filled:
                yield SubmoduleReceipt(prefix + path, ObjectId.from_raw(commit))
                continue
            wanted, inner = filled[path]
            counts: dict[str, Any] = {**wanted.receipt, **_without_overlay(wanted, inner.method)}
            yield SubmoduleReceipt(
                prefix + path,
                ObjectId.from_raw(commit),
                tree=inner.written.tree,
                method=inner.method,
                fallbacks=inner.fallbacks,
                files=inner.written.files,
                received=inner.received,
                overlay_files=counts["overlay_files"],
                overlay_deleted=counts["overlay_deleted"],
            )
            yield from inner.receipts(prefix + path + b"/")


def _materialise(
    wanted: Wanted,
    fresh: Callable[[], Root],
    method: str,
    limits: Limits,
    progress: Callable[[int, int], None] | None,
) -> _Made:
    """Write the tree into what `fresh` gives, anew for each method, and then its submodules into their directories.

    `limits` are for all of them together.
    """
    fallbacks: list[Fallback] = []
    errors: list[CodeRepoError] = []
    if wanted.base is None and wanted.local is None and wanted.problem is None:
        directory = fresh()
        written, received = _write(wanted, directory, None, limits, progress)
        used = "overlay"
    else:
        used = ""
        for name in _order(wanted, method):
            if name == "published" and method == "auto" and not any(isinstance(each, _GONE) for each in errors):
                continue
            try:
                directory = fresh()
                written, received = _by(name, wanted, directory, limits, progress)
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
    inside = []
    left = written.left
    for each in wanted.submodules:
        if wanted.keep and not each.path.startswith(wanted.keep + b"/"):
            continue  # it does not stay
        with SubmodulePlace(directory, each.path) as place:
            try:
                inner = _materialise(each.wanted, place.fresh, method, left, progress)
            except CodeRepoError as error:
                raise said_of(error, each.path) from None
        inside.append((each, inner))
        left = inner.left
    # Of a part, what stays is converted once it stands alone.
    conversions = () if wanted.keep else convert(directory, written.entries)
    return _Made(written, received, used, tuple(fallbacks), conversions, tuple(inside))


def _below(part: bytes, conversions: Iterable[Converted]) -> Iterator[Converted]:
    """Those conversions of submodules as they are called from the part that stays."""
    start = len(part) + 1
    for each in conversions:
        yield replace(each, left=[path[start:] for path in each.left])


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
    name: str, wanted: Wanted, directory: Root, limits: Limits, progress: Callable[[int, int], None] | None
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
    return _write(wanted, directory, METHODS[name](replace(wanted.base, limits=limits)), limits, progress)


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
    directory: Root,
    source: AbstractContextManager[Delivery] | None,
    limits: Limits,
    progress: Callable[[int, int], None] | None,
) -> tuple[WrittenTree, int]:
    """One attempt: everything is written below `directory`, the base from `source` (None: no base), then proved."""
    overlay = wanted.open_overlay(limits)
    replaced = frozenset(overlay.paths if overlay is not None else ()) | frozenset(wanted.deleted)
    request = wanted.base
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
    hints = ["the platform, or something on the way, gave other bytes than the ones that were recorded"]
    if written.tree != wanted.tree and source is not None:
        # An archive has what its attributes ask for: those files are hashed again as git would check them in.
        proved = overlay.paths if overlay is not None else frozenset()
        if restore(directory, written.entries, object_format, proved=proved):
            written = replace(written, tree=written.entries.tree(object_format))
        elsewise = archive_attributes(directory, written.entries)
        if elsewise:
            hints = [f"its archive is another tree ({', '.join(elsewise)}): --method git brings it, where git is there"]
    if written.tree != wanted.tree:
        came = "" if request is None or request.tree in (None, base_tree) else " (the base is another one already)"
        raise TreeDiffers(
            f"what came is the tree {written.tree}, not {wanted.tree}{came}: nothing was kept",
            hints=hints,
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
    submodules: tuple[WantedSubmodule, ...] = (),
    keep: bytes = b"",
) -> Wanted:
    """What a manifest asks for; see `wanted_by_code`, which raises the same errors."""
    wanted = wanted_by_code(
        manifest.code,
        platform,
        overlay=overlay,
        environment=environment,
        local=local,
        problem=problem,
        reference=reference_of(manifest.run.id),
        commit=commit,
        submodules=submodules,
        keep=keep,
    )
    return replace(wanted, receipt={**wanted.receipt, "manifest_digest": manifest.digest, "run_id": manifest.run.id})


def wanted_by_code(
    code: Code,
    platform: BaseCodeRepository | None,
    *,
    overlay: bytes | None,
    environment: Mapping[str, str],
    local: LocalTree | None = None,
    problem: CodeRepoError | None = None,
    reference: str | None = None,
    commit: ObjectId | None = None,
    submodules: tuple[WantedSubmodule, ...] = (),
    keep: bytes = b"",
) -> Wanted:
    """What the `code` of a manifest, or of a submodule in one, asks for.

    `overlay` is its gzip where that is not inside, `local` what is at hand of it, `problem` why there is no platform,
    where `local` may do without one, and `submodules` what its own submodules ask for. `reference` is where it may have
    been published, `commit` the published one, which has all of it, where that is known from elsewhere than the
    manifest. `keep` is the directory that is wanted of it, b"" for all. Raises OverlayMissing, NotReproducible.
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
        submodules=submodules,
        gitlinks={each.path: each.commit.raw for each in code.submodules},
        receipt={
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
