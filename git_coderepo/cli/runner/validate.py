"""`git coderepo validate FILE...`: check run manifests and receipts."""

from __future__ import annotations

from typing import Annotated

import typer

from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.runner.validate_files import validate_files


@app.command(cls=Verb)
def validate(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Run manifests or receipts; - for standard input.")
    ],
) -> None:
    """Check whether run manifests and receipts are valid.

    All problems of each file are listed.
    """
    validate_files(files)
