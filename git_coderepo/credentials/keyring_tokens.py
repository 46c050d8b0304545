"""Tokens that `login` and `register` put into the user's keyring.

The keyring's service is `git-coderepo:ORIGIN`, its user name the path prefix (`/` for all of an origin). An entry
is looked for only when it is listed in the user's git configuration: no keyring is loaded, and none asks to be
unlocked, for an origin that has none.
"""

from __future__ import annotations

from git_coderepo.credentials import keyring
from git_coderepo.credentials.secret import Credential
from git_coderepo.errors import CodeRepoError, CredentialError, KeyringUnavailable
from git_coderepo.registration.match import below, place_of
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.credentials.secret import Secret
    from git_coderepo.git.process import Git
    from git_coderepo.git.url.remote import Origin
    from git_coderepo.settings import Settings

LIST = "keyringEntry"
OPTION_LIST = "keyringOption"


def service(origin: Origin) -> str:
    """The keyring's service for an origin."""
    return f"git-coderepo:{origin}"


class KeyringEntry:
    """What is listed of a token: `origin`, `prefix`, and git's `user` name or None."""

    __slots__ = ("origin", "prefix", "user")

    def __init__(self, origin: Origin, prefix: str, user: str | None) -> None:
        self.origin = origin
        self.prefix = prefix
        self.user = user

    @classmethod
    def parse(cls, text: str) -> KeyringEntry:
        """From `ORIGIN[/PREFIX] [USER]`. Raises InvalidRemoteURL."""
        place, _, user = text.partition(" ")
        origin, prefix = place_of(place)
        return cls(origin, prefix, user or None)

    def __str__(self) -> str:
        place = f"{self.origin}{'' if self.prefix == '/' else self.prefix}"
        return place if self.user is None else f"{place} {self.user}"


class KeyringCredentials:
    """The tokens of the keyring. One that cannot be opened is passed over: another source may have the credential."""

    __slots__ = ("settings",)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def find(self, origin: Origin, path: str) -> Credential | None:
        fitting = [entry for entry in self._listed() if entry.origin == origin and below(entry.prefix, path)]
        for entry in sorted(fitting, key=lambda entry: -len(entry.prefix)):
            try:
                secret = keyring.read(service(origin), entry.prefix)
            except KeyringUnavailable as error:
                trace(f"keyring skipped: {error.message}")
                return None
            if secret is not None:
                return Credential(secret, user=entry.user, source="the keyring", prefix=entry.prefix)
        return None

    def can_keep(self) -> bool:
        """Return whether there is a keyring that keeps a secret encrypted."""
        try:
            keyring.backends()
        except KeyringUnavailable:
            return False
        return True

    def find_option(self, origin: Origin, path: str, option: str) -> Credential | None:
        """Return what is kept for an option of a custom class by name; None: nothing is, or no keyring opens."""
        fitting = [
            entry
            for entry in self._listed(OPTION_LIST)
            if entry.origin == origin and entry.user == option and below(entry.prefix, path)
        ]
        for entry in sorted(fitting, key=lambda entry: -len(entry.prefix)):
            try:
                secret = keyring.read(service(origin), _option_key(entry.prefix, option))
            except KeyringUnavailable as error:
                trace(f"keyring skipped: {error.message}")
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
        for text in self.settings.values("coderepo", key):
            try:
                entries.append(KeyringEntry.parse(text))
            except CodeRepoError:
                trace(f"skipped an entry of 'coderepo.{key}' without an origin")
        return entries


def login(git: Git, origin: Origin, secret: Secret, *, prefix: str = "/", user: str | None = None) -> None:
    """Keep a token for an origin, or for what lies below a path of it, in place of an older one.

    The caller has verified it. Raises KeyringUnavailable where it could only be kept readable, CredentialError for
    a user or prefix that cannot be listed.
    """
    prefix = "/" + prefix.strip("/")
    if any(char.isspace() or not char.isprintable() for char in prefix + (user or "")):
        raise CredentialError("a path prefix and a user name hold no spaces and no control characters")
    keyring.backends()  # refuses before anything is written
    entry = KeyringEntry(origin, prefix, user)
    older = [text for text in keyring.list_names(git, LIST) if _is_same_place(text, entry)]
    keyring.store(service(origin), prefix, secret)
    # Written after the value, which a look-up without this line would not find, and found by `login` again.
    keyring.add_name(git, LIST, str(entry))
    for text in older:
        if text != str(entry):
            keyring.remove_name(git, LIST, text)


def keep_option(git: Git, origin: Origin, option: str, secret: Secret, *, prefix: str = "/") -> None:
    """Keep the secret of a custom class's option, below a path of an origin. Raises KeyringUnavailable."""
    prefix = "/" + prefix.strip("/")
    if any(char.isspace() or not char.isprintable() for char in prefix):
        raise CredentialError("a path prefix cannot contain spaces or control characters")
    keyring.backends()  # refuses before anything is written
    keyring.store(service(origin), _option_key(prefix, option), secret)
    keyring.add_name(git, OPTION_LIST, str(KeyringEntry(origin, prefix, option)))


def _option_key(prefix: str, option: str) -> str:
    return f"{prefix} {option}"


def logout(git: Git, origin: Origin, *, prefix: str = "/") -> bool:
    """Take the token of an origin or prefix out of the keyring; False: there was none. Raises KeyringUnavailable."""
    entry = KeyringEntry(origin, "/" + prefix.strip("/"), None)
    listed = [text for text in keyring.list_names(git, LIST) if _is_same_place(text, entry)]
    erased = keyring.erase(service(origin), entry.prefix)
    for text in listed:
        keyring.remove_name(git, LIST, text)
    for text in keyring.list_names(git, OPTION_LIST):
        if _is_same_place(text, entry):
            erased |= keyring.erase(service(origin), _option_key(entry.prefix, text.partition(" ")[2]))
            keyring.remove_name(git, OPTION_LIST, text)
    return erased or bool(listed)


def logins(git: Git) -> list[KeyringEntry]:
    """What `login` has put into the keyring, by name; no value is read."""
    return [KeyringEntry.parse(text) for text in keyring.list_names(git, LIST)]


def _is_same_place(text: str, entry: KeyringEntry) -> bool:
    try:
        other = KeyringEntry.parse(text)
    except CodeRepoError:
        return False
    return (other.origin, other.prefix) == (entry.origin, entry.prefix)
