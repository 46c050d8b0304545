"""Git LFS on a runner: once the tree is verified, the pointers that its own attributes put in LFS become files.

Contents come, in this order, from the tar that travelled with the run, from the current repository, and from the LFS
server. Each is checked against the pointer's sha256 and size before the target becomes visible.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    DownloadDamaged,
    HostUnreachable,
    LfsObjectMissing,
    LfsPointerUnusable,
    UnsafeTree,
)
from git_coderepo.fetching.limits import ATTRIBUTES_BYTES
from git_coderepo.fetching.listing import Listing
from git_coderepo.fetching.sources.overlay_tar import read_overlay
from git_coderepo.fetching.writer import Progress
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.filesystem.directories import Directories, Root, joined, unusable
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.attributes.rules import Attributes
from git_coderepo.git.lfs_pointer import POINTER_BYTES, Pointer, has_lfs, object_path, read_pointer
from git_coderepo.git.objects import EXECUTABLE, FILE, blob_id
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.platforms.lfs import BATCH, Action, LfsServer
from git_coderepo.transport.http import Response

if TYPE_CHECKING:
    from concurrent.futures import Future

_PIECE = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = (b"%06o" % FILE, b"%06o" % EXECUTABLE)


class LfsSources(NamedTuple):
    """Where LFS objects can come from: the tar that travels with the run, local folders, the platform's LFS server.

    `data` is the gzip of the tar, None if it is missing or there is none; `sha256` and `tar_sha256` are its recorded
    digests in hex. `folders` are raw paths of `lfs/objects`. `platform` is None if there is no server.
    """

    data: bytes | None = None
    tar_sha256: str = ""
    sha256: str = ""
    folders: tuple[bytes, ...] = ()
    platform: BaseCodeRepository | None = None
    branch: str | None = None
    environment: Mapping[str, str] | None = None


class LfsReport(NamedTuple):
    """The result for the tree's LFS paths: `state` is `fetched`, or `pointers` if they were left as they are.

    `files` is the number of paths with their contents (or pointers), and `objects` that of different contents, of which
    `travelled` came with the run. `received` are bytes from the server, `written` bytes of files.
    """

    state: str
    files: int
    objects: int = 0
    travelled: int = 0
    received: int = 0
    written: int = 0

    def document(self) -> dict[str, object]:
        """Return the report as plain values, in the form of the receipt's schema."""
        return {
            "state": self.state,
            "files": self.files,
            "objects": self.objects,
            "travelled": self.travelled,
            "bytes": self.received,
        }


def summed(reports: Iterable[LfsReport]) -> LfsReport | None:
    """Return one report for several trees with the same state; None without any."""
    found = list(reports)
    if not found:
        return None
    counts = ((each.files, each.objects, each.travelled, each.received, each.written) for each in found)
    return LfsReport(found[0].state, *map(sum, zip(*counts, strict=True)))


# --- Find the paths in Git LFS ---------------------------------------------------------------------------------------


class LfsPaths(NamedTuple):
    """The raw `paths` of files that a tree's own attributes put in LFS, and the contents of its `.lfsconfig`."""

    paths: tuple[bytes, ...] = ()
    lfsconfig: bytes | None = None

    def below(self, directory: bytes) -> LfsPaths:
        """Return the paths below a directory, starting at that directory."""
        prefix = directory + b"/"
        below = tuple(path[len(prefix) :] for path in self.paths if path.startswith(prefix))
        return LfsPaths(below, self.lfsconfig)


def lfs_paths(directory: Root, listing: Listing) -> LfsPaths:
    """Return which files of the tree in `directory` with this listing are in LFS. Raises TargetUnusable, UnsafeTree."""
    try:
        with Directories(directory) as root:
            attributes = _attributes(root, listing)
            if attributes is None:
                return LfsPaths()
            packed = listing.directories[b""].get(b".lfsconfig", b"")
            lfsconfig = _contents(root, b".lfsconfig", ATTRIBUTES_BYTES) if packed[:6] in _PLAIN else None
    except OSError as error:
        raise unusable(error, _name(directory), "read") from None
    found = []
    for folder, entries in listing.directories.items():
        for name, packed in entries.items():
            path = joined(folder, name)
            if packed[:6] in _PLAIN and has_lfs(attributes, path):
                found.append(path)
    return LfsPaths(tuple(found), lfsconfig)


