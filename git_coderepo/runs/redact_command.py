"""A command as it is recorded: what looks like a secret in it is not."""

from __future__ import annotations

from git_coderepo.snapshots.secret_scan import find_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

REDACTED = b"****"
_SECRET_WORDS = (b"token", b"password", b"passwd", b"secret", b"apikey", b"accesskey", b"privatekey", b"credential")


def redacted(command: Sequence[bytes]) -> tuple[bytes, ...]:
    """The command with `****` for the value of an option that is secret by its name, for the shape of a token, and for
    the user part of a URL. Arguments are raw bytes.
    """
    found: list[bytes] = []
    hide_next = False
    for word in command:
        if hide_next and not word.startswith(b"-"):
            found.append(REDACTED)
            hide_next = False
            continue
        name, equals, _ = word.partition(b"=")
        hide_next = not equals and word.startswith(b"-") and is_secret_by_name(word)
        if equals and is_secret_by_name(name):
            found.append(name + b"=" + REDACTED)
        elif find_token(word) is not None:
            found.append((name + b"=" if equals and find_token(name) is None else b"") + REDACTED)
        else:
            found.append(_without_user(word))
    return tuple(found)


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
