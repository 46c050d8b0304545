"""The writer of a run's result: `<id>.result.json` beside the manifest; `result.py` reads it."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING

from git_coderepo.errors import CodeRepoError
from git_coderepo.git.store import temporary_name, write_whole
from git_coderepo.manifest.writer import path_value, time_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULT_VERSION = "1.0"

# Bytes: enough for the status and some hundred paths.
_RESERVED = 16 << 10


class Ending:
    """The result at `path`: there from the start without an end, so that a run that was killed is seen as such.

    A context manager. The space of the result is reserved at the start, by a file that takes its place at the end: a
    run may end because the disk is full. Its directory is held open: the checkout may be moved meanwhile.
    """

    def __init__(self, path: bytes, id: str, started: float) -> None:
        self.path = path
        self.document: dict[str, object] = {
            "resultVersion": RESULT_VERSION,
            "run": {"id": id},
            "startedOn": time_text(started),
            "finishedOn": None,
            "status": None,
            "signal": None,
            "edited": [],
            "produced": [],
            "outputs": [],
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        self._pid = os.getpid()
        self._folder = self._reserve = -1
        self._name = temporary_name(os.path.basename(path))

    def __enter__(self) -> Ending:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reserve >= 0 and os.getpid() == self._pid:
            try:
                os.unlink(self._name, dir_fd=self._folder)
            except OSError:
                pass  # it became the result, or the whole place is gone
        for descriptor in (self._folder, self._reserve):
            if descriptor >= 0:
                os.close(descriptor)
        self._folder = self._reserve = -1

    def begin(self) -> None:
        """Write that it runs. Raises CodeRepoError where that, or the space for its end, cannot be written."""
        try:
            write_whole(self.path, self._encoded())
            self._folder = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._reserve = os.open(self._name, flags, 0o666, dir_fd=self._folder)
            # No zeros: a file system that compresses would keep no space for them.
            _write_at_start(self._reserve, os.urandom(_RESERVED))
        except OSError as error:
            raise _unwritten(error) from None

    def end(
        self,
        status: int,
        died_of: str | None,
        edited: Sequence[bytes],
        produced: Sequence[bytes],
        outputs: Sequence[Mapping[str, object]],
        unknown: Sequence[str] = (),
    ) -> None:
        """Write what is known now: `outputs` are the `files` of `outputs.MadeOutputs`, `unknown` the names of the
        fields that could not be told.

        Raises CodeRepoError where that cannot be written, or only the status and not the paths.
        """
        self.document.update(finishedOn=time_text(time.time()), status=status, signal=died_of)
        short = self._encoded(unknown=["edited", "produced", "outputs"])
        self.document.update(
            edited=[path_value(path) for path in edited],
            produced=[path_value(path) for path in produced],
            outputs=list(outputs),
        )
        whole = self._encoded(unknown=list(unknown)) if unknown else self._encoded()
        lost: OSError | None = None
        try:
            try:
                _write_at_start(self._reserve, whole)
            except OSError as error:
                lost = error
                _write_at_start(self._reserve, short)
            try:
                os.rename(self._name, os.path.basename(self.path), src_dir_fd=self._folder, dst_dir_fd=self._folder)
            except FileNotFoundError:
                write_whole(self.path, whole)  # a prune took the reserved file, which may be old
        except OSError as error:
            raise _unwritten(error) from None
        if lost is not None:
            raise CodeRepoError(f"cannot write the paths of the result, only its status: {_words(lost)}")

    def _encoded(self, **more: object) -> bytes:
        return (json.dumps({**self.document, **more}, indent=2, ensure_ascii=False) + "\n").encode()


def _write_at_start(descriptor: int, data: bytes) -> None:
    """Make this the whole of a file, and sync it; the blocks that the file has are used again. Raises OSError."""
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], written)
    os.ftruncate(descriptor, len(data))
    os.fsync(descriptor)


def _unwritten(error: OSError) -> CodeRepoError:
    return CodeRepoError(f"cannot write the result of the run: {_words(error)}")


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
