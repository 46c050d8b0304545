"""`git coderepo verify RUN DIR`: whether a directory is still the recorded tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.options import Json, Subdirectory
from git_coderepo.errors import NegativeAnswer

if TYPE_CHECKING:
    from git_coderepo.runner.verification import Verification

_SHOWN = 20


@app.command(cls=Verb)
def verify(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A manifest's path, -, a recorded run, or NAME@COMMIT[:PATH].")
    ],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="What a fetch made.")],
    strict: Annotated[bool, typer.Option("--strict", help="Added paths fail, too.")] = False,
    overlay: Annotated[
        list[str] | None,
        typer.Option("--overlay", metavar="FILE", help="An overlay that is apart; can be repeated."),
    ] = None,
    subdirectory: Subdirectory = None,
    as_json: Json = False,
) -> None:
    """Say whether a directory is still the recorded tree.

    It is hashed again, and what changed, is missing or was added is listed; added paths fail with --strict only.
    """
    from git_coderepo.git import Git
    from git_coderepo.runner.order import fetch_order
    from git_coderepo.runner.verification import verify_directory

    order = fetch_order(run, overlay=overlay, subdirectory=subdirectory)
    found = verify_directory(order.wanted, directory, git=Git())
    if as_json:
        output.json_data(found.document())
    else:
        show(found, directory)
    if not found.holds(strict=strict):
        raise NegativeAnswer(f"'{directory}' is not the recorded tree {found.expected}")


def show(found: Verification, directory: str) -> None:
    """The answer for people."""
    if found.same_tree:
        output.line(f"{directory}: tree {found.found}, the same")
        for each in found.submodules:
            if each.found is not None:
                output.line(f"{os.path.join(directory, os.fsdecode(each.path))}: tree {each.found}, the same")
        return
    for word, paths in (("changed", found.changed), ("missing", found.missing), ("added", found.added)):
        for path in paths[:_SHOWN]:
            output.line(f"{word}: {os.fsdecode(path)}")
        if len(paths) > _SHOWN:
            output.line(f"{word}: {len(paths) - _SHOWN} more (--json lists them all)")
    if found.unlisted is not None:
        output.warn(f"which paths differ cannot be told: {found.unlisted}")
