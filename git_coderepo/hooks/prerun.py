"""The pre-run hook: record the run strictly and quickly, with a small part of the standard library only.

git takes longest, so it is started before the rest of the program is imported.
"""

from __future__ import annotations

import os
import sys
import time

from git_coderepo.git.process import Git
from git_coderepo.git.repository import RECORD_DIRECTORY
from git_coderepo.git.status import start_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from git_coderepo.git.spawn import StartedProcess
    from git_coderepo.manifest.output_file import OutputFile
    from git_coderepo.snapshots.inspect_checkout import Surveying
    from git_coderepo.snapshots.manifest_document import Record
    from git_coderepo.snapshots.snapshot import Snapshot

_CURRENT = b"/coderepo/current.json"
ONLY_THE_WHOLE_PROGRAM = 126  # the status of sh(1) for a file that cannot be executed: the hook tries the next program


def pre_run(begun: StartedProcess | None = None, *, whole: bool = True) -> int:
    """Run `git hook run pre-run`; return the hook's exit status: 0 if the run was recorded, 1 if not.

    Within a recorded run, where CODEREPO_RUN_ID is set, nothing is done. The old `current.json` is removed first, so
    that a run that cannot be recorded is never mistaken for the previous one. Without `whole` the interpreter has no
    installed packages: if a custom class is needed, the result is ONLY_THE_WHOLE_PROGRAM, and nothing else was done.
    `begun` is the running `git status`.
    """
    if os.environ.get("CODEREPO_RUN_ID"):
        return 0
    status = started = None
    began = begun.began if begun is not None else time.time_ns()
    try:
        git = Git()
        status = start_status(git, started=begun) if begun is not None else None
        _remove_current(os.fsencode(os.environ.get("GIT_DIR") or ".git"))
        status = status or start_status(git)
        from git_coderepo.snapshots.inspect_checkout import Surveying

        started = Surveying(git, status=status, began=began)
        if not _record(started, whole=whole):
            return ONLY_THE_WHOLE_PROGRAM
    except Exception as error:  # the classes of errors are imported only if there is an error
        if status is not None:
            status.kill()
        return _failed(error, started, whole=whole)
    return 0


def _failed(error: Exception, started: Surveying | None, *, whole: bool) -> int:
    """Print an error and return the hook's exit status; for a bug, write a crash report."""
    from git_coderepo.errors import CodeRepoError, SourceNotAllowed

    try:
        _forget(started)
    except OSError as unremovable:
        error = unremovable
    if not isinstance(error, (CodeRepoError, OSError)):
        from git_coderepo.crash_report import report_crash

        error = report_crash(error, ["hook", "pre-run"])
    if isinstance(error, CodeRepoError):
        if not whole and isinstance(error, SourceNotAllowed):
            return ONLY_THE_WHOLE_PROGRAM  # the settings of a submodule name a class
        _say("\n".join([f"fatal: {error.message}", *(f"hint: {text}" for text in error.hints)]))
    else:
        _say(f"fatal: cannot record the run: {error}")
    return 1


def _record(started: Surveying, *, whole: bool) -> bool:
    """Record the run; return False if a custom class is needed, which this interpreter may not find."""
    # Imported while git is at work.
    from git_coderepo.registration import platform_object  # noqa: F401
    from git_coderepo.registration.resolve import import_platform
    from git_coderepo.runs import record_files as runs  # noqa: F401
    from git_coderepo.snapshots import manifest_document
    from git_coderepo.snapshots.inspect_checkout import survey
    from git_coderepo.snapshots.pipeline import take_snapshot
    from git_coderepo.snapshots.snapshot import Request
    from git_coderepo.snapshots.warnings import remarks

    out = os.environ.get("CODEREPO_OUT")
    output = None
    if out:
        from git_coderepo.manifest.output_file import OutputFile
        from git_coderepo.runs.manifest_files import refuse_tracked

        output = OutputFile(os.fsencode(out))
        refuse_tracked(started.git, output)
    surveyed = survey(started.git, _say, started=started, meanwhile=import_platform)
    entries = surveyed.settings.entries
    if not whole and any(entry.section == "coderepo" and entry.name == "source" for entry in entries):
        started.end()
        return False
    request = Request(
        notify=_say,
        publishes=True,
        output=output.path if output is not None else None,
        # git runs hooks at the root of the work tree, and sets GIT_PREFIX to the directory in which it was started.
        prefix=os.fsencode(os.environ.get("GIT_PREFIX", "")),
    )
    snapshot = take_snapshot(started.git, request, inspected=surveyed)
    for text in remarks(snapshot, request):
        _say(f"warning: {manifest_document.one_line(text)}")
    record_run(snapshot, say=_say, output=output)
    return True


def record_run(
    snapshot: Snapshot,
    *,
    say: Callable[[str], None],
    output: OutputFile | None = None,
    command: Sequence[bytes] | None = None,
    build_key: str | None = None,
) -> str:
    """Record the start of a run of this snapshot, also in the file `output` if it is given; return the run's id.

    `say` receives the reason if the settings ask to publish the run and that fails. Raises CodeRepoError, OSError;
    then `current.json` no longer exists.
    """
    from git_coderepo.runs.record_files import Runs

    runs = Runs(snapshot.layout)
    runs.remove_current()
    record = _recorded(snapshot, say, command, build_key)
    runs.write(record)
    runs.write_current(record)
    if output is not None:
        from git_coderepo.runs.manifest_files import say_left, write_manifest

        say_left(write_manifest(record, output, snapshot.layout).left, runs.overlays, say)
    return record.id


def _recorded(
    snapshot: Snapshot, say: Callable[[str], None], command: Sequence[bytes] | None, build_key: str | None
) -> Record:
    """Return the record of the run, published before if `coderepo.publish` says so: there is no later moment for it."""
    if snapshot.settings.choice("publish") == "never":
        from git_coderepo.snapshots.manifest_document import write_record

        return write_record(snapshot, now=time.time(), git_version=None, command=command, build_key=build_key)
    from git_coderepo.runs.monitor import Watch, refuse_changes
    from git_coderepo.runs.publish import recorded, withdraw

    with Watch(snapshot) as watch:
        record = recorded(snapshot, now=time.time(), git_version=None, say=say, command=command, build_key=build_key)
        changes = watch.since_snapshot()
        if changes:
            withdraw(snapshot, record, say)
            refuse_changes(changes, "while it was being published")
    return record


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _remove_current(git_dir: bytes) -> None:
    """Remove the old `current.json` before git has answered: hooks run at the work tree's root, or GIT_DIR is set.

    With CODEREPO_RECORD_DIR the directory of the record depends on git's answer, and the file is removed later. `.git`
    may be a file with the path of the directory: https://git-scm.com/docs/gitrepository-layout. Raises OSError.
    """
    if os.environ.get(RECORD_DIRECTORY):
        return
    try:
        os.unlink(git_dir + _CURRENT)
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        if not os.path.isfile(git_dir):
            return
        with open(git_dir, "rb") as file:
            words, _, link = file.read().rstrip(b"\r\n").partition(b"gitdir: ")
        if words or not link or b"\0" in link:
            return  # git itself reports an invalid file
        try:
            os.unlink(os.path.join(os.path.dirname(git_dir), link) + _CURRENT)
        except (FileNotFoundError, NotADirectoryError):
            pass  # git itself reports a path that leads nowhere


def _forget(started: Surveying | None) -> None:
    if started is not None and started.layout is not None:
        from git_coderepo.runs.record_files import Runs

        Runs(started.layout).remove_current()
