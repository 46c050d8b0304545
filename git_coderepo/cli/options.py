"""Options that several verbs share, so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CodeRepository = Annotated[
    str | None, typer.Option("--code-repository", metavar="NAME", help="The code repository that is meant.")
]
Check = Annotated[bool, typer.Option("--check", help="Ask the platform whether it serves the base.")]
