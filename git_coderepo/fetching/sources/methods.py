"""The ways in which a base's files come: one archive, a git fetch, or a custom class's own download.

Each is a context manager that gives entries to the one writer; none of them decides whether what came is right.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from queue import Empty, Full, Queue
from threading import Event, Thread
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    DownloadDamaged,
    GitFailed,
    MethodUnavailable,
    StoreDamaged,
    TreeDiffers,
    UnsafeTree,
)
from git_coderepo.fetching.sources.git_tree import blob_entries, listed_tree
from git_coderepo.fetching.sources.stored_trees import stored_trees, tree_named
from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.git.objects import EXECUTABLE, FILE, SYMLINK, ObjectId
from git_coderepo.git.process import Git
from git_coderepo.git.subtree import inside
from git_coderepo.manifest.entries import Entry
from git_coderepo.manifest.limits import Limits
from git_coderepo.manifest.tar import Readable, TarReader
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.stores.shared import SharedStore

if TYPE_CHECKING:
    from git_coderepo.transport.scratch_repository import Scratch

# Larger files are read in pieces.
_WHOLE = 1 << 20


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
    special: Mapping[bytes, tuple[int, bytes | None]] = MappingProxyType({})
    limits: Limits = Limits()
    environment: Mapping[str, str] = os.environ


class PublishedRequest(NamedTuple):
    """Where a run may have been published: the reference of its id on the platform that serves its base."""

    platform: BaseCodeRepository
    reference: str
    object_format: str
    environment: Mapping[str, str] = os.environ


class Delivery(NamedTuple):
    """Entries as they arrive and, once all have arrived, the bytes received and the submodules' commits.

    `trees` has the tree objects behind them while the method's context lasts, None where they are not to be had.
    """

    entries: Iterator[Entry]
    received: Callable[[], int]
    gitlinks: Mapping[bytes, bytes] = MappingProxyType({})
    trees: DeliveredTrees | None = None


class DeliveredTrees(NamedTuple):
    """The tree objects of the delivered commit or tree `name`, which `git` has."""

    git: Git
    name: str

    def stored(self, made: ObjectId) -> Mapping[bytes, bytes]:
        """Return what git would write otherwise among them (see `stored_trees`), if they are not the tree `made`."""
        if tree_named(self.git, self.name) == made:
            return {}
        return stored_trees(self.git, self.name, made.object_format)


@contextmanager
def archive_method(request: BaseRequest) -> Iterator[Delivery]:
    """One archive in one request, read as it streams in."""
    archive = request.platform.open_archive(request.commit, request.part or request.asked)
    if archive is None:
        raise MethodUnavailable(f"the platform '{request.platform.type}' gives no archive here")
    with archive, _reading_ahead(archive.stream) as ahead:
        counted = _Counted(archive.stream)
        reader = TarReader(counted, top_directory=archive.top_directory, limits=request.limits, ahead=ahead)
        entries: Iterator[Entry] = reader
        if request.part and archive.path != request.part:
            entries = _below(reader, request.part)
        elif request.part:
            entries = _with_or_without_prefix(reader, request.part)
        elif request.scope:
            holds = inside(request.scope)
            entries = (entry for entry in reader if holds(entry.path))
        yield Delivery(entries, lambda: counted.received)


@contextmanager
def _reading_ahead(stream: BinaryIO) -> Iterator[Callable[[Iterator[bytes]], Iterator[bytes]]]:
    """In another thread where that can be told to stop: a custom class's stream may know no such thing."""
    abandon = getattr(stream, "abandon", None)
    if abandon is None:
        yield iter
        return
    with Ahead(abandon) as ahead:
        yield ahead.blocks


