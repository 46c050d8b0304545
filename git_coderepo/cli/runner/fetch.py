"""`git coderepo fetch`: fetch the code of a run or a commit into a directory and verify it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_encoded
from git_coderepo.cli.options import CodeRepository, Json, Subdirectory, Submodules
from git_coderepo.cli.progress import progress_shown
from git_coderepo.cli.runner.planning import plan_request
from git_coderepo.cli.runner.reporting import (
    ended_by_signals,
    receipt_file,
    show_fallbacks,
    warn_unnotable,
    warn_unnoted,
)
from git_coderepo.errors import UsageError
from git_coderepo.fetching.cache.cached_fetch import fetch_with_cache
from git_coderepo.fetching.convert_files import why_left
from git_coderepo.fetching.fetch import FetchOptions
from git_coderepo.fetching.fetch import fetch as fetch_tree
from git_coderepo.fetching.receipt import Receipt
from git_coderepo.fetching.sources.order import AUTO, METHODS
from git_coderepo.plural import count
from git_coderepo.runs.plan_fetch import FetchRequest
from git_coderepo.snapshots.size_limits import shown_size

_SHOWN = 5


@app.command(cls=Verb)
def fetch(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A manifest file, -, a recorded run, or NAME@REVISION[:PATH].")
    ],
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="The target: absent, empty, or an empty mount point.")
    ],
    method: Annotated[
        str,
        typer.Option("--method", metavar="METHOD", help=f"The source of the code. One of: {', '.join(METHODS)}."),
    ] = "auto",
    overlay: Annotated[
        list[str] | None,
        typer.Option(
            "--overlay", metavar="FILE", help="An overlay file that is not beside the manifest; can be repeated."
        ),
    ] = None,
    cache: Annotated[bool, typer.Option("--cache", help="Also keep the tree in the cache.")] = False,
    subdirectory: Subdirectory = None,
    receipt: Annotated[str | None, typer.Option("--receipt", metavar="FILE", help="Write a receipt to FILE.")] = None,
    code_repository: CodeRepository = None,
    lfs: Annotated[bool, typer.Option("--lfs/--no-lfs", help="Fetch Git LFS files, or leave their pointers.")] = True,
    submodules: Submodules = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")] = False,
    as_json: Json = None,
) -> None:
    """Fetch a run's code into a directory and verify it.

    The directory appears only if its tree id is the recorded one. Otherwise nothing is left behind.
    """
    if cache:
        _check_cache_options(method, subdirectory, lfs=lfs)
    elif method not in METHODS:
        raise UsageError(f"invalid method '{method}': choose {', '.join(METHODS)}")
    written_to = receipt_file(receipt, made=directory)
    request = FetchRequest(run, overlay, code_repository, subdirectory, submodules)
    runner, plan = plan_request(request, receipt=written_to, quiet=quiet)
    for path in plan.overlay_paths:
        runner.notify(f"using the overlay '{os.fsdecode(path)}'")
    for path in plan.lfs_paths if lfs else ():
        runner.notify(f"using the Git LFS files in '{os.fsdecode(path)}'")
    warn_unnotable(directory)
    with ended_by_signals(), progress_shown(quiet) as progress:
        options = FetchOptions(method, progress=progress, lfs=lfs)
        if method == AUTO:
            made = fetch_with_cache(plan.root, directory, runner.settings, options, fill=cache, notify=output.say)
        else:
            made = fetch_tree(plan.root, directory, options)
    if written_to is not None:
        written_to.write(made.encode())
        warn_unnoted(written_to)
    if as_json:
        print_encoded(made.encode(), as_json)
    elif not quiet:
        show(made, directory, submodules=submodules)


def _check_cache_options(method: str, subdirectory: str | None, *, lfs: bool) -> None:
    """Raise UsageError for an option that --cache excludes: the cache has whole trees, with their Git LFS files."""
    if method != AUTO:
        raise UsageError("--cache and --method are mutually exclusive")
    if subdirectory is not None:
        raise UsageError("--cache and --subdirectory are mutually exclusive: the cache holds whole trees")
    if not lfs:
        raise UsageError("--cache and --no-lfs are mutually exclusive: the cache holds complete files")


def show(receipt: Receipt, directory: str, *, submodules: bool = True) -> None:
    """Print for people what was fetched and verified, and warnings about it."""
    show_fallbacks(receipt)
    for path in receipt.outside_links:
        output.warn(f"symbolic link '{os.fsdecode(path)}' points outside the tree")
    for converted in receipt.conversions:
        if converted.left:
            output.warn(why_left(converted))
    if receipt.tree_by == "platform":
        output.warn("the platform named the tree of the commit; git is required to verify that")
    empty = [each for each in receipt.submodules if each.tree is None]
    if receipt.tree_by != "manifest" and empty and submodules:
        names = ", ".join(f"'{os.fsdecode(each.path)}'" for each in empty[:_SHOWN])
        output.warn(f"these submodules have no URL in '.gitmodules', so their directories are empty: {names}")
    travelled = "" if receipt.overlay_files is None else f", {receipt.overlay_files} from the overlay"
    came = f", {shown_size(receipt.received)} received" if receipt.received else ""
    if receipt.lfs is not None and receipt.lfs.state == "pointers":
        output.warn(f"{count(receipt.lfs.files, 'Git LFS file')} left as pointers")
    output.line(f"{directory}: tree {receipt.tree}, verified")
    for inner in receipt.submodules:
        name = os.fsdecode(inner.path)
        if inner.tree is not None:
            files = count(inner.files, "file")
            output.line(f"{os.path.join(directory, name)}: tree {inner.tree}, verified; {files} by {inner.method}")
    seconds = receipt.finished - receipt.started
    if receipt.lfs is not None and receipt.lfs.state == "fetched":
        travelled += f", {receipt.lfs.files} from Git LFS"
    output.line(f"{count(receipt.files, 'file')}{travelled}, by {receipt.method}{came}, {seconds:.2f} s")
