"""What is known after a run: `<id>.result.json` beside its manifest, there from the start, replaced at the end."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from git_coderepo.errors import CodeRepoError
from git_coderepo.filesystem.atomic import temporary_name, write_whole
from git_coderepo.manifest.writer import path_value, time_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Output(NamedTuple):
    """A file that the run made and that was asked for by `--output`: raw path, hex sha256, size in bytes."""

    path: bytes
    sha256: str
    size: int


class Result(NamedTuple):
    """How a run ended: `finished_on` is None while it runs, or for ever where it was killed; `status` as in a shell.

    Times are `YYYY-MM-DDTHH:MM:SSZ`, paths raw. `unknown` are the names of the fields (`edited`, `produced`, `outputs`)
    that could not be told at the end.
    """

    started_on: str
    finished_on: str | None
    status: int | None
    signal: str | None
    edited: tuple[bytes, ...]
    produced: tuple[bytes, ...]
    outputs: tuple[Output, ...]
    pid: int
    host: str
    unknown: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Result | None:
        """From the bytes of a result; None where they are damaged: it is no more than a note beside the manifest."""
        try:
            document: Any = json.loads(data)
            return cls(
                started_on=_text(document["startedOn"]),
                finished_on=None if document["finishedOn"] is None else _text(document["finishedOn"]),
                status=None if document["status"] is None else int(document["status"]),
                signal=None if document["signal"] is None else _text(document["signal"]),
                edited=tuple(_path(each) for each in document["edited"]),
                produced=tuple(_path(each) for each in document["produced"]),
                outputs=tuple(
                    Output(_path(each["path"]), bytes.fromhex(each["sha256"]).hex(), int(each["size"]))
                    for each in document["outputs"]
                ),
                pid=int(document["pid"]),
                host=_text(document["host"]),
                unknown=tuple(_text(each) for each in document.get("unknown", ())),
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    @classmethod
    def load(cls, path: bytes) -> Result | None:
        """From a file; None where there is none."""
        try:
            with open(path, "rb") as file:
                return cls.parse(file.read())
        except OSError:
            return None

    @property
    def state(self) -> str:
        """`ok`, `exit N`, a signal's name, `running`, `killed`, or `unfinished` where only another host can tell."""
        if self.finished_on is not None:
            if self.signal is not None:
                return self.signal
            return "ok" if self.status == 0 else f"exit {self.status}"
        if self.host != os.uname().nodename:
            return "unfinished"
        return "running" if _is_alive(self.pid, self.started_on) else "killed"

    @property
    def seconds(self) -> float | None:
        """How long it ran; None where that is not known."""
        start, end = seconds_of(self.started_on), seconds_of(self.finished_on)
        return None if start is None or end is None else end - start


def state_of(result: Result | None) -> str:
    """The state of a run; `recorded` where only its start was noted, by the hook, say."""
    return "recorded" if result is None else result.state


def seconds_of(time_text: str | None) -> float | None:
    """Seconds since the epoch of `YYYY-MM-DDTHH:MM:SSZ`, None for what is not such a text."""
    import calendar

    try:
        return float(calendar.timegm(time.strptime(time_text or "", "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return None


def _is_alive(pid: int, started_on: str) -> bool:
    """Whether the process that wrote this still lives on this machine, and not a later one with its number."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    born, noted = _birth(pid), seconds_of(started_on)
    return born is None or noted is None or born <= noted + 2


def _birth(pid: int) -> float | None:
    """When a process was started, in seconds since the epoch; None where no `/proc` tells (see proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/stat", "rb") as file:
            boot = next(int(line.split()[1]) for line in file if line.startswith(b"btime "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _path(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, dict):
        raise TypeError("no path")
    return base64.b64decode(value["base64"])


# --- The writer of a run's result ------------------------------------------------------------------------------------

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
            "host": os.uname().nodename,
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
