"""`git coderepo list`: the code repositories of this checkout."""

from __future__ import annotations

import csv
import io
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.errors import RegistrationError, UsageError
from git_coderepo.git.process import Git
from git_coderepo.git.pushed_commits import Walks
from git_coderepo.git.repository import branch_of_head, read_layout, start_layout
from git_coderepo.git.url.remote import followed_remote, remotes_of
from git_coderepo.registration.config import inferred, registrations
from git_coderepo.registration.describe import described
from git_coderepo.registration.infer import likely_remote
from git_coderepo.settings import Settings, team_settings
from git_coderepo.trace import trace

COLUMNS = ("name", "type", "remote", "url", "source", "description", "logoUrl", "registered")
SHOWN = ("name", "type", "remote", "url", "description")


@app.command("list", cls=Verb)
def list_(
    sort: Annotated[
        str, typer.Option("--sort", metavar="COLUMN", help="Sort by a column; -COLUMN reverses the order.")
    ] = "",
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="COLUMN=TEXT", help="Show only rows whose column contains TEXT."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="A,B", help=f"The columns to show: {', '.join(COLUMNS)}.")
    ] = None,
    as_json: Json = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print YAML.")] = False,
) -> None:
    """List the code repositories of this checkout.

    If none is registered, show the one that a run would use.
    """
    if (as_json is not None) + as_csv + as_yaml > 1:
        raise UsageError("--json, --csv and --yaml are mutually exclusive")
    wanted = [column.strip() for column in columns.split(",")] if columns is not None else None
    for each in filters or ():
        if "=" not in each:
            raise UsageError(f"invalid filter '{each}'", hints=["use --filter COLUMN=TEXT"])
    for column in [*(wanted or ()), sort.lstrip("-"), *(each.partition("=")[0] for each in filters or ())]:
        if column and column not in COLUMNS:
            raise UsageError(f"unknown column '{column}'", hints=[f"choose one of: {', '.join(COLUMNS)}"])
    rows = rows_here()
    for each in filters or ():
        column, _, text = each.partition("=")
        rows = [row for row in rows if text.lower() in _shown(row[column]).lower()]
    if sort:
        rows.sort(key=lambda row: _shown(row[sort.lstrip("-")]).lower(), reverse=sort.startswith("-"))
    if as_json or as_yaml:
        kept = rows if wanted is None else [{column: row[column] for column in wanted} for row in rows]
        print_json(kept, as_json) if as_json else output.data(yaml(kept))
    elif as_csv:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        writer.writerow(wanted or COLUMNS)
        writer.writerows([_shown(row[column]) for column in wanted or COLUMNS] for row in rows)
        output.data(buffer.getvalue())
    else:
        _table(rows, wanted or list(SHOWN))


def rows_here() -> list[dict[str, object]]:
    """Return a row for each code repository; see `registration.describe.described`."""
    git = Git()
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    settings = team_settings(git, layout, Settings.read(git), trace)
    remotes = remotes_of(git, settings)
    known = registrations(settings)
    rows = [described(each, remotes.get(each.remote) if each.remote is not None else None) for each in known]
    if not known and remotes:
        upstream = followed_remote(settings, branch_of_head(git))
        walks = Walks(git.offline(), settings, layout.head)
        try:
            likely = likely_remote(remotes, upstream, unpushed=walks.unpushed)
            names = [likely] if likely is not None else []
        except RegistrationError:
            names = list(remotes)  # a run fails until the user chooses one
        rows += [described(inferred(name, remotes[name], settings), remotes[name]) for name in names]
    return rows


def _table(rows: list[dict[str, object]], columns: list[str]) -> None:
    cells = [[column.upper() for column in columns], *([_shown(row[column]) for column in columns] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells if rows else []:
        output.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if any(row["registered"] is False for row in rows):
        output.hint("to register a code repository that is inferred from a remote: git coderepo register")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def yaml(rows: list[dict[str, object]]) -> str:
    """Return the rows as YAML 1.2, with every value written as JSON, which is valid YAML."""
    import json

    if not rows:
        return "[]\n"
    lines = []
    for row in rows:
        for index, (key, value) in enumerate(row.items()):
            lines.append(f"{'- ' if index == 0 else '  '}{key}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"
