"""A recorded run: the snapshot, the user's own checks, the command, and what is known afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from git_coderepo.checkout.scope import pathspecs
from git_coderepo.checkout.store import write_whole
from git_coderepo.checkout.tree import PrivateIndex
from git_coderepo.errors import CodeRepoError, NotReproducible
from git_coderepo.git import Git, check_version, version
from git_coderepo.manifest.writer import path_value
from git_coderepo.record.command import redacted
from git_coderepo.record.document import Record
from git_coderepo.record.keep import write_manifest
from git_coderepo.record.publish import recorded
from git_coderepo.record.runs import Runs
from git_coderepo.record.snapshot import UNREADABLE, Request, Snapshot, take_snapshot

RESULT_VERSION = "1.0"
# Linux takes no longer single string into an environment (MAX_ARG_STRLEN).
VARIABLE_LIMIT = 120 << 10


@dataclass(frozen=True)
class RunRequest:
    """What the user wants: `outputs` are paths whose digests are kept, `keep_command` is false for `--no-command`."""

    command: tuple[bytes, ...]
    snapshot: Request
    name: str | None = None
    manifest: bytes | None = None
    outputs: tuple[bytes, ...] = ()
    keep_command: bool = True


@dataclass(frozen=True)
class Finished:
    """How it ended: `status` as a shell sees it, `edited` and `produced` raw paths."""

    id: str
    status: int
    edited: tuple[bytes, ...]
    produced: tuple[bytes, ...]


def run_recorded(
    git: Git, request: RunRequest, *, say: Callable[[str], None], ask: Callable[[str], bool] | None = None
) -> Finished:
    """Record a run of `request.command`, run it, and write down how it ended.

    `say` hears what the user should know before the command starts; `ask` puts a question to them, None where there is
    no terminal. Raises CodeRepoError where it could not be
    recorded or a check failed: then nothing was started.
    """
    git_version = check_version(git)
    snapshot = take_snapshot(git, request.snapshot)
    assert snapshot.layout is not None and snapshot.store is not None and snapshot.status is not None
    runs = Runs(snapshot.layout)
    record = recorded(
        snapshot,
        say=say,
        ask=ask,
        now=time.time(),
        git_version=git_version,
        name=request.name,
        parent=git.environment.get("CODEREPO_RUN_ID") or None,
        command=redacted(request.command) if request.keep_command else None,
    )
    for path, reason in snapshot.omitted:
        say(f"warning: '{os.fsdecode(path)}' does not travel ({reason})")
    for error in snapshot.unreproducible:
        say(f"warning: no runner can get this back: {error.message}")
    with ExitStack() as stack:
        index = stack.enter_context(PrivateIndex(git, snapshot.layout, snapshot.store, snapshot.looked_at))
        index.drop([path for path, reason in snapshot.omitted if reason == UNREADABLE])
        index.take(snapshot.taken, keep=snapshot.keeps_contents)
        path = runs.write(record)
        runs.write_current(record)
        if request.manifest is not None:
            write_manifest(record, request.manifest)
        environment = run_environment(record, snapshot, path, git.environment)
        _check(git, environment, index)
        untracked = {change.path for change in snapshot.status.changes if change.untracked}
        result = _Result(runs, record.id, time.time())
        result.begin()
        status, died_of = _execute(request.command, environment)
        edited = index.changed()
        produced = [path for path in _untracked(git, snapshot.looked_at) if path not in untracked]
        result.end(status, died_of, edited, produced, request.outputs)
    return Finished(record.id, status, tuple(edited), tuple(produced))


def run_environment(record: Record, snapshot: Snapshot, path: bytes, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the command and of the user's checks."""
    assert snapshot.tree is not None
    found = {
        **environment,
        "CODEREPO_RUN_ID": record.id,
        "CODEREPO_MANIFEST": os.fsdecode(os.path.abspath(path)),
        "CODEREPO_TREE": snapshot.tree.hex,
        "CODEREPO_COMMIT": snapshot.head.commit.hex if snapshot.head is not None else "",
    }
    for name in ("LC_ALL", "GIT_OPTIONAL_LOCKS"):
        # What our own calls of git need is no business of the command.
        found.pop(name, None)
        if name in os.environ:
            found[name] = os.environ[name]
    if len(record.data) <= VARIABLE_LIMIT:
        found["CODEREPO_MANIFEST_JSON"] = record.data.decode()
    return found


