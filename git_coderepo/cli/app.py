"""The typer application: the options before a verb, and the verbs of `table.py`, which are imported on demand."""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from git_coderepo.cli import output
from git_coderepo.cli.output import PROGRAM, version
from git_coderepo.cli.table import GROUPS, VERBS
from git_coderepo.errors import UsageError
from git_coderepo.similar import closest
from git_coderepo.trace import set_verbose

# Some releases of typer contain click, others depend on it; its context names the class that lays out the help.
_Layout: Any = typer.Context.formatter_class
_JSON = "--json"
_SHORT = 40  # characters of a command or of an argument that stays on one line


class _HelpLayout(_Layout):  # type: ignore[misc]
    """The layout of `-h`: lines break between words only, and not inside a short command such as `git log -- FILE`."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        start = f"{prefix or 'Usage: '}{prog} "
        together = re.sub(r"\[[^]]*\]", _joined, args)
        self.write("\n".join(_wrap(together, self.width, start, " " * len(start))) + "\n")

    def write_text(self, text: str) -> None:
        indent = " " * self.current_indent
        paragraphs = (_wrap(each, self.width, indent, indent) for each in text.split("\n\n"))
        self.write("\n\n".join("\n".join(lines) for lines in paragraphs) + "\n")

    def write_dl(self, rows: Any, col_max: int = 30, col_spacing: int = 2) -> None:
        rows = list(rows)
        column = min(max((len(name) for name, _ in rows), default=0), col_max) + col_spacing
        indent = " " * self.current_indent
        for name, meaning in rows:
            name = name.replace(" [=", "[=")
            lines = _wrap(meaning, max(self.width - column - self.current_indent, 20), "", "")
            if len(name) > column - col_spacing or not lines:
                self.write(f"{indent}{name}\n")
            else:
                self.write(f"{indent}{name:<{column}}{lines.pop(0)}\n")
            for line in lines:
                self.write(f"{indent}{'':<{column}}{line}\n")


def _wrap(text: str, width: int, first: str, others: str) -> list[str]:
    together = re.sub(r"`[^`]*`", _joined, " ".join(text.split(" ")))
    lines = textwrap.wrap(
        together, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\xa0", " ") for line in lines]


def _joined(found: re.Match[str]) -> str:
    return " ".join(found[0].split()).replace(" ", "\xa0") if len(found[0]) <= _SHORT else found[0]


class _Context(typer.Context):
    formatter_class = _HelpLayout


def _show_page(context: Any, _: object, wanted: bool) -> None:
    """Show the manual page of the command to which `--help` was given."""
    if wanted and not context.resilient_parsing:
        first_word = context.command_path.removeprefix(PROGRAM).split()[:1]
        context.exit(run(["help", *first_word]))


def _page_option() -> Any:
    """Return the option `--help`, which shows a manual page; `-h` is typer's, and shows the short help."""
    return TyperOption(
        param_decls=["--help"], is_flag=True, expose_value=False, is_eager=True, callback=_show_page,
        help="Show the manual page.",
    )  # fmt: skip


class Verb(TyperCommand):
    """A verb whose usage line is written as in Git: `RUN DIR` instead of typer's `{RUN} {DIR}`."""

    context_class = _Context

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), _page_option()]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _with_json_value(args, self.params, interspersed=ctx.allow_interspersed_args))


def _with_json_value(args: list[str], parameters: list[Any], *, interspersed: bool) -> list[str]:
    """Write `--json` as `--json=`, and `--json A,B` as `--json=A,B` if the verb has no arguments."""
    options = [each for each in parameters if each.param_type_name == "option"]
    if not any(_JSON in each.opts for each in options):
        return args
    takes_next = _takes_next(options, fields=len(options) == len(parameters))
    words, read = list(args), []
    while words and words[0] != "--" and (interspersed or words[0].startswith("-")):
        word = words.pop(0)
        following = [words.pop(0)] if words and takes_next(word, words[0]) else []
        read += [f"{word}={''.join(following)}"] if word == _JSON else [word, *following]
    return [*read, *words]


def _takes_next(options: list[Any], *, fields: bool) -> Callable[[str, str], bool]:
    """Return whether a word is an option whose value is the next word; with `fields` `--json` can be one, too."""
    with_value = {flag for each in options if not each.is_flag for flag in each.opts} - {_JSON}
    return lambda word, following: word in with_value or (fields and word == _JSON and not following.startswith("-"))


class Group(TyperGroup):
    """A verb with commands of its own, such as `hooks`."""

    context_class = _Context

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), _page_option()]


class Verbs(Group):
    """All verbs in the order of the table; the module of a verb is imported when the verb is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        self.commands = commands(cmd_name) if cmd_name in VERBS else {}
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            command, near = PROGRAM, closest(args[0], VERBS)
            raise UsageError(
                f"no such command '{args[0]}'", hints=[f"did you mean '{near[0]}'?"] if near else [f"{command} -h"]
            )
        return super().resolve_command(ctx, args)

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
    context_settings={"help_option_names": ["-h"], "max_content_width": 100},
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
