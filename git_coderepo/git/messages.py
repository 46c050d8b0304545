"""Turn the messages of a git command that failed into an error for people."""

from __future__ import annotations

import os

from git_coderepo.errors import CodeRepoError, GitFailed, NotACheckout, NotReproducible, ObjectMissing
from git_coderepo.trace import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def failure(argv: Sequence[str | bytes], status: int, stderr: bytes) -> CodeRepoError:
    """Return the error for a git command that failed: a known reason in our own words, else git's last message.

    `argv` is the command, `stderr` its messages in the C locale; secrets in them are redacted.
    """
    words = redact(stderr.decode("utf-8", "replace").strip())
    lines = [line for line in words.splitlines() if line.strip()]
    fatal = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[-1] if lines else "")
    known = _no_checkout(lines, fatal) or _failed_filter(lines) or _missing_object(lines, stderr)
    if known is not None:
        return known
    name = next((os.fsdecode(word) for word in argv[1:] if _is_subcommand(argv, word)), "")
    reason = _whole(lines, fatal) or f"exit status {status}"
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    return GitFailed(f"'git {name}' failed: {reason}", status=status, stderr=stderr, hints=hints)


def _no_checkout(lines: Sequence[str], fatal: str) -> CodeRepoError | None:
    if "not a git repository" in fatal or "must be run in a work tree" in fatal:
        return NotACheckout(_whole(lines, fatal))
    if "detected dubious ownership" in fatal:
        command = next((line.strip() for line in lines if "safe.directory" in line and "git config" in line), None)
        return NotACheckout(fatal.removeprefix("fatal: "), hints=[command] if command else [])
    if fatal.startswith("fatal: cannot chdir to '"):
        # The `core.worktree` of a submodule is relative to the git directory, and wrong in a linked worktree of it.
        place = fatal.partition("'")[2].rpartition("'")[0]
        return NotACheckout(
            f"the work tree that core.worktree names for this checkout does not exist: '{place}'",
            hints=['in the root of the checkout: git --work-tree="$PWD" coderepo run …'],
        )
    return None


def _missing_object(lines: Sequence[str], stderr: bytes) -> CodeRepoError | None:
    """Return the error for an object that a partial clone lacks and git could not fetch."""
    ending = " from promisor remote"
    promised = next((line for line in lines if line.endswith(ending)), None)
    return None if promised is None else ObjectMissing(promised.removesuffix(ending).rpartition(" ")[2], stderr=stderr)


# The beginnings of a new message; other lines continue the message before.
_BEGINNINGS = ("fatal: ", "error: ", "warning: ", "hint: ", "usage: ", "remote: ", "trace: ")
_LONGEST = 1000


def _whole(lines: Sequence[str], first: str) -> str:
    """Return a message of git as one line, with the lines that continue it."""
    words = [first.removeprefix("fatal: ").removeprefix("error: ")]
    for line in lines[lines.index(first) + 1 :] if first in lines else ():
        if line.startswith(_BEGINNINGS):
            break
        words.append(line.strip())
    return " ".join(words)[:_LONGEST].removesuffix(".")


def _failed_filter(lines: Sequence[str]) -> CodeRepoError | None:
    """Return the error for "fatal: PATH: clean filter 'NAME' failed", which needs `filter.NAME.required`."""
    begin = 0
    for number, line in enumerate(lines):
        begin = number if line.startswith("fatal: ") else begin
        words = "\n".join(lines[begin : number + 1])  # a path may hold line breaks
        path, is_filter, rest = words.removeprefix("fatal: ").rpartition(": clean filter '")
        name, failed, _ = rest.rpartition("' failed")
        if is_filter and failed:
            why = next((word.replace("error", "", 1) for word in lines if word.startswith("error: ")), "")
            import shlex

            hints = [
                f"install the command of filter.{name}.clean or filter.{name}.process",
                f"or: git config {shlex.quote(f'filter.{name}.required')} false",
            ]
            return NotReproducible(f"'{path}' cannot be recorded: its filter '{name}' failed{why}", hints=hints)
    return None


def _is_subcommand(argv: Sequence[str | bytes], word: str | bytes) -> bool:
    text = os.fsdecode(word)
    before = os.fsdecode(argv[argv.index(word) - 1])
    return not text.startswith("-") and before not in ("-C", "-c")
