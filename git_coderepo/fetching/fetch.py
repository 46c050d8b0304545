"""Get it back: the base by one of the methods, the overlay on it, one writer, and the proof before anything appears."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    CredentialError,
    GitNotFound,
    GitUnusable,
    MethodUnavailable,
    PlatformError,
    ScopeMissing,
    TargetUnusable,
    TokenRefused,
    TreeDiffers,
    UsageError,
)
from git_coderepo.fetching.cache.rehash import encode_listing
from git_coderepo.fetching.convert_files import Converted, archive_attributes, convert, restore
from git_coderepo.fetching.lfs import LfsPaths, LfsReport, by_pointers, fill, lfs_paths, summed
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.listing import Listing
from git_coderepo.fetching.planned_tree import BaseRequest, PlannedSubmodule, PlannedTree
from git_coderepo.fetching.progress import Counts, Progress
from git_coderepo.fetching.receipt import Fallback, Hashed, Identity, Receipt, SubmoduleReceipt
from git_coderepo.fetching.sources.entry_stream import EntryStream
from git_coderepo.fetching.sources.order import AUTO, METHODS, SOURCES, source, sources_to_try
from git_coderepo.fetching.sources.source import Failure, Source
from git_coderepo.fetching.subdirectory import keep_part
from git_coderepo.fetching.target import SubmodulePlace, Target, said_of
from git_coderepo.fetching.writer import TreeWriter, WrittenTree
from git_coderepo.filesystem.directories import Root
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git, version

_OTHER_MANIFEST = "the overlay does not produce the tree that the manifest records: one of the two was altered"
_OTHER_BYTES = "the platform, or something on the way, returned bytes that differ from the recorded ones"


class FetchOptions(NamedTuple):
    """How something is to be fetched: one of METHODS, and how much may come.

    `progress` gets what counts the files and bytes so far; `lfs` False leaves the pointers of Git LFS as they are.
    """

    method: str = AUTO
    limits: Limits = Limits()
    progress: Progress | None = None
    lfs: bool = True


def fetch(
    planned: PlannedTree,
    directory: str,
    options: FetchOptions,
    *,
    proved: Callable[[str, bytes], None] | None = None,
    is_output: bool = True,
) -> Receipt:
    """Materialise it in `directory` (absent, empty, or an empty mount point) and give the receipt.

    `proved` gets the path of the proved tree and its encoded listing (see `proof`) before it becomes visible. Raises
    TreeDiffers, TargetUnusable, and what the methods and `lfs.fill` raise; then nothing is left behind.
    """
    if options.method not in METHODS:
        raise UsageError(f"invalid method '{options.method}': choose {', '.join(METHODS)}")
    started = time.time()
    with Target(directory, is_output=is_output) as target:
        place = ""

        def fresh() -> str:
            nonlocal place
            place = target.fresh()
            return place

        made = _materialise(planned, fresh, options)
        tree, files, links = made.written.tree, made.written.files, tuple(made.outside_links())
        receipts, conversions = tuple(made.receipts()), tuple(made.all_conversions())
        stored = tuple(made.stored_directories())
        if planned.keep:
            kept = keep_part(place, planned.keep, made.written.entries, planned.tree.object_format)
            if planned.keep_tree not in (None, kept.tree):
                raise TreeDiffers(f"the part is the tree {kept.tree}, not {planned.keep_tree}: nothing was kept")
            tree, files = kept.tree, kept.files
            start = len(planned.keep) + 1
            inner = (path for each, inside in made.submodules for path in inside.outside_links(each.path + b"/"))
            links = (*kept.outside_links, *(path[start:] for path in inner))
            receipts = tuple(
                each._replace(path=each.path[start:]) for each in receipts if each.path.startswith(planned.keep + b"/")
            )
            stored = tuple(path[start:] for path in stored if (path + b"/").startswith(planned.keep + b"/"))
            made = made._replace(lfs=_filled(planned, place, made, options))
            conversions = (*convert(place, made.written.entries.part(planned.keep)), *_below(planned.keep, conversions))
        if proved is not None:
            proved(place, encode_listing(made.listings()))
        target.publish()
    for platform in planned.platforms():
        platform.close()
    receipt = Receipt(
        tree=tree,
        tree_by=planned.tree_by,
        method=made.method,
        started=started,
        finished=time.time(),
        fallbacks=made.fallbacks,
        files=files,
        received=made.all_received,
        outside_links=links,
        submodules=receipts,
        lfs=summed(made.all_lfs()),
        conversions=conversions,
        stored_trees=stored,
        git=_git_version(),
        proof=Hashed("download", made.all_files()),
    )
    return receipt.of(_identity(planned, made.method))


class _Made(NamedTuple):
    """A tree that stands in its directory, proved: how it came, and what stands in its submodules.

    `left` is what of the limits is not used up; `in_lfs` are the tree's paths in Git LFS, `lfs` what became of them.
    """

    written: WrittenTree
    received: int
    method: str
    fallbacks: tuple[Fallback, ...]
    left: Limits
    in_lfs: LfsPaths
    lfs: LfsReport | None = None
    conversions: tuple[Converted, ...] = ()
    submodules: tuple[tuple[PlannedSubmodule, _Made], ...] = ()

    @property
    def all_received(self) -> int:
        """The bytes that came for this tree, and for what Git LFS keeps of it."""
        return self.received + (self.lfs.received if self.lfs is not None else 0)

    def listings(self, prefix: bytes = b"") -> Iterator[tuple[bytes, Listing]]:
        """Yield the recorded ids of the tree and those in its submodules: (what stands before their paths, listing)."""
        yield prefix, self.written.entries
        for each, inner in self.submodules:
            yield from inner.listings(prefix + each.path + b"/")

    def all_files(self) -> int:
        """Return how many files were hashed, in the submodules too."""
        return self.written.files + sum(inner.all_files() for _, inner in self.submodules)

    def all_lfs(self) -> Iterator[LfsReport]:
        """What became of the paths in Git LFS, in the submodules too."""
        if self.lfs is not None:
            yield self.lfs
        for _, inner in self.submodules:
            yield from inner.all_lfs()

    def stored_directories(self, prefix: bytes = b"") -> Iterator[bytes]:
        """Return the directories, in submodules too, whose tree object git would write differently today."""
        found = self.written.entries.stored_directories(self.written.tree.object_format)
        yield from ((prefix + path).rstrip(b"/") for path in found)
        for each, inner in self.submodules:
            yield from inner.stored_directories(prefix + each.path + b"/")

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
        filled = {each.path: (each.planned, inner) for each, inner in self.submodules}
        for path, commit in sorted(self.written.gitlinks.items()):
            if path not in filled:
                yield SubmoduleReceipt(prefix + path, ObjectId.from_raw(commit))
                continue
            planned, inner = filled[path]
            identity = _identity(planned, inner.method)
            yield SubmoduleReceipt(
                prefix + path,
                ObjectId.from_raw(commit),
                tree=inner.written.tree,
                method=inner.method,
                fallbacks=inner.fallbacks,
                files=inner.written.files,
                received=inner.all_received,
                overlay_files=identity.overlay_files,
                overlay_deleted=identity.overlay_deleted,
            )
            yield from inner.receipts(prefix + path + b"/")


def _materialise(planned: PlannedTree, fresh: Callable[[], Root], options: FetchOptions) -> _Made:
    """Write the tree into what `fresh` gives, anew for each method, and then its submodules into their directories.

    Once they are proved, their pointers of Git LFS become files. The limits are for all of them together.
    """
    came = _first(planned, fresh, options)
    directory, written = came.directory, came.written
    inside = []
    left = written.left
    for each in planned.submodules:
        if planned.keep and not each.path.startswith(planned.keep + b"/"):
            continue  # it does not stay
        with SubmodulePlace(directory, each.path) as place:
            try:
                inner = _materialise(each.planned, place.fresh, options._replace(limits=left))
            except CodeRepoError as error:
                raise said_of(error, each.path) from error
        inside.append((each, inner))
        left = inner.left
    in_lfs = lfs_paths(directory, written.entries)
    made = _Made(written, came.received, came.method, came.fallbacks, left, in_lfs, submodules=tuple(inside))
    if planned.keep:
        return made  # what stays of it is filled and converted once it stands alone
    filled = _filled(planned, directory, made, options)
    if filled is not None:
        left = left._replace(bytes=left.bytes - filled.written)
    return made._replace(left=left, lfs=filled, conversions=convert(directory, written.entries))


class _Came(NamedTuple):
    """A tree that stands in `directory`, proved, without what is in its submodules: how it came."""

    directory: Root
    written: WrittenTree
    received: int
    method: str
    fallbacks: tuple[Fallback, ...] = ()


def _first(planned: PlannedTree, fresh: Callable[[], Root], options: FetchOptions) -> _Came:
    """The tree by the first source that works. Raises the error of those that failed that says most."""
    if planned.base is None and planned.local is None and planned.problem is None:
        directory = fresh()
        return _Came(directory, *_write(planned, directory, None, options), "overlay")
    insisted = options.method != AUTO
    coming = sources_to_try(planned, options.method)
    fallbacks: list[Fallback] = []
    errors: list[CodeRepoError] = []
    while coming:
        each = coming.pop(0)
        if not insisted and not each.is_due(errors):
            continue
        try:
            attempt = partial(_attempt, each, planned, fresh, options)
            directory, written, received = each.attempted(planned, coming, attempt)
        except TargetUnusable:
            raise  # by any other way, too, it would end there
        except CodeRepoError as failed:
            error = each.explained(Failure(planned, failed, insisted, errors))
            if insisted:
                raise error from None
            hint = each.in_addition(error)
            if hint is not None:
                errors[-1] = errors[-1].replace(hints=[*errors[-1].hints, hint])
                continue
            errors.append(error)
            if not isinstance(error, MethodUnavailable):
                fallbacks.append(Fallback(each.name, error.message))
            continue
        return _Came(directory, written, received, each.name, tuple(fallbacks))
    raise best_error(errors, fallbacks)


def _filled(planned: PlannedTree, directory: Root, made: _Made, options: FetchOptions) -> LfsReport | None:
    """The proved tree that stands in `directory`, or what stays of it, gets what Git LFS keeps; see `lfs.fill`."""
    entries, in_lfs = made.written.entries, made.in_lfs
    if planned.keep:
        entries, in_lfs = entries.part(planned.keep), in_lfs.below(planned.keep)
    return fill(
        directory,
        entries,
        in_lfs,
        planned.lfs,
        keep=not options.lfs,
        already=made.written.lfs_contents,
        room=made.left.bytes,
        progress=options.progress,
    )


def _below(part: bytes, conversions: Iterable[Converted]) -> Iterator[Converted]:
    """Those conversions of submodules as they are called from the part that stays."""
    start = len(part) + 1
    for each in conversions:
        yield replace(each, left=[path[start:] for path in each.left])


def _identity(planned: PlannedTree, used: str) -> Identity:
    """What the receipt says of the tree itself, by the method that brought it: one may bring the overlay, too."""
    gave_all = used in SOURCES and source(used).gives_all(planned)
    return planned.identity.without_overlay() if gave_all else planned.identity


def _attempt(
    by: Source, planned: PlannedTree, fresh: Callable[[], Root], options: FetchOptions
) -> tuple[Root, WrittenTree, int]:
    """The tree by one source, and the directory that `fresh` gave for it."""
    node = planned._replace(overlay=None) if by.gives_all(planned) else planned
    directory = fresh()
    return directory, *_write(node, directory, by.stream(planned, options.limits), options)


def _write(
    planned: PlannedTree, directory: Root, source: AbstractContextManager[EntryStream] | None, options: FetchOptions
) -> tuple[WrittenTree, int]:
    """One attempt: everything is written below `directory`, the base from `source` (None: no base), then proved."""
    overlay = planned.overlay.opened(options.limits) if planned.overlay is not None else None
    deleted = planned.overlay.deleted if planned.overlay is not None else ()
    replaced = frozenset(overlay.paths if overlay is not None else ()) | frozenset(deleted)
    request = planned.base
    object_format = planned.tree.object_format
    received = 0
    base_tree: ObjectId | None = None
    stream = EntryStream(iter(()), int)
    if source is None and overlay is not None:
        # All of it is here: what is not the tree is refused before anything is written.
        _check_tree(overlay.tree(planned.gitlinks or {}, object_format), planned, _OTHER_MANIFEST)
    with TreeWriter(directory, object_format=object_format, limits=options.limits, replaced=replaced) as writer:
        if source is not None:
            with source as stream:
                if options.progress is not None:
                    options.progress(_counts(writer, stream))
                for entry in stream.entries:
                    writer.add(entry)
                received = stream.received()
                base_tree = writer.base_tree(stream.gitlinks or planned.gitlinks)
                if stream.tree_objects is not None and (stored := stream.tree_objects.stored(base_tree)):
                    base_tree = writer.add_stored(stored)
                elif request is not None and stream.tree_objects is None and request.tree not in (None, base_tree):
                    _name_old_directory(writer, request)
        gitlinks = planned.gitlinks if planned.gitlinks is not None else stream.gitlinks
        writer.apply_overlay(overlay if overlay is not None else (), deleted, gitlinks)
        written = writer.finish()
    hints = [_OTHER_BYTES]
    if written.tree != planned.tree and source is not None:
        # An archive has what its attributes ask for: those files are hashed again as git would check them in.
        proved = overlay.paths if overlay is not None else frozenset()
        if restore(directory, written.entries, object_format, proved=proved):
            written = written._replace(tree=written.entries.tree(object_format))
        elsewise = archive_attributes(directory, written.entries)
        if elsewise:
            hints = [f"its archive is another tree ({', '.join(elsewise)}): use --method git"]
    if written.tree != planned.tree:
        # An archive may hold what Git LFS keeps (GitLab, and GitHub where it is set so): the tree has the pointers.
        pointers = by_pointers(directory, lfs_paths(directory, written.entries).paths, object_format)
        written.entries.put_ids(pointers)
        if pointers:
            written = written._replace(tree=written.entries.tree(object_format), lfs_contents=len(pointers))
    came = "" if request is None or request.tree in (None, base_tree) else " (the base is another one already)"
    _check_tree(written.tree, planned, *hints, came=came)
    return written, received


def _counts(writer: TreeWriter, stream: EntryStream) -> Counts:
    """Return what counts the files written, and the bytes received or, if nothing came by a network, written."""
    return lambda: (writer.files_seen, stream.received() or writer.bytes_taken)


def _name_old_directory(writer: TreeWriter, request: BaseRequest) -> None:
    """Raise GitNotFound where only git can prove the base, as a tree object of it is of old, and there is no git."""
    if _git_version() is not None or request.tree is None:
        return
    try:
        path = writer.old_directory(request.platform, request.tree)
    except (CredentialError, PlatformError):
        return  # the tree differs, which is said in any case
    if path is not None:
        name = f"the directory {quoted(path)}" if path else "the root directory"
        raise GitNotFound(
            f"git is required: the tree object of {name} is not what git writes today, as in many old histories, and "
            "there is no 'git' on PATH",
            hints=["install git 2.34 or newer, or add it to PATH"],
        )


def _check_tree(tree: ObjectId, planned: PlannedTree, *hints: str, came: str = "") -> None:
    """Raise TreeDiffers unless it is the planned one."""
    if tree != planned.tree:
        raise TreeDiffers(f"what came is the tree {tree}, not {planned.tree}{came}: nothing was kept", hints=hints)


def _git_version() -> str | None:
    try:
        return version(Git())[1]
    except GitNotFound:
        return None


# --- Every source failed ----------------------------------------------------------------------------------------------


def best_error(errors: list[CodeRepoError], fallbacks: list[Fallback]) -> CodeRepoError:
    """Return the most helpful error: the last one, with what the sources before it reported as hints.

    If an API named the missing scope and git only refused the token, it is the API's error. If git could not be run, it
    is the error of the source that was asked, unless its bytes were altered: then git is the cure.
    """
    best = errors[-1]
    if isinstance(best, TokenRefused):
        best = next((error for error in errors if isinstance(error, ScopeMissing)), best)
    not_asked = next((error for error in errors if isinstance(error, GitNotFound | GitUnusable)), None)
    if not_asked is not None:
        said = [error for error in errors if not isinstance(error, GitNotFound | MethodUnavailable | TreeDiffers)]
        best = said[-1] if said else not_asked
    if best is errors[-1]:
        earlier = [f"before that, {each.method}: {each.reason}" for each in fallbacks if each.reason != best.message]
        return best.replace(hints=[*best.hints, *earlier])
    return best
