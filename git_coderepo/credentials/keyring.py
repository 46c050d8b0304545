"""The user's keyring: the only module that reads and writes it, and the list of its entries.

A keyring cannot list its entries. Therefore each entry is listed by name, never by value, in the user's git
configuration: `coderepo.keyringEntry` (`ORIGIN[/PREFIX] [USER]`) and `coderepo.secret` (`NAME.KEY`). Backends that
store plain text are refused: https://pypi.org/project/keyrings.alt/ describes them.
"""

from __future__ import annotations

from git_coderepo.credentials.secret import Credential, Secret
from git_coderepo.errors import CodeRepoError, CredentialError, KeyringUnavailable
from git_coderepo.git.url.remote import below, place_of
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from git_coderepo.credentials.secret import Secret
    from git_coderepo.git.process import Git
    from git_coderepo.git.url.remote import Origin
    from git_coderepo.settings import Settings

# Module and class of the backends that store nothing, or store plain text.
REFUSED_BACKENDS = (
    ("keyring.backends.fail", "Keyring"),
    ("keyring.backends.null", "Keyring"),
    ("keyrings.alt.file", "PlaintextKeyring"),
    ("keyrings.alt.pyfs", "BasicKeyring"),
    ("keyrings.alt.pyfs", "PlaintextKeyring"),
    ("keyrings.alt.Windows", "RegistryKeyring"),
)
NO_KEYRING_HINTS = ("choose another keyring: PYTHON_KEYRING_BACKEND=MODULE.CLASS (python -m keyring --list-backends)",)


def backends() -> list[KeyringBackend]:
    """Return the backends that encrypt secrets, the preferred one first. Raises KeyringUnavailable without any."""
    try:
        import keyring
        from keyring.backends.chainer import ChainerBackend

        chosen = keyring.get_keyring()
        candidates = list(chosen.backends) if isinstance(chosen, ChainerBackend) else [chosen]
    except ModuleNotFoundError:
        raise _unavailable("no keyring is installed on this machine") from None
    except Exception as error:
        raise _unavailable(f"cannot use the keyring: {type(error).__name__}") from None
    usable = [backend for backend in candidates if not _refused(type(backend))]
    if not usable:
        name = f"{type(candidates[0]).__module__}.{type(candidates[0]).__qualname__}" if candidates else "none"
        raise _unavailable(f"no keyring on this machine encrypts secrets (found: '{name}')")
    return usable


def _refused(backend: type) -> bool:
    # A class that is derived from a refused one stores its secrets in the same way.
    bases = [(base.__module__, base.__qualname__) for base in backend.__mro__]
    return any(base in REFUSED_BACKENDS for base in bases)


def _unavailable(message: str) -> KeyringUnavailable:
    return KeyringUnavailable(message, hints=NO_KEYRING_HINTS)


def read(service: str, user: str) -> Secret | None:
    """Return the secret of (service, user), or None. Raises KeyringUnavailable, also for a locked keyring."""
    for backend in backends():
        try:
            text = backend.get_password(service, user)
        except Exception as error:
            raise _failed("read", error) from None
        if text is not None:
            return Secret(text)
    return None


def store(service: str, user: str, secret: Secret) -> None:
    """Store a secret, replacing an older one. Raises KeyringUnavailable."""
    try:
        backends()[0].set_password(service, user, secret.reveal())
    except KeyringUnavailable:
        raise
    except Exception as error:
        raise _failed("write to", error) from None


def erase(service: str, user: str) -> bool:
    """Delete a secret; return whether there was one. Raises KeyringUnavailable."""
    erased = False
    for backend in backends():
        try:
            if backend.get_password(service, user) is not None:
                backend.delete_password(service, user)
                erased = True
        except Exception as error:
            raise _failed("write to", error) from None
    return erased


def _failed(verb: str, error: Exception) -> KeyringUnavailable:
    # Only the type of the error is shown: its message may contain the secret.
    if type(error).__name__ == "KeyringLocked":
        return KeyringUnavailable("the keyring is locked", hints=["unlock the keyring"])
    return _unavailable(f"cannot {verb} the keyring: {type(error).__name__}")


# --- the names, in the user's git configuration ---


def list_names(git: Git, key: str) -> list[str]:
    """Return the values of `coderepo.KEY` in the user's configuration, each once."""
    output = git.start("config", "--global", "--null", "--get-all", f"coderepo.{key}").checked(1)
    return list(dict.fromkeys(output.decode("utf-8", "surrogateescape").split("\0")[:-1]))


def add_name(git: Git, key: str, value: str) -> None:
    """Add an entry to a list. Raises CredentialError for an invalid name, GitFailed if git cannot write."""
    if any(char in value for char in "\r\n\0"):
        raise CredentialError("invalid name for the keyring: it contains a line break or a NUL byte")
    if value not in list_names(git, key):
        git.run("config", "--global", "--add", f"coderepo.{key}", value)


def remove_name(git: Git, key: str, value: str) -> None:
    """Remove an entry from a list, if it is in it."""
    if value in list_names(git, key):
        git.run("config", "--global", "--fixed-value", "--unset-all", f"coderepo.{key}", value)


# --- Tokens that `login` and `register` put into the user's keyring --------------------------------------------------

LIST = "keyringEntry"
OPTION_LIST = "keyringOption"


def service(origin: Origin) -> str:
    """Return the keyring's service name for an origin."""
    return f"git-coderepo:{origin}"


