"""Fetch a planned tree: write base and overlay, verify the tree id, and only then show the directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
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
from git_coderepo.fetching.receipt import Fallback, Hashed, Identity, Receipt, SubmoduleReceipt
from git_coderepo.fetching.sources.entry_stream import EntryStream
from git_coderepo.fetching.sources.order import AUTO, METHODS, SOURCES, source, sources_to_try
from git_coderepo.fetching.sources.source import Failure, Source
from git_coderepo.fetching.subdirectory import keep_part
from git_coderepo.fetching.target import SubmodulePlace, Target, said_of
from git_coderepo.fetching.writer import Counts, Progress, TreeWriter, WrittenTree
from git_coderepo.filesystem.directories import Root
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git, version

_OTHER_MANIFEST = "the overlay does not produce the tree that the manifest records: one of the two was altered"
_OTHER_BYTES = "the platform, or something on the way, returned bytes that differ from the recorded ones"


class FetchOptions(NamedTuple):
    """How to fetch: by which of METHODS, and how much data is accepted.

    `progress` receives a function that returns the counts of files and bytes so far. With `lfs` False, Git LFS pointers
    stay as they are.
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
    """Fetch a tree into `directory` (absent, empty, or an empty mount point) and return the receipt.

    `proved` is called with the path of the verified tree and its encoded listing (see `encode_listing`) before the tree
    becomes visible. `is_output` False: `directory` is the program's own, see `Target`. Raises UsageError for an unknown
    method, TreeDiffers, TargetUnusable, and what the sources and `lfs.fill` raise; then nothing is left behind.
    """
    if options.method not in METHODS:
        raise UsageError(f"invalid method '{options.method}': choose {', '.join(METHODS)}")
    started = time.time()
    with Target(directory, is_output=is_output) as target:
        made = _fetched(planned, target.fresh, options)
        contents = _kept_part(planned, made, target.prepared, options) if planned.keep else _whole(made)
        if proved is not None:
            proved(target.prepared, encode_listing(made.listings()))
        target.publish()
    for platform in planned.platforms():
        platform.close()
    receipt = Receipt(
        tree=contents.tree,
        tree_by=planned.tree_by,
        method=made.method,
        started=started,
        finished=time.time(),
        fallbacks=made.fallbacks,
        files=contents.files,
        received=made.all_received + (contents.lfs.received if contents.lfs is not None else 0),
        outside_links=contents.outside_links,
        submodules=contents.submodules,
        lfs=summed([*made.all_lfs(), *([contents.lfs] if contents.lfs is not None else [])]),
        conversions=contents.conversions,
        stored_trees=contents.stored_directories,
        git=_git_version(),
        proof=Hashed("download", made.all_files()),
    )
    return receipt.of(_identity(planned, made.method))


class _Contents(NamedTuple):
    """What the receipt says of a fetched directory, submodules included; all paths start at that directory.

    `lfs` is the report on Git LFS files that were fetched after the rest, None if there were none.
    """

    tree: ObjectId
    files: int
    outside_links: tuple[bytes, ...]
    submodules: tuple[SubmoduleReceipt, ...]
    conversions: tuple[Converted, ...]
    stored_directories: tuple[bytes, ...]
    lfs: LfsReport | None = None


def _whole(made: _Fetched) -> _Contents:
    return _Contents(
        tree=made.written.tree,
        files=made.written.files,
        outside_links=tuple(made.outside_links()),
        submodules=tuple(made.receipts()),
        conversions=tuple(made.all_conversions()),
        stored_directories=tuple(made.stored_directories()),
    )


def _kept_part(planned: PlannedTree, made: _Fetched, place: str, options: FetchOptions) -> _Contents:
    """Keep only the directory `planned.keep` of the verified tree at `place`, with its Git LFS files and conversions.

    Raises TreeDiffers, CodeRepoError if there is no such directory, and what `lfs.fill` and `convert` raise.
    """
    keep = planned.keep
    below, start = keep + b"/", len(keep) + 1
    kept = keep_part(place, keep, made.written.entries, planned.tree.object_format)
    if planned.keep_tree not in (None, kept.tree):
        raise TreeDiffers(
            f"the directory {quoted(keep)} is the tree {kept.tree}, not the recorded {planned.keep_tree}; "
            "nothing was written"
        )
    inner = (path for each, inside in made.submodules for path in inside.outside_links(each.path + b"/"))
    lfs = _filled(planned, made, options)
    converted = convert(made.directory, made.written.entries.part(keep))
    return _Contents(
        tree=kept.tree,
        files=kept.files,
        outside_links=(*kept.outside_links, *(path[start:] for path in inner)),
        submodules=tuple(
            each._replace(path=each.path[start:]) for each in made.receipts() if each.path.startswith(below)
        ),
        conversions=(*converted, *_below(keep, made.all_conversions())),
        stored_directories=tuple(path[start:] for path in made.stored_directories() if (path + b"/").startswith(below)),
        lfs=lfs,
    )