@contextmanager
def git_method(request: BaseRequest) -> Iterator[Delivery]:
    """A fetch of the commit into a bare scratch repository, read object by object: nothing is ever checked out."""
    with ExitStack() as stack:
        if request.part or request.scope:
            try:
                scratch, wanted, gitlinks = _fetched(request, stack, part_only=True)
            except (CommitMissing, GitFailed):
                # A server that gives no object by its own id: all of the commit, then.
                scratch, wanted, gitlinks = _fetched(request, stack, part_only=False)
        else:
            scratch, wanted, gitlinks = _fetched(request, stack, part_only=False)
        name = f"{request.commit}:{os.fsdecode(request.part)}/" if request.part else request.commit.hex
        trees = DeliveredTrees(scratch.git, name) if not request.scope else None
        yield Delivery(blob_entries(scratch.git, wanted), scratch.size, gitlinks, trees)


def _fetched(
    request: BaseRequest, stack: ExitStack, *, part_only: bool
) -> tuple[Scratch, list[tuple[bytes, int, str]], dict[bytes, bytes]]:
    """A scratch repository that has what is wanted, and what that is; with `part_only` no other contents come."""
    from git_coderepo.transport.scratch_repository import Scratch

    scratch = stack.enter_context(Scratch(request.object_format, request.environment))
    only = "blob:none" if part_only else None
    scratch.fetch_commit(
        request.platform, request.commit, reference=request.reference, branch=request.branch, only=only
    )
    name = f"{request.commit}:{os.fsdecode(request.part)}/" if request.part else request.commit.hex
    wanted, gitlinks = listed_tree(scratch.git, name, request.limits, request.scope)
    if part_only:
        scratch.fetch_blobs(request.platform, sorted({id for _, _, id in wanted}))
    return scratch, wanted, gitlinks


@contextmanager
def published_method(request: PublishedRequest) -> Iterator[Delivery]:
    """The whole snapshot, by the reference of its run: what it leads to is known to be right once it is hashed."""
    from git_coderepo.transport.scratch_repository import Scratch

    with Scratch(request.object_format, request.environment) as scratch:
        try:
            commit = scratch.fetch_reference(request.platform, request.reference)
        except CommitMissing:
            raise MethodUnavailable(f"'{request.platform.name}' has no reference '{request.reference}'") from None
        wanted, gitlinks = listed_tree(scratch.git, commit.hex)
        trees = DeliveredTrees(scratch.git, commit.hex)
        yield Delivery(blob_entries(scratch.git, wanted), scratch.size, gitlinks, trees)


@contextmanager
def store_method(store: SharedStore, tree: ObjectId, limits: Limits) -> Iterator[Delivery]:
    """The whole snapshot, by its tree's id in the shared store: one archive, read as it streams in."""
    with store.open(tree) as stream:
        counted = _Counted(stream)
        yield Delivery(TarReader(counted, top_directory=False, limits=limits), lambda: counted.received)


@contextmanager
def told_of_store(store: SharedStore, tree: ObjectId) -> Iterator[None]:
    """A block that makes a tree of what a store gave: raises StoreDamaged where that is not the tree."""
    try:
        yield
    except (TreeDiffers, DownloadDamaged, UnsafeTree) as error:
        raise StoreDamaged(
            f"what the store '{store.url}' has for the tree {tree} is not that tree: {error.message}",
            hints=["git coderepo publish --store RUN, in the checkout that recorded the run, writes it again"],
        ) from error


@contextmanager
def files_method(request: BaseRequest) -> Iterator[Delivery]:
    """A custom class's `download_files` into a scratch directory, completed with the modes and links it loses."""
    with scratch_directory() as directory:
        part = os.fsdecode(request.part) or None
        try:
            request.platform.download_files(request.commit.hex, directory, part)
        except CodeRepoError:
            raise
        except Exception as error:
            kind = type(request.platform)
            raise MethodUnavailable(
                f"'{kind.__module__}.{kind.__qualname__}.download_files' failed: {type(error).__name__}: {error}"
            ) from error
        holds = inside(request.scope)
        entries = (entry for entry in _disk_entries(os.fsencode(directory), request) if holds(entry.path))
        yield Delivery(entries, lambda: 0)


class _Counted:
    """A stream that knows how many bytes were read from it."""

    def __init__(self, stream: Readable) -> None:
        self._read = stream.read
        self.received = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._read(size)
        self.received += len(piece)
        return piece


