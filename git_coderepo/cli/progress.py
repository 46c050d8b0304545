"""The progress line: shown on a terminal only, and only for work that takes more than half a second."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from git_coderepo.cli import output

if TYPE_CHECKING:
    from types import TracebackType

    from git_coderepo.fetching.writer import Counts, Progress

_DELAY = 0.5
_INTERVAL = 0.1


@contextmanager
def progress_shown(quiet: bool) -> Iterator[Progress | None]:
    """Show the files and bytes of a fetch on a terminal."""
    if quiet or not _has_terminal():
        yield None
        return
    counts: Counts = lambda: (0, 0)  # noqa: E731

    def watch(new: Counts) -> None:
        nonlocal counts
        counts = new

    def state() -> tuple[str, int]:
        files, received = counts()
        return output.count(files, "file"), received

    with _Line(state, None):
        yield watch


def stages_shown(quiet: bool = False) -> Callable[[str, int, Callable[[], int] | None], AbstractContextManager[object]]:
    """Return a function that shows the progress of one stage of a snapshot.

    Its arguments are the name of the stage, its size in bytes, and a function that returns the bytes done so far.
    Without such a function, the bytes that child processes have written are shown (Linux only).
    """
    is_shown = not quiet and _has_terminal()

    def stage(name: str, total: int, done: Callable[[], int] | None = None) -> AbstractContextManager[object]:
        if not is_shown:
            return nullcontext()
        count = done if done is not None else _Children().written
        return _Line(lambda: (name, min(count(), total)), total)

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


def _has_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()  # None if it was closed when the program started


class _Line:
    """A progress line for the duration of a `with`; `state` returns its text and the bytes so far.

    A thread draws the line, so that it moves while the caller waits for git. The line is removed at the end of the
    `with`, before any other output.
    """

    def __init__(self, state: Callable[[], tuple[str, int]], total: int | None) -> None:
        self._state = state
        self._total = total
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)

    def __enter__(self) -> _Line:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

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
            TransferSpeedColumn,
        )

        size = FileSizeColumn() if self._total is None else DownloadColumn()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), size, TransferSpeedColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, auto_refresh=False, redirect_stdout=False) as bar:
            task = bar.add_task(self._state()[0], total=self._total)
            while True:
                text, done = self._state()
                bar.update(task, description=text, completed=done, refresh=True)
                if self._stop.wait(_INTERVAL):
                    return


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
    """Return the bytes that a process has passed to write(2); see proc_pid_io(5)."""
    try:
        with open(f"/proc/{process}/io") as file:
            fields = dict(line.rstrip().split(": ") for line in file)
    except OSError:
        return 0
    return int(fields.get("wchar", 0))
