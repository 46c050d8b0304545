"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

from git_coderepo.cli.json_output import Fields, check_fields, parse_fields

Json = Annotated[
    Fields | None,
    typer.Option(
        "--json", metavar="[=FIELDS]", parser=parse_fields, callback=check_fields,
        help="Print JSON. With =A,B, print only the fields A and B.",
    ),
]  # fmt: skip
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
CodeRepository = Annotated[
    str | None, typer.Option("--code-repository", metavar="NAME", help="The code repository to use.")
]
Subdirectories = Annotated[
    list[str] | None,
    typer.Option(
        "--subdirectory", metavar="PATH", help="Limit the snapshot to this path; can be repeated (coderepo.scope)."
    ),
]
Subdirectory = Annotated[
    str | None, typer.Option("--subdirectory", metavar="PATH", help="Use only this directory of the run's code.")
]
Submodules = Annotated[
    bool,
    typer.Option("--submodules/--no-submodules", help="With NAME@REVISION: fetch submodules or leave them empty."),
]
AllowUnreproducible = Annotated[
    bool,
    typer.Option("--allow-unreproducible", help="Accept code that cannot be fetched again, and record the reason."),
]
Check = Annotated[bool, typer.Option("--check", help="Ask the platform whether it serves the base.")]
