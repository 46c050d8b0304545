"""Record a run from its manifest to its result, for `git coderepo run` and for `with coderepo.run():`."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from git_coderepo.build_key.key import build_key
from git_coderepo.errors import CodeRepoError, NotReproducible
from git_coderepo.git.process import Git, check_version, version
from git_coderepo.git.process import shown as shown_command
from git_coderepo.manifest.output_file import OutputFile
from git_coderepo.runs.command import VARIABLE_LIMIT, Interrupted, interruptible
from git_coderepo.runs.manifest_files import refuse_tracked, say_left, write_manifest
from git_coderepo.runs.monitor import Watch, refuse_changes
from git_coderepo.runs.outputs import DeclaredOutputs, MadeOutputs, travelling_outputs, without_outputs
from git_coderepo.runs.publish import recorded, withdraw
from git_coderepo.runs.record_files import Runs
from git_coderepo.runs.redact_command import redacted
from git_coderepo.runs.result import Ending, Outcome
from git_coderepo.snapshots.manifest_document import check_name, is_uuid7
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.python.imported import with_imports
from git_coderepo.snapshots.snapshot import Request
from git_coderepo.snapshots.submodules import omission_lines, unreproducible
from git_coderepo.snapshots.warnings import remarks
from git_coderepo.stores.shared_store import SharedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from git_coderepo.snapshots.manifest_document import Record
    from git_coderepo.snapshots.python.imported import Interpreter
    from git_coderepo.snapshots.snapshot import Snapshot

PARENT = "CODEREPO_RUN_ID"

# Snapshots taken before a checkout that keeps changing is refused.
_ATTEMPTS = 4


@dataclass(frozen=True)
class RunRequest:
    """What to record: the `command` (None for none), and a file to which the `manifest` is written as well.

    `interpreter` is the Python whose imports from other checkouts are recorded, None to skip that.
    """

    command: tuple[bytes, ...] | None = None
    snapshot: Request = field(default_factory=Request)
    name: str | None = None
    manifest: bytes | None = None
    interpreter: Interpreter | None = None


class Finished(NamedTuple):
    """How a run ended: its `status` as in a shell, the raw paths that were `edited` and `produced`, and its outputs.

    `problems` are messages about what could not be determined or written.
    """

    id: str
    status: int
    edited: tuple[bytes, ...]
    produced: tuple[bytes, ...]
    outputs: MadeOutputs = MadeOutputs([])
    problems: tuple[str, ...] = ()


class Recording:
    """A run in progress; a context manager that records it and runs the user's own checks when it is entered.

    `say` receives messages for the user before the run starts; `ask` prompts for yes or no, and is None without a
    terminal. A run `elsewhere` uses a copy of the snapshot, so that the checkout may change meanwhile. Entering raises
    CodeRepoError if the run cannot be recorded or a check fails: nothing may be started then. If the block is left
    without a call of `end`, the run has no recorded end.
    """

    def __init__(
        self,
        git: Git,
        request: RunRequest,
        *,
        say: Callable[[str], None],
        ask: Callable[[str], bool] | None = None,
        elsewhere: bool = False,
    ) -> None:
        self.git = git
        self.request = request
        self.record: Record
        self.snapshot: Snapshot
        self.variables: dict[str, str | None] = {}
        self._say = say
        self._ask = ask
        self._elsewhere = elsewhere
        self._stack = ExitStack()
        self._outputs = DeclaredOutputs()

    def __enter__(self) -> Recording:
        # Messages are passed on at the end: they may go to a log in the checkout, which must not change meanwhile.
        messages: dict[str, None] = {}
        try:
            with ExitStack() as stack:
                self._start(stack, lambda text: messages.setdefault(text))
                self._stack = stack.pop_all()
        finally:
            for text in messages:
                self._say(text)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the resources that are held until the run ends."""
        self._stack.close()

    def _start(self, stack: ExitStack, say: Callable[[str], None]) -> None:
        git, request, snapshot_request = self.git, self.request, self.request.snapshot
        if request.name is not None:
            check_name(request.name)
        output = None
        if request.manifest is not None:
            output = OutputFile(request.manifest)
            stack.callback(output.close)
            refuse_tracked(git, output)
            snapshot_request = snapshot_request.replace(output=output.path)
        git_version = check_version(git)
        self._take(stack, snapshot_request, git_version, say)
        snapshot, record = self.snapshot, self.record
        store = SharedStore.of(snapshot.settings)
        runs = Runs(snapshot.layout)
        for text in remarks(snapshot, snapshot_request):
            say(f"warning: {text}")
        for text in omission_lines(snapshot):
            say(f"warning: {text}")
        for error in unreproducible(snapshot):
            say(f"warning: no runner can get this back: {error.message}")
        path = runs.write(record)
        runs.write_current(record)
        if output is not None:
            say_left(write_manifest(record, output, snapshot.layout).left, runs.overlays, say)
        self.variables = run_variables(record, snapshot, path)
        _check(git, self.environment)
        if store is not None:
            from git_coderepo.runs.publish_to_store import (
                share_snapshot,  # what fetches: a run without a store needs none
            )

            share_snapshot(snapshot, store, say)
        if not self._elsewhere:
            refuse_changes(self._watch.edited(), "after it was recorded, by the pre-run hook or another process")
        self._ending = stack.enter_context(Ending(runs.result_path_of(record.id), record.id, time.time()))
        self._ending.begin()

    def declare(self, outputs: Sequence[tuple[bytes, bytes]]) -> None:
        """Record the state of declared outputs (path to show, path to read); warn about those that are sent as code."""
        absolute = {os.path.abspath(path): shown for shown, path in outputs}
        for path, travelling in travelling_outputs(self.snapshot, absolute).items():
            more = f" and {len(travelling) - 1} more" if len(travelling) > 1 else ""
            name = os.fsdecode(travelling[0])
            self._say(f"warning: '{name}'{more}, declared as an output, is untracked and travels with this run as code")
            top = self.snapshot.layout.toplevel
            # If the declared path contains the whole checkout, only the file can be ignored.
            is_inside = os.path.realpath(path).startswith(top + b"/")
            cure = absolute[path] if is_inside else os.path.join(top, travelling[0])
            self._say(f"hint: git coderepo ignore {shown_command([cure])}")
        self._outputs.look(path for _, path in outputs)

    def _take(self, stack: ExitStack, request: Request, git_version: str, say: Callable[[str], None]) -> None:
        """Take the snapshot and write its record; repeat if a file changed meanwhile. Raises NotReproducible."""
        for attempt in range(1, _ATTEMPTS + 1):
            with ExitStack() as tried:
                snapshot = take_snapshot(self.git, request)
                self._watch = tried.enter_context(Watch(snapshot))
                if self.request.interpreter is not None:
                    snapshot = with_imports(snapshot, self.git, self.request.interpreter)
                self.snapshot = snapshot
                self.record = self._recorded(snapshot, git_version, say)
                found = [] if self._elsewhere else self._watch.since_snapshot()
                if not found:
                    stack.enter_context(tried.pop_all())
                    return
                withdraw(snapshot, self.record, say)
                if attempt == _ATTEMPTS:
                    refuse_changes(found, f"while the snapshot was taken, {_ATTEMPTS} times")

    def _recorded(self, snapshot: Snapshot, git_version: str, say: Callable[[str], None]) -> Record:
        key = build_key(snapshot)
        command = self.request.command
        return recorded(
            snapshot,
            say=say,
            ask=self._ask,
            now=time.time(),
            git_version=git_version,
            name=self.request.name,
            parent=self._parent(say),
            command=redacted(command) if command is not None else None,
            build_key=key.digest if key is not None else None,
        )

    def _parent(self, say: Callable[[str], None]) -> str | None:
        """Return the id of the run in which this one was started; None for none."""
        parent = self.git.environment.get(PARENT)
        if parent and not is_uuid7(parent):
            say(f"warning: '{parent}' in {PARENT} is not the id of a run: no parent is recorded")
            return None
        return parent or None

    @property
    def environment(self) -> dict[str, str]:
        """The environment for the run's command and the user's checks."""
        environment = {**self.git.environment}
        for name in ("LC_ALL", "GIT_OPTIONAL_LOCKS", "GIT_NO_REPLACE_OBJECTS"):
            # Set for our own calls of git only.
            environment.pop(name, None)
            if name in os.environ:
                environment[name] = os.environ[name]
        return changed(environment, self.variables)

    def end(
        self,
        status: int,
        died_of: str | None = None,
        outputs: Sequence[tuple[bytes, bytes]] = (),
    ) -> Finished:
        """Write the result: `status` as in a shell, the name of a signal, and outputs (path to record, path to read).

        For a run that was `elsewhere` no edits are recorded; declared outputs do not count as edits. Errors are
        returned as `problems` and not raised, because the command has already run.
        """
        problems: list[str] = []
        unknown: list[str] = []

        def result_of(find: Callable[[], list[Any]], name: str, failure: str) -> list[Any]:
            try:
                with interruptible():
                    return find()
            except (CodeRepoError, OSError, Interrupted) as error:
                problems.append(f"{failure}: {_reason(error)}")
                unknown.append(name)
                return []

        edited, produced = [], []
        if not self._elsewhere:
            declared = [path for _, path in outputs]
            edited = result_of(
                lambda: without_outputs(self.snapshot, self._watch.changed(), declared),
                "edited",
                "cannot determine the edits during the run",
            )
            produced = result_of(self._watch.new, "produced", "cannot determine the files that the run produced")
        hashed = result_of(
            lambda: [self._outputs.made(outputs)], "outputs", "cannot compute the digests of the outputs"
        )
        made: MadeOutputs = hashed[0] if hashed else MadeOutputs([])
        try:
            not_written = sorted({*made.missing, *made.untouched})
            self._ending.end(Outcome(status, died_of, edited, produced, made.files, unknown, not_written))
        except CodeRepoError as error:
            problems.append(error.message)
        return Finished(self.record.id, status, tuple(edited), tuple(produced), made, tuple(problems))


