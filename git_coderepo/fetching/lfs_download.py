"""One object of Git LFS from its server into a file: resumed where it was cut, asked for again where it is wrong."""

from __future__ import annotations

import hashlib
import os
import threading

from git_coderepo.errors import CodeRepoError, DownloadDamaged, HostUnreachable, LfsObjectMissing
from git_coderepo.filesystem.directories import unusable
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.lfs import Pointer
from git_coderepo.platforms.lfs import Action, LfsServer
from git_coderepo.transport.http import Response

# So often in a row without a new byte, and so often at all.
MOST_IDLE = 4
MOST_ATTEMPTS = 40
_RECEIVED_AT_ONCE = 1 << 18
_FIRST_PAUSE = 0.1  # seconds


class Stopped(Exception):
    """Another object failed: this one is not wanted any more."""


class Download:
    """An object on its way; `path` is what it is shown as. `stop` ends it, with Stopped. `received` counts bytes."""

    def __init__(self, server: LfsServer, pointer: Pointer, path: bytes, stop: threading.Event) -> None:
        self._server = server
        self._pointer = pointer
        self._path = path
        self._stop = stop
        self._digest = hashlib.sha256()
        self._size = 0
        self.received = 0

    def into(self, file: int, action: Action) -> int:
        """Write the object to the open, empty `file`; the bytes that came for it.

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
                    # An `href` is good for a while only; whether the object is there, the batch API says.
                    response.close()
                    asked_again = True
                    action = self._action()
                    continue
                if self._accept(response, file):
                    self._read(response, file)
                    if (self._digest.hexdigest(), self._size) == (self._pointer.oid, self._pointer.size):
                        return self.received
                    if wrong:
                        raise _Wrong(f"what came for {quoted(self._path)} is not what its Git LFS pointer names")
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
            f"{quoted(self._path)} did not come whole from the Git LFS server, however often it was asked for{why}",
            hints=["try again"],
        )

    def _action(self) -> Action:
        answer = self._server.actions([self._pointer])[self._pointer.oid]
        if isinstance(answer, str):
            raise LfsObjectMissing(f"'{self._server.place}' does not give {quoted(self._path)}: {answer}")
        return answer

    def _accept(self, response: Response, file: int) -> bool:
        """Whether the answer has contents, and the file stands where they begin. Raises LfsObjectMissing."""
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
            f"'{response.origin}' answered {status} where {quoted(self._path)} should be",
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
    """Whole, and twice not what it should be."""


def write_piece(file: int, contents: bytes, path: bytes) -> None:
    """Write it all where the file stands. Raises TargetUnusable."""
    view = memoryview(contents)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError as error:
        raise unusable(error, path) from None
