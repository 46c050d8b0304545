"""The typer application: the options before a verb, and the verbs of `table.py`, which are imported on demand."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from git_coderepo.cli import output
from git_coderepo.cli.output import PROGRAM, version
from git_coderepo.cli.table import GROUPS, VERBS
from git_coderepo.errors import UsageError
from git_coderepo.trace import set_verbose


class Verb(TyperCommand):
    """A verb whose usage line is written as in Git: `RUN DIR` instead of typer's `{RUN} {DIR}`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


class Verbs(TyperGroup):
    """All verbs in the order of the table; the module of a verb is imported when the verb is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # For an unknown verb, load all of them, so that similar ones can be suggested.
        self.commands = commands(*([cmd_name] if cmd_name in VERBS else VERBS))
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, VERBS))
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), verb.summary) for name, verb in group.items()])


# The module of each verb adds its verb here.
app = typer.Typer(rich_markup_mode=None)

_program = typer.Typer(
    name=PROGRAM,
    cls=Verbs,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def commands(*verbs: str) -> dict[str, Any]:
    """Return the commands by name, after importing the modules of these verbs."""
    for verb in verbs:
        importlib.import_module(VERBS[verb].module)
    return dict(typer.main.get_group(app).commands)


def program() -> Any:
    """Return the top-level command."""
    return typer.main.get_command(_program)


# The exception for invalid usage. Some releases of typer contain click, others depend on it.
_InvalidUsage: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def run(arguments: list[str]) -> int:
    """Run a verb and return its exit status. Raises UsageError for an invalid command line."""
    try:
        status = program().main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _InvalidUsage as error:
        context = error.ctx
        command = context.command_path if context is not None else PROGRAM
        raise UsageError(output.as_message(error.format_message()), hints=[f"{command} -h"]) from None
    return status if isinstance(status, int) else 0


def usage(context: typer.Context) -> None:
    """Print the help on standard error and exit with 129, as git does if no subcommand is given."""
    sys.stderr.write(context.get_help() + "\n")
    raise typer.Exit(UsageError.exit_status)


def _version(wanted: bool) -> None:
    if wanted:
        output.line(version())
        raise typer.Exit


@_program.callback(invoke_without_command=True)
def _before_the_verb(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show each command and request, with secrets redacted.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Know exactly which code made a run, and get exactly that code back on any machine."""
    if verbose:
        set_verbose()
    if context.invoked_subcommand is None:
        usage(context)