def _attributes(root: Directories, listing: Listing) -> Attributes | None:
    files = {}
    left = ATTRIBUTES_BYTES
    for directory, entries in listing.directories.items():
        if entries.get(b".gitattributes", b"")[:6] in _PLAIN:
            contents = _contents(root, (directory + b"/" if directory else b"") + b".gitattributes", left)
            left -= len(contents)
            files[directory] = contents
    if not any(b"lfs" in contents for contents in files.values()):
        return None
    return Attributes(files).only(frozenset((b"filter",)))


def pointers_of(root: Directories, paths: Iterable[bytes]) -> dict[bytes, Pointer]:
    """Return the pointers among the files, by raw path. Raises LfsPointerUnusable, OSError."""
    found = {}
    for path in paths:
        if (contents := _small(root, path)) and (pointer := read_pointer(contents, path)) is not None:
            found[path] = pointer
    return found


def by_pointers(directory: Root, paths: Iterable[bytes], object_format: str) -> dict[bytes, bytes]:
    """Return, by raw path, the raw id of the pointer for each file that has real contents instead of a pointer.

    Files that the tree itself contains in spite of its attributes are included. Raises TargetUnusable.
    """
    found = {}
    try:
        with Directories(directory) as root:
            for path in paths:
                contents = _small(root, path)
                if contents is None or (contents and not _is_pointer(contents, path)):
                    found[path] = blob_id(_pointer_to(root, path).encode(), object_format)
    except OSError as error:
        raise unusable(error, _name(directory), "read") from None
    return found


def pointer_id(root: Directories, path: bytes, object_format: str) -> bytes:
    """Return the raw id of the pointer to the file's contents. Raises OSError."""
    return blob_id(_pointer_to(root, path).encode(), object_format)


def holds_pointer(root: Directories, path: bytes) -> bool:
    """Return whether the file is a pointer instead of its contents. Raises OSError."""
    contents = _small(root, path)
    return bool(contents) and _is_pointer(contents or b"", path)


def _is_pointer(contents: bytes, path: bytes) -> bool:
    try:
        return read_pointer(contents, path) is not None
    except LfsPointerUnusable:
        return True


def _small(root: Directories, path: bytes) -> bytes | None:
    """Return the contents of a file that may be a pointer; None for a larger file."""
    directory, _, name = path.rpartition(b"/")
    with os.fdopen(os.open(name, _READ, dir_fd=root.open(directory)), "rb") as file:
        contents = file.read(POINTER_BYTES)
    return contents if len(contents) < POINTER_BYTES else None


def _contents(root: Directories, path: bytes, most: int) -> bytes:
    directory, _, name = path.rpartition(b"/")
    with os.fdopen(os.open(name, _READ, dir_fd=root.open(directory)), "rb") as file:
        contents = file.read(most + 1)
    if len(contents) > most:
        raise UnsafeTree(
            f"{quoted(path)} exceeds the limit of {ATTRIBUTES_BYTES >> 20} MiB for attributes and settings"
        )
    return contents


def _pointer_to(root: Directories, path: bytes) -> Pointer:
    directory, _, name = path.rpartition(b"/")
    with os.fdopen(os.open(name, _READ, dir_fd=root.open(directory)), "rb") as file:
        return Pointer(sha256_of(file), file.tell())


# --- Replace pointers by files ---------------------------------------------------------------------------------------


