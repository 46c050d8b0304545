"""A finding of a check: its state, one sentence, and the command that cures it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError

OK, NOTE, PROBLEM = "ok", "note", "problem"
_COMMANDS = ("git ", "export ", "unset ", "cd ", "chmod ", "rm ", "pip ", "echo ", "ssh ", "ssh-add ")


class Fix(NamedTuple):
    """A line to copy. `apply` does the same; it is None unless the change is safe and local to this checkout."""

    line: str
    apply: Callable[[], object] | None = None


class CheckResult(NamedTuple):
    """`state` is OK, NOTE or PROBLEM; `detail` is one sentence. A problem has a fix, a note may have one."""

    state: str
    detail: str
    fix: Fix | None = None


def ok(detail: str) -> CheckResult:
    """Return a finding that needs no attention."""
    return CheckResult(OK, detail)


def note(detail: str, line: str | None = None, apply: Callable[[], object] | None = None) -> CheckResult:
    """Return a finding that is not an error but may surprise."""
    return CheckResult(NOTE, detail, Fix(line, apply) if line is not None else None)


def problem(detail: str, line: str, apply: Callable[[], object] | None = None) -> CheckResult:
    """Return a finding that has to be cured, with the line that cures it."""
    return CheckResult(PROBLEM, detail, Fix(line, apply))


def from_error(error: CodeRepoError, *, otherwise: str) -> CheckResult:
    """Return the problem that an error describes; its fix is its `command_of`."""
    return problem(error.message, command_of(error, otherwise=otherwise))


def command_of(error: CodeRepoError, *, otherwise: str) -> str:
    """Return the first command among the hints of an error, else its first hint, else `otherwise`."""
    commands = [command for command in map(_command, error.hints) if command is not None]
    return next(iter((*commands, *error.hints)), otherwise)


def _command(hint: str) -> str | None:
    """Return the command that is a hint, or follows its last colon; None for a hint in words."""
    for text in (hint, hint.rpartition(": ")[2]):
        if text.startswith(_COMMANDS):
            return text
    return None
