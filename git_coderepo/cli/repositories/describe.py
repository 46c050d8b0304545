"""`git coderepo describe [NAME]`: show the details of a code repository."""

from __future__ import annotations

from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.errors import RegistrationError
from git_coderepo.git.process import Git, shell_word
from git_coderepo.platforms.base import Option
from git_coderepo.registration.describe import credential_source, described
from git_coderepo.registration.resolve import source_here
from git_coderepo.settings import Settings


@app.command(cls=Verb)
def describe(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A code repository (default: the one that a run would use).")
    ] = None,
    as_json: Json = None,
) -> None:
    """Show the details of a code repository.

    These include its options, the options that a manifest records, and where its credential comes from. Secrets are
    never shown.
    """
    row = description(name)
    if as_json:
        print_json(row, as_json)
        return
    options = {word: row.pop(key) for word, key in (("option", "options"), ("recorded", "recordedOptions"))}
    credential = row.pop("credential") or "none"
    rows = [(key, _shown(value)) for key, value in row.items() if value is not None]
    for word, values in options.items():
        assert isinstance(values, dict)
        rows += [(f"{word} {key}", str(value)) for key, value in values.items()]
    output.table([*rows, ("credential", str(credential))])


def _shown(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def description(name: str | None) -> dict[str, object]:
    """Return the details of a code repository; `name` None means the one that a run would use.

    Raises RegistrationError.
    """
    git = Git()
    try:
        source = source_here(git, name)
        row = described(source.registration, source.remote)
        platform = source.platform()
        row["recordedOptions"] = {Option(key, "").key: value for key, value in platform.recorded_options().items()}
        row["credential"] = credential_source(platform)
    except RegistrationError as error:
        if name is None or name not in Settings.read(git).subsections("coderepo"):
            raise
        # The hints of the error are for `register`.
        hints = [f"git coderepo update {shell_word(name)} --OPTION=VALUE", "git coderepo update -h"]
        raise error.replace(hints=hints) from None
    return row
