"""The one door to the user's keyring, and the names of what lies in it.

A keyring cannot list what it holds. So each entry is listed by name, never by value, in the user's git
configuration: `coderepo.keyringEntry` (`ORIGIN[/PREFIX] [USER]`) and `coderepo.secret` (`NAME.KEY`).
Backends that keep plain text are refused: https://pypi.org/project/keyrings.alt/ says which do.
"""

from __future__ import annotations

from git_coderepo.credentials.secret import Secret
from git_coderepo.errors import CredentialError, KeyringUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from git_coderepo.git.process import Git

# Module and class of backends that keep nothing, or keep it readable.
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
    """The backends that keep secrets encrypted, the preferred one first. Raises KeyringUnavailable: there is none."""
    try:
        import keyring
        from keyring.backends.chainer import ChainerBackend

        chosen = keyring.get_keyring()
        candidates = list(chosen.backends) if isinstance(chosen, ChainerBackend) else [chosen]
    except ModuleNotFoundError:
        raise _unavailable("no keyring is installed on this machine") from None
    except Exception as error:
        raise _unavailable(f"the keyring cannot be used: {type(error).__name__}") from None
    usable = [backend for backend in candidates if not _refused(type(backend))]
    if not usable:
        name = f"{type(candidates[0]).__module__}.{type(candidates[0]).__qualname__}" if candidates else "none"
        raise _unavailable(f"no keyring here keeps a secret encrypted (found: '{name}')")
    return usable


def _refused(backend: type) -> bool:
    # A class derived from a refused one keeps its secrets in the same way.
    bases = [(base.__module__, base.__qualname__) for base in backend.__mro__]
    return any(base in REFUSED_BACKENDS for base in bases)


def _unavailable(message: str) -> KeyringUnavailable:
    return KeyringUnavailable(message, hints=NO_KEYRING_HINTS)


def read(service: str, user: str) -> Secret | None:
    """What lies under (service, user), None: nothing. Raises KeyringUnavailable, also for a locked keyring."""
    for backend in backends():
        try:
            text = backend.get_password(service, user)
        except Exception as error:
            raise _failed("read", error) from None
        if text is not None:
            return Secret(text)
    return None


def store(service: str, user: str, secret: Secret) -> None:
    """Keep a secret, in place of an older one. Raises KeyringUnavailable."""
    try:
        backends()[0].set_password(service, user, secret.reveal())
    except KeyringUnavailable:
        raise
    except Exception as error:
        raise _failed("written", error) from None


def erase(service: str, user: str) -> bool:
    """Take a secret away; False: there was none. Raises KeyringUnavailable."""
    erased = False
    for backend in backends():
        try:
            if backend.get_password(service, user) is not None:
                backend.delete_password(service, user)
                erased = True
        except Exception as error:
            raise _failed("written", error) from None
    return erased


def _failed(verb: str, error: Exception) -> KeyringUnavailable:
    # Only the error's kind is told: what else it says is not known to be free of the secret.
    if type(error).__name__ == "KeyringLocked":
        return KeyringUnavailable("the keyring is locked", hints=["unlock the keyring"])
    return _unavailable(f"the keyring cannot be {verb}: {type(error).__name__}")


# --- the names, in the user's git configuration ---


def list_names(git: Git, key: str) -> list[str]:
    """The values of `coderepo.KEY` in the user's configuration, each once."""
    output = git.start("config", "--global", "--null", "--get-all", f"coderepo.{key}").checked(1)
    return list(dict.fromkeys(output.decode("utf-8", "surrogateescape").split("\0")[:-1]))


def add_name(git: Git, key: str, value: str) -> None:
    """List an entry. Raises CredentialError for a name that cannot be listed, GitFailed where git cannot write."""
    if any(char in value for char in "\r\n\0"):
        raise CredentialError("a name in the keyring may hold no line break and no NUL byte")
    if value not in list_names(git, key):
        git.run("config", "--global", "--add", f"coderepo.{key}", value)


def remove_name(git: Git, key: str, value: str) -> None:
    """Take an entry off the list, if it is there."""
    if value in list_names(git, key):
        git.run("config", "--global", "--fixed-value", "--unset-all", f"coderepo.{key}", value)
