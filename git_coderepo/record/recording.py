"""A run from its manifest to its result: the one code behind `git coderepo run` and a block of Python."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.checkout.output_file import OutputFile
from git_coderepo.errors import NotReproducible
from git_coderepo.git import Git, check_version, version
from git_coderepo.git import shown as shown_command
from git_coderepo.record.build_key import build_key
from git_coderepo.record.command import redacted
from git_coderepo.record.document import check_name, is_uuid7
from git_coderepo.record.ending import Ending
from git_coderepo.record.imported import look_for_imports
from git_coderepo.record.keep import refuse_tracked, say_left, write_manifest
from git_coderepo.record.outputs import DeclaredOutputs, MadeOutputs, travelling_outputs, without_outputs
from git_coderepo.record.process import VARIABLE_LIMIT
from git_coderepo.record.publish import recorded
from git_coderepo.record.remarks import remarks
from git_coderepo.record.runs import Runs
from git_coderepo.record.shared_store import SharedStore
from git_coderepo.record.sharing import share_snapshot
from git_coderepo.record.snapshot import Request
from git_coderepo.record.submodules import omission_lines, unreproducible
from git_coderepo.record.taking import take_snapshot
from git_coderepo.record.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from git_coderepo.record.document import Record
    from git_coderepo.record.imported import Interpreter
    from git_coderepo.record.snapshot import Snapshot

PARENT = "CODEREPO_RUN_ID"


@dataclass(frozen=True)
class RunRequest:
    """What the user wants: `command` is None where it is not to be recorded, `manifest` a second place for it.

    `interpreter` is the Python whose imports from other checkouts are recorded, None for no look at them.
    """

    command: tuple[bytes, ...] | None = None
    snapshot: Request = field(default_factory=Request)
    name: str | None = None
    manifest: bytes | None = None
    interpreter: Interpreter | None = None


class Finished(NamedTuple):
    """How it ended: `status` as a shell sees it, `edited` and `produced` raw paths, and what became of its outputs."""

    id: str
    status: int
    edited: tuple[bytes, ...]
    produced: tuple[bytes, ...]
    outputs: MadeOutputs = MadeOutputs([])


class Recording:
    """A run that goes on; a context manager, at whose start it is recorded and the user's own checks have passed.

    `say` hears what the user should know before it starts; `ask` puts a question to them, None where there is nobody to
    ask. Entering raises CodeRepoError where the run could not be
    recorded or a check failed: then nothing may be started. Leaving without `end` leaves a run without an end behind.
    """

    def __init__(
        self, git: Git, request: RunRequest, *, say: Callable[[str], None], ask: Callable[[str], bool] | None = None
    ) -> None:
        self.git = git
        self.request = request
        self.record: Record
        self.snapshot: Snapshot
        self.variables: dict[str, str | None] = {}
        self._say = say
        self._ask = ask
        self._stack = ExitStack()
        self._outputs = DeclaredOutputs()

    def __enter__(self) -> Recording:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """What was kept for the end of the run is no longer needed."""
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        git, request = self.git, self.request
        if request.name is not None:
            check_name(request.name)
        output = None
        if request.manifest is not None:
            output = OutputFile(request.manifest)
            stack.callback(output.close)
            refuse_tracked(git, output)
            request.snapshot.output = output.path
        git_version = check_version(git)
        self.snapshot = snapshot = take_snapshot(git, request.snapshot)
        assert snapshot.layout is not None and snapshot.settings is not None
        if request.interpreter is not None:
            look_for_imports(snapshot, git, request.interpreter)
        for text in remarks(snapshot, request.snapshot):
            self._say(f"warning: {text}")
        store = SharedStore.of(snapshot.settings)
        runs = Runs(snapshot.layout)
        key = build_key(snapshot)
        self.record = record = recorded(
            snapshot,
            say=self._say,
            ask=self._ask,
            now=time.time(),
            git_version=git_version,
            name=request.name,
            parent=self._parent(),
            command=redacted(request.command) if request.command is not None else None,
            build_key=key.digest if key is not None else None,
        )
        for text in omission_lines(snapshot):
            self._say(f"warning: {text}")
        for error in unreproducible(snapshot):
            self._say(f"warning: no runner can get this back: {error.message}")
        self._watch = stack.enter_context(Watch(snapshot))
        path = runs.write(record)
        runs.write_current(record)
        if output is not None:
            say_left(write_manifest(record, output, snapshot.layout).left, runs.overlays, self._say)
        self.variables = run_variables(record, snapshot, path)
        _check(git, self.environment, self._watch)
        if store is not None:
            share_snapshot(snapshot, store, self._say)
        self._ending = Ending(runs.result_path_of(record.id), record.id, time.time())
        self._ending.begin()

    def declare(self, outputs: Sequence[tuple[bytes, bytes]]) -> None:
        """Look at the outputs, (path to show, path to read), before the run starts; warn of those that travel."""
        absolute = {os.path.abspath(path): shown for shown, path in outputs}
        assert self.snapshot.layout is not None
        for path, travelling in travelling_outputs(self.snapshot, absolute).items():
            more = f" and {len(travelling) - 1} more" if len(travelling) > 1 else ""
            name = os.fsdecode(travelling[0])
            self._say(f"warning: '{name}'{more}, declared as output, is untracked and travels with this run as code")
            top = self.snapshot.layout.toplevel
            # Of a path that holds the whole checkout only the file can be ignored.
            is_inside = os.path.realpath(path).startswith(top + b"/")
            cure = absolute[path] if is_inside else os.path.join(top, travelling[0])
            self._say(f"hint: git coderepo ignore {shown_command([cure])}")
        self._outputs.look(path for _, path in outputs)

    def _parent(self) -> str | None:
        """The run that this one is started in."""
        parent = self.git.environment.get(PARENT)
        if parent and not is_uuid7(parent):
            self._say(f"warning: '{parent}' in {PARENT} is the id of no run: it is not recorded as the parent")
            return None
        return parent or None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the run's command and of the user's checks."""
        found = {**self.git.environment}
        for name in ("LC_ALL", "GIT_OPTIONAL_LOCKS", "GIT_NO_REPLACE_OBJECTS"):
            # What our own calls of git need is no business of the command.
            found.pop(name, None)
            if name in os.environ:
                found[name] = os.environ[name]
        return changed(found, self.variables)

    def end(
        self,
        status: int,
        died_of: str | None = None,
        outputs: Sequence[tuple[bytes, bytes]] = (),
        *,
        elsewhere: bool = False,
    ) -> Finished:
        """Write down how it ended: `status` as a shell sees it, the signal's name, (path to record, path to read)s.

        Of a run that was `elsewhere` nothing was edited, whatever happened in the checkout meanwhile; what is declared
        as output is not code that was edited. Raises CodeRepoError where that cannot be written.
        """
        edited, produced = ([], []) if elsewhere else (self._watch.changed(), self._watch.new())
        edited = without_outputs(self.snapshot, edited, [os.path.abspath(path) for _, path in outputs])
        made = self._outputs.made(outputs)
        self._ending.end(status, died_of, edited, produced, made.files)
        return Finished(self.record.id, status, tuple(edited), tuple(produced), made)


