"""`git coderepo remove NAME`: remove a registration."""

from __future__ import annotations

from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.errors import UsageError
from git_coderepo.git.process import Git, shell_word
from git_coderepo.registration.write import registered_here
from git_coderepo.registration.write import remove as remove_registration


@app.command(cls=Verb)
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered code repository.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not prompt for confirmation.")] = False,
    as_json: Json = None,
) -> None:
    """Remove a registration.

    This asks for confirmation, and requires `--yes` if there is no terminal to ask on. Recorded runs are not affected:
    their manifests do not refer to the configuration.
    """
    git = Git()
    registered_here(git, name)
    if not yes:
        if not output.has_terminal():
            raise UsageError(
                "cannot ask for confirmation without a terminal",
                hints=[f"git coderepo remove --yes {shell_word(name)}"],
            )
        if not output.ask(f"remove '{name}'?"):
            raise typer.Exit(1)
    removed = remove_registration(git, name)
    if as_json:
        print_json({"name": removed.name, "type": removed.type}, as_json)
    else:
        output.line(f"removed '{removed.name}' ({removed.type})")