def fill(
    directory: Root,
    listing: Listing,
    lfs: LfsPaths,
    sources: LfsSources,
    *,
    keep: bool,
    already: int,
    room: int,
    progress: Progress | None = None,
) -> LfsReport | None:
    """Replace the pointers in `directory`, whose verified tree is `listing`, by files; None if there are none.

    With `keep` they stay pointers. `already` files were in the archive instead of their pointers; at most `room` bytes
    are written. Raises
    LfsPointerUnusable, LfsObjectMissing, UnsafeTree, TargetUnusable, DownloadDamaged and what asking the server raises.
    """
    try:
        with Directories(directory) as root:
            if keep:
                files = sum(1 for path in lfs.paths if _is_pointer(_small(root, path) or b"", path))
                return LfsReport("pointers", files) if files else None
            pointers = pointers_of(root, lfs.paths)
            if not pointers:
                return LfsReport("fetched", already, already) if already else None
            size = sum(pointer.size for pointer in pointers.values())
            if size > room:
                raise UnsafeTree("the Git LFS files of the tree are larger than the limit for a tree")

            filler = Filler(root, listing, pointers, lfs.lfsconfig)
            travelled = filler.from_tar(sources)
            filler.from_folders(sources.folders)
            received = filler.from_server(sources, progress)
    except OSError as error:
        raise unusable(error, _name(directory)) from None
    return LfsReport("fetched", already + len(pointers), already + filler.objects, travelled, received, size)


def _name(directory: Root) -> str | bytes | os.PathLike[str]:
    return "the target" if isinstance(directory, int) else directory


# --- The contents behind pointers of Git LFS -------------------------------------------------------------------------

THREADS = 4
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMED = 5


