"""Progress of work that takes more than half a second: a line that moves on a terminal, plain lines in the log of CI.

Without a terminal and without CI (the variable `CI` is `true` or `1`), and with `--quiet`, nothing is shown.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from git_coderepo.cli import output
from git_coderepo.plural import count
from git_coderepo.snapshots.size_limits import shown_size

if TYPE_CHECKING:
    from types import TracebackType

    from git_coderepo.fetching.writer import Counts, Progress

    Stage = Callable[[str, int | None, Callable[[], int] | None], AbstractContextManager[object]]

_DELAY = 0.5
_INTERVAL = 0.1
_LOG_INTERVAL = 5.0


@contextmanager
def progress_shown(quiet: bool) -> Iterator[Progress | None]:
    """Show the files and bytes of a fetch."""
    if quiet or not (_has_terminal() or _is_in_ci()):
        yield None
        return
    counts: Counts = lambda: (0, 0)  # noqa: E731

    def watch(new: Counts) -> None:
        nonlocal counts
        counts = new

    def state() -> tuple[str, int]:
        files, received = counts()
        return count(files, "file"), received

    with _Line(state, None):
        yield watch


def stages_shown(quiet: bool = False) -> Stage:
    """Return a function that shows the progress of one stage, such as hashing.

    Its arguments are the name of the stage, its size in bytes (None if it is unknown), and a function that returns the
    bytes done so far. Without such a function, the bytes that child processes have written are shown (Linux only).
    """
    is_shown = not quiet and (_has_terminal() or _is_in_ci())

    def stage(name: str, total: int | None, done: Callable[[], int] | None = None) -> AbstractContextManager[object]:
        if not is_shown:
            return nullcontext()
        written = done if done is not None else _Children().written
        return _Line(lambda: (name, written() if total is None else min(written(), total)), total)

    return stage


@contextmanager
def waiting_shown(text: str) -> Iterator[None]:
    """Show a text on a terminal while the block waits, if it takes longer than half a second."""
    if not _has_terminal():
        yield
        return
    shown = threading.Event()

    def show() -> None:
        shown.set()
        sys.stderr.write(f"{output.clean(text)} …")
        sys.stderr.flush()

    timer = threading.Timer(_delay(), show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if shown.is_set():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def bytes_read() -> Callable[[], int]:
    """Return a function that returns the bytes that this process has read since now; 0 on other systems than Linux."""
    before = _io_of("self", "rchar")
    return lambda: max(_io_of("self", "rchar") - before, 0)


def _has_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()  # None if it was closed when the program started


def _is_in_ci() -> bool:
    return sys.stderr is not None and os.environ.get("CI", "").lower() in ("true", "1")


class _Line:
    """A progress line for the duration of a `with`; `state` returns its text and the bytes so far.

    A thread draws the line, so that it moves while the caller waits for git. On a terminal the line is removed at the
    end of the `with`, before any other output; a log gets a new line every few seconds.
    """

    def __init__(self, state: Callable[[], tuple[str, int]], total: int | None) -> None:
        self._state = state
        self._total = total
        self._stop = threading.Event()
        draw = self._draw if _has_terminal() else self._log
        self._thread = threading.Thread(target=draw, name="progress", daemon=True)

    def __enter__(self) -> _Line:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _log(self) -> None:
        begun = time.monotonic()
        interval = min(_delay() * 10, _LOG_INTERVAL)
        while not self._stop.wait(max(interval, _INTERVAL)):
            text, done = self._state()
            output.say_if_possible(f"{text}: {progress_words(done, self._total, time.monotonic() - begun)}")

    def _draw(self) -> None:
        delay = _delay()
        if self._stop.wait(delay) and delay:
            return
        from rich.console import Console
        from rich.progress import (
            DownloadColumn,
            FileSizeColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        known = self._total is not None
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            DownloadColumn() if known else FileSizeColumn(),
            TransferSpeedColumn(),
            *((TimeRemainingColumn(compact=True), TextColumn("left")) if known else ()),
        )
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, auto_refresh=False, redirect_stdout=False) as bar:
            task = bar.add_task(self._state()[0], total=self._total)
            while True:
                text, done = self._state()
                bar.update(task, description=text, completed=done, refresh=True)
                if self._stop.wait(_INTERVAL):
                    return


def progress_words(done: int, total: int | None, seconds: float) -> str:
    """Return for a log how many bytes are done, how fast, and how long the rest will take."""
    rate = done / seconds if seconds > 0 else 0.0
    words = shown_size(done) if total is None else f"{shown_size(done)} of {shown_size(total)}"
    if rate >= 1:
        words += f", {shown_size(int(rate))}/s"
        words += "" if total is None else f", {round((total - done) / rate)} s left"
    return words


def _delay() -> float:
    """Return the delay before a line is shown, in seconds: `GIT_PROGRESS_DELAY`, as for git."""
    try:
        return max(float(os.environ["GIT_PROGRESS_DELAY"]), 0)
    except (KeyError, ValueError):
        return _DELAY


class _Children:
    """The bytes that child processes have written, as counted by Linux; 0 on other systems."""

    def __init__(self) -> None:
        self._written: dict[str, int] = {}

    def written(self) -> int:
        try:
            for thread in os.listdir("/proc/self/task"):
                with open(f"/proc/self/task/{thread}/children") as file:
                    children = file.read().split()
                for child in children:
                    self._written[child] = _written_by(child)
        except OSError:
            pass  # not Linux, or the thread has just ended
        return sum(self._written.values())


def _written_by(process: str) -> int:
    return _io_of(process, "wchar")


def _io_of(process: str, field: str) -> int:
    """Return the bytes that a process has passed to write(2) or got from read(2); see proc_pid_io(5)."""
    try:
        with open(f"/proc/{process}/io") as file:
            fields = dict(line.rstrip().split(": ") for line in file)
    except OSError:
        return 0
    return int(fields.get(field, 0))
