"""Redact what looks like a secret in a recorded command."""

from __future__ import annotations

from git_coderepo.snapshots.secret_scan import find_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

REDACTED = b"****"
_SECRET_WORDS = (b"token", b"password", b"passwd", b"secret", b"apikey", b"accesskey", b"privatekey", b"credential")


def redacted(command: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the command (raw arguments) with `****` in the place of probable secrets.

    These are the value of an option whose name says that it is secret, a word with the shape of a token, and the user
    part of a URL.
    """
    words: list[bytes] = []
    hide_next = False
    for word in command:
        if hide_next and not word.startswith(b"-"):
            words.append(REDACTED)
            hide_next = False
            continue
        name, equals, _ = word.partition(b"=")
        hide_next = not equals and word.startswith(b"-") and is_secret_by_name(word)
        if equals and is_secret_by_name(name):
            words.append(name + b"=" + REDACTED)
        elif find_token(word) is not None:
            words.append((name + b"=" if equals and find_token(name) is None else b"") + REDACTED)
        else:
            words.append(_without_user(word))
    return tuple(words)


def is_secret_by_name(word: bytes) -> bool:
    """Return whether the name of an option or a variable says that its value is a secret."""
    folded = word.lower().replace(b"-", b"").replace(b"_", b"")
    return any(name in folded for name in _SECRET_WORDS)


def _without_user(word: bytes) -> bytes:
    before, mark, rest = word.partition(b"://")
    authority, slash, path = rest.partition(b"/")
    if not mark or b"@" not in authority:
        return word
    return before + mark + REDACTED + b"@" + authority.rpartition(b"@")[2] + slash + path
