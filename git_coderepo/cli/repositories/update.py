"""`git coderepo update NAME`: change a registration."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.cli.repositories.register import (
    PLATFORM_OPTIONS,
    Description,
    LogoURL,
    NoRemote,
    NoVerify,
    PlatformVerb,
    Remote,
    Source,
    name_and_pairs,
    registered_document,
    show,
    warn_of_plain_secrets,
)
from git_coderepo.errors import UsageError
from git_coderepo.git.process import Git
from git_coderepo.registration.register import Updating, update_repository


@app.command(cls=PlatformVerb, context_settings=PLATFORM_OPTIONS)
def update(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered code repository.")],
    new_name: Annotated[str | None, typer.Option("--name", metavar="NEW", help="The new name.")] = None,
    remote: Remote = None,
    no_remote: NoRemote = False,
    source: Source = None,
    description: Description = None,
    logo_url: LogoURL = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="OPTION", help="Remove an option; can be repeated.")
    ] = None,
    no_verify: NoVerify = False,
    as_json: Json = None,
) -> None:
    """Change the name or the options of a registration.

    Options that you do not pass keep their values.
    """
    given, pairs = name_and_pairs(name, context.args)
    if given is None:
        raise UsageError("missing argument 'NAME'", hints=["git coderepo update -h"])
    warn_of_plain_secrets(pairs)
    done = update_repository(
        Git(),
        given,
        Updating(
            new_name=new_name,
            remote=remote,
            source=source,
            description=description,
            logo_url=logo_url,
            pairs=pairs,
            unset=[each.lstrip("-").replace("-", "_") for each in unset or ()],
            verify=not no_verify,
            no_remote=no_remote,
        ),
        standard_input=sys.stdin.buffer.read,
    )
    if as_json:
        print_json(registered_document(done), as_json)
        return
    output.line(f"updated '{done.registration.name}'")
    show(done)
