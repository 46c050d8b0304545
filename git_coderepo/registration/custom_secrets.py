"""The secrets of a custom class: which origin each belongs to, and the values that its constructor takes.

A class has nobody but its constructor to take a secret. Each secret option that is neither given nor a reference is
filled from the credential chain, by the origin that the class's public options name, else by that of the remote: the
first secret (`token`, or the only one) with the credential of that origin, and any with one that is kept for the option
by name. Where the options name several origins, all of them must have that credential: on a runner they come from a
manifest, which does not choose who receives one. There, a value that may be a host counts as one, whatever its option
is called.
"""

from __future__ import annotations

import re

from git_coderepo.errors import CodeRepoError
from git_coderepo.git.url.remote import Origin, RemoteURL
from git_coderepo.platforms.registry import class_for_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from git_coderepo.credentials.secret import Credential, CredentialSource, Secret
    from git_coderepo.platforms.base import BaseCodeRepository

# What the name of an option is made of whose value is a host, with or without a path.
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # what IDNA takes for a dot: RFC 3490, section 3.1
_HEX_ADDRESS = re.compile("0[xX][0-9a-fA-F]{1,8}")
# Options that name a repository on its host, where a dot is common: `site.github.io`.
_COORDINATES = frozenset(
    ("branch", "group", "name", "namespace", "organization", "owner", "path", "project", "repo", "repository",
     "subdirectory", "workspace")
)  # fmt: skip
_PLACES = ("url", "uri", "host", "server", "endpoint", "domain", "instance", "address", "gateway", "proxy", "registry")


def secret_options(platform: type[BaseCodeRepository]) -> list[str]:
    """Return the names of a class's secret options, the first secret first: `token`, else as they are declared."""
    names = [option.name for option in platform.options if option.secret]
    return sorted(names, key=lambda name: name != "token")


def homes(
    public: Mapping[str, str], remote: RemoteURL | None, recorded: Container[str] = ()
) -> list[tuple[Origin, str]]:
    """Return the (origin, path) pairs of the places that public options name, else of the remote; [] for none.

    None either where such an option is no origin: the class may read it otherwise, and send a secret there. `recorded`
    are the names of options whose value only a manifest gives.
    """
    named = []
    for name, value in public.items():
        is_place = _is_address(value) or any(word in name.lower() for word in _PLACES)
        if value and (is_place or (name in recorded and name not in _COORDINATES and _may_be_host(value))):
            place = _place(value)
            if place is None:
                return []
            if place not in named:
                named.append(place)
    if named:
        return named
    if remote is None or remote.host is None or remote.transport not in ("https", "http", "ssh"):
        return []
    path = "/" + (remote.path or "").strip("/").removesuffix(".git")
    if remote.transport != "ssh":
        return [(Origin(remote.transport, remote.host, remote.port), path)]
    known = class_for_host(remote.host)
    host = remote.platform_host(known.host_aliases) if known is not None else remote.host
    return [(Origin("https", host), path)]


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


def filled(
    platform: type[BaseCodeRepository],
    public: Mapping[str, str],
    known: Mapping[str, Secret],
    remote: RemoteURL | None,
    credentials: CredentialSource,
    recorded: Container[str] = (),
) -> dict[str, Secret]:
    """Return the secrets for the constructor: those `known` already, and what the credentials have for the others.

    `public` are the options that are not secret, as they were given; `recorded` as for `homes`. Raises CredentialError.
    """
    found = dict(known)
    names = secret_options(platform)
    places = homes(public, remote, recorded)
    for name in names:
        if name not in found and places:
            credential = _credential(credentials, places, name, names)
            if credential is not None:
                found[name] = credential.secret
    return found


def credential_of(
    platform: type[BaseCodeRepository],
    public: Mapping[str, str],
    remote: RemoteURL | None,
    credentials: CredentialSource,
) -> Credential | None:
    """Return the credential that the first secret of a class would be filled from; None: there is none."""
    names, places = secret_options(platform), homes(public, remote)
    return _credential(credentials, places, names[0], names) if names and places else None


def _credential(
    credentials: CredentialSource, places: list[tuple[Origin, str]], name: str, names: list[str]
) -> Credential | None:
    first: Credential | None = None
    for origin, path in places:
        by_name = getattr(credentials, "find_option", None)
        credential = by_name(origin, path, name) if by_name is not None else None
        if credential is None and name == names[0]:
            credential = credentials.find(origin, path)
            if credential is not None and credential.user in names[1:]:
                return None  # it is kept for another option by name
        if credential is None or (first is not None and credential.secret != first.secret):
            return None
        first = first or credential
    return first
