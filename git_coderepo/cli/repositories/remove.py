"""`git coderepo remove NAME`: forget a registration; manifests of old runs stand alone (Z7)."""

from __future__ import annotations

from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app


@app.command(cls=Verb)
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered code repository.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take a registration out of the configuration.

    What runs recorded stays as it is: a manifest stands alone.
    """
    import sys

    from git_coderepo.git.process import Git
    from git_coderepo.registration.write import remove as take_out

    if not yes and sys.stdin.isatty() and not typer.confirm(f"remove '{name}'?", err=True):
        raise typer.Exit(1)
    gone = take_out(Git(), name)
    output.line(f"removed '{gone.name}' ({gone.type})")
