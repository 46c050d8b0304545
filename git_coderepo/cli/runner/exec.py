"""`git coderepo exec RUN [--] COMMAND…`: run a command in the code of a run, on any machine."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.options import CodeRepository, Submodules
from git_coderepo.cli.progress import progress_shown
from git_coderepo.cli.runner.reporting import (
    ended_by_signals,
    receipt_file,
    refuse_input,
    show_fallbacks,
    show_resolved,
    warn_unnotable,
    warn_unnoted,
)
from git_coderepo.errors import CodeRepoError, UsageError

if TYPE_CHECKING:
    from git_coderepo.fetching.receipt import Receipt
    from git_coderepo.manifest.output_file import OutputFile
    from git_coderepo.settings import Settings


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
    if command and command[0] == "--":
        command = command[1:]  # the parser keeps a `--` that follows RUN
    if not command:
        from git_coderepo.git.process import shell_word

        raise UsageError("no command to run", hints=[f"git coderepo exec {shell_word(run)} -- python train.py"])
    from git_coderepo.git.process import Git
    from git_coderepo.settings import start_runner_settings

    written_to = receipt_file(receipt, made=copy)
    asked = start_runner_settings(Git())  # git answers while the rest is imported
    from git_coderepo.fetching.cache.cached_fetch import cached_tree, fetch_with_cache, open_cache
    from git_coderepo.fetching.fetch import FetchOptions
    from git_coderepo.launch.command_environment import execution_environment, manifest_file, working_directory
    from git_coderepo.launch.run_directory import RunDirectory
    from git_coderepo.runs.command import Interrupted, execute, interruptible
    from git_coderepo.runs.plan_fetch import plan_fetch

    settings = asked()
    plan = plan_fetch(run, overlay=overlay, code_repository=code_repository, settings=settings, submodules=submodules)
    show_resolved(plan, quiet=quiet)
    refuse_input(written_to, plan)
    planned, manifest = plan.root, plan.manifest
    for platform in planned.platforms():
        platform.notify = output.say
    descriptors, folder, place = [], None, None
    with ExitStack() as stack:
        with ended_by_signals(), progress_shown(False) as progress:
            options = FetchOptions(progress=progress)
            if copy is not None:
                warn_unnotable(copy)
                fill = _has_cache(settings)
                made = fetch_with_cache(planned, copy, settings, options, fill=fill, notify=output.say)
                tree = os.path.abspath(copy)
            else:
                cache = open_cache(settings, notify=output.say)
                folder = cache.place.path
                cached = cached_tree(planned, cache, options)
                place = stack.enter_context(RunDirectory(planned, cache, cached, notify=output.say))
                made, tree = cached.receipt, place.tree
                descriptors.append(place.descriptor)  # keeps the tree locked for processes that outlive this one
        show_fallbacks(made)
        if written_to is not None:
            written_to.write(made.encode())
            warn_unnoted(written_to)
        recorded = manifest.run.directory if manifest is not None else b"."
        start = recorded if directory is None else os.fsencode(directory)
        here = working_directory(tree, start, make=copy is not None)
        environment = execution_environment(
            plan,
            tree,
            here,
            stack.enter_context(manifest_file(plan, folder)),
            os.environ,
            notify=output.say,
            keep_credentials=keep_credentials,
        )
        if place is not None:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        if place is not None and not quiet:
            output.say(place.describe(here, advice="use --copy DIR to run in a writable copy"))
        status, _ = execute(
            [os.fsencode(word) for word in command], environment, directory=here, descriptors=descriptors
        )
        if place is not None:
            try:
                with interruptible():
                    changed = place.report()
                    if written_to is not None and written_to.path is not None:
                        _write_again(made, written_to, changed=changed)
            except Interrupted:
                output.warn_afterwards("interrupted: the code was not checked after the command")
    output.say_not_run(command[0], status, here)
    raise typer.Exit(status)


def _write_again(made: Receipt, file: OutputFile, *, changed: bool) -> None:
    """Add to the receipt whether the command changed the tree; only warn if that fails."""
    assert made.proof is not None
    proof = made.proof._replace(after_command="changed" if changed else "unchanged")
    try:
        file.write(made._replace(proof=proof).encode())
    except CodeRepoError as error:
        output.warn(f"{error.message}: the receipt does not say whether the command changed the code")


def _has_cache(settings: Settings) -> bool:
    """Return whether a cache can be used; warn if not."""
    from git_coderepo.errors import TargetUnusable
    from git_coderepo.fetching.cache.location import cache_place

    try:
        cache_place(settings, notify=lambda _: None)
    except TargetUnusable as error:
        output.warn(error.message)
        return False
    return True