def _below(entries: Iterator[Entry], part: bytes) -> Iterator[Entry]:
    """The entries below a directory, named from there."""
    prefix = part + b"/"
    for entry in entries:
        if entry.path.startswith(prefix):
            yield Entry(entry.path[len(prefix) :], entry.mode, entry.size, entry.contents)


def _with_or_without_prefix(entries: Iterator[Entry], part: bytes) -> Iterator[Entry]:
    """Entries of an archive of one directory, whichever way the platform names them: from the root or from there."""
    prefix = part + b"/"
    for entry in entries:
        path = entry.path[len(prefix) :] if entry.path.startswith(prefix) else entry.path
        if path and not part.startswith(entry.path):
            yield Entry(path, entry.mode, entry.size, entry.contents)


def _disk_entries(root: bytes, request: BaseRequest) -> Iterator[Entry]:
    """What a custom class wrote, with what the manifest knows better."""
    prefix = request.part + b"/" if request.part else b""
    special = {path[len(prefix) :]: facts for path, facts in request.special.items() if path.startswith(prefix)}
    for path, (mode, target) in special.items():
        if mode == SYMLINK and target is not None:
            yield Entry(path, SYMLINK, len(target), target)
    for folder, folders, names in os.walk(root):
        # A link to a directory is listed among the directories, and not gone into.
        for name in sorted([*names, *folders]):
            absolute = os.path.join(folder, name)
            path = os.path.relpath(absolute, root)
            mode, target = special.get(path, (0, None))
            if mode == SYMLINK:
                continue
            facts = os.lstat(absolute)
            if stat.S_ISLNK(facts.st_mode):
                contents = os.readlink(absolute)
                yield Entry(path, SYMLINK, len(contents), contents)
            elif stat.S_ISREG(facts.st_mode):
                kept = mode or (EXECUTABLE if facts.st_mode & 0o100 else FILE)
                yield Entry(path, kept, facts.st_size, partial(_file_pieces, absolute))


def _file_pieces(path: bytes) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_WHOLE):
            yield piece


# --- Reading ahead ---------------------------------------------------------------------------------------------------

# Blocks of up to 1 MiB that wait at most.
_MOST = 3
_PATIENCE = 0.05  # seconds between two looks at whether anybody still wants what is read
_LOOK = 1.0  # seconds until one who waits for data looks whether it is still being read


class Ahead:
    """Takes blocks in a thread of its own, a few ahead of whoever asks for them; a context manager.

    `abandon` is called at the end where the thread may still be waiting for data: it makes that wait end, from another
    thread.
    """

    def __init__(self, abandon: Callable[[], None]) -> None:
        self._abandon = abandon
        self._unwanted = Event()
        self._queue: Queue[bytes | BaseException | None] = Queue(_MOST)
        self._thread: Thread | None = None

    def blocks(self, source: Iterator[bytes]) -> Iterator[bytes]:
        """The blocks of `source`, in their order; raises what `source` raises, in its place. To be called once.

        Where no thread can be had (a container that may have no more of them) they are read when they are asked for.
        """
        thread = self._thread = Thread(target=self._take, args=(source,), name="git-coderepo-ahead", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return source
        return self._given(thread)

    def _given(self, thread: Thread) -> Iterator[bytes]:
        while True:
            try:
                block = self._queue.get(timeout=_LOOK)
            except Empty:
                # One that died for want of memory may have had none to say so.
                if not thread.is_alive() and self._queue.empty():
                    raise MemoryError("the thread that reads ahead is gone") from None
                continue
            if block is None:
                return
            if isinstance(block, BaseException):
                raise block
            yield block

    def _take(self, source: Iterator[bytes]) -> None:
        try:
            for block in source:
                self._put(block)
                if self._unwanted.is_set():
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)  # told where the block would have come

    def _put(self, block: bytes | BaseException | None) -> None:
        while not self._unwanted.is_set():
            try:
                self._queue.put(block, timeout=_PATIENCE)
                return
            except Full:
                pass

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._unwanted.set()
        if self._thread is None:
            return
        if self._thread.is_alive():
            self._abandon()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=_PATIENCE)
            except Empty:
                self._thread.join(_PATIENCE)
