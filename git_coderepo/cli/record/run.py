"""`git coderepo run [--] COMMAND…`: record a run, start its command and record the result."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.options import AllowUnreproducible, Check, CodeRepository, Subdirectories
from git_coderepo.cli.progress import stages_shown
from git_coderepo.errors import UsageError
from git_coderepo.git.process import Git
from git_coderepo.launch.run import run_recorded
from git_coderepo.runs.lifecycle import RunRequest
from git_coderepo.snapshots.python.imported import interpreter_of
from git_coderepo.snapshots.snapshot import Request
from git_coderepo.snapshots.submodules import unreproducible

if TYPE_CHECKING:
    from git_coderepo.runs.lifecycle import Finished, Recording


@app.command(cls=Verb, context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="A name for the run.")] = None,
    manifest: Annotated[
        str | None, typer.Option("--manifest", metavar="FILE", help="Also write the manifest to FILE.")
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="PATH", help="Record the digests of the files written to PATH."),
    ] = None,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Run in a read-only copy, so that you can keep editing.")
    ] = False,
    no_command: Annotated[bool, typer.Option("--no-command", help="Do not record the command.")] = False,
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="PATH", help="Include an ignored path; can be repeated.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not print the run's id and how to fetch it.")
    ] = False,
    subdirectory: Subdirectories = None,
    code_repository: CodeRepository = None,
    check: Check = False,
    allow_unreproducible: AllowUnreproducible = False,
) -> None:
    """Record a run and start its command.

    The record is stored in the repository's own directory (`.git/coderepo/runs`); `log` lists it. Nothing is sent to a
    platform unless `--check` or `coderepo.publish` asks for it. For example:
    `git coderepo run -- python train.py`

    The exit status is that of the command. It is 125 if the run could not be recorded and nothing was started, 126 or
    127 if the command could not be started, as for env(1), 128+N if signal N ended it, and 1 if it succeeded but a
    path of `--output` does not exist.

    The command receives every signal that can be caught, once. If a file changes before the command starts, the
    snapshot is taken again. After four attempts nothing is started.
    """
    if not command:
        raise UsageError("no command to run", hints=["git coderepo run -- python train.py"])
    place = None
    if frozen:
        from git_coderepo.launch.frozen import frozen_place  # what fetches a tree: a plain run starts without it

        place = partial(frozen_place, notify=output.say)
    words = tuple(os.fsencode(word) for word in command)
    finished = run_recorded(
        Git(),
        words,
        RunRequest(
            command=None if no_command else words,
            snapshot=Request(
                code_repository=code_repository,
                check=check,
                include=[os.fsencode(path) for path in include or ()],
                notify=output.say,
                publishes=True,
                scope=[os.fsencode(path) for path in subdirectory or ()],
                allow_unreproducible=allow_unreproducible,
                thorough=True,
                progress=stages_shown(quiet),
            ),
            name=name,
            manifest=os.fsencode(manifest) if manifest is not None else None,
            interpreter=interpreter_of(os.environ, os.getcwd(), words),
        ),
        outputs=[os.fsencode(path) for path in outputs or ()],
        say=output.say,
        ask=output.ask if output.has_terminal() else None,
        place=place,
        announce=(lambda _: None) if quiet else _announce,
    )
    output.say_not_run(command[0], finished.status)
    for text in finished.problems:
        output.warn_afterwards(text)
    for path in finished.edited:
        output.warn_afterwards(f"'{os.fsdecode(path)}' was edited while the command ran")
    raise typer.Exit(_say_outputs(finished) or finished.status)


def _say_outputs(finished: Finished) -> int:
    """Warn of outputs that the run did not write.

    Return 1 if an output is missing although the command succeeded, else 0: then the command's own status counts.
    """
    made = finished.outputs
    for path in made.untouched:
        output.warn_afterwards(f"the command did not change the output '{os.fsdecode(path)}'")
    for path, reason in made.unread:
        output.warn_afterwards(f"cannot read the output '{os.fsdecode(path)}': {reason}")
    for path in made.missing:
        output.say_if_possible(f"error: the output '{os.fsdecode(path)}' does not exist")
    return 1 if made.missing and finished.status == 0 else 0


def _announce(running: Recording) -> None:
    """Print the run's id and how to fetch its code; a closed standard error does not stop the run."""
    id = output.short_id(running.record.id)
    if unreproducible(running.snapshot):
        output.say_if_possible(f"recorded as {id}; its code cannot be fetched")
    else:
        output.say_if_possible(f"recorded as {id}; to get its code: git coderepo fetch {id} DIR")