class KeyringEntry:
    """An entry of the list of tokens: `origin`, `prefix`, and git's `user` name or None."""

    __slots__ = ("origin", "prefix", "user")

    def __init__(self, origin: Origin, prefix: str, user: str | None) -> None:
        self.origin = origin
        self.prefix = prefix
        self.user = user

    @classmethod
    def parse(cls, text: str) -> KeyringEntry:
        """Return the entry in `ORIGIN[/PREFIX] [USER]`. Raises InvalidRemoteURL."""
        place, _, user = text.partition(" ")
        origin, prefix = place_of(place)
        return cls(origin, prefix, user or None)

    def __str__(self) -> str:
        place = f"{self.origin}{'' if self.prefix == '/' else self.prefix}"
        return place if self.user is None else f"{place} {self.user}"


class KeyringCredentials:
    """The tokens in the keyring. A keyring that cannot be opened has none, and the next source is asked."""

    __slots__ = ("settings",)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def find(self, origin: Origin, path: str) -> Credential | None:
        candidates = [entry for entry in self._listed() if entry.origin == origin and below(entry.prefix, path)]
        for entry in sorted(candidates, key=lambda entry: -len(entry.prefix)):
            try:
                secret = read(service(origin), entry.prefix)
            except KeyringUnavailable as error:
                trace(f"the keyring is ignored: {error.message}")
                return None
            if secret is not None:
                return Credential(secret, user=entry.user, source="the keyring", prefix=entry.prefix)
        return None

    def can_keep(self) -> bool:
        """Return whether there is a keyring that encrypts secrets."""
        try:
            backends()
        except KeyringUnavailable:
            return False
        return True

    def find_option(self, origin: Origin, path: str, option: str) -> Credential | None:
        """Return the credential that is stored for an option of a custom class by name, or None."""
        candidates = [
            entry
            for entry in self._listed(OPTION_LIST)
            if entry.origin == origin and entry.user == option and below(entry.prefix, path)
        ]
        for entry in sorted(candidates, key=lambda entry: -len(entry.prefix)):
            try:
                secret = read(service(origin), _option_key(entry.prefix, option))
            except KeyringUnavailable as error:
                trace(f"the keyring is ignored: {error.message}")
                return None
            if secret is not None:
                return Credential(secret, user=option, source="the keyring", prefix=entry.prefix)
        return None

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        return None

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        return None

    def _listed(self, key: str = LIST) -> list[KeyringEntry]:
        entries = []
        for text in self.settings.configured(key):
            try:
                entries.append(KeyringEntry.parse(text))
            except CodeRepoError:
                trace(f"an entry of 'coderepo.{key}' is ignored: it has no origin")
        return entries


def login(git: Git, origin: Origin, secret: Secret, *, prefix: str = "/", user: str | None = None) -> None:
    """Store a token for an origin, or for the paths below a prefix of it, replacing an older one.

    The caller has verified the token. Raises KeyringUnavailable if no keyring encrypts it, CredentialError for an
    invalid user or prefix.
    """
    prefix = "/" + prefix.strip("/")
    if any(char.isspace() or not char.isprintable() for char in prefix + (user or "")):
        raise CredentialError("a path prefix and a user name cannot contain spaces or control characters")
    backends()  # refuses before anything is written
    entry = KeyringEntry(origin, prefix, user)
    replaced = [text for text in list_names(git, LIST) if _is_same_place(text, entry)]
    store(service(origin), prefix, secret)
    # After the value: if the process is killed between the two, `login` can be repeated.
    add_name(git, LIST, str(entry))
    for text in replaced:
        if text != str(entry):
            remove_name(git, LIST, text)


def keep_option(git: Git, origin: Origin, option: str, secret: Secret, *, prefix: str = "/") -> None:
    """Store the secret of a custom class's option, for the paths below a prefix of an origin.

    Raises KeyringUnavailable, CredentialError.
    """
    prefix = "/" + prefix.strip("/")
    if any(char.isspace() or not char.isprintable() for char in prefix):
        raise CredentialError("a path prefix cannot contain spaces or control characters")
    backends()  # refuses before anything is written
    store(service(origin), _option_key(prefix, option), secret)
    add_name(git, OPTION_LIST, str(KeyringEntry(origin, prefix, option)))


def _option_key(prefix: str, option: str) -> str:
    return f"{prefix} {option}"


def logout(git: Git, origin: Origin, *, prefix: str = "/") -> bool:
    """Delete the token of an origin or prefix; return whether there was one. Raises KeyringUnavailable."""
    entry = KeyringEntry(origin, "/" + prefix.strip("/"), None)
    listed = [text for text in list_names(git, LIST) if _is_same_place(text, entry)]
    erased = erase(service(origin), entry.prefix)
    for text in listed:
        remove_name(git, LIST, text)
    for text in list_names(git, OPTION_LIST):
        if _is_same_place(text, entry):
            erased |= erase(service(origin), _option_key(entry.prefix, text.partition(" ")[2]))
            remove_name(git, OPTION_LIST, text)
    return erased or bool(listed)


def logins(git: Git) -> list[KeyringEntry]:
    """Return the entries that `login` put into the keyring, without their values."""
    return [KeyringEntry.parse(text) for text in list_names(git, LIST)]


def _is_same_place(text: str, entry: KeyringEntry) -> bool:
    try:
        other = KeyringEntry.parse(text)
    except CodeRepoError:
        return False
    return (other.origin, other.prefix) == (entry.origin, entry.prefix)
