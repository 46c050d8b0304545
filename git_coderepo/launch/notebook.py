"""Record a run from inside the program that runs: `with coderepo.run() as run:`."""

from __future__ import annotations

import logging
import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

from git_coderepo.errors import CodeRepoError, GitNotFound, NotACheckout
from git_coderepo.git.process import Git
from git_coderepo.manifest.model import Manifest
from git_coderepo.report.notebook_table import notebook_table
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
    """The variables in os.environ that describe the runs of this process, which may end in any order.

    `os.environ` belongs to the whole process: it describes the run that began last among those in progress.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._open: list[ActiveRun] = []
        self._outside: dict[str, str | None] = {}

    def begin(self, run: ActiveRun) -> bool:
        """Add a run; return whether it overlaps an open run that does not contain it."""
        with self.lock:
            if not self._open:
                self._outside = {name: os.environ.get(name) for name in _NAMES}
            others = [each for each in self._open if not run.is_within(each)]
            self._open.append(run)
            self._update()
            return bool(others)

    def end(self, run: ActiveRun) -> None:
        """Remove a run."""
        with self.lock:
            self._open.remove(run)
            self._update()

    def around(self, run: ActiveRun | None) -> dict[str, str]:
        """Return the environment for processes started in `run`, or outside every run if `run` is None."""
        with self.lock:
            variables: dict[str, str | None] = dict(os.environ)
            if self._open:
                variables.update(self._outside)
            variables.update(run.variables if run is not None else {})
            return {name: value for name, value in variables.items() if value is not None}

    def _update(self) -> None:
        variables = {**self._outside, **(self._open[-1].variables if self._open else {})}
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_environment = _Environment()
# A thread starts with an empty context, an asyncio task with a copy of its creator's.
_current: ContextVar[ActiveRun | None] = ContextVar("git_coderepo_run", default=None)


def current_run() -> ActiveRun | None:
    """Return the innermost open run of this thread or asyncio task (or of the tasks that created it), or None."""
    run = _current.get()
    while run is not None and run.has_ended:
        run = run.outer
    return run


class ActiveRun:
    """The run of a `with coderepo.run():` block.

    `recorded` says whether this process records it: on a runner it is the run whose manifest is in the environment, and
    nothing is written. `directory` is where the run was started; None before that, unless the caller named it.
    `finished` is how it ended; None before that, and on a runner. `outer` is the run of this process in which it was
    started, and `variables` are the environment variables that describe it.
    """

    def __init__(self, directory: str | None, request: RunRequest, outputs: tuple[str | os.PathLike[str], ...]) -> None:
        self.directory = None if directory is None else os.path.abspath(directory)
        self.finished: Finished | None = None
        self._request = request
        self._declared = outputs
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
            raise CodeRepoError("the run has not started", hints=["with coderepo.run() as run: …"])
        return self._manifest

    @property
    def id(self) -> str:
        """The run's id."""
        return self.manifest.run.id

    @property
    def commit(self) -> ObjectId | None:
        """HEAD's commit; None before the first commit."""
        head = self.manifest.code.head
        return None if head is None else head.commit

    @property
    def tree(self) -> ObjectId:
        """The snapshot's tree."""
        return self.manifest.code.snapshot_tree

    @property
    def dirty(self) -> bool:
        """Whether the snapshot differs from HEAD."""
        return self.manifest.code.dirty

    @property
    def recorded(self) -> bool:
        """Whether this process records the run."""
        return self._recording is not None

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a process of this run; os.environ may describe another run."""
        return _environment.around(self)

    def _repr_html_(self) -> str | None:
        """Return a table for notebooks, which call this method; None before the run has started."""
        if self._manifest is None:
            return None
        state = "recorded elsewhere" if not self.recorded else "running"
        if self.finished is not None:
            state = "ok" if self.finished.status == 0 else f"exit {self.finished.status}"
        return notebook_table(self._manifest, state)

    def is_within(self, other: ActiveRun) -> bool:
        """Return whether this run was started in `other`, or is `other`."""
        run: ActiveRun | None = self
        while run is not None and run is not other:
            run = run.outer
        return run is not None

    def outputs(self, *paths: str | os.PathLike[str]) -> None:
        """Declare outputs: the digests of these files, and of all files below these folders, are recorded at the end.

        Relative paths are resolved in the current directory. On a runner, and after the run has ended, nothing can be
        recorded, and a warning is logged.
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
        outputs: dict[bytes, bytes] = {}
        for path in self._outputs:
            below = os.path.relpath(path, start)
            outputs[below if below != b".." and not below.startswith(b"../") else path] = path
        return list(outputs.items())

    def __enter__(self) -> ActiveRun:
        if self._manifest is not None:
            raise CodeRepoError("a run can start only once", hints=["with coderepo.run() as another: …"])
        self.outer = current_run()
        recording = self._start()
        if recording is not None:
            self._recording = recording
            self._manifest = Manifest.parse(recording.record.data)
            self.variables = recording.variables
        try:
            self.outputs(*self._declared)
            if recording is not None:
                recording.declare(self._named_outputs())
        except BaseException:
            if recording is not None:
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

    def _start(self) -> Recording | None:
        """Record the run; outside a checkout take the run from the environment, and return None.

        Raises CodeRepoError if neither is possible.
        """
        is_named = self.directory is not None
        try:
            directory = self.directory = self.directory or run_directory(_log_warning)
            git = Git(directory, environment=_environment.around(self.outer))
            return Recording(git, self._request, say=_log_warning).__enter__()
        except (NotACheckout, GitNotFound) as error:
            manifest = inherited_manifest(os.environ)
            if isinstance(error, NotACheckout):
                start = self.directory or os.getcwd()
                if root_above(start) is not None:
                    raise  # there is a checkout, and git refuses it
                if manifest is None and not is_named:
                    raise _nowhere(start) from None
            if manifest is None:
                raise
        self._inherit(manifest)
        return None

    def _inherit(self, manifest: Manifest) -> None:
        self._manifest = manifest
        commit = self.commit
        self.variables = {
            "CODEREPO_RUN_ID": self.id,
            "CODEREPO_TREE": self.tree.hex,
            "CODEREPO_COMMIT": commit.hex if commit is not None else "",
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid:
            return  # in a fork of the process that started it
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
            # Do not hide an exception of the block.
            _log.error("cannot record how the run %s ended: %s", self.id, problem)
            return
        for text in self.finished.problems:
            _log.warning("%s (run %s)", text, self.id)
        for path in self.finished.edited:
            _log.warning("'%s' was edited during the run %s", os.fsdecode(path), self.id)
        made = self.finished.outputs
        for path in made.missing:
            _log.error("the output '%s' of the run %s does not exist", os.fsdecode(path), self.id)
        for path in made.untouched:
            _log.warning("the run %s did not change its output '%s'", self.id, os.fsdecode(path))
        for path, reason in made.unread:
            _log.warning("cannot read the output '%s' of the run %s: %s", os.fsdecode(path), self.id, reason)


def _ending(error: BaseException | None) -> tuple[int, str | None]:
    """Return (exit status, signal) of an interpreter in which this exception is not caught."""
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
