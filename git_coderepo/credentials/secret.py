"""Secrets, which cannot be printed, and credentials: a secret with its user and its source."""

from __future__ import annotations

from git_coderepo.errors import CredentialError

# The `source` of credentials from git's own helpers.
GIT_SOURCE = "git credential"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from git_coderepo.git.url.remote import Origin

    class CredentialSource(Protocol):
        """A source of credentials; `registration` builds the chain of them, and platforms only ask it."""

        def find(self, origin: Origin, path: str) -> Credential | None:
            """Return the credential for a request to `origin`, `path` in its URL (`/owner/repository…`), or None."""

        def refused(self, origin: Origin, path: str, credential: Credential) -> None:
            """Take note that the origin answered 401 to this credential."""

        def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
            """Take note that the origin accepted this credential."""


# Every text that was made a secret in this process.
_texts: set[str] = set()


class Secret:
    """A text that is printed as `****`; only `reveal()` returns it.

    Raises CredentialError for an empty text, and for CR, LF or NUL, which would change the meaning of a header or of
    the credential protocol (CVE-2020-5260, CVE-2024-52006).
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not text:
            raise CredentialError("the secret is empty")
        if "\r" in text or "\n" in text or "\0" in text:
            raise CredentialError("the secret contains a line break or a NUL byte")
        self._text = text
        _texts.add(text)

    @classmethod
    def read(cls, text: str, *, what: str) -> Secret:
        """Return the secret in a text of a file or variable, without a byte order mark and final line breaks.

        Raises CredentialError, with `what` as the place of the text, if it is empty or has a line break in the middle.
        """
        try:
            return cls(text.removeprefix("\ufeff").rstrip("\r\n"))
        except CredentialError as error:
            raise CredentialError(f"invalid token in {what}: {error.message}") from None

    def reveal(self) -> str:
        """Return the text itself, for the request that sends it."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "<Secret ****>"

    def __str__(self) -> str:
        return "****"

    def __format__(self, spec: str) -> str:
        return "****"

    def __reduce__(self) -> tuple[object, ...]:
        raise CredentialError("secrets cannot be pickled")


def texts_of_secrets() -> frozenset[str]:
    """Return every secret of this process as text, for the one place that removes them from a crash report."""
    return frozenset(_texts)


def parse_reference(text: str) -> tuple[str, str] | None:
    """Return (name, key) of `{{name.key}}`, where spaces inside the braces are allowed; None for any other text."""
    stripped = text.strip()
    if not (stripped.startswith("{{") and stripped.endswith("}}")):
        return None
    name, dot, key = stripped[2:-2].strip().partition(".")
    if not (dot and is_word(name) and is_word(key)):
        return None
    return name, key


def is_word(text: str) -> bool:
    """Return whether a text can be the name or the key of a secret: ASCII letters, digits, `_` and `-`."""
    return text.isascii() and text.replace("_", "a").replace("-", "a").isalnum()


class Credential:
    """A `secret` with its `user` (None where the platform has a fixed one) and its `source`, in words for people.

    It may be used for the paths of its origin below `prefix`, which is `/` for all of them.
    """

    __slots__ = ("prefix", "secret", "source", "user")

    def __init__(self, secret: Secret, *, user: str | None = None, source: str, prefix: str = "/") -> None:
        self.secret = secret
        self.user = user
        self.source = source
        self.prefix = prefix

    def __repr__(self) -> str:
        return f"Credential({self.secret!r}, user={self.user!r}, source={self.source!r})"


class NoCredentials:
    """The source without credentials."""

    def find(self, origin: Origin, path: str) -> Credential | None:
        return None

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        return None

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        return None


def log_in_hint(credentials: object, origin: Origin, credential: Credential | None = None) -> str:
    """Return the hint for a missing credential at `origin`, or for `credential`, which the origin refused.

    A refused token has to be replaced in its source, since a token that `login` stores comes later in the chain. If
    `credentials` cannot store one on this machine, the hint names environment variables.
    """
    source = credential.source if credential is not None else ""
    if source.endswith("_FILE"):
        return f"renew the token in the file that {source} names"
    if source and source.isupper():
        return f"renew the token in {source}, or unset {source}"
    if source.startswith("the secret {{"):
        name, _, key = source.partition("{{")[2].partition("}}")[0].strip().partition(".")
        return f"git coderepo secret set {name} --{key}=@FILE"
    can_keep = getattr(credentials, "can_keep", None)
    if can_keep is not None and not can_keep():
        return f"export CODEREPO_TOKEN_ORIGIN={origin} CODEREPO_TOKEN_FILE=/path/to/token"
    return f"git coderepo login --host {str(origin).removeprefix('https://')}"
