"""Match remotes with the place that the options of a registration name."""

from __future__ import annotations

from git_coderepo.git.url.remote import RemoteURL, below, without_git_suffix
from git_coderepo.platforms.base import located
from git_coderepo.platforms.hosted import HostedRepository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.platforms.hosted import Site

_DEFAULT_PORTS = {"https": 443, "http": 80}


class Place:
    """The place that the options of a registration name: a `site`, an `owner` and a `name`, where None is any."""

    __slots__ = ("aliases", "name", "owner", "site")

    def __init__(
        self, site: Site, owner: str | None, name: str | None, aliases: Mapping[tuple[str, int | None], str]
    ) -> None:
        self.site = site
        self.owner = owner
        self.name = name
        self.aliases = aliases

    def on_site(self, remote: RemoteURL) -> bool:
        """Return whether a remote is on the site's host: ssh on any port, https on the site's port."""
        if remote.host is None or remote.path is None or remote.platform_host(self.aliases) != self.site.host:
            return False
        default = _DEFAULT_PORTS.get(remote.transport)
        return default is None or (remote.port or default) == (self.site.port or default)

    def holds(self, remote: RemoteURL) -> bool:
        """Return whether a remote matches; names are compared without case."""
        if not self.on_site(remote) or remote.path is None:
            return False
        if self.owner is None and self.name is None:
            return remote.transport not in _DEFAULT_PORTS or below(self.site.root, remote.path)
        # Over ssh the path of a remote does not contain the path of the instance, as in https://git.corp/gitlab.
        actual = without_git_suffix(remote.path).lower()
        root = self.site.root.strip("/").lower()
        return self._names(actual) or (
            bool(root) and actual.startswith(root + "/") and self._names(actual[len(root) + 1 :])
        )

    def _names(self, path: str) -> bool:
        owner, _, name = path.rpartition("/")
        return self.owner in (None, owner) and self.name in (None, name)


def matcher(
    platform: type[BaseCodeRepository], options: Mapping[str, str], remote: RemoteURL | None
) -> Callable[[RemoteURL], bool] | None:
    """Return a function that tells whether a git remote matches the options; None if they name no place.

    `remote` gives the host if the options do not. Raises RegistrationError or InvalidRemoteURL for an invalid URL.
    """
    if url := options.get("url"):
        return RemoteURL.parse(url).same_place
    if not issubclass(platform, HostedRepository):
        return None
    place = place_of_options(platform, options, remote)
    if (place.owner is None or place.name is None) and not names_host(options):
        return None
    # The remote completes an owner without a name, or a name without an owner: there is nothing to compare.
    whole = (
        place if place.owner is not None and place.name is not None else Place(place.site, None, None, place.aliases)
    )
    return whole.holds


def names_host(options: Mapping[str, str]) -> bool:
    """Return whether the options of a hosted platform name its host."""
    return any(options.get(name) for name in ("host", "api_url", "instance_url"))


def place_of_options(platform: type[HostedRepository], options: Mapping[str, str], remote: RemoteURL | None) -> Place:
    """Return the place that the options name; `remote` gives the host if they do not.

    Raises RegistrationError or InvalidRemoteURL for an invalid URL.
    """
    owner, name = (options.get(option.name) for option in platform.options[:2])
    described = located(platform, "", options, remote)
    return Place(
        described.site,
        owner.strip("/").lower() if owner else None,
        without_git_suffix(name).lower() if name else None,
        platform.host_aliases,
    )
