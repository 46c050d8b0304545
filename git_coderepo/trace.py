"""What `GIT_TRACE=1` and `--verbose` show: each command and request, with secrets redacted."""

from __future__ import annotations

import os
import sys

_ON = frozenset(("1", "2", "true", "yes", "on"))
_verbose = False


def set_verbose() -> None:
    """Show the trace for the rest of this process, whatever GIT_TRACE says."""
    global _verbose
    _verbose = True


def is_on() -> bool:
    """Whether anything would be shown: `--verbose`, or GIT_TRACE (see `git(1)`) set to standard error."""
    return _verbose or os.environ.get("GIT_TRACE", "").lower() in _ON


def trace(text: str) -> None:
    """One line on standard error, when the trace is on."""
    if is_on() and sys.stderr is not None:
        sys.stderr.write(f"trace: coderepo: {redact(text)}\n")


def redact(text: str) -> str:
    """The text with the user part of every URL (`scheme://user:password@`) and every query replaced by `****`.

    For what is shown only: nothing that is recorded is made this way (P3).
    """
    parts = text.split("://")
    for index in range(1, len(parts)):
        end = next((i for i, char in enumerate(parts[index]) if char in " '\"\n\t"), len(parts[index]))
        url, rest = parts[index][:end], parts[index][end:]
        authority, slash, path = url.partition("/")
        if "@" in authority:
            authority = "****@" + authority.rpartition("@")[2]
        elif "@" in path and ":" in authority and authority.rpartition(":")[2].strip("0123456789]"):
            # A slash that was left as it is in a password.
            authority, slash, path = ("****@" + path.rpartition("@")[2]).partition("/")
        path, question, _ = path.partition("?")
        parts[index] = authority + slash + path + ("?****" if question else "") + rest
    return "://".join(parts)
