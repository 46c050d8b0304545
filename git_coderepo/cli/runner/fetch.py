"""`git coderepo fetch`: the code of a run, or of a commit, in a directory, proved by its tree id."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.options import CodeRepository, Json, Subdirectory, Submodules
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
from git_coderepo.errors import UsageError
from git_coderepo.fetching.sources.order import METHODS

if TYPE_CHECKING:
    from git_coderepo.fetching.receipt import Receipt

_SHOWN = 5


@app.command(cls=Verb)
def fetch(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A manifest's path, -, a recorded run, or NAME@REVISION[:PATH].")
    ],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Where to: absent, empty, or an empty mount point.")],
    method: Annotated[
        str,
        typer.Option("--method", metavar="METHOD", help=f"One of: {', '.join(METHODS)}."),
    ] = "auto",
    overlay: Annotated[
        list[str] | None,
        typer.Option("--overlay", metavar="FILE", help="An overlay that is apart; can be repeated."),
    ] = None,
    cache: Annotated[bool, typer.Option("--cache", help="Keep the tree in the cache, for the next one.")] = False,
    subdirectory: Subdirectory = None,
    receipt: Annotated[str | None, typer.Option("--receipt", metavar="FILE", help="Write the receipt there.")] = None,
    code_repository: CodeRepository = None,
    lfs: Annotated[
        bool, typer.Option("--lfs/--no-lfs", help="Turn the pointers of Git LFS into files, or leave them.")
    ] = True,
    submodules: Submodules = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but what went wrong.")] = False,
    as_json: Json = False,
) -> None:
    """Materialise the code of a run in a directory, and prove it.

    The tree id of what was written is the recorded one; else it is refused, and nothing is left behind.
    """
    if method not in METHODS:
        raise UsageError(f"invalid method '{method}': choose {', '.join(METHODS)}")
    if cache and method != "auto":
        raise UsageError("--cache and --method exclude each other")
    if cache and subdirectory is not None:
        raise UsageError("--cache and --subdirectory exclude each other: the cache keeps whole trees")
    if cache and not lfs:
        raise UsageError("--cache and --no-lfs exclude each other: the cache keeps whole files")
    from git_coderepo.git.process import Git
    from git_coderepo.settings import start_runner_settings

    written_to = receipt_file(receipt, made=directory)
    asked = start_runner_settings(Git())  # git answers while the rest is imported
    from git_coderepo.fetching.fetch import FetchOptions
    from git_coderepo.fetching.fetch import fetch as materialise
    from git_coderepo.runs.plan_fetch import plan_fetch

    settings = asked()
    plan = plan_fetch(
        run,
        overlay=overlay,
        code_repository=code_repository,
        subdirectory=subdirectory,
        settings=settings,
        submodules=submodules,
    )
    show_resolved(plan, quiet=quiet)
    refuse_input(written_to, plan)
    for path in plan.overlay_paths if not quiet else ():
        output.say(f"the overlay comes from '{os.fsdecode(path)}'")
    for path in plan.lfs_paths if lfs and not quiet else ():
        output.say(f"what Git LFS keeps comes from '{os.fsdecode(path)}'")
    for platform in plan.root.platforms() if not quiet else ():
        platform.notify = output.say
    warn_unnotable(directory)
    with ended_by_signals(), progress_shown(quiet) as progress:
        options = FetchOptions(method, progress=progress, lfs=lfs)
        if method == "auto":
            from git_coderepo.fetching.cache.cached_fetch import fetch_with_cache

            made = fetch_with_cache(plan.root, directory, settings, options, fill=cache, notify=output.say)
        else:  # one way is insisted on
            made = materialise(plan.root, directory, options)
    if written_to is not None:
        written_to.write(made.encode())
        warn_unnoted(written_to)
    if as_json:
        output.data(made.encode())
    elif not quiet:
        show(made, directory, submodules=submodules)


def show(receipt: Receipt, directory: str, *, submodules: bool = True) -> None:
    """What was proved, in a line or two."""
    from git_coderepo.fetching.convert_files import why_left
    from git_coderepo.snapshots.checks import shown_size

    show_fallbacks(receipt)
    for path in receipt.outside_links:
        output.warn(f"the symbolic link '{os.fsdecode(path)}' leads out of the tree")
    for converted in receipt.conversions:
        if converted.left:
            output.warn(why_left(converted))
    if receipt.tree_by == "platform":
        output.warn("the tree is the platform's answer: without git the commit itself could not be read")
    empty = [each for each in receipt.submodules if each.tree is None]
    if receipt.tree_by != "manifest" and empty and submodules:
        names = ", ".join(f"'{os.fsdecode(each.path)}'" for each in empty[:_SHOWN])
        output.warn(f"'.gitmodules' has no URL for these submodules; their directories are empty: {names}")
    travelled = "" if receipt.overlay_files is None else f", {receipt.overlay_files} from the overlay"
    came = f", {shown_size(receipt.received)} received" if receipt.received else ""
    if receipt.lfs is not None and receipt.lfs.state == "pointers":
        output.warn(f"{output.count(receipt.lfs.files, 'file')} of Git LFS left as pointers")
    output.line(f"{directory}: tree {receipt.tree}, verified")
    for inner in receipt.submodules:
        name = os.fsdecode(inner.path)
        if inner.tree is not None:
            files = output.count(inner.files, "file")
            output.line(f"{os.path.join(directory, name)}: tree {inner.tree}, verified; {files} by {inner.method}")
    seconds = receipt.finished - receipt.started
    if receipt.lfs is not None and receipt.lfs.state == "fetched":
        travelled += f", {receipt.lfs.files} of Git LFS"
    output.line(f"{output.count(receipt.files, 'file')}{travelled}, by {receipt.method}{came}, {seconds:.2f} s")
