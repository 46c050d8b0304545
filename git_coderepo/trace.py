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


def silent(_: str) -> None:
    """Show nothing: the default of a parameter `notify`."""


def redact(text: str) -> str:
    """The text with the user part of every URL (`scheme://user:password@`) and every query replaced by `****`.

    For what is shown only: nothing that is recorded is made this way (P3).
    """
    parts = text.split("://")
    for index in range(1, len(parts)):
        end = _end_of_url(parts[index])
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


def _end_of_url(text: str) -> int:
    """Return where the URL ends with whose part behind `://` a text begins.

    A quote ends it, unless the user part goes on behind it: an apostrophe in a password is not always encoded.
    """
    space = next((at for at, char in enumerate(text) if char in " \n\t"), len(text))
    quote = next((at for at, char in enumerate(text[:space]) if char in "'\""), space)
    authority, slash, _ = text[:quote].partition("/")
    is_open = not slash or (":" in authority and authority.rpartition(":")[2].strip("0123456789]"))
    last = text.rfind("@", quote, space)
    if last < 0 or not is_open:
        return quote
    return next((at for at in range(last, space) if text[at] in "'\""), space)
