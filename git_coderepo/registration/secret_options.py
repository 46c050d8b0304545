"""The values of secret options: the token of a platform, and the secrets of a custom class; never on the hook's path.

A platform asks its credentials for the secret of each request. A custom class receives secrets in its constructor only.
Each of its secret options that is neither given nor a reference is filled from the credential chain, by the origin that
the public options of the class name, else by the origin of the remote: the first secret (`token`, or the only one) with
the credential of that origin, and any secret with a credential that is stored for that option by name. If the options
name several origins, each of them must have that credential: on a runner the options come from a manifest, which must
not choose who receives a secret. There, a value that may be a host counts as one, whatever its option is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.credentials.chain import Chain
from git_coderepo.credentials.named_secrets import resolve
from git_coderepo.credentials.secret import Secret
from git_coderepo.credentials.sources import OptionCredentials
from git_coderepo.errors import CodeRepoError
from git_coderepo.git.url.remote import Origin, RemoteURL
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.platforms.registry import class_for_host
from git_coderepo.registration.options import is_secret

if TYPE_CHECKING:
    from git_coderepo.credentials.secret import Credential, CredentialSource
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.settings import Settings

_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # the characters that IDNA reads as a dot: RFC 3490, section 3.1
_HEX_ADDRESS = re.compile("0[xX][0-9a-fA-F]{1,8}")
# Options that name a repository on its host, where a dot is common: `site.github.io`.
_COORDINATES = frozenset(
    ("branch", "group", "name", "namespace", "organization", "owner", "path", "project", "repo", "repository",
     "subdirectory", "workspace")
)  # fmt: skip
# An option with one of these words in its name has a host as its value, with or without a path.
_HOST_WORDS = (
    "url", "uri", "host", "server", "endpoint", "domain", "instance", "address", "gateway", "proxy", "registry",
)  # fmt: skip


class CustomClass(NamedTuple):
    """A custom class with the options that decide where its secrets belong.

    `public` holds the options that are not secret, as they were given. `recorded` are the names of options whose value
    only a manifest gives.
    """

    platform: type[BaseCodeRepository]
    public: Mapping[str, str]
    remote: RemoteURL | None
    recorded: Container[str] = ()

    @property
    def secret_names(self) -> list[str]:
        """The names of the secret options: `token` first, the others in the order of their declaration."""
        names = [option.name for option in self.platform.options if option.secret]
        return sorted(names, key=lambda name: name != "token")

    def credential(self, credentials: CredentialSource) -> Credential | None:
        """Return the credential that fills the first secret; None without one. Raises CredentialError."""
        return self._credential(credentials, self.secret_names[0]) if self.secret_names else None

    def secrets(self, known: Mapping[str, Secret], credentials: CredentialSource) -> dict[str, Secret]:
        """Return the secrets for the constructor: those `known`, and the others as far as the credentials have them.

        Raises CredentialError.
        """
        secrets = dict(known)
        for name in self.secret_names:
            credential = self._credential(credentials, name) if name not in secrets else None
            if credential is not None:
                secrets[name] = credential.secret
        return secrets

    def _credential(self, credentials: CredentialSource, name: str) -> Credential | None:
        first, *others = self.secret_names
        result: Credential | None = None
        for origin, path in homes(self.public, self.remote, self.recorded):
            find_option = getattr(credentials, "find_option", None)
            credential: Credential | None = find_option(origin, path, name) if find_option is not None else None
            if credential is None and name == first:
                credential = credentials.find(origin, path)
                if credential is not None and credential.user in others:
                    return None  # it is stored for another option by name
            if credential is None or (result is not None and credential.secret != result.secret):
                return None
            result = result or credential
        return result


def homes(
    public: Mapping[str, str], remote: RemoteURL | None, recorded: Container[str] = ()
) -> list[tuple[Origin, str]]:
    """Return the (origin, path) pairs that the public options name, else that of the remote; [] without any.

    Also [] where an option that should name a host has no valid origin: the class may read the value in another way,
    and send a secret there. `recorded` are the names of options whose value only a manifest gives.
    """
    values = [value for name, value in public.items() if value and _names_host(name, value, name in recorded)]
    places = [_place(value) for value in values]
    if places:
        valid = [place for place in places if place is not None]
        return list(dict.fromkeys(valid)) if len(valid) == len(places) else []
    return _home_of_remote(remote)


def _home_of_remote(remote: RemoteURL | None) -> list[tuple[Origin, str]]:
    if remote is None or remote.host is None or remote.transport not in ("https", "http", "ssh"):
        return []
    path = "/" + (remote.path or "").strip("/").removesuffix(".git")
    if remote.transport != "ssh":
        return [(Origin(remote.transport, remote.host, remote.port), path)]
    known = class_for_host(remote.host)
    host = remote.platform_host(known.host_aliases) if known is not None else remote.host
    return [(Origin("https", host), path)]


def _names_host(name: str, value: str, recorded: bool) -> bool:
    """Return whether the value of a public option is a host, or may be one where only a manifest gives it."""
    if _is_address(value) or any(word in name.lower() for word in _HOST_WORDS):
        return True
    return recorded and name not in _COORDINATES and _may_be_host(value)


def _is_address(value: str) -> bool:
    """Whether a value can be nothing but an address, as it is or to a program that reads one generously."""
    if "//" in value or "\\" in value or ":/" in value:
        return True
    host, colon, port = value.partition("/")[0].rpartition(":")
    if colon and host and port.isdigit():
        return True
    labels = value.partition("/")[0].split(".")
    return len(labels) == 4 and all(label.isdigit() for label in labels)


def _may_be_host(value: str) -> bool:
    """Return whether a program could take a value for a host without a scheme, with or without a port and a path."""
    host = value.strip().partition("/")[0].rpartition("@")[2].partition(":")[0]
    labels = [label for label in _DOTS.split(host) if label]
    if len(labels) < 2:
        return bool(_HEX_ADDRESS.fullmatch(host))
    if all(label.isascii() and label.isdigit() for label in labels):
        return any(int(label) > 255 for label in labels)  # 203.7368 is an IPv4 address, and 1.2 a version
    return True


def _place(value: str) -> tuple[Origin, str] | None:
    text = value if "://" in value else f"https://{value}"
    try:
        origin = Origin.parse(text)
    except CodeRepoError:
        return None
    known = class_for_host(origin.host)
    alias = known.credential_aliases.get(str(origin)) if known is not None else None
    path = "/" + text.partition("://")[2].partition("/")[2].partition("?")[0].strip("/").removesuffix(".git")
    return (Origin.parse(alias), "/") if alias is not None else (origin, path)


# --- The token of a platform, and where it belongs -------------------------------------------------------------------


def secret_reader(value: Secret | str, settings: Settings | None) -> Callable[[], Secret]:
    """Return a function that returns a secret: the value itself, or what a reference `{{name.key}}` stands for.

    The function raises CredentialError or KeyringUnavailable where the reference has no value.
    """
    return lambda: value if isinstance(value, Secret) else resolve(value, settings)


def with_token(
    repository: BaseCodeRepository, credentials: CredentialSource, token: Secret | str, settings: Settings | None
) -> CredentialSource:
    """Return the credentials, preceded by the token that belongs to this code repository alone."""
    home = credential_home(repository)
    if home is None:
        return credentials
    origin, _ = home
    source = "the option 'token'" if isinstance(token, Secret) else f"the secret {token}"
    # The path does not matter: only this one code repository has this chain.
    link = OptionCredentials(origin, secret_reader(token, settings), source=source)
    return credentials.preceded_by(link) if isinstance(credentials, Chain) else Chain([link, credentials])


def credential_home(repository: BaseCodeRepository) -> tuple[Origin, str] | None:
    """Return (origin, path prefix) under which a token for a code repository is stored; None where it needs none.

    Of the origins that share one credential, as the platform documents, it is the well-known one: `github.com`.
    """
    if is_custom(repository):
        places = homes(public_options(repository), repository.remote)
        return places[0] if places else None
    if isinstance(repository, HostedRepository):
        api = repository.api_origin()
        if api is None:
            return None
        return repository.credential_origin(api) or api, repository.credential_path()
    url = repository.git_url()
    remote = RemoteURL.parse(url) if url is not None else repository.remote
    origin = remote.origin() if remote is not None and remote.transport in ("https", "http") else None
    if remote is None or origin is None:
        return None
    return origin, "/" + (remote.path or "").strip("/").removesuffix(".git")


def is_custom(repository: BaseCodeRepository) -> bool:
    """Return whether a code repository is of a class that is not built in and does not use the built-in API client."""
    is_built_in = type(repository).__module__.startswith("git_coderepo.platforms.")
    return not is_built_in and not isinstance(repository, HostedRepository)


def public_options(repository: BaseCodeRepository) -> dict[str, str]:
    """Return the options of a code repository that are not secret, by Python name."""
    platform = type(repository)
    values = repository.option_values
    return {name: value for name, value in values.items() if not is_secret(platform, name)}
