"""`git coderepo ignore PATH…`: leave paths out of every snapshot, in this checkout alone."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app


@app.command(cls=Verb)
def ignore(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Untracked files or folders.")],
) -> None:
    """Have git ignore untracked paths here.

    The lines go into `info/exclude` of the repository, which is not shared: for a rule that is, use a `.gitignore`.
    """
    from git_coderepo.git.exclude import exclude
    from git_coderepo.git.process import Git

    for line in exclude(Git(), [os.fsencode(path) for path in paths]):
        output.line(f"ignored: {os.fsdecode(line)}")
