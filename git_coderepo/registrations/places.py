"""Where a repository lies, compared part by part and never by a pattern over a raw URL (Z8)."""

from __future__ import annotations

from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.urls import Origin, RemoteURL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.platforms.hosted import Site

_DEFAULT_PORTS = {"https": 443, "http": 80}


def below(prefix: str, path: str) -> bool:
    """Whether `path` is `prefix` or lies below it, name by name; the first slash and `.git` do not count."""
    wanted = prefix.strip("/")
    if not wanted:
        return True
    actual = path.strip("/")
    return actual.startswith(wanted + "/") or _without_git(actual) == _without_git(wanted)


def _without_git(path: str) -> str:
    return path.strip("/").removesuffix(".git")


def place_of(text: str) -> tuple[Origin, str]:
    """(origin, path prefix) of `https://git.corp[:port][/group]`; the prefix starts with `/` and has none at its end.

    Raises InvalidRemoteURL.
    """
    authority = text.partition("://")[2]
    return Origin.parse(text), "/" + authority.partition("/")[2].strip("/")


class Place:
    """Where a registration's options say its code is: on a `site`, at a `path` of it, None for any."""

    __slots__ = ("aliases", "path", "site")

    def __init__(self, site: Site, path: str | None, aliases: Mapping[tuple[str, int | None], str]) -> None:
        self.site = site
        self.path = path
        self.aliases = aliases

    def holds(self, remote: RemoteURL) -> bool:
        """Whether a remote lies here: ssh on any port, https on the site's own; names without regard to their case."""
        if remote.host is None or remote.path is None or remote.platform_host(self.aliases) != self.site.host:
            return False
        default = _DEFAULT_PORTS.get(remote.transport)
        if default is not None and (remote.port or default) != (self.site.port or default):
            return False
        if self.path is None:
            return default is None or below(self.site.root, remote.path)
        # ssh knows nothing of the path below which a whole instance stands.
        actual = _without_git(remote.path).lower()
        return actual in (self.path.lower(), f"{self.site.root.strip('/')}/{self.path}".lower())


def matcher(
    platform: type[BaseCodeRepository], options: Mapping[str, str], remote: RemoteURL | None
) -> Callable[[RemoteURL], bool] | None:
    """What tells whether a git remote lies where options say, `remote` filling in the host; None: they say nothing.

    Raises RegistrationError or InvalidRemoteURL for an option that is no URL.
    """
    if url := options.get("url"):
        return RemoteURL.parse(url).same_place
    if not issubclass(platform, HostedRepository):
        return None
    owner, repository = (options.get(option.name) for option in platform.options[:2])
    path = f"{owner.strip('/')}/{_without_git(repository)}" if owner and repository else None
    if path is None and not any(options.get(name) for name in ("host", "api_url", "instance_url")):
        return None
    described = platform("", options)
    described.remote = remote
    return Place(described.site, path, platform.host_aliases).holds
