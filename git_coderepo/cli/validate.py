"""`git coderepo validate FILE`: whether a file is a run manifest or a receipt."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.errors import NegativeAnswer


@app.command(cls=Verb)
def validate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A run manifest or a receipt; - for standard input.")],
) -> None:
    """Say whether a run manifest or a receipt is valid.

    Every reason why it is not is listed; the first one where jsonschema is not installed.
    """
    from git_coderepo.manifest.validate import finds_every_reason, problems

    found = problems(_contents(file))
    if not found:
        output.line(f"'{file}' is valid")
        return
    for problem in found:
        output.line(problem)
    hints = [] if finds_every_reason() else ["that is the first reason; to find them all, jsonschema must be installed"]
    raise NegativeAnswer(f"'{file}' is not valid", hints=hints)


def _contents(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    with open(file, "rb") as opened:
        return opened.read()
