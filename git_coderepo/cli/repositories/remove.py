"""`git coderepo remove NAME`: remove a registration."""

from __future__ import annotations

from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.git.process import Git
from git_coderepo.registration.write import remove as remove_registration


@app.command(cls=Verb)
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered code repository.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not prompt for confirmation.")] = False,
    as_json: Json = None,
) -> None:
    """Remove a registration.

    Recorded runs are not affected: their manifests do not refer to the configuration.
    """
    import sys

    if not yes and sys.stdin.isatty() and not typer.confirm(f"remove '{name}'?", err=True):
        raise typer.Exit(1)
    removed = remove_registration(Git(), name)
    if as_json:
        print_json({"name": removed.name, "type": removed.type}, as_json)
    else:
        output.line(f"removed '{removed.name}' ({removed.type})")