class _Fetched(NamedTuple):
    """A verified tree in its `directory`: how it was fetched, and what is in its submodules.

    `left` is the unused part of the limits. `in_lfs` are the tree's paths in Git LFS, and `lfs` the report on them.
    """

    directory: Root
    written: WrittenTree
    received: int
    method: str
    fallbacks: tuple[Fallback, ...]
    left: Limits
    in_lfs: LfsPaths
    lfs: LfsReport | None = None
    conversions: tuple[Converted, ...] = ()
    submodules: tuple[tuple[PlannedSubmodule, _Fetched], ...] = ()

    @property
    def all_received(self) -> int:
        """The bytes received for this tree and for its Git LFS files."""
        return self.received + (self.lfs.received if self.lfs is not None else 0)

    def listings(self, prefix: bytes = b"") -> Iterator[tuple[bytes, Listing]]:
        """Yield (prefix of its paths, listing of the recorded ids) of the tree and of those in its submodules."""
        yield prefix, self.written.entries
        for each, inner in self.submodules:
            yield from inner.listings(prefix + each.path + b"/")

    def all_files(self) -> int:
        """Return the number of files that were hashed, those in submodules included."""
        return self.written.files + sum(inner.all_files() for _, inner in self.submodules)

    def all_lfs(self) -> Iterator[LfsReport]:
        """Yield the reports on Git LFS files, those in submodules included."""
        if self.lfs is not None:
            yield self.lfs
        for _, inner in self.submodules:
            yield from inner.all_lfs()

    def stored_directories(self, prefix: bytes = b"") -> Iterator[bytes]:
        """Yield the directories, in submodules too, whose tree object git would write differently today."""
        found = self.written.entries.stored_directories(self.written.tree.object_format)
        yield from ((prefix + path).rstrip(b"/") for path in found)
        for each, inner in self.submodules:
            yield from inner.stored_directories(prefix + each.path + b"/")

    def outside_links(self, prefix: bytes = b"") -> Iterator[bytes]:
        """Yield the links that point outside their own tree, each path from the root."""
        yield from (prefix + path for path in self.written.outside_links)
        for each, inner in self.submodules:
            yield from inner.outside_links(prefix + each.path + b"/")

    def all_conversions(self, prefix: bytes = b"") -> Iterator[Converted]:
        """Yield the conversions of files, in submodules too, each path from the root."""
        for each in self.conversions:
            yield replace(each, left=[prefix + path for path in each.left])
        for submodule, inner in self.submodules:
            yield from inner.all_conversions(prefix + submodule.path + b"/")

    def receipts(self, prefix: bytes = b"") -> Iterator[SubmoduleReceipt]:
        """Yield the receipt of each gitlink of the tree, and of those in its submodules."""
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


def _fetched(planned: PlannedTree, fresh: Callable[[], Root], options: FetchOptions) -> _Fetched:
    """Fetch a tree into an empty directory that `fresh` returns, a new one for each source, then its submodules.

    Once they are verified, their Git LFS pointers become files. The limits are for all of them together.
    """
    first = _from_first_source(planned, fresh, options)
    directory, written = first.directory, first.written
    submodules = []
    left = written.left
    for each in planned.submodules:
        if planned.keep and not each.path.startswith(planned.keep + b"/"):
            continue  # it is outside the directory that is kept
        with SubmodulePlace(directory, each.path) as place:
            try:
                inner = _fetched(each.planned, place.fresh, options._replace(limits=left))
            except CodeRepoError as error:
                raise said_of(error, each.path) from error
        submodules.append((each, inner))
        left = inner.left
    made = _Fetched(
        directory=directory,
        written=written,
        received=first.received,
        method=first.method,
        fallbacks=first.fallbacks,
        left=left,
        in_lfs=lfs_paths(directory, written.entries),
        submodules=tuple(submodules),
    )
    if planned.keep:
        return made  # the kept directory is filled and converted when it stands alone
    lfs = _filled(planned, made, options)
    if lfs is not None:
        left = left._replace(bytes=left.bytes - lfs.written)
    return made._replace(left=left, lfs=lfs, conversions=convert(directory, written.entries))


