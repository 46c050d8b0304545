"""`git coderepo exec RUN [--] COMMAND…`: run a command in the code of a run, on any machine."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Annotated, NamedTuple

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.options import CodeRepository, Submodules
from git_coderepo.cli.progress import progress_shown
from git_coderepo.cli.runner.planning import plan_request
from git_coderepo.cli.runner.reporting import (
    ended_by_signals,
    receipt_file,
    show_fallbacks,
    warn_unnotable,
    warn_unnoted,
)
from git_coderepo.errors import CodeRepoError, TargetUnusable, UsageError
from git_coderepo.fetching.cache.cached_fetch import cached_tree, fetch_with_cache, open_cache
from git_coderepo.fetching.cache.location import cache_place
from git_coderepo.fetching.fetch import FetchOptions
from git_coderepo.fetching.plan import FetchPlan, Runner
from git_coderepo.fetching.receipt import Receipt
from git_coderepo.git.process import shell_word
from git_coderepo.launch.command_environment import execution_environment, manifest_file, working_directory
from git_coderepo.launch.run_directory import RunDirectory
from git_coderepo.manifest.output_file import OutputFile
from git_coderepo.runs.command import Interrupted, execute, interruptible
from git_coderepo.runs.plan_fetch import FetchRequest
from git_coderepo.settings import Settings
from git_coderepo.trace import silent


@app.command("exec", cls=Verb, context_settings={"allow_interspersed_args": False})
def exec_(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A manifest file, -, a recorded run, or NAME@REVISION[:PATH].")
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND...", help="The command and its arguments.", show_default=False),
    ] = None,
    copy: Annotated[
        str | None, typer.Option("--copy", metavar="DIR", help="Run in a writable copy, which is kept.")
    ] = None,
    directory: Annotated[
        str | None,
        typer.Option("--directory", metavar="PATH", help="The directory in the code to run in (default: the run's)."),
    ] = None,
    overlay: Annotated[
        str | None,
        typer.Option("--overlay", metavar="FILE", help="The overlay file, if it is not beside the manifest."),
    ] = None,
    receipt: Annotated[str | None, typer.Option("--receipt", metavar="FILE", help="Write a receipt to FILE.")] = None,
    code_repository: CodeRepository = None,
    keep_credentials: Annotated[
        bool, typer.Option("--keep-credentials", help="Pass CODEREPO_TOKEN and other credentials on to the command.")
    ] = False,
    submodules: Submodules = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print where the command runs.")] = False,
) -> None:
    """Fetch a run's code and run a command in it.

    The code is kept in the cache, where the command cannot change it. The exit status is that of the command. It is
    125 if the code could not be fetched and nothing was started, 126 or 127 if the command could not be started, as
    for env(1), and 128+N if signal N ended it.
    """
    words = _words_of(command, run)
    written_to = receipt_file(receipt, made=copy)
    request = FetchRequest(run, overlay, code_repository, submodules=submodules)
    runner, plan = plan_request(request, receipt=written_to)
    with ExitStack() as stack:
        code = _fetched(plan, runner, copy, stack, quiet=quiet)
        show_fallbacks(code.receipt)
        if written_to is not None:
            written_to.write(code.receipt.encode())
            warn_unnoted(written_to)
        start = _start_directory(plan, directory)
        here = working_directory(code.tree, start, make=copy is not None)
        environment = execution_environment(
            plan,
            code.tree,
            here,
            stack.enter_context(manifest_file(plan, code.cache)),
            os.environ,
            notify=output.say,
            keep_credentials=keep_credentials,
        )
        descriptors = []
        if code.place is not None:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
            descriptors.append(code.place.descriptor)  # a process that outlives this one keeps holding the tree
            if not quiet:
                output.say(code.place.describe(here, advice="use --copy DIR to run in a writable copy"))
        status, _ = execute([os.fsencode(word) for word in words], environment, directory=here, descriptors=descriptors)
        if code.place is not None:
            _report_changes(code.place, code.receipt, written_to)
    output.say_not_run(words[0], status, here)
    raise typer.Exit(status)


def _words_of(command: list[str] | None, run: str) -> list[str]:
    """Return the command without a leading `--`, which stays after RUN. Raises UsageError if there is none."""
    words = command or []
    words = words[1:] if words[:1] == ["--"] else words
    if not words:
        raise UsageError("no command to run", hints=[f"git coderepo exec {shell_word(run)} -- python train.py"])
    return words


class _Code(NamedTuple):
    """Fetched code: the path of its `tree`, and the path of the `cache` and the `place` in it; None for a copy."""

    receipt: Receipt
    tree: str
    cache: str | None = None
    place: RunDirectory | None = None


def _fetched(plan: FetchPlan, runner: Runner, copy: str | None, stack: ExitStack, *, quiet: bool) -> _Code:
    """Fetch the code into the directory `copy`, or into the cache; `stack` then holds the tree in the cache."""
    with ended_by_signals(), progress_shown(quiet) as progress:
        options = FetchOptions(progress=progress)
        if copy is not None:
            warn_unnotable(copy)
            fill = _has_cache(runner.settings)
            made = fetch_with_cache(plan.root, copy, runner.settings, options, fill=fill, notify=output.say)
            return _Code(made, os.path.abspath(copy))
        cache = open_cache(runner.settings, notify=output.say)
        cached = cached_tree(plan.root, cache, options)
        place = stack.enter_context(RunDirectory(plan.root, cache, cached, notify=output.say))
        return _Code(cached.receipt, place.tree, cache.place.path, place)


def _start_directory(plan: FetchPlan, directory: str | None) -> bytes:
    """Return the directory to start in, raw and from the root: `directory`, else the recorded one, else the root."""
    if directory is not None:
        return os.fsencode(directory)
    return plan.manifest.run.directory if plan.manifest is not None else b"."


def _report_changes(place: RunDirectory, receipt: Receipt, file: OutputFile | None) -> None:
    """Check the code again after the command, and add the answer to the receipt, if it is in a regular file."""
    try:
        with interruptible():
            changed = place.report()
            if file is not None and file.path is not None:
                _write_again(receipt.after_command(changed=changed), file)
    except Interrupted:
        output.warn_afterwards("interrupted: the code was not checked after the command")


def _write_again(receipt: Receipt, file: OutputFile) -> None:
    """Replace the receipt. An error is only a warning: the command has run."""
    try:
        file.write(receipt.encode())
    except CodeRepoError as error:
        output.warn(f"{error.message}: the receipt does not say whether the command changed the code")


def _has_cache(settings: Settings) -> bool:
    """Return whether a cache can be used; warn if not."""
    try:
        cache_place(settings, notify=silent)
    except TargetUnusable as error:
        output.warn(error.message)
        return False
    return True