class Filler:
    """Replace pointers by files; `waiting` are the missing objects (hex sha256, size) with their raw paths."""

    def __init__(
        self, root: Directories, listing: Listing, pointers: Mapping[bytes, Pointer], lfsconfig: bytes | None
    ) -> None:
        self._lfsconfig = lfsconfig
        self._root = root
        self._listing = listing
        self._lock = threading.Lock()
        self.waiting: dict[tuple[str, int], list[bytes]] = {}
        for path, pointer in pointers.items():
            self.waiting.setdefault((pointer.oid, pointer.size), []).append(path)
        self.objects = len(self.waiting)

    def from_tar(self, sources: LfsSources) -> int:
        """Write the objects that travelled with the run, and return their number."""
        if sources.data is None:
            return 0
        count = 0
        for entry in read_overlay(sources.data, tar_sha256=sources.tar_sha256, sha256=sources.sha256):
            key = (entry.path.decode("ascii", "replace"), entry.size)
            if key in self.waiting:
                self._put(key, entry.chunks(), "the object that travels with the run")
                count += 1
        return count

    def from_folders(self, folders: Iterable[bytes]) -> None:
        """Write the objects that are in local folders (raw paths of `lfs/objects`); a damaged one is skipped."""
        for folder in folders:
            for key in list(self.waiting):
                oid, size = key
                try:
                    with open(object_path(folder, oid), "rb") as file:
                        if os.fstat(file.fileno()).st_size == size:
                            self._put(key, iter(partial(file.read, _PIECE), b""), "the local object")
                except (FileNotFoundError, NotADirectoryError, PermissionError, DownloadDamaged):
                    continue

    def from_server(self, sources: LfsSources, progress: Progress | None) -> int:
        """Download the objects that are still missing, and return the bytes received. Raises as `fill` does."""
        if not self.waiting:
            return 0
        if sources.platform is None:
            raise self._not_given({key[0]: "no server is known" for key in self.waiting}, "the run", sources)
        server = LfsServer(
            sources.platform,
            lfsconfig=self._lfsconfig,
            branch=sources.branch,
            environment=sources.environment,
        )
        try:
            if server.folder is not None:
                self.from_folders([server.folder])
                if self.waiting:
                    raise self._not_given({key[0]: "not found" for key in self.waiting}, server.place, sources)
                return 0
            return self._download(server, sources, progress)
        finally:
            server.close()

    def _download(self, server: LfsServer, sources: LfsSources, progress: Progress | None) -> int:
        from concurrent.futures import ThreadPoolExecutor, as_completed

        server.open()
        stop = threading.Event()
        waiting = list(self.waiting)
        received = count = 0
        downloads: list[Download] = []
        if progress is not None:
            progress(lambda: (count, sum(each.received for each in downloads)))
        executor = ThreadPoolExecutor(THREADS, thread_name_prefix="lfs")
        try:
            for start in range(0, len(waiting), BATCH):
                asked = [Pointer(*key) for key in waiting[start : start + BATCH]]
                answers = server.actions(asked)
                reasons = {oid: why for oid, why in answers.items() if isinstance(why, str)}
                if reasons:
                    raise self._not_given(reasons, server.place, sources)
                futures: list[Future[int]] = []
                for pointer in asked:
                    action = answers[pointer.oid]
                    assert isinstance(action, Action)
                    futures.append(executor.submit(self._one, server, pointer, action, stop, downloads))
                for future in as_completed(futures):
                    received += future.result()
                    count += 1
        except BaseException:
            stop.set()
            raise
        finally:
            executor.shutdown(cancel_futures=True)
        return received

    def _one(
        self,
        server: LfsServer,
        pointer: Pointer,
        action: Action,
        stop: threading.Event,
        downloads: list[Download],
    ) -> int:
        if stop.is_set():
            raise Stopped
        key = (pointer.oid, pointer.size)
        first, *others = self.waiting[key]
        file = self._create(first)
        try:
            download = Download(server, pointer, first, stop)
            downloads.append(download)
            received = download.into(file, action)
            self._copy(file, first, others)
        finally:
            os.close(file)
        return received

    def _not_given(self, reasons: Mapping[str, str], place: str, sources: LfsSources) -> LfsObjectMissing:
        """Return the error for objects that were not found, with their paths and the reasons by hex sha256."""
        paths = sorted((paths[0], reasons[key[0]]) for key, paths in self.waiting.items() if key[0] in reasons)
        named = ", ".join(f"{quoted(path)} ({why})" for path, why in paths[:_NAMED])
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        hints = ["git lfs push --all REMOTE, in a clone that has the files", "fetch the pointers as they are: --no-lfs"]
        if sources.sha256 and sources.data is None:
            hints.insert(0, f"'{sources.sha256}.tar.gz' travels with the run: copy it into the manifest's folder")
        return LfsObjectMissing(f"cannot get Git LFS objects from '{place}': {named}{more}", hints=hints)

    # --- files ---

    def _put(self, key: tuple[str, int], pieces: Iterable[bytes], what: str) -> None:
        """Write an object to all its paths. Raises DownloadDamaged; then the first of the paths is gone or damaged."""
        first, *others = self.waiting[key]
        file = self._create(first)
        try:
            digest = hashlib.sha256()
            size = 0
            for piece in pieces:
                size += len(piece)
                if size > key[1]:
                    break
                digest.update(piece)
                write_piece(file, piece, first)
            if (digest.hexdigest(), size) != key:
                raise DownloadDamaged(f"{what} is not the Git LFS object of {quoted(first)}: its sha256 differs")
            self._copy(file, first, others)
        finally:
            os.close(file)
        del self.waiting[key]

    def _copy(self, source: int, path: bytes, others: Iterable[bytes]) -> None:
        for other in others:
            os.lseek(source, 0, os.SEEK_SET)
            file = self._create(other)
            try:
                while piece := os.read(source, _PIECE):
                    write_piece(file, piece, other)
            finally:
                os.close(file)

    def _create(self, path: bytes) -> int:
        """Create a file in the place of a pointer, with the mode that the writer uses. Raises TargetUnusable."""
        directory, _, name = path.rpartition(b"/")
        mode = 0o777 if self._listing[path][0] == EXECUTABLE else 0o666
        try:
            with self._lock:
                parent = self._root.open(directory)
                try:
                    os.unlink(name, dir_fd=parent)
                except FileNotFoundError:
                    pass  # an earlier attempt removed it
                return os.open(name, _CREATE, mode, dir_fd=parent)
        except OSError as error:
            raise unusable(error, path) from None


# --- One object of Git LFS from its server into a file ---------------------------------------------------------------