def _filled(planned: PlannedTree, made: _Fetched, options: FetchOptions) -> LfsReport | None:
    """Replace the Git LFS pointers of a verified tree, or of its kept directory, by their files; see `lfs.fill`."""
    entries, in_lfs = made.written.entries, made.in_lfs
    if planned.keep:
        entries, in_lfs = entries.part(planned.keep), in_lfs.below(planned.keep)
    return fill(
        made.directory,
        entries,
        in_lfs,
        planned.lfs,
        keep=not options.lfs,
        already=made.written.lfs_contents,
        room=made.left.bytes,
        progress=options.progress,
    )


def _below(part: bytes, conversions: Iterable[Converted]) -> Iterator[Converted]:
    """Yield conversions of submodules with their paths from the kept directory."""
    start = len(part) + 1
    for each in conversions:
        yield replace(each, left=[path[start:] for path in each.left])


def _identity(planned: PlannedTree, method: str) -> Identity:
    """Return what the receipt says of the tree itself: a source that returns the whole tree needs no overlay."""
    gave_all = method in SOURCES and source(method).gives_all(planned)
    return planned.identity.without_overlay() if gave_all else planned.identity


# --- Try one source after another -------------------------------------------------------------------------------------


class _Sourced(NamedTuple):
    """A verified tree in its `directory`, its submodules still empty, and the sources that worked and that failed."""

    directory: Root
    written: WrittenTree
    received: int
    method: str
    fallbacks: tuple[Fallback, ...] = ()


def _from_first_source(planned: PlannedTree, fresh: Callable[[], Root], options: FetchOptions) -> _Sourced:
    """Return the tree from the first source that works. Raises the most useful error of those that failed."""
    if planned.base is None and planned.local is None and planned.problem is None:
        directory = fresh()
        return _Sourced(directory, *_write(planned, directory, None, options), "overlay")
    insisted = options.method != AUTO
    coming = sources_to_try(planned, options.method)
    fallbacks: list[Fallback] = []
    errors: list[CodeRepoError] = []
    while coming:
        each = coming.pop(0)
        if not insisted and not each.is_due(errors):
            continue
        try:
            attempt = partial(_attempt, by=each, fresh=fresh, options=options)
            directory, written, received = each.attempted(planned, coming, attempt)
        except TargetUnusable:
            raise  # every other source would fail in the same way
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
        return _Sourced(directory, written, received, each.name, tuple(fallbacks))
    raise best_error(errors, fallbacks)


def _attempt(
    planned: PlannedTree, *, by: Source, fresh: Callable[[], Root], options: FetchOptions
) -> tuple[Root, WrittenTree, int]:
    """Write the tree from one source: (the directory that `fresh` returned, the tree, bytes received)."""
    needed = planned._replace(overlay=None) if by.gives_all(planned) else planned
    directory = fresh()
    return directory, *_write(needed, directory, by.stream(planned, options.limits), options)


def best_error(errors: list[CodeRepoError], fallbacks: list[Fallback]) -> CodeRepoError:
    """Choose the most useful error after every source failed: the last one, with the earlier failures as hints.

    If an API named the missing scope and git only refused the token, it is the API's error. If git could not be run, it
    is the error of the source that was asked, unless its bytes were altered: then git is the cure.
    """
    best = errors[-1]
    if isinstance(best, TokenRefused):
        best = next((error for error in errors if isinstance(error, ScopeMissing)), best)
    not_asked = next((error for error in errors if isinstance(error, GitNotFound | GitUnusable)), None)
    if not_asked is not None:
        answers = [error for error in errors if not isinstance(error, GitNotFound | MethodUnavailable | TreeDiffers)]
        best = answers[-1] if answers else not_asked
    if best is errors[-1]:
        earlier = [f"before that, {each.method}: {each.reason}" for each in fallbacks if each.reason != best.message]
        return best.replace(hints=[*best.hints, *earlier])
    return best


# --- Write a tree and verify it ---------------------------------------------------------------------------------------


