"""A run within the program that runs: `with coderepo.run() as run:` in a notebook or a trainer."""

from __future__ import annotations

import logging
import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

from git_coderepo.errors import CodeRepoError, GitNotFound, NotACheckout
from git_coderepo.git.process import Git
from git_coderepo.manifest.model import Manifest
from git_coderepo.runs.lifecycle import Recording
from git_coderepo.runs.this_process import inherited_manifest
from git_coderepo.snapshots.python.program import program_file, root_above, run_directory

if TYPE_CHECKING:
    from types import TracebackType

    from git_coderepo.git.objects import ObjectId
    from git_coderepo.runs.lifecycle import Finished, RunRequest

_log = logging.getLogger("git_coderepo")
_NAMES = ("CODEREPO_RUN_ID", "CODEREPO_MANIFEST", "CODEREPO_TREE", "CODEREPO_COMMIT", "CODEREPO_MANIFEST_JSON")


class _Environment:
    """The variables in os.environ for the runs of this process, which may end in any order.

    `os.environ` belongs to the whole process: it tells of the run that began last and goes on, and of none afterwards.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._open: list[ActiveRun] = []
        self._outside: dict[str, str | None] = {}

    def begin(self, run: ActiveRun) -> bool:
        """Tell of a run; whether another one goes on that is not one that it was started in."""
        with self.lock:
            if not self._open:
                self._outside = {name: os.environ.get(name) for name in _NAMES}
            others = [each for each in self._open if not run.is_within(each)]
            self._open.append(run)
            self._tell()
            return bool(others)

    def end(self, run: ActiveRun) -> None:
        """Tell of it no longer."""
        with self.lock:
            self._open.remove(run)
            self._tell()

    def around(self, run: ActiveRun | None) -> dict[str, str]:
        """Return the environment for processes started in a run; None: for the process outside of its runs."""
        with self.lock:
            found: dict[str, str | None] = dict(os.environ)
            if self._open:
                found.update(self._outside)
            found.update(run.variables if run is not None else {})
            return {name: value for name, value in found.items() if value is not None}

    def _tell(self) -> None:
        told = {**self._outside, **(self._open[-1].variables if self._open else {})}
        for name, value in told.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_environment = _Environment()
# A thread begins with an empty context; a task of asyncio with that of what made it.
_current: ContextVar[ActiveRun | None] = ContextVar("git_coderepo_run", default=None)


def current_run() -> ActiveRun | None:
    """Return the innermost run around this code: of this thread, or of this asyncio task and its creator."""
    run = _current.get()
    while run is not None and run.has_ended:
        run = run.outer
    return run


class ActiveRun:
    """A run from the start of its block to the end; what `coderepo.run()` gives.

    `recorded` is whether this process wrote it down: on a runner it is the run whose manifest the environment has, and
    nothing is written. `directory` is where the run was started; None until then, unless the caller named it.
    `finished` is how it ended, None until then and on a runner. `outer` is the run of this process in which it was
    started, and `variables` are what the environment says of it.
    """

    def __init__(self, directory: str | None, request: RunRequest, outputs: tuple[str | os.PathLike[str], ...]) -> None:
        self.directory = None if directory is None else os.path.abspath(directory)
        self.finished: Finished | None = None
        self._request = request
        self._wanted = outputs
        self._outputs: list[bytes] = []
        self._manifest: Manifest | None = None
        self._recording: Recording | None = None
        self._pid = 0
        self.variables: dict[str, str | None] = {}
        self.outer: ActiveRun | None = None
        self.has_ended = False

    @property
    def manifest(self) -> Manifest:
        """The run manifest."""
        if self._manifest is None:
            raise CodeRepoError("the run has not begun", hints=["with coderepo.run() as run: …"])
        return self._manifest

    @property
    def id(self) -> str:
        """The run's id."""
        return self.manifest.run.id

    @property
    def commit(self) -> ObjectId | None:
        """HEAD's commit; None before the first one."""
        head = self.manifest.code.head
        return None if head is None else head.commit

    @property
    def tree(self) -> ObjectId:
        """The snapshot's tree."""
        return self.manifest.code.snapshot_tree

    @property
    def dirty(self) -> bool:
        """Whether the snapshot is not what HEAD has."""
        return self.manifest.code.dirty

    @property
    def recorded(self) -> bool:
        """Whether this process wrote the run down."""
        return self._recording is not None

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a process that belongs to this run, while others go on in this process."""
        return _environment.around(self)

    def is_within(self, other: ActiveRun) -> bool:
        """Return whether this run was started in `other`, or is `other`."""
        run: ActiveRun | None = self
        while run is not None and run is not other:
            run = run.outer
        return run is not None

    def outputs(self, *paths: str | os.PathLike[str]) -> None:
        """Keep the digests of these files, and of all files below these folders, as they are at the end of the run.

        A relative path is seen from the present directory. On a runner there is no record that could keep them, and
        none after the run has ended: that is logged.
        """
        if self.has_ended and paths:
            names = ", ".join(f"'{os.fsdecode(path)}'" for path in paths)
            _log.warning(
                "the run %s has already ended: the digests of these outputs are not recorded: %s", self.id, names
            )
            return
        if self._manifest is not None and not self.recorded and paths:
            _log.warning("the run %s is recorded elsewhere: the digests of its outputs are not recorded here", self.id)
            return
        self._outputs += [os.path.abspath(os.fsencode(path)) for path in paths]

    def _named_outputs(self) -> list[tuple[bytes, bytes]]:
        """Return (path to record, path to read) of each output, relative to the run's start directory if below it."""
        start = os.fsencode(self.directory or "/")
        found: dict[bytes, bytes] = {}
        for path in self._outputs:
            below = os.path.relpath(path, start)
            found[below if below != b".." and not below.startswith(b"../") else path] = path
        return list(found.items())

    def __enter__(self) -> ActiveRun:
        if self._manifest is not None:
            raise CodeRepoError("a run begins only once", hints=["with coderepo.run() as another: …"])
        named = self.directory
        self.outer = current_run()
        try:
            directory = self.directory = run_directory(_log_warning) if named is None else named
            around = _environment.around(self.outer)
            recording = Recording(Git(directory, environment=around), self._request, say=_log_warning)
            recording.__enter__()
        except (NotACheckout, GitNotFound) as error:
            manifest = inherited_manifest(os.environ)
            refused = isinstance(error, NotACheckout) and root_above(self.directory or os.getcwd()) is not None
            if manifest is None and named is None and isinstance(error, NotACheckout) and not refused:
                raise _nowhere(self.directory or os.getcwd()) from None
            if manifest is None or refused:
                raise
            self._manifest = manifest
            commit = self.commit
            self.variables = {
                "CODEREPO_RUN_ID": self.id,
                "CODEREPO_TREE": self.tree.hex,
                "CODEREPO_COMMIT": commit.hex if commit is not None else "",
            }
        else:
            self._recording = recording
            self._manifest = Manifest.parse(recording.record.data)
            self.variables = recording.variables
        try:
            self.outputs(*self._wanted)
            if self._recording is not None:
                self._recording.declare(self._named_outputs())
        except BaseException:
            recording.close()
            raise
        self._pid = os.getpid()
        _current.set(self)
        if _environment.begin(self):
            _log.warning(
                "the run %s overlaps another run in this process, and os.environ can describe only one: "
                "pass env=run.environment to subprocess.run()",
                self.id,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid:
            return  # a fork of the process that began it
        self.has_ended = True
        _environment.end(self)
        if _current.get() is self:
            _current.set(self.outer)
        if self._recording is None:
            return
        status, died_of = _ending(error)
        try:
            self.finished = self._recording.end(status, died_of, self._named_outputs())
            self._recording.close()
        except Exception as problem:
            # The block has run: what it did, or raised, must not be lost behind this.
            _log.error("how the run %s ended is not written down: %s", self.id, problem)
            return
        for text in self.finished.problems:
            _log.warning("%s (run %s)", text, self.id)
        for path in self.finished.edited:
            _log.warning("'%s' was edited while the run %s went on", os.fsdecode(path), self.id)
        made = self.finished.outputs
        for path in made.missing:
            _log.error("the output '%s' of the run %s does not exist", os.fsdecode(path), self.id)
        for path in made.untouched:
            _log.warning("the run %s changed nothing in its output '%s'", self.id, os.fsdecode(path))
        for path, reason in made.unread:
            _log.warning("the output '%s' of the run %s cannot be read: %s", os.fsdecode(path), self.id, reason)


def _ending(error: BaseException | None) -> tuple[int, str | None]:
    """(status, signal) with which an interpreter ends that nobody catches this for."""
    if error is None:
        return 0, None
    if isinstance(error, KeyboardInterrupt):
        return 130, "SIGINT"
    if isinstance(error, SystemExit):
        code = error.code
        return (0 if code is None else code & 0xFF if isinstance(code, int) else 1), None
    return 1, None


def _nowhere(directory: str) -> NotACheckout:
    program = program_file()
    places = f"the working directory '{directory}' is not in a Git checkout"
    if program is not None:
        places = f"neither the program '{program}' nor the working directory '{directory}' is in a Git checkout"
    return NotACheckout(places, hints=["name the checkout: coderepo.run(directory=…)"])


def _log_warning(text: str) -> None:
    _log.warning("%s", text.removeprefix("warning: "))
