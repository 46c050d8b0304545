"""Options that several verbs share, so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CodeRepository = Annotated[
    str | None, typer.Option("--code-repository", metavar="NAME", help="The code repository that is meant.")
]
Subdirectories = Annotated[
    list[str] | None,
    typer.Option("--subdirectory", metavar="PATH", help="Look at this path alone; can be repeated (coderepo.scope)."),
]
Subdirectory = Annotated[
    str | None, typer.Option("--subdirectory", metavar="PATH", help="Only this directory of it, proved by the whole.")
]
Submodules = Annotated[
    bool,
    typer.Option("--submodules/--no-submodules", help="With NAME@REVISION: include submodules, or leave them empty."),
]
AllowUnreproducible = Annotated[
    bool,
    typer.Option("--allow-unreproducible", help="Record also what nobody can get back, and why; fetch refuses it."),
]
Check = Annotated[bool, typer.Option("--check", help="Ask the platform whether it serves the base.")]
