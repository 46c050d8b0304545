"""Read and write the result of a run: `<id>.result.json` beside its manifest, from its start, replaced at its end."""

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
    """A file that the run wrote at a declared output: raw path, sha256 (hex), size in bytes."""

    path: bytes
    sha256: str
    size: int


class Result(NamedTuple):
    """How a run ended: `status` as in a shell; `finished_on` is None while it runs, and if the recorder was killed.

    Times are `YYYY-MM-DDTHH:MM:SSZ`, paths raw. `unknown` names the fields (`edited`, `produced`, `outputs`) that could
    not be determined, `not_written` the declared outputs that the run did not write.
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
    not_written: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Result | None:
        """Parse the bytes of a result; return None if they are damaged: no verb depends on a result."""
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
                not_written=tuple(_path(each) for each in document.get("notWritten", ())),
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    @classmethod
    def load(cls, path: bytes) -> Result | None:
        """Read a result; return None if it is missing, unreadable or damaged."""
        try:
            with open(path, "rb") as file:
                return cls.parse(file.read())
        except OSError:
            return None

    @property
    def state(self) -> str:
        """`ok`, `exit N`, a signal's name, `running`, `killed`, or `unfinished` for a run on another host."""
        if self.finished_on is not None:
            if self.signal is not None:
                return self.signal
            return "ok" if self.status == 0 else f"exit {self.status}"
        if self.host != os.uname().nodename:
            return "unfinished"
        return "running" if _is_alive(self.pid, self.started_on) else "killed"

    @property
    def seconds(self) -> float | None:
        """The duration of the run in seconds; None if unknown."""
        start, end = seconds_of(self.started_on), seconds_of(self.finished_on)
        return None if start is None or end is None else end - start


def state_of(result: Result | None) -> str:
    """Return the state of a run; `recorded` if it has no result, as after the pre-run hook."""
    return "recorded" if result is None else result.state


def seconds_of(time_text: str | None) -> float | None:
    """Return `YYYY-MM-DDTHH:MM:SSZ` as seconds since 1970; None for any other text."""
    import calendar

    try:
        return float(calendar.timegm(time.strptime(time_text or "", "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return None


def _is_alive(pid: int, started_on: str) -> bool:
    """Return whether the process that wrote the result is still running, and not a later one with its pid."""
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
    """Return when a process was started, in seconds since 1970; None without `/proc` (see proc(5))."""
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
        raise TypeError("not a string")
    return value


def _path(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, dict):
        raise TypeError("not a path")
    return base64.b64decode(value["base64"])


# --- Write the result ------------------------------------------------------------------------------------------------

RESULT_VERSION = "1.0"

# Bytes: enough for the status and some hundred paths.
_RESERVED = 16 << 10


class Outcome(NamedTuple):
    """How a run ended: the fields of `Result` that are known only then.

    `outputs` are the `files` of `outputs.MadeOutputs`.
    """

    status: int
    signal: str | None
    edited: Sequence[bytes]
    produced: Sequence[bytes]
    outputs: Sequence[Mapping[str, object]]
    unknown: Sequence[str] = ()
    not_written: Sequence[bytes] = ()


class Ending:
    """Write the result at `path`: from the start without an end, so that a killed run is recognized. A context manager.

    The space for the result is reserved at the start by a file that replaces it at the end, because a run may end by
    filling the disk. The directory is kept open, because the checkout may be moved meanwhile.
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
                pass  # it was renamed to the result, or its directory no longer exists
        for descriptor in (self._folder, self._reserve):
            if descriptor >= 0:
                os.close(descriptor)
        self._folder = self._reserve = -1

    def begin(self) -> None:
        """Write the result of a run that starts, and reserve space for its end. Raises CodeRepoError."""
        try:
            write_whole(self.path, self._encoded())
            self._folder = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._reserve = os.open(self._name, flags, 0o666, dir_fd=self._folder)
            # Random bytes: a file system that compresses would reserve no space for zeros.
            _write_at_start(self._reserve, os.urandom(_RESERVED))
        except OSError as error:
            raise _unwritten(error) from None

    def end(self, outcome: Outcome) -> None:
        """Write the result of a run that has ended.

        Raises CodeRepoError if it cannot be written, or only the status without the paths.
        """
        self.document.update(finishedOn=time_text(time.time()), status=outcome.status, signal=outcome.signal)
        short = self._encoded(unknown=["edited", "produced", "outputs"])
        self.document.update(
            edited=[path_value(path) for path in outcome.edited],
            produced=[path_value(path) for path in outcome.produced],
            outputs=list(outcome.outputs),
        )
        rare: dict[str, object] = {"unknown": list(outcome.unknown)} if outcome.unknown else {}
        if outcome.not_written:
            rare["notWritten"] = [path_value(path) for path in outcome.not_written]
        whole = self._encoded(**rare)
        shortened: OSError | None = None
        try:
            try:
                _write_at_start(self._reserve, whole)
            except OSError as error:
                shortened = error
                _write_at_start(self._reserve, short)
            try:
                os.rename(self._name, os.path.basename(self.path), src_dir_fd=self._folder, dst_dir_fd=self._folder)
            except FileNotFoundError:
                write_whole(self.path, whole)  # `prune` removed the reserved file, which may be old
        except OSError as error:
            raise _unwritten(error) from None
        if shortened is not None:
            raise CodeRepoError(f"cannot write the paths of the result, only its status: {_words(shortened)}")

    def _encoded(self, **more: object) -> bytes:
        return (json.dumps({**self.document, **more}, indent=2, ensure_ascii=False) + "\n").encode()


def _write_at_start(descriptor: int, data: bytes) -> None:
    """Replace the contents of a file in place, reusing its blocks, and sync it. Raises OSError."""
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], written)
    os.ftruncate(descriptor, len(data))
    os.fsync(descriptor)


def _unwritten(error: OSError) -> CodeRepoError:
    return CodeRepoError(f"cannot write the result of the run: {_words(error)}")


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
