"""The file of credentials that CODEREPO_CREDENTIALS_FILE or `coderepo.credentialsFile` names.

Each line is one of
- `https://USER:TOKEN@HOST[:PORT][/PREFIX]`, percent-encoded as git-credential-store(1) writes it,
- `https://HOST[:PORT][/PREFIX] USER @/path/to/token`, where the file contains the token,
- `{{NAME.KEY}} @/path/to/secret` or `{{NAME.KEY}} SECRET`, the value of that reference; it precedes the keyring,
- empty, or a comment that begins with `#`.
"""

from __future__ import annotations

from git_coderepo.credentials.secret import Secret, parse_reference
from git_coderepo.errors import CodeRepoError, CredentialError
from git_coderepo.git.url.remote import Origin, below, place_of
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SCHEMES = ("https", "http")


class FileEntry:
    """One line: `origin`, path `prefix`, `user`, and either `secret` or the path of its `token_file`."""

    __slots__ = ("origin", "prefix", "secret", "token_file", "user")

    def __init__(
        self, origin: Origin, prefix: str, user: str, *, secret: Secret | None = None, token_file: str | None = None
    ) -> None:
        self.origin = origin
        self.prefix = prefix
        self.user = user
        self.secret = secret
        self.token_file = token_file


class NamedEntry:
    """One line for a reference: its `name` and `key`, and either `secret` or the path of its `token_file`."""

    __slots__ = ("key", "name", "secret", "token_file")

    def __init__(self, name: str, key: str, *, secret: Secret | None = None, token_file: str | None = None) -> None:
        self.name = name
        self.key = key
        self.secret = secret
        self.token_file = token_file


def parse_file(name: str) -> list[FileEntry | NamedEntry]:
    """Return the entries of a file, in its order. Raises CredentialError, which never shows the contents of a line."""
    contents = _read(name, what="'CODEREPO_CREDENTIALS_FILE'")
    if contents.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CredentialError(f"cannot read '{name}': the encoding UTF-16 is not supported", hints=["save it as UTF-8"])
    entries = []
    for number, line in enumerate(contents.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            entry = parse_line(line)
        except CodeRepoError as error:
            raise CredentialError(
                f"invalid credential in line {number} of '{name}': {error.message}",
                hints=[
                    "write each line as https://HOST[/PREFIX] USER @/path/to/token, or as git-credential-store does"
                ],
            ) from None
        if entry is not None:
            entries.append(entry)
    return entries


def parse_line(line: bytes) -> FileEntry | NamedEntry | None:
    """Return the entry in a line (UTF-8); None for an empty line, a comment, and a URL of another protocol (`smtp`).

    Raises CredentialError or InvalidRemoteURL.
    """
    try:
        text = line.decode("utf-8").strip(" \t\r")
    except UnicodeDecodeError:
        raise CredentialError("not UTF-8") from None
    if not text or text.startswith("#"):
        return None
    if "\0" in text or "\r" in text:
        raise CredentialError("it contains a line break or a NUL byte")
    if text.startswith("{{"):
        return _named(text)
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme.isascii() or not scheme.replace("+", "").isalnum():
        raise CredentialError("the URL is missing")
    if scheme not in _SCHEMES:
        return None
    words = text.split(None, 2)
    if len(words) == 1:
        return _stored(scheme, rest)
    if len(words) != 3 or not words[2].startswith("@/"):
        raise CredentialError("expected a URL, a user and @/path")
    if "@" in words[0].partition("://")[2].partition("/")[0]:
        raise CredentialError("the user is given twice")
    origin, prefix = place_of(words[0])
    return FileEntry(origin, _decoded(prefix), words[1], token_file=words[2][1:])


def _named(text: str) -> NamedEntry:
    reference, end, value = text.partition("}}")
    parsed = parse_reference(reference + end)
    value = value.strip()
    if parsed is None or not value:
        raise CredentialError("expected {{NAME.KEY}} and a value or @/path")
    if value.startswith("@/"):
        return NamedEntry(*parsed, token_file=value[1:])
    return NamedEntry(*parsed, secret=Secret(value))


def _stored(scheme: str, rest: str) -> FileEntry:
    """Return the entry in a URL, split at the first `@` and the first `:`, as `credential_from_url` in git does."""
    end = next((index for index, char in enumerate(rest) if char in "/?#"), len(rest))
    userinfo, at, host = rest[:end].partition("@")
    user, colon, password = userinfo.partition(":")
    if not at or not colon:
        raise CredentialError("the URL must contain a user name and a password")
    address = _decoded(host)
    if not address or any(char in address for char in "/?#@") or not address.isprintable():
        raise CredentialError("the host is missing or invalid")
    prefix = "/" + _decoded(rest[end:]).strip("/")
    return FileEntry(Origin.parse(f"{scheme}://{address}"), prefix, _decoded(user), secret=Secret(_decoded(password)))


def _decoded(text: str) -> str:
    from urllib.parse import unquote_to_bytes

    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise CredentialError("not UTF-8") from None
    if any(char in decoded for char in "\r\n\0"):
        raise CredentialError("it contains a line break or a NUL byte")
    return decoded


def matching(entries: Sequence[FileEntry | NamedEntry], origin: Origin, path: str) -> FileEntry | None:
    """Return the entry of this origin with the longest prefix above `path`, or None.

    Of equal prefixes the last entry counts, so that a new token can be appended to the file.
    """
    candidates = [
        entry
        for entry in reversed(entries)
        if isinstance(entry, FileEntry) and entry.origin == origin and below(entry.prefix, path)
    ]
    return max(candidates, key=lambda entry: len(entry.prefix.strip("/")), default=None)


def named_secret(file: str, name: str, key: str) -> Secret | None:
    """Return the value of the reference `{{name.key}}` in a file of credentials; None where it has no such line.

    Raises CredentialError.
    """
    entries = [
        each for each in parse_file(file) if isinstance(each, NamedEntry) and (each.name, each.key) == (name, key)
    ]
    return secret_of(entries[-1], what=f"'{file}'") if entries else None


def secret_of(entry: FileEntry | NamedEntry, *, what: str) -> Secret:
    """Return the secret of an entry, from the file that the entry names if it names one. Raises CredentialError."""
    return entry.secret if entry.secret is not None else read_token(entry.token_file or "", what=what)


def read_token(name: str, *, what: str) -> Secret:
    """Return the token in a file (UTF-8), without final line breaks. Raises CredentialError.

    `what` says in messages which setting named the file.
    """
    try:
        text = _read(name, what=what).decode("utf-8")
    except UnicodeDecodeError:
        raise CredentialError(f"invalid token in '{name}' of {what}: not UTF-8") from None
    return Secret.read(text, what=f"'{name}' of {what}")


def _read(name: str, *, what: str) -> bytes:
    import os

    try:
        with open(name, "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o004:
                trace(f"'{name}' can be read by every user of this machine")
            return file.read()
    except OSError as error:
        raise CredentialError(f"cannot read '{name}' of {what}: {error.strerror}") from None
