"""A secret is a type that cannot be printed; a credential is a secret with its user and where it came from."""

from __future__ import annotations

from git_coderepo.errors import CredentialError

# The `source` of what git's own helpers gave.
GIT_SOURCE = "git credential"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from git_coderepo.git.url.remote import Origin

    class CredentialSource(Protocol):
        """Whoever can find the credential of an origin; `registrations` builds the chain, platforms only ask."""

        def find(self, origin: Origin, path: str) -> Credential | None:
            """The credential for a request to `origin` whose URL path is `path` (`/owner/repository…`), or None."""

        def refused(self, origin: Origin, path: str, credential: Credential) -> None:
            """The origin answered 401 to this credential."""

        def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
            """The origin took this credential."""


# Every text that was made a secret in this process.
_texts: set[str] = set()


class Secret:
    """A text that shows as `****`; only `reveal()` gives it away.

    Raises CredentialError for an empty text and for CR, LF or NUL, which would change the meaning of a
    header or of the credential protocol (CVE-2020-5260, CVE-2024-52006).
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not text:
            raise CredentialError("an empty secret")
        if "\r" in text or "\n" in text or "\0" in text:
            raise CredentialError("a secret may hold no line break and no NUL byte")
        self._text = text
        _texts.add(text)

    @classmethod
    def read(cls, text: str, *, what: str) -> Secret:
        """Return the secret in a text as people and programs write it: without a BOM and without final line breaks.

        `what` says where it stands, for the CredentialError that an empty one or a break in the middle raises.
        """
        try:
            return cls(text.removeprefix("\ufeff").rstrip("\r\n"))
        except CredentialError as error:
            raise CredentialError(f"invalid token in {what}: {error.message}") from None

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
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
        raise CredentialError("a secret is not pickled")


def texts_of_secrets() -> frozenset[str]:
    """Return every secret of this process as text, for the one place that removes them from a crash report."""
    return frozenset(_texts)


def parse_reference(text: str) -> tuple[str, str] | None:
    """(name, key) of `{{name.key}}`, spaces inside the braces allowed; None if the text is not a reference."""
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
    """`secret`, its `user` (None where the platform has a fixed one) and `source`, the link that gave it, in words.

    `prefix` is the path of its origin below which alone it may be used; `/` for all of the origin.
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
    """The source that has none."""

    def find(self, origin: Origin, path: str) -> Credential | None:
        return None

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        return None

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        return None


def log_in_hint(credentials: object, origin: Origin, credential: Credential | None = None) -> str:
    """Return what to do for a credential at `origin`, or for a better one than `credential`, which it refused.

    A token is replaced where it comes from: one that `login` keeps would be asked for later only. Where `credentials`
    know that nothing can be kept on this machine, the environment is named.
    """
    source = credential.source if credential is not None else ""
    if source.endswith("_FILE"):
        return f"renew the token in the file that {source} names"
    if source and source.isupper():
        return f"renew the token in {source}, or unset {source}"
    if source.startswith("the secret {{"):
        name, _, key = source.partition("{{")[2].partition("}}")[0].strip().partition(".")
        return f"git coderepo secret set {name} --{key}=@FILE"
    able = getattr(credentials, "can_keep", None)
    if able is not None and not able():
        return f"export CODEREPO_TOKEN_ORIGIN={origin} CODEREPO_TOKEN_FILE=/path/to/token"
    return f"git coderepo login --host {str(origin).removeprefix('https://')}"