# The most attempts in a row without a new byte, and the most attempts.
MOST_IDLE = 4
MOST_ATTEMPTS = 40
_RECEIVED_AT_ONCE = 1 << 18
_FIRST_PAUSE = 0.1  # seconds


class Stopped(Exception):
    """The download of another object failed, so this one stops."""


class Download:
    """The download of one object; `path` is for messages. Setting `stop` ends it with Stopped. `received` are bytes."""

    def __init__(self, server: LfsServer, pointer: Pointer, path: bytes, stop: threading.Event) -> None:
        self._server = server
        self._pointer = pointer
        self._path = path
        self._stop = stop
        self._digest = hashlib.sha256()
        self._size = 0
        self.received = 0

    def into(self, file: int, action: Action) -> int:
        """Write the object to the open, empty `file`, and return the bytes received.

        Raises DownloadDamaged, LfsObjectMissing, HostUnreachable, and what the server's answers mean.
        """
        wrong = asked_again = False
        idle = 0
        problem: CodeRepoError | None = None
        for _ in range(MOST_ATTEMPTS):
            before = self._size
            try:
                response = self._server.get(action, self._size)
                if response.status in (401, 403, 404, 410) and not asked_again:
                    # An `href` expires; the batch API says whether the object exists.
                    response.close()
                    asked_again = True
                    action = self._action()
                    continue
                if self._accept(response, file):
                    self._read(response, file)
                    if (self._digest.hexdigest(), self._size) == (self._pointer.oid, self._pointer.size):
                        return self.received
                    if wrong:
                        raise _Wrong(
                            f"the downloaded object of {quoted(self._path)} does not match its Git LFS pointer"
                        )
                    wrong = True
                    self._restart(file)
                    continue
            except _Wrong:
                raise
            except (DownloadDamaged, HostUnreachable) as error:
                problem = error
            if self._size > before:
                idle = 0
                continue
            idle += 1
            if idle >= MOST_IDLE:
                break
            if self._stop.wait(_FIRST_PAUSE * 2**idle):
                raise Stopped
        why = f": {problem.message}" if problem is not None else ""
        raise DownloadDamaged(
            f"cannot download {quoted(self._path)} from the Git LFS server completely{why}",
            hints=["try again"],
        )

    def _action(self) -> Action:
        answer = self._server.actions([self._pointer])[self._pointer.oid]
        if isinstance(answer, str):
            raise LfsObjectMissing(
                f"Git LFS object of {quoted(self._path)} not found on '{self._server.place}': {answer}"
            )
        return answer

    def _accept(self, response: Response, file: int) -> bool:
        """Return whether the answer has contents for the current offset of the file. Raises LfsObjectMissing."""
        status = response.status
        if status == 206 and response.headers.get("content-range", "").startswith(f"bytes {self._size}-"):
            return True
        if status == 200:
            if self._size:
                self._restart(file)
            return True
        response.close()
        if status in (206, 416):
            self._restart(file)
            return False
        if status >= 500:
            return False
        raise LfsObjectMissing(
            f"'{response.origin}' answered {status} to the request for {quoted(self._path)}",
            hints=["fetch the pointers as they are: --no-lfs"],
        )

    def _read(self, response: Response, file: int) -> None:
        with response.download(raw=True) as body:
            while piece := body.read(_RECEIVED_AT_ONCE):
                if self._stop.is_set():
                    raise Stopped
                self.received += len(piece)
                self._size += len(piece)
                self._digest.update(piece)
                if self._size > self._pointer.size:
                    return
                write_piece(file, piece, self._path)

    def _restart(self, file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        os.ftruncate(file, 0)
        self._digest = hashlib.sha256()
        self._size = 0


class _Wrong(DownloadDamaged):
    """An object that was complete, and wrong, twice."""


def write_piece(file: int, contents: bytes, path: bytes) -> None:
    """Write all bytes at the current offset of the file; `path` is for messages. Raises TargetUnusable."""
    view = memoryview(contents)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError as error:
        raise unusable(error, path) from None
