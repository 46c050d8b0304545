"""Named secrets, `{{name.key}}`: stored in the keyring, and listed by name in the user's git configuration.

The keyring's service is `git-coderepo:secret:NAME`, its user name the key. A line of the file of credentials can give
the value instead, and precedes the keyring.
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
    """Return the keyring's service name for a named secret."""
    return f"git-coderepo:secret:{name}"


def set_secret(git: Git, name: str, values: Mapping[str, Secret], *, files: Mapping[str, str] | None = None) -> None:
    """Store the values of a secret by key; other keys of the secret stay. `files` are the files with the values.

    Raises UsageError for a name or key with other characters than letters, digits, `_` and `-`; KeyringUnavailable.
    """
    if not values:
        raise UsageError(f"the secret '{name}' requires a value", hints=[f"git coderepo secret set {name} --KEY=@FILE"])
    for key in values:
        _check(name, key)
    listed = keyring.list_names(git, _LIST)
    for key, secret in values.items():
        # First the list: a name without a value is reported when it is used, a value without a name would be lost.
        keyring.add_name(git, _LIST, f"{name}.{key}")
        try:
            keyring.store(service(name), key, secret)
        except KeyringUnavailable as error:
            if f"{name}.{key}" not in listed:
                keyring.remove_name(git, _LIST, f"{name}.{key}")
            hints = named_secret_hints(Settings.read(git), name, key, (files or {}).get(key))
            raise KeyringUnavailable(error.message, hints=hints) from None


def list_secrets(git: Git) -> dict[str, list[str]]:
    """Return the names of all secrets and their keys; no value is read."""
    secrets: dict[str, list[str]] = {}
    for entry in keyring.list_names(git, _LIST):
        name, _, key = entry.partition(".")
        secrets.setdefault(name, []).append(key)
    return secrets


def secrets_in_file(git: Git) -> dict[str, list[str]]:
    """Return the names and keys of the secrets in the file of credentials. Raises CredentialError."""
    file = credentials_file(Settings.read(git))
    secrets: dict[str, list[str]] = {}
    for entry in parse_file(file) if file else ():
        if isinstance(entry, NamedEntry) and entry.key not in secrets.setdefault(entry.name, []):
            secrets[entry.name].append(entry.key)
    return secrets


def remove_secret(git: Git, name: str, keys: Iterable[str] = ()) -> list[str]:
    """Delete these keys of a secret, or all of them; return the deleted keys. Raises CredentialError."""
    known = list_secrets(git).get(name, [])
    removed = list(keys) or known
    missing = [key for key in removed if key not in known]
    if missing or not known:
        subject = f"{name}.{missing[0]}" if missing else name
        raise CredentialError(f"secret not found: '{subject}'", hints=["git coderepo secret list"])
    for key in removed:
        keyring.erase(service(name), key)
        keyring.remove_name(git, _LIST, f"{name}.{key}")
    return removed


def resolve(reference: str, settings: Settings | None = None) -> Secret:
    """Return the value of `{{name.key}}` from the credentials file that `settings` name, else from the keyring.

    Raises CredentialError if it has no value, KeyringUnavailable.
    """
    parsed = parse_reference(reference)
    if parsed is None:
        raise CredentialError("invalid reference to a secret: write {{name.key}}")
    name, key = parsed
    file = credentials_file(settings) if settings is not None else None
    secret = named_secret(file, name, key) if file else None
    if secret is not None:
        return secret
    try:
        secret = keyring.read(service(name), key)
    except KeyringUnavailable as error:
        where = f"'{file}' does not contain it, and " if file else ""
        raise KeyringUnavailable(
            f"cannot read the secret '{name}.{key}': {where}{error.message}",
            hints=named_secret_hints(settings, name, key),
        ) from None
    if secret is None:
        raise CredentialError(
            f"secret '{name}.{key}' not found in the keyring", hints=[f"git coderepo secret set {name} --{key}=@FILE"]
        )
    return secret


def named_secret_hints(settings: Settings | None, name: str, key: str, path: str | None = None) -> list[str]:
    """Return the commands that add a reference to the file of credentials; `path` is a file with the secret."""
    return credentials_file_hints(settings, f"{{{{{name}.{key}}}}}", path)


def credentials_file_hints(settings: Settings | None, words: str, path: str | None = None) -> list[str]:
    """Return the commands that add a line to the file of credentials: `words` and `path`, a file with the secret."""
    known = credentials_file(settings) if settings is not None else None
    file = shell_word(known) if known else _FILE
    place = os.path.abspath(path) if path is not None else "/path/to/secret"
    return [
        f"echo {shell_word(f'{words} @{place}')} >>{file}",
        *([] if known else [f"git config --global coderepo.credentialsFile {file}"]),
    ]


def _check(name: str, key: str) -> None:
    if parse_reference(f"{{{{{name}.{key}}}}}") != (name, key):
        raise UsageError(f"invalid secret name '{name}.{key}'", hints=["use letters, digits, '_' and '-' only"])
