"""Print to the user: data on standard output, messages on standard error. No other module prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from git_coderepo import __version__
from git_coderepo.errors import CodeRepoError
from git_coderepo.trace import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.cli.colour import Palette

PROGRAM = "git coderepo"


def version() -> str:
    """Return what `--version` prints."""
    return f"git-coderepo {__version__}"


def data(text: str | bytes) -> None:
    """Write bytes or text to standard output unchanged; surrogates stand for bytes (PEP 383)."""
    sys.stdout.buffer.write(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def line(text: str = "") -> None:
    """Print a line on standard output."""
    data(clean(text) + "\n")


def json_data(value: object) -> None:
    """Print a value as JSON, with `\\udcXX` escapes for bytes that are not UTF-8."""
    import json  # where something is printed as JSON: `--version` starts without it

    data(json.dumps(value, indent=2, ensure_ascii=any_surrogate(value)) + "\n")


def say(text: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Print a warning."""
    say(f"warning: {redact(text)}")


def say_if_possible(text: str) -> None:
    """Print a line if standard error is writable; the command runs, and its status counts, even if it is not."""
    try:
        say(text)
    except (OSError, ValueError, AttributeError):
        # Standard error is closed or its disk is full. The interpreter would exit with 120 if its last flush failed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def warn_afterwards(text: str) -> None:
    """Print a warning after a command has run; see `say_if_possible`."""
    say_if_possible(f"warning: {redact(text)}")


def hint(text: str) -> None:
    """Print a hint, unless GIT_ADVICE=0 turns hints off."""
    if _hints_are_on():
        say(f"hint: {redact(text)}")


def hint_afterwards(text: str) -> None:
    """Print a hint after a command has run; see `say_if_possible`."""
    if _hints_are_on():
        say_if_possible(f"hint: {redact(text)}")


def _hints_are_on() -> bool:
    return os.environ.get("GIT_ADVICE", "1").lower() not in ("0", "false", "no", "off")


def has_terminal() -> bool:
    """Return whether standard input and standard error are terminals, so that `ask` works."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> bool:
    """Ask a yes/no question on standard error; any answer but `y` or `yes` means no."""
    sys.stderr.write(f"{clean(question)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def ask_text(question: str) -> str:
    """Ask for a word on standard error; an empty answer, or the end of input, is an empty string."""
    sys.stderr.write(f"{clean(question)} ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def fail(error: CodeRepoError) -> int:
    """Print an error and its hints; return its exit status."""
    word = "error" if error.exit_status == 1 else "fatal"
    say(f"{word}: {redact(error.message)}")
    for text in error.hints:
        hint(text)
    return error.exit_status


def say_not_run(program: str, status: int, directory: str | None = None) -> None:
    """Print why a command did not start, for exit status 126 or 127 (see env(1)); otherwise print nothing.

    `directory` is the working directory of the command, None for the current one.
    """
    if status not in (126, 127):
        return
    path = os.path.join(directory or ".", program)
    if status == 126 and "/" in program and _is_noexec(path):
        from git_coderepo.git.process import shell_word

        say(f"error: cannot execute '{program}': its file system is mounted noexec")
        hint(f"start its interpreter instead, for example: sh {shell_word(program)}")
        hint("or put the cache on another file system: export CODEREPO_CACHE_DIR=/path/to/directory")
        hint("or run in a copy on another file system: git coderepo exec --copy DIR")
        return
    word = "found" if status == 127 else "executable"
    say(f"error: command '{program}' is not {word}")


def _is_noexec(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0)) and bool(os.stat(path).st_mode & 0o111)
    except OSError:
        return False


def clean(text: str) -> str:
    """Escape control characters and bytes that are not UTF-8, so that text cannot control a terminal."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char.isprintable() or char == " ":
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def as_message(text: str) -> str:
    """Return an external error text in our style: lower case, without a full stop."""
    text = text.rstrip(".")
    return text[:1].lower() + text[1:]


def short_id(id: str) -> str:
    """Return the beginning of a run's id: the time in milliseconds and twelve random bits, practically unique."""
    return id[: len("019ab1c2-7f00-7abc")]


def any_surrogate(value: object) -> bool:
    """Return whether any string in the value cannot be encoded as UTF-8."""
    import json

    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def table(rows: Iterable[tuple[str, str]], palette: Palette | None = None) -> None:
    """Print names and values in two columns; with a palette, the value of the first row may already be coloured."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    for at, (name, value) in enumerate(rows):
        if palette is not None and at == 0:
            data(f"{palette.paint('bold', f'{name:<{width}}')}  {value}\n")
        elif palette is not None and name:
            data(f"{palette.paint('dim', f'{name:<{width}}')}  {clean(value)}".rstrip() + "\n")
        else:
            line(f"{name:<{width}}  {value}".rstrip())
