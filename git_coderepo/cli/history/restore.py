"""`git coderepo restore RUN`: continue from a run on a new branch or in a linked worktree."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.history.show import RUN_HELP
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json, Quiet
from git_coderepo.cli.runner.reporting import ended_by_signals
from git_coderepo.fetching.sources.local import Here
from git_coderepo.git.process import Git, shell_word
from git_coderepo.git.repository import read_layout, start_layout
from git_coderepo.git.store import Store
from git_coderepo.manifest.writer import path_value
from git_coderepo.plural import count
from git_coderepo.runs.find import find_run
from git_coderepo.runs.restore import Place, Restored, default_branch, restore
from git_coderepo.trace import silent


@app.command("restore", cls=Verb)
def restore_(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP + ".")],
    branch: Annotated[
        str | None,
        typer.Option("--branch", "-b", metavar="NAME", help="The new branch (default: coderepo/SHORT-ID)."),
    ] = None,
    worktree: Annotated[
        str | None, typer.Option("--worktree", metavar="DIR", help="Add a linked worktree; leave this checkout alone.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = None,
) -> None:
    """Continue from a run on a new branch or in a worktree.

    This creates a branch at the run's base and switches to it. Everything in which the run differed from its base,
    including commits that were not pushed, becomes uncommitted edits. The files are then hashed, and must be exactly
    those of the run. With `--worktree`, this happens in a new linked worktree, on a branch only if `--branch` names
    one. The base is fetched if it is not in this repository.

    A checkout with edits of your own is refused, and so are an existing branch and a directory that is not empty. If
    anything fails, everything is left as it was. Runs with submodules are not supported.
    """
    git = Git()
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    found = find_run(run, git, notify=silent if quiet else output.say)
    id = found.named.manifest.run.id
    if branch is None and worktree is None:
        branch = default_branch(id)
    place = Place(branch, None if worktree is None else os.path.abspath(worktree))
    with ended_by_signals():
        done = restore(found, Here(git, layout, Store(layout)), place, notify=silent if quiet else output.say)
    if as_json:
        print_json(document(id, done), as_json)
    elif not quiet:
        show(id, done)


def document(id: str, done: Restored) -> dict[str, object]:
    """Return a restored run as JSON values."""
    place = done.place
    return {
        "run": id,
        "branch": place.branch,
        "directory": None if place.directory is None else path_value(os.fsencode(place.directory)),
        "commit": done.commit.hex,
        "tree": done.tree.hex,
        "edits": [path_value(path) for path in done.edits],
    }


def show(id: str, done: Restored) -> None:
    """Print where the run is now, and how to see its edits."""
    place = done.place
    branch = "detached HEAD" if place.branch is None else f"branch '{place.branch}'"
    where = branch if place.directory is None else f"'{place.directory}', {branch}"
    edits = f"with {count(len(done.edits), 'edited file')}" if done.edits else "without edits"
    output.line(f"{where}: run {id} at {done.commit.hex[:12]}, {edits}; tree {done.tree}, verified")
    if done.edits:
        output.hint("git status" if place.directory is None else f"git -C {shell_word(place.directory)} status")
