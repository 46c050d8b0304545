"""`git coderepo validate FILE...`: check run manifests and receipts."""

from __future__ import annotations

from typing import Annotated

import typer

from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.cli.runner.validate_files import problems_of_files, refuse_invalid, validate_files


@app.command(cls=Verb)
def validate(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Run manifests or receipts; - for standard input.")
    ],
    as_json: Json = None,
) -> None:
    """Check whether run manifests and receipts are valid.

    All problems of each file are listed.
    """
    if as_json is None:
        validate_files(files)
        return
    found = problems_of_files(files)
    print_json([{"file": file, "valid": not each, "problems": each} for file, each in found], as_json)
    refuse_invalid([file for file, each in found if each], len(found))