def run_variables(record: Record, snapshot: Snapshot, path: bytes) -> dict[str, str | None]:
    """Return the environment variables that describe a run; None removes one that would describe another run."""
    return {
        "CODEREPO_RUN_ID": record.id,
        "CODEREPO_MANIFEST": os.fsdecode(os.path.abspath(path)),
        "CODEREPO_TREE": snapshot.tree.hex,
        "CODEREPO_COMMIT": snapshot.head.commit.hex if snapshot.head is not None else "",
        "CODEREPO_MANIFEST_JSON": record.data.decode() if len(record.data) <= VARIABLE_LIMIT else None,
    }


def changed(environment: Mapping[str, str], variables: Mapping[str, str | None]) -> dict[str, str]:
    """Return an environment with some variables set, and removed where they are None."""
    result = {name: value for name, value in environment.items() if name not in variables}
    result.update((name, value) for name, value in variables.items() if value is not None)
    return result


def _check(git: Git, environment: Mapping[str, str]) -> None:
    """Run the user's own pre-run hooks; raises NotReproducible if one fails."""
    numbers, _ = version(git)
    if numbers >= (2, 36):
        unknown = ["--allow-unknown-hook-name"] if numbers >= (2, 54) else []
        arguments = ["git", "hook", "run", "--ignore-missing", *unknown, "pre-run"]
    else:
        hook = git.line("rev-parse", "--path-format=absolute", "--git-path", "hooks/pre-run")
        if not os.access(hook, os.X_OK):
            return
        arguments = [hook]
    done = subprocess.run(arguments, env=dict(environment), cwd=git.directory, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise NotReproducible(f"the pre-run hook failed with status {done.returncode}: nothing was run")


def _reason(error: BaseException) -> str:
    if isinstance(error, CodeRepoError):
        return error.message
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "interrupted"
