"""Named secrets, `{{name.key}}`: kept in the keyring, listed by name in the user's git configuration.

The keyring's service is `git-coderepo:secret:NAME`, its user name the key. A line of the file of credentials says the
same where there is no keyring, and comes first where there is one.
"""

from __future__ import annotations

import os

from git_coderepo.credentials import keyring
from git_coderepo.credentials.environment import credentials_file
from git_coderepo.credentials.file import NamedEntry, named_secret, parse_file
from git_coderepo.credentials.secret import parse_reference
from git_coderepo.errors import CredentialError, KeyringUnavailable, UsageError
from git_coderepo.git.process import shell_word
from git_coderepo.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from git_coderepo.credentials.secret import Secret
    from git_coderepo.git.process import Git

_LIST = "secret"
_FILE = "~/.coderepo-credentials"


def service(name: str) -> str:
    """The keyring's service for a named secret."""
    return f"git-coderepo:secret:{name}"


def set_secret(git: Git, name: str, values: Mapping[str, Secret], *, files: Mapping[str, str] | None = None) -> None:
    """Keep the values of a secret by key, beside or in place of older ones; `files` are those they were read from.

    Raises UsageError for a name or key of other characters than letters, digits, `_` and `-`; KeyringUnavailable.
    """
    if not values:
        raise UsageError(f"no value for the secret '{name}'", hints=[f"git coderepo secret set {name} --KEY=@FILE"])
    for key in values:
        _check(name, key)
    listed = keyring.list_names(git, _LIST)
    for key, secret in values.items():
        # Listed first: a name without a value says so when it is used, a value without a name would be lost.
        keyring.add_name(git, _LIST, f"{name}.{key}")
        try:
            keyring.store(service(name), key, secret)
        except KeyringUnavailable as error:
            if f"{name}.{key}" not in listed:
                keyring.remove_name(git, _LIST, f"{name}.{key}")
            hints = named_secret_hints(Settings.read(git), name, key, (files or {}).get(key))
            raise KeyringUnavailable(error.message, hints=hints) from None


def list_secrets(git: Git) -> dict[str, list[str]]:
    """The names of all secrets and their keys; no value is read."""
    found: dict[str, list[str]] = {}
    for entry in keyring.list_names(git, _LIST):
        name, _, key = entry.partition(".")
        found.setdefault(name, []).append(key)
    return found


def secrets_in_file(git: Git) -> dict[str, list[str]]:
    """Return the names and keys of the secrets in the file of credentials. Raises CredentialError."""
    file = credentials_file(Settings.read(git))
    found: dict[str, list[str]] = {}
    for entry in parse_file(file) if file else ():
        if isinstance(entry, NamedEntry) and entry.key not in found.setdefault(entry.name, []):
            found[entry.name].append(entry.key)
    return found


def remove_secret(git: Git, name: str, keys: Iterable[str] = ()) -> list[str]:
    """Take away these keys of a secret, or all of them, and say which. Raises CredentialError where there is none."""
    known = list_secrets(git).get(name, [])
    wanted = list(keys) or known
    missing = [key for key in wanted if key not in known]
    if missing or not known:
        subject = f"{name}.{missing[0]}" if missing else name
        raise CredentialError(f"no secret '{subject}'", hints=["git coderepo secret list"])
    for key in wanted:
        keyring.erase(service(name), key)
        keyring.remove_name(git, _LIST, f"{name}.{key}")
    return wanted


def resolve(reference: str, settings: Settings | None = None) -> Secret:
    """Return the value of `{{name.key}}` from the credentials file that `settings` name, else from the keyring.

    Raises CredentialError where there is none, KeyringUnavailable.
    """
    parsed = parse_reference(reference)
    if parsed is None:
        raise CredentialError("not a reference to a secret: it reads {{name.key}}")
    name, key = parsed
    file = credentials_file(settings) if settings is not None else None
    secret = named_secret(file, name, key) if file else None
    if secret is not None:
        return secret
    try:
        secret = keyring.read(service(name), key)
    except KeyringUnavailable as error:
        where = f"'{file}' has no line for it, and " if file else ""
        raise KeyringUnavailable(
            f"cannot read the secret '{name}.{key}': {where}{error.message}",
            hints=named_secret_hints(settings, name, key),
        ) from None
    if secret is None:
        raise CredentialError(
            f"the keyring has no secret '{name}.{key}'", hints=[f"git coderepo secret set {name} --{key}=@FILE"]
        )
    return secret


def named_secret_hints(settings: Settings | None, name: str, key: str, path: str | None = None) -> list[str]:
    """Return the commands that add a reference to a credentials file; `path` holds the secret."""
    return credentials_file_hints(settings, f"{{{{{name}.{key}}}}}", path)


def credentials_file_hints(settings: Settings | None, words: str, path: str | None = None) -> list[str]:
    """Return the commands that add a line of these words and of a secret's path to a credentials file."""
    known = credentials_file(settings) if settings is not None else None
    file = shell_word(known) if known else _FILE
    place = os.path.abspath(path) if path is not None else "/path/to/secret"
    return [
        f"echo {shell_word(f'{words} @{place}')} >>{file}",
        *([] if known else [f"git config --global coderepo.credentialsFile {file}"]),
    ]


def _check(name: str, key: str) -> None:
    if parse_reference(f"{{{{{name}.{key}}}}}") != (name, key):
        raise UsageError(f"'{name}.{key}' is not a valid secret name", hints=["use letters, digits, '_' and '-' only"])
