"""The trace of `GIT_TRACE=1` and `--verbose`: each command and request, with secrets redacted."""

from __future__ import annotations

import os
import sys

_ON = frozenset(("1", "2", "true", "yes", "on"))
_verbose = False


def set_verbose() -> None:
    """Turn the trace on for the rest of this process, regardless of GIT_TRACE."""
    global _verbose
    _verbose = True


def is_on() -> bool:
    """Return whether the trace is on: by `--verbose`, or by GIT_TRACE (see git(1)) for standard error."""
    return _verbose or os.environ.get("GIT_TRACE", "").lower() in _ON


def trace(text: str) -> None:
    """Print a line on standard error if the trace is on."""
    if is_on() and sys.stderr is not None:
        sys.stderr.write(f"trace: coderepo: {redact(text)}\n")


def silent(_: str) -> None:
    """Print nothing: the default for `notify` parameters."""


def redact(text: str) -> str:
    """Replace the user part (`scheme://user:password@`) and the query of every URL in a text by `****`.

    This is for output only; recorded data never contains such URLs.
    """
    parts = text.split("://")
    for index in range(1, len(parts)):
        end = _end_of_url(parts[index])
        url, rest = parts[index][:end], parts[index][end:]
        authority, slash, path = url.partition("/")
        if "@" in authority:
            authority = "****@" + authority.rpartition("@")[2]
        elif "@" in path and ":" in authority and authority.rpartition(":")[2].strip("0123456789]"):
            # The password contains a slash that is not percent-encoded.
            authority, slash, path = ("****@" + path.rpartition("@")[2]).partition("/")
        path, question, _ = path.partition("?")
        parts[index] = authority + slash + path + ("?****" if question else "") + rest
    return "://".join(parts)


def _end_of_url(text: str) -> int:
    """Return the end of the URL whose part after `://` is at the start of a text.

    A quote ends the URL unless the user part continues after it, since passwords can contain an unencoded apostrophe.
    """
    space = next((at for at, char in enumerate(text) if char in " \n\t"), len(text))
    quote = next((at for at, char in enumerate(text[:space]) if char in "'\""), space)
    authority, slash, _ = text[:quote].partition("/")
    is_open = not slash or (":" in authority and authority.rpartition(":")[2].strip("0123456789]"))
    last = text.rfind("@", quote, space)
    if last < 0 or not is_open:
        return quote
    return next((at for at in range(last, space) if text[at] in "'\""), space)
