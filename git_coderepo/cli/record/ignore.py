"""`git coderepo ignore PATH…`: leave untracked paths out of the snapshots of one checkout."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.git.exclude import exclude
from git_coderepo.git.process import Git


@app.command(cls=Verb)
def ignore(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Untracked files or directories.")],
) -> None:
    """Ignore untracked paths in this checkout.

    The paths are added to `info/exclude` of the repository, which is not shared. For a shared rule, use `.gitignore`.
    """
    for line in exclude(Git(), [os.fsencode(path) for path in paths]):
        output.line(f"ignored: {os.fsdecode(line)}")