def _write(
    planned: PlannedTree, directory: Root, source: AbstractContextManager[EntryStream] | None, options: FetchOptions
) -> tuple[WrittenTree, int]:
    """Write base and overlay below `directory` and verify the tree: (the tree, bytes received).

    The base comes from `source`, None if the overlay is the whole tree. Raises TreeDiffers.
    """
    overlay = planned.overlay.opened(options.limits) if planned.overlay is not None else None
    deleted = planned.overlay.deleted if planned.overlay is not None else ()
    replaced = frozenset(overlay.paths if overlay is not None else ()) | frozenset(deleted)
    object_format = planned.tree.object_format
    if source is None and overlay is not None:
        # The whole tree is in the overlay: another one is refused before anything is written.
        hints = [_OTHER_MANIFEST]
        _check_tree(overlay.tree(planned.gitlinks or {}, object_format), planned, hints=hints)
    with TreeWriter(directory, object_format=object_format, limits=options.limits, replaced=replaced) as writer:
        base = _write_base(writer, planned, source, options) if source is not None else _WrittenBase()
        gitlinks = planned.gitlinks if planned.gitlinks is not None else base.gitlinks
        writer.apply_overlay(overlay if overlay is not None else (), deleted, gitlinks)
        written = writer.finish()
    hints = [_OTHER_BYTES]
    if written.tree != planned.tree and source is not None:
        # An archive has what its attributes ask for: those files are hashed again as git would check them in.
        unconverted = overlay.paths if overlay is not None else frozenset()
        if restore(directory, written.entries, object_format, proved=unconverted):
            written = written._replace(tree=written.entries.tree(object_format))
        altering = archive_attributes(directory, written.entries)
        if altering:
            hints = [f"attributes alter the archive ({', '.join(altering)}): use --method git"]
    if written.tree != planned.tree:
        written = _with_pointers(written, directory)
    base_differs = planned.base is not None and planned.base.tree not in (None, base.tree)
    _check_tree(written.tree, planned, base_differs=base_differs, hints=hints)
    return written, base.received


class _WrittenBase(NamedTuple):
    """The base as it was written: its tree, None without a base, the bytes received, and the source's gitlinks."""

    tree: ObjectId | None = None
    received: int = 0
    gitlinks: Mapping[bytes, bytes] = MappingProxyType({})


def _write_base(
    writer: TreeWriter, planned: PlannedTree, source: AbstractContextManager[EntryStream], options: FetchOptions
) -> _WrittenBase:
    """Write the entries of a source. Raises what the source and the writer raise, and GitNotFound if only git could."""
    request = planned.base
    with source as stream:
        if options.progress is not None:
            options.progress(_counts(writer, stream))
        for entry in stream.entries:
            writer.add(entry)
        received = stream.received()
        tree = writer.base_tree(stream.gitlinks or planned.gitlinks)
        if stream.tree_objects is not None:
            if stored := stream.tree_objects.stored(tree):
                tree = writer.add_stored(stored)
        elif request is not None and request.tree not in (None, tree):
            _refuse_old_directory(writer, request)
    return _WrittenBase(tree, received, stream.gitlinks)


def _with_pointers(written: WrittenTree, directory: Root) -> WrittenTree:
    """Return the tree with Git LFS pointers in the place of the files in LFS, which an archive may hold.

    GitLab's archives do, and GitHub's in repositories with that setting.
    """
    object_format = written.tree.object_format
    pointers = by_pointers(directory, lfs_paths(directory, written.entries).paths, object_format)
    if not pointers:
        return written
    written.entries.put_ids(pointers)
    return written._replace(tree=written.entries.tree(object_format), lfs_contents=len(pointers))


def _counts(writer: TreeWriter, stream: EntryStream) -> Counts:
    """Return a function that returns the files written, and the bytes received or, without a network, written."""
    return lambda: (writer.files_seen, stream.received() or writer.bytes_taken)


def _refuse_old_directory(writer: TreeWriter, request: BaseRequest) -> None:
    """Raise GitNotFound if the base has an old tree object, which only git can verify, and git is not installed."""
    if _git_version() is not None or request.tree is None:
        return
    try:
        path = writer.old_directory(request.platform, request.tree)
    except (CredentialError, PlatformError):
        return  # the caller reports that the tree differs
    if path is not None:
        name = f"the directory {quoted(path)}" if path else "the root directory"
        raise GitNotFound(
            f"git is required: the tree object of {name} is not what git writes today, as in many old histories, and "
            "'git' was not found on PATH",
            hints=["install git 2.34 or newer, or add it to PATH"],
        )


def _check_tree(tree: ObjectId, planned: PlannedTree, *, base_differs: bool = False, hints: Iterable[str] = ()) -> None:
    """Raise TreeDiffers unless the tree is the planned one."""
    if tree != planned.tree:
        where = " (its base differs already)" if base_differs else ""
        raise TreeDiffers(
            f"fetched tree {tree} does not match the recorded tree {planned.tree}{where}; nothing was written",
            hints=hints,
        )


def _git_version() -> str | None:
    """Return the version of git, None if it is not installed."""
    try:
        return version(Git())[1]
    except GitNotFound:
        return None
