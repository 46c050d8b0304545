"""The pre-run hook: record the run, strictly and quickly, with little of the standard library and nothing else.

Git's answers take longer than anything else: it is asked before the rest of the program is even imported.
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

    from git_coderepo.git.spawn import Asked
    from git_coderepo.manifest.output_file import OutputFile
    from git_coderepo.snapshots.inspect_checkout import Surveying
    from git_coderepo.snapshots.manifest_document import Record
    from git_coderepo.snapshots.snapshot import Snapshot

_CURRENT = b"/coderepo/current.json"
ONLY_THE_WHOLE_PROGRAM = 126  # as sh(1) says of what cannot be executed: the hook goes on to the next one


def pre_run(asked: Asked | None = None, *, whole: bool = True) -> int:
    """What `git hook run pre-run` does; gives the hook's exit status: 0 recorded, 1 not.

    Nothing is done within a run that is recorded already: CODEREPO_RUN_ID is set there. The old `current.json` goes
    before anything is waited for: a run that could not be recorded is not taken for the one before it. Without `whole`
    the interpreter knows no installed packages; ONLY_THE_WHOLE_PROGRAM is then the answer where a class of somebody's
    own is asked for, and nothing else was done. `asked` is git's status, under way already.
    """
    if os.environ.get("CODEREPO_RUN_ID"):
        return 0
    status = started = None
    began = asked.began if asked is not None else time.time_ns()
    try:
        git = Git()
        status = start_status(git, asked=asked) if asked is not None else None
        _remove_current(os.fsencode(os.environ.get("GIT_DIR") or ".git"))
        status = status or start_status(git)
        from git_coderepo.snapshots.inspect_checkout import Surveying

        started = Surveying(git, status=status, began=began)
        if not _record(started, whole=whole):
            return ONLY_THE_WHOLE_PROGRAM
    except Exception as error:  # what they are is imported where there is one
        if status is not None:
            status.kill()
        return _failed(error, started, whole=whole)
    return 0


def _failed(error: Exception, started: Surveying | None, *, whole: bool) -> int:
    """Print an error and return the hook's exit status; of a bug, a crash report is written."""
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
            return ONLY_THE_WHOLE_PROGRAM  # a submodule's own settings name a class
        _say("\n".join([f"fatal: {error.message}", *(f"hint: {text}" for text in error.hints)]))
    else:
        _say(f"fatal: the run cannot be recorded: {error}")
    return 1


def _record(started: Surveying, *, whole: bool) -> bool:
    """Whether it was done; False where a custom class is needed that this interpreter may not find."""
    # What is needed whatever git answers.
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
    found = survey(started.git, _say, started=started, meanwhile=import_platform)
    if not whole and any(entry.section == "coderepo" and entry.name == "source" for entry in found.settings.entries):
        started.end()
        return False
    request = Request(
        notify=_say,
        publishes=True,
        output=output.path if output is not None else None,
        # git runs hooks at the work tree's root, and says in GIT_PREFIX where it was started itself.
        prefix=os.fsencode(os.environ.get("GIT_PREFIX", "")),
    )
    snapshot = take_snapshot(started.git, request, found=found)
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
    """Write down the start of a run of this snapshot, and in the file `output` if there is one; gives its id.

    `say` hears why it is not published where the settings ask for that. Raises CodeRepoError, OSError: then
    `current.json` is gone.
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
    """The manifest; published first where the settings say `auto`: a launcher has no other moment for it."""
    if snapshot.settings.choice("publish") == "never":
        from git_coderepo.snapshots.manifest_document import write_record

        return write_record(snapshot, now=time.time(), git_version=None, command=command, build_key=build_key)
    from git_coderepo.runs.monitor import Watch, refuse_changes
    from git_coderepo.runs.publish import recorded, withdraw

    with Watch(snapshot) as watch:
        record = recorded(snapshot, now=time.time(), git_version=None, say=say, command=command, build_key=build_key)
        found = watch.since_snapshot()
        if found:
            withdraw(snapshot, record, say)
            refuse_changes(found, "while it was being published")
    return record


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _remove_current(git_dir: bytes) -> None:
    """Before git is asked where it is: git runs hooks at the work tree's root, or says where its directory is.

    Where CODEREPO_RECORD_DIR names another place, git has to say first which one. `.git` may be a file that leads
    there: https://git-scm.com/docs/gitrepository-layout. Raises OSError.
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
            return  # it is no such file, and git will say so
        try:
            os.unlink(os.path.join(os.path.dirname(git_dir), link) + _CURRENT)
        except (FileNotFoundError, NotADirectoryError):
            pass  # it leads nowhere, and git will say so


def _forget(started: Surveying | None) -> None:
    if started is not None and started.layout is not None:
        from git_coderepo.runs.record_files import Runs

        Runs(started.layout).remove_current()