def _check(git: Git, environment: Mapping[str, str], index: PrivateIndex) -> None:
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
    done = subprocess.run(arguments, env=dict(environment), stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise NotReproducible(f"the pre-run hook ended with status {done.returncode}: nothing was run")
    changed = index.changed()
    if changed:
        names = ", ".join(f"'{os.fsdecode(path)}'" for path in changed[:5])
        raise NotReproducible(
            f"the pre-run hook changed what was just recorded: {names}", hints=["look at it, and run again"]
        )


def _execute(command: Sequence[bytes], environment: Mapping[str, str]) -> tuple[int, str | None]:
    """(status, the signal's name it died of): as `env(1)`, 126 not executable, 127 not found, 128+N for a signal.

    SIGTERM and SIGHUP are forwarded. ^C and ^\\ of a terminal reach its whole foreground group: the command has them
    already, and whoever waits for it goes on waiting.
    """
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, frame: object) -> None:
        if number in (signal.SIGINT, signal.SIGQUIT):
            return
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    # Before it starts, so that no moment is left in which a signal would end us alone; a handler does not pass to it.
    numbers = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in before:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, forward)
    try:
        process = subprocess.Popen(list(command), env=dict(environment))
        for missed in early:
            process.send_signal(missed)
        status = process.wait()
    except FileNotFoundError:
        return 127, None
    except OSError:
        return 126, None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status < 0:
        return 128 - status, signal.Signals(-status).name
    return status, None


def _untracked(git: Git, looked_at: Sequence[bytes]) -> list[bytes]:
    """What is untracked and not ignored now, of what is looked at."""
    from git_coderepo.checkout.status import read_status, start_status

    found = read_status(start_status(git, pathspecs(looked_at)))
    return [change.path for change in found.changes if change.untracked]


class _Result:
    """`<id>.result.json`: there from the start without an end, so that a run that was killed is seen as such."""

    def __init__(self, runs: Runs, id: str, started: float) -> None:
        self.path = runs.result_path_of(id)
        self.document: dict[str, object] = {
            "resultVersion": RESULT_VERSION,
            "run": {"id": id},
            "startedOn": _time(started),
            "finishedOn": None,
            "status": None,
            "signal": None,
            "edited": [],
            "produced": [],
            "outputs": [],
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }

    def begin(self) -> None:
        self._write()

    def end(
        self,
        status: int,
        died_of: str | None,
        edited: Sequence[bytes],
        produced: Sequence[bytes],
        outputs: Sequence[bytes],
    ) -> None:
        self.document.update(
            finishedOn=_time(time.time()),
            status=status,
            signal=died_of,
            edited=[path_value(path) for path in edited],
            produced=[path_value(path) for path in produced],
            outputs=[digest for path in outputs for digest in _digests(path)],
        )
        self._write()

    def _write(self) -> None:
        try:
            write_whole(self.path, (json.dumps(self.document, indent=2, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise CodeRepoError(f"the result of the run cannot be written: {error.strerror}") from None


def _digests(path: bytes) -> list[dict[str, object]]:
    """sha256 and size of a produced file, or of every file below a produced folder; nothing where there is none."""
    import hashlib

    found: list[dict[str, object]] = []
    folders = os.walk(path) if os.path.isdir(path) else [(os.path.dirname(path), [], [os.path.basename(path)])]
    for folder, _, names in folders:
        for name in sorted(names):
            each = os.path.join(folder, name)
            if not os.path.isfile(each):
                continue
            digest = hashlib.sha256()
            with open(each, "rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
                size = file.tell()
            found.append({"path": path_value(each), "sha256": digest.hexdigest(), "size": size})
    return found


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
