"""The command line: its verbs, one file each, and the one place that turns errors into words and exit statuses."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from git_coderepo import __version__
from git_coderepo.cli import output
from git_coderepo.errors import CodeRepoError, UsageError
from git_coderepo.trace import is_on, redact, set_verbose

PROGRAM = "git coderepo"
# Verbs whose status is that of the command they run, and what they say when it was us instead, as env(1).
PASSING_THROUGH = ("run", "exec")
NOT_RUN = 125


class Verb(TyperCommand):
    """A verb whose usage line reads as git's do: `RUN DIR`, where typer writes `{RUN} {DIR}`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


class Verbs(TyperGroup):
    """The verbs in the order in which `table.py` names them, whichever file was imported first."""

    def list_commands(self, ctx: Any) -> list[str]:
        from git_coderepo.cli.table import VERBS

        return sorted(self.commands, key=list(VERBS).index)


app = typer.Typer(
    name=PROGRAM,
    cls=Verbs,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


# What typer raises for wrong words; its releases differ in whether click stands beside them or inside.
_WrongWords: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def usage(context: typer.Context) -> None:
    """What a group of verbs says when none of them was named, as git does: its help on standard error, and 129."""
    sys.stderr.write(context.get_help() + "\n")
    raise typer.Exit(UsageError.exit_status)


def _version(wanted: bool) -> None:
    if wanted:
        output.line(f"git-coderepo {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def program(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show each command and request, redacted.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Know exactly which code made a run, and get exactly that code back on any machine."""
    if verbose:
        set_verbose()
    if context.invoked_subcommand is None:
        usage(context)


def main(arguments: list[str]) -> int:
    """Run one command; gives its exit status. Nothing that goes wrong reaches the user as a traceback.

    Once `run` or `exec` has run its command, that command's status is ours, whatever goes wrong afterwards.
    """
    from git_coderepo.cli import table

    try:
        table.load_for(arguments)
        status = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except (KeyboardInterrupt, typer.Abort) as stopped:
        if (passed := _passed_through()) is not None:
            return passed
        if isinstance(stopped, KeyboardInterrupt):
            output.say("")
        return 130
    except SystemExit:
        # Typer ends so where standard output or error is closed.
        if (passed := _passed_through()) is not None:
            return passed
        raise
    except BrokenPipeError:
        if (passed := _passed_through()) is not None:
            return passed
        # Whoever read us is gone; the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:
        if (passed := _passed_through()) is not None:
            output.warn_afterwards(_in_words(error).message)
            return passed
        status = output.fail(_in_words(error))
        # Where a command's own status comes through, ours must not be taken for it.
        verb = next((word for word in arguments if not word.startswith("-")), None)
        return NOT_RUN if verb in PASSING_THROUGH else status


def _passed_through() -> int | None:
    """Return the status of the command that `run` or `exec` ran to its end; None where there was none."""
    process = sys.modules.get("git_coderepo.runs.command")
    return None if process is None else process.command_status()


def _in_words(error: Exception) -> CodeRepoError:
    """What went wrong, as an error of ours."""
    if isinstance(error, CodeRepoError):
        return error
    if isinstance(error, _WrongWords):
        return UsageError(_lower(error.format_message()), hints=_usage_hints(error))
    if isinstance(error, OSError):
        return CodeRepoError(_lower(redact(_words(error))))
    if is_on():
        import traceback

        output.say(redact("".join(traceback.format_exception(error))))
    return CodeRepoError(
        f"unexpected {type(error).__name__}: {redact(str(error))}",
        hints=["run it again with --verbose, and report the traceback as a bug in git coderepo"],
    )


def _words(error: OSError) -> str:
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    reason = error.strerror or str(error)
    return f"cannot use '{name}': {reason}" if name is not None else reason


def _lower(text: str) -> str:
    text = text.rstrip(".")
    return text[:1].lower() + text[1:]


def _usage_hints(error: Exception) -> list[str]:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else PROGRAM
    return [f"{command} -h"]
