"""The contents behind pointers of Git LFS, put in their places: see `fetching.lfs`, which says where they come from."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from git_coderepo.errors import DownloadDamaged, LfsObjectMissing
from git_coderepo.fetching.lfs import LfsSources
from git_coderepo.fetching.lfs_download import Download, Stopped, write_piece
from git_coderepo.fetching.listing import Listing
from git_coderepo.fetching.progress import Progress
from git_coderepo.fetching.sources.overlay import read_overlay
from git_coderepo.filesystem.directories import Directories, unusable
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.lfs import Pointer, object_path
from git_coderepo.git.objects import EXECUTABLE
from git_coderepo.platforms.lfs import BATCH, Action, LfsServer

if TYPE_CHECKING:
    from concurrent.futures import Future

THREADS = 4
_PIECE = 1 << 20
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMED = 5


class Filler:
    """Puts contents in the place of pointers; `waiting` are the objects that are still to come, with their paths."""

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
        """Objects that travelled with the run."""
        if sources.data is None:
            return 0
        count = 0
        for entry in read_overlay(sources.data, tar_sha256=sources.tar_sha256, sha256=sources.sha256):
            key = (entry.path.decode("ascii", "replace"), entry.size)
            if key in self.waiting:
                self._put(key, entry.chunks(), "what travelled with the run")
                count += 1
        return count

    def from_folders(self, folders: Iterable[bytes]) -> None:
        """Objects that lie here; one that is not what it should be is passed over."""
        for folder in folders:
            for key in list(self.waiting):
                oid, size = key
                try:
                    with open(object_path(folder, oid), "rb") as file:
                        if os.fstat(file.fileno()).st_size == size:
                            self._put(key, iter(partial(file.read, _PIECE), b""), "the object here")
                except (FileNotFoundError, NotADirectoryError, PermissionError, DownloadDamaged):
                    continue

    def from_server(self, sources: LfsSources, progress: Progress | None) -> int:
        """All that is left; the bytes that came."""
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
                    raise self._not_given({key[0]: "it is not there" for key in self.waiting}, server.place, sources)
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
        """The error where objects are not given, naming what they stand for."""
        paths = sorted((paths[0], reasons[key[0]]) for key, paths in self.waiting.items() if key[0] in reasons)
        named = ", ".join(f"{quoted(path)} ({why})" for path, why in paths[:_NAMED])
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        hints = ["git lfs push --all REMOTE, where the files are", "fetch the pointers as they are: --no-lfs"]
        if sources.sha256 and sources.data is None:
            hints.insert(0, f"'{sources.sha256}.tar.gz' travels with the run: copy it into the manifest's folder")
        return LfsObjectMissing(f"'{place}' does not give what Git LFS keeps: {named}{more}", hints=hints)

    # --- files ---

    def _put(self, key: tuple[str, int], pieces: Iterable[bytes], what: str) -> None:
        """Write an object to all its paths. Raises DownloadDamaged; then the first of them is not there any more."""
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
        """A new file in the place of a pointer, with the mode that the writer gives."""
        directory, _, name = path.rpartition(b"/")
        mode = 0o777 if self._listing[path][0] == EXECUTABLE else 0o666
        try:
            with self._lock:
                parent = self._root.open(directory)
                try:
                    os.unlink(name, dir_fd=parent)
                except FileNotFoundError:
                    pass  # an attempt before this one came as far
                return os.open(name, _CREATE, mode, dir_fd=parent)
        except OSError as error:
            raise unusable(error, path) from None
