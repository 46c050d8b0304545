"""Named secrets, `{{name.key}}`: kept in the keyring, listed by name in the user's git configuration.

The keyring's service is `git-coderepo:secret:NAME`, its user name the key.
"""

from __future__ import annotations

from git_coderepo.errors import CredentialError, KeyringUnavailable, UsageError
from git_coderepo.registrations import vault
from git_coderepo.registrations.options import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from git_coderepo.credential import Secret
    from git_coderepo.git import Git

_LIST = "secret"


def service(name: str) -> str:
    """The keyring's service for a named secret."""
    return f"git-coderepo:secret:{name}"


def set_secret(git: Git, name: str, values: Mapping[str, Secret]) -> None:
    """Keep the values of a secret by key, beside or in place of older ones.

    Raises UsageError for a name or key of other characters than letters, digits, `_` and `-`; KeyringUnavailable.
    """
    if not values:
        raise UsageError(f"no value for the secret '{name}'", hints=[f"git coderepo secret set {name} --KEY=@FILE"])
    for key in values:
        _check(name, key)
    listed = vault.list_names(git, _LIST)
    for key, secret in values.items():
        # Listed first: a name without a value says so when it is used, a value without a name would be lost.
        vault.add_name(git, _LIST, f"{name}.{key}")
        try:
            vault.store(service(name), key, secret)
        except KeyringUnavailable:
            if f"{name}.{key}" not in listed:
                vault.remove_name(git, _LIST, f"{name}.{key}")
            raise


def list_secrets(git: Git) -> dict[str, list[str]]:
    """The names of all secrets and their keys; no value is read."""
    found: dict[str, list[str]] = {}
    for entry in vault.list_names(git, _LIST):
        name, _, key = entry.partition(".")
        found.setdefault(name, []).append(key)
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
        vault.erase(service(name), key)
        vault.remove_name(git, _LIST, f"{name}.{key}")
    return wanted


def resolve(reference: str) -> Secret:
    """The secret that `{{name.key}}` stands for. Raises CredentialError where there is none, KeyringUnavailable."""
    parsed = parse_reference(reference)
    if parsed is None:
        raise CredentialError("not a reference to a secret: it reads {{name.key}}")
    name, key = parsed
    secret = vault.read(service(name), key)
    if secret is None:
        raise CredentialError(
            f"the keyring has no secret '{name}.{key}'", hints=[f"git coderepo secret set {name} --{key}=@FILE"]
        )
    return secret


def _check(name: str, key: str) -> None:
    if parse_reference(f"{{{{{name}.{key}}}}}") != (name, key):
        raise UsageError(f"'{name}.{key}' is no name of a secret", hints=["letters, digits, '_' and '-'"])
