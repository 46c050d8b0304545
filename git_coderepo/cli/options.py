"""Options that several verbs share, so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CodeRepository = Annotated[
    str | None, typer.Option("--code-repository", metavar="NAME", help="The code repository that is meant.")
]
AllowUnreproducible = Annotated[
    bool,
    typer.Option("--allow-unreproducible", help="Record also what nobody can get back, and why; fetch refuses it."),
]
Check = Annotated[bool, typer.Option("--check", help="Ask the platform whether it serves the base.")]