def run_variables(record: Record, snapshot: Snapshot, path: bytes) -> dict[str, str | None]:
    """What a run's environment says of it; None for what must not be there, lest it speak of another run."""
    assert snapshot.tree is not None
    return {
        "CODEREPO_RUN_ID": record.id,
        "CODEREPO_MANIFEST": os.fsdecode(os.path.abspath(path)),
        "CODEREPO_TREE": snapshot.tree.hex,
        "CODEREPO_COMMIT": snapshot.head.commit.hex if snapshot.head is not None else "",
        "CODEREPO_MANIFEST_JSON": record.data.decode() if len(record.data) <= VARIABLE_LIMIT else None,
    }


def changed(environment: Mapping[str, str], variables: Mapping[str, str | None]) -> dict[str, str]:
    """An environment with some variables set, and those that are None taken out."""
    found = {name: value for name, value in environment.items() if name not in variables}
    found.update((name, value) for name, value in variables.items() if value is not None)
    return found


def _check(git: Git, environment: Mapping[str, str], watch: Watch) -> None:
    """The user's own pre-run hooks; one that fails, or that changed what was recorded, stops the run."""
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
        raise NotReproducible(f"the pre-run hook ended with status {done.returncode}: nothing was run")
    edited = watch.changed()
    if edited:
        names = ", ".join(f"'{os.fsdecode(path)}'" for path in edited[:5])
        raise NotReproducible(
            f"the pre-run hook changed what was just recorded: {names}", hints=["look at it, and run again"]
        )
