"""`git coderepo prune`: remove old runs, and overlays and objects that no run needs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.git.dates import required_age
from git_coderepo.git.process import Git
from git_coderepo.git.store import Store
from git_coderepo.manifest.writer import path_value
from git_coderepo.plural import count
from git_coderepo.runs.find import runs_here
from git_coderepo.runs.prune import PruneRequest, prune
from git_coderepo.snapshots.size_limits import shown_size

if TYPE_CHECKING:
    from git_coderepo.runs.prune import Pruned


@app.command("prune", cls=Verb)
def prune_(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Remove runs older than AGE: 12h, 7d, 2w, 1y.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", min=0, help="Remove all runs but the newest N.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only print what would be removed.")] = False,
    as_json: Json = None,
) -> None:
    """Remove old runs, and data that no run needs.

    Runs are removed only with --older-than or --keep; with both, only runs that match both. Overlays and objects that
    no run needs are always removed. Runs that are still running, and data younger than an hour, are kept.
    """
    request = PruneRequest(None if older_than is None else required_age(older_than), keep, dry_run)
    git = Git()
    runs, layout = runs_here(git)
    pruned = prune(runs, Store(layout), git, request, now=time.time())
    if as_json:
        print_json(document(pruned, dry_run=dry_run), as_json)
    else:
        show(pruned, dry_run=dry_run)


def document(pruned: Pruned, *, dry_run: bool) -> dict[str, object]:
    """Return what was or would be removed as JSON values."""
    return {
        "runs": list(pruned.runs),
        "overlays": pruned.overlays,
        "objects": pruned.objects,
        "size": pruned.size,
        "unreadable": [path_value(path) for path in pruned.unreadable],
        "dryRun": dry_run,
    }


def show(pruned: Pruned, *, dry_run: bool) -> None:
    """Print what was or would be removed."""
    for path in pruned.unreadable:
        output.warn(f"cannot read '{os.fsdecode(path)}': overlays and objects were kept, since it may need them")
    if dry_run:
        for id in pruned.runs:
            output.line(f"run {id}")
    parts = [
        count(number, word)
        for number, word in ((len(pruned.runs), "run"), (pruned.overlays, "overlay"), (pruned.objects, "object"))
        if number
    ]
    size = f", {shown_size(pruned.size)}" if pruned.size else ""
    verb = "would remove" if dry_run else "removed"
    output.line(f"{verb} {', '.join(parts)}{size}" if parts else "nothing to remove")
    for reason, number in pruned.kept:
        output.line(f"{'would keep' if dry_run else 'kept'} {count(number, 'run')}: {reason}")
