"""One start of the program: it runs a verb, and turns every error into words and an exit status.

typer is imported only where a command line needs it: `--version` and `validate FILE...` are answered without.
"""

from __future__ import annotations

import os
import sys

from git_coderepo.cli import output
from git_coderepo.errors import CodeRepoError
from git_coderepo.trace import is_on, redact

# Verbs whose status is that of the command they run, and what they say when it was us instead, as env(1).
PASSING_THROUGH = ("run", "exec")
NOT_RUN = 125


def main(arguments: list[str]) -> int:
    """Run one command; gives its exit status. Nothing that goes wrong reaches the user as a traceback.

    Once `run` or `exec` has run its command, that command's status is ours, whatever goes wrong afterwards.
    """
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        if (passed := _passed_through()) is not None:
            return passed
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


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        output.line(output.version())
        return 0
    if _is_plain(arguments, "validate"):
        from git_coderepo.cli.runner.validate_files import validate_files

        validate_files(arguments[1:])
        return 0
    from git_coderepo.cli.app import run

    return run(arguments)


def _is_plain(arguments: list[str], verb: str) -> bool:
    """Return whether a command line is this verb with one argument or more and no options."""
    return len(arguments) > 1 and arguments[0] == verb and all(w == "-" or w[:1] != "-" for w in arguments[1:])


def _passed_through() -> int | None:
    """Return the status of the command that `run` or `exec` ran to its end; None where there was none."""
    process = sys.modules.get("git_coderepo.runs.command")
    return None if process is None else process.command_status()


def _in_words(error: Exception) -> CodeRepoError:
    """What went wrong, as an error of ours."""
    if isinstance(error, CodeRepoError):
        return error
    if isinstance(error, OSError):
        return CodeRepoError(output.as_message(redact(_words(error))))
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
