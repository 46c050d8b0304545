"""What is known of a host without a registration: the user's host rules, the CI's variables, the platforms' own hosts.

A host rule is a section `[coderepo "https://git.corp/"]` with a platform's `type`, options by their camelCase key,
and for the credential `user` and `token` (a reference `{{name.key}}`). It holds for the whole host, or below the
path that follows it; of several the longest counts. Rules count only from the user's and the system's
configuration and from `git -c`: a repository's own may have come with the repository. A team's file (`checkout.team`)
may name the `type` of a host and no more.
"""

from __future__ import annotations

from git_coderepo.errors import CodeRepoError, RegistrationError
from git_coderepo.platforms import CUSTOM, platform_class, platform_types
from git_coderepo.registrations.options import is_secret, parse_reference, platform_of, python_name
from git_coderepo.registrations.places import below, place_of
from git_coderepo.settings import TEAM
from git_coderepo.trace import trace
from git_coderepo.urls import Origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.settings import Settings
    from git_coderepo.urls import RemoteURL

TRUSTED_SCOPES = ("system", "global", "command")


class HostRule:
    """One rule: `origin`, `prefix` (`/` or `/group`), `type` or None, `source`, `options` by Python name, `user`.

    `token` is the text of a reference, never a secret.
    """

    __slots__ = ("options", "origin", "prefix", "source", "token", "type", "user")

    def __init__(
        self,
        origin: Origin,
        prefix: str,
        *,
        type: str | None = None,
        source: str | None = None,
        options: Mapping[str, str] | None = None,
        user: str | None = None,
        token: str | None = None,
    ) -> None:
        self.origin = origin
        self.prefix = prefix
        self.type = type
        self.source = source
        self.options = dict(options or {})
        self.user = user
        self.token = token

    def covers(self, remote: RemoteURL) -> bool:
        """Whether a remote lies on the rule's host (and port, where both speak of the same protocol) below its path."""
        if remote.host is None or remote.host.lower() != self.origin.host:
            return False
        if remote.transport == self.origin.scheme and remote.origin() != self.origin:
            return False
        return below(self.prefix, remote.path or "/")


def host_rules(settings: Settings) -> list[HostRule]:
    """All rules, the longest prefix first. Raises RegistrationError for one that makes no sense."""
    rules = []
    for subsection in settings.subsections("coderepo"):
        if "://" not in subsection:
            continue
        values: dict[str, str] = {}
        for entry in settings.entries:
            if entry.section != "coderepo" or entry.subsection != subsection:
                continue
            if entry.scope in TRUSTED_SCOPES or (entry.scope == TEAM and entry.name == "type"):
                values[entry.name] = "true" if entry.value is None else entry.value
            else:
                trace(f"rule for '{subsection}' passed over: a host rule counts in the user's or system's config only")
        if values:
            rules.append(_rule(subsection, values))
    return sorted(rules, key=lambda rule: -len(rule.prefix))


def _rule(subsection: str, values: dict[str, str]) -> HostRule:
    try:
        origin, prefix = place_of(subsection)
    except CodeRepoError as error:
        raise RegistrationError(f"the configuration has a rule for an unusable host: {error.message}") from None
    type, source = values.pop("type", None), values.pop("source", None)
    user, token = values.pop("user", None), values.pop("token", None)
    if token is not None and parse_reference(token) is None:
        raise literal_secret(subsection, "token")
    if source is not None:
        type = type or "custom"
    options = {} if type is None else named_options(subsection, type, source, values)
    return HostRule(origin, prefix, type=type, source=source, options=options, user=user, token=token)


def named_options(section: str, type: str, source: str | None, values: Mapping[str, str]) -> dict[str, str]:
    """Options by Python name from the keys of a section. Raises RegistrationError for one that does not exist.

    A secret option may be a reference only.
    """
    platform = platform_of(type, source)
    options = {}
    for key, value in values.items():
        name = python_name(platform, key)
        if name is None:
            raise RegistrationError(
                f"the platform '{type}' has no option for 'coderepo.{section}.{key}'",
                hints=[f"git config --unset 'coderepo.{section}.{key}'"],
            )
        if is_secret(platform, name) and parse_reference(value) is None:
            raise literal_secret(section, key)
        options[name] = value
    return options


def literal_secret(section: str, key: str) -> RegistrationError:
    """The error for a secret that stands readable in the configuration."""
    return RegistrationError(
        f"'coderepo.{section}.{key}' holds a secret in plain text",
        hints=[
            f"git config --unset 'coderepo.{section}.{key}', and take that token back where it was issued",
            "git coderepo secret set NAME --KEY=@FILE, then write {{NAME.KEY}} in its place",
        ],
    )


def rule_for(rules: list[HostRule], remote: RemoteURL) -> HostRule | None:
    """The rule of the longest prefix that covers a remote."""
    return next((rule for rule in rules if rule.covers(remote)), None)


def built_in() -> Iterator[type[BaseCodeRepository]]:
    """The classes of the platforms that come with the program."""
    return (platform_class(type) for type in platform_types() if type != CUSTOM)


def type_of(remote: RemoteURL, environment: Mapping[str, str]) -> str:
    """The platform behind a remote: of a known public host, of the CI's own server, else `git`."""
    if remote.host is None:
        return "git"
    for platform in built_in():
        if remote.platform_host(platform.host_aliases) in platform.hosts:
            return platform.type
    return next((type for type, server in ci_servers(environment) if server.host == remote.host), "git")


def ci_servers(environment: Mapping[str, str]) -> Iterator[tuple[str, Origin]]:
    """(platform, its server's origin) for each CI whose variables are set, as its documentation describes them."""
    for platform in built_in():
        ci = platform.ci
        if ci is None or environment.get(ci.marker[0]) != ci.marker[1]:
            continue
        try:
            yield platform.type, Origin.parse(environment.get(ci.server, ""))
        except CodeRepoError:
            trace(f"'{ci.server}' names no server: passed over")


def likely_remote(remotes: Mapping[str, RemoteURL], upstream: str | None) -> str | None:
    """The remote that is meant where nothing is registered: upstream's, `origin`, the only one; None: there is none.

    Raises RegistrationError where several are left.
    """
    for name in (upstream, "origin"):
        if name is not None and name in remotes:
            return name
    if len(remotes) > 1:
        names = ", ".join(f"'{name}'" for name in sorted(remotes))
        raise RegistrationError(
            f"several remotes may serve this code: {names}",
            hints=[f"--code-repository {name}" for name in sorted(remotes)],
        )
    return next(iter(remotes), None)
