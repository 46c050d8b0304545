"""The command line's entry point: run a verb, and convert errors to messages and exit statuses.

typer is not imported for `--version`, for `validate FILE...`, and for `completion --runs`, which the completion scripts
call.
"""

from __future__ import annotations

import os
import sys

from git_coderepo.cli import output
from git_coderepo.errors import CodeRepoError
from git_coderepo.trace import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import ExceptHookArgs

# These verbs exit with the status of their command; NOT_RUN, as of env(1), means that they did not start it.
PASSING_THROUGH = ("run", "exec")
NOT_RUN = 125


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status. Errors are printed as messages, never as a traceback.

    Once `run` or `exec` has run its command, its status is returned even if something fails afterwards.
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
        # Typer raises this if standard output or standard error is closed.
        if (passed := _passed_through()) is not None:
            return passed
        raise
    except BrokenPipeError:
        if (passed := _passed_through()) is not None:
            return passed
        # The reader has closed the pipe; the interpreter must not flush to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:
        if (passed := _passed_through()) is not None:
            known = _as_error(error, arguments)
            output.warn_afterwards(known.message)
            for text in known.hints:
                output.hint_afterwards(text)
            return passed
        status = output.fail(_as_error(error, arguments))
        # Do not return a status that could be that of the command.
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
    if arguments == ["completion", "--runs"]:
        from git_coderepo.cli.help.run_words import print_run_words

        print_run_words()
        return 0
    import threading

    from git_coderepo.cli.app import run

    threading.excepthook = lambda thread: _report_thread(thread, arguments)
    return run(arguments)


def _is_plain(arguments: list[str], verb: str) -> bool:
    """Return whether a command line is this verb with one argument or more and no options."""
    return len(arguments) > 1 and arguments[0] == verb and all(w == "-" or w[:1] != "-" for w in arguments[1:])


def _passed_through() -> int | None:
    """Return the exit status of the command of `run` or `exec`, or None if no command has ended."""
    process = sys.modules.get("git_coderepo.runs.command")
    return None if process is None else process.command_status()


def _report_thread(thread: ExceptHookArgs, arguments: list[str]) -> None:
    """Warn of a bug that ended a thread: the program goes on without it."""
    if thread.exc_value is not None:
        from git_coderepo.crash_report import report_crash

        crash = report_crash(thread.exc_value, arguments)
        output.warn_afterwards(crash.message)
        for text in crash.hints:
            output.hint_afterwards(text)


def _as_error(error: Exception, arguments: list[str]) -> CodeRepoError:
    """Convert any exception to an error with a message for the user; write a crash report for a bug."""
    if isinstance(error, CodeRepoError):
        return error
    if isinstance(error, OSError):
        return CodeRepoError(output.as_message(redact(_os_message(error))))
    from git_coderepo.crash_report import report_crash

    return report_crash(error, arguments)


def _os_message(error: OSError) -> str:
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    reason = error.strerror or str(error)
    return f"cannot use '{name}': {reason}" if name is not None else reason
