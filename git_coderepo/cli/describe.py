"""`git coderepo describe NAME`: what a code repository is, never its secret."""

from __future__ import annotations

from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import app
from git_coderepo.cli.options import Json


@app.command()
def describe(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Else the one that is meant here.")] = None,
    as_json: Json = False,
) -> None:
    """Describe a code repository: its options, and from where its credential would come."""
    row = description(name)
    if as_json:
        output.json_data(row)
        return
    options = row.pop("options")
    rows = [(key, "" if value is None else str(value)) for key, value in row.items() if value is not None]
    assert isinstance(options, dict)
    output.table([*rows, *((f"option {key}", str(value)) for key, value in options.items())])


def description(name: str | None) -> dict[str, object]:
    """The code repository of that name, or the one that is meant. Raises RegistrationError."""
    from git_coderepo.git import Git
    from git_coderepo.record.source import source_here
    from git_coderepo.registrations.describe import credential_source, described

    source = source_here(Git(), name)
    row = described(source.registration, source.remote)
    platform = source.platform()
    row["recordedOptions"] = dict(platform.recorded_options())
    row["credential"] = credential_source(platform)
    return row
