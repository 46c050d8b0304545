"""What is known of a host without a registration: the user's host rules, the CI's variables, the platforms' own hosts.

A host rule is a section `[coderepo "https://git.corp/"]` with a platform's `type`, options by their camelCase key,
and for the credential `user` and `token` (a reference `{{name.key}}`). It holds for the whole host, or below the
path that follows it; of several the longest counts. Rules count only from the user's and the system's
configuration and from `git -c`: a repository's own may have come with the repository. A team's file (`team`)
may name the `type` of a host and no more.
"""

from __future__ import annotations

from git_coderepo.credentials.secret import parse_reference
from git_coderepo.errors import CodeRepoError, RegistrationError
from git_coderepo.git.process import shell_word
from git_coderepo.git.url.remote import Origin, below, place_of
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.platforms.registry import CUSTOM, class_for_host, platform_class, platform_types
from git_coderepo.registration.options import is_secret, platform_of, python_name
from git_coderepo.settings import TEAM, TRUSTED_SCOPES
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from git_coderepo.git.url.remote import RemoteURL
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.settings import Settings


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
            rules.append(_rule(settings, subsection, values))
    return sorted(rules, key=lambda rule: -len(rule.prefix))


def _rule(settings: Settings, subsection: str, values: dict[str, str]) -> HostRule:
    try:
        origin, prefix = place_of(subsection)
    except CodeRepoError as error:
        words = f"the configuration has a rule for an unusable host: {error.message}"
        raise RegistrationError(words, hints=error.hints) from None
    type, source = values.pop("type", None), values.pop("source", None)
    user, token = values.pop("user", None), values.pop("token", None)
    if token is not None and parse_reference(token) is None:
        raise literal_secret(subsection, "token", settings)
    if source is not None:
        type = type or "custom"
    options = {} if type is None else named_options(settings, subsection, type, source, values)
    return HostRule(origin, prefix, type=type, source=source, options=options, user=user, token=token)


def named_options(
    settings: Settings, section: str, type: str, source: str | None, values: Mapping[str, str]
) -> dict[str, str]:
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
                hints=[
                    f"git config{_scope(settings, section, key)} --unset-all {shell_word(f'coderepo.{section}.{key}')}"
                ],
            )
        if is_secret(platform, name) and parse_reference(value) is None:
            raise literal_secret(section, key, settings)
        options[name] = value
    return options


def literal_secret(section: str, key: str, settings: Settings | None = None) -> RegistrationError:
    """Return the error for a secret in plain text, in the configuration that `settings` are, or about to be written."""
    setting = shell_word(f"coderepo.{section}.{key}")
    hints = [f"git coderepo secret set NAME --{key}=@FILE"]
    if settings is not None:
        hints += [
            f"git config{_scope(settings, section, key)} --replace-all {setting} '{{{{NAME.{key}}}}}'",
            "revoke the old token where it was issued, since others may have read it",
        ]
    else:
        hints.append(f"give '{{{{NAME.{key}}}}}' in its place")
    return RegistrationError(f"'coderepo.{section}.{key}' holds a secret in plain text", hints=hints)


def _scope(settings: Settings, section: str, key: str) -> str:
    """Return the option, after a space, by which `git config` changes the file that a setting counts from."""
    wanted = ("coderepo", section, key.lower())
    scopes = [each.scope for each in settings.entries if (each.section, each.subsection, each.name) == wanted]
    return f" --{scopes[-1]}" if scopes and scopes[-1] in ("system", "global", "worktree") else ""


def rule_for(rules: Sequence[HostRule], remote: RemoteURL) -> HostRule | None:
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
        host = remote.platform_host(platform.host_aliases)
        if host in platform.hosts or host.endswith(platform.host_suffixes):
            return platform.type
    return next((type for type, server in ci_servers(environment) if server.host == remote.host), "git")


def other_platform(
    platform: type[BaseCodeRepository],
    type: str,
    remote: RemoteURL,
    rules: Sequence[HostRule],
    environment: Mapping[str, str],
) -> str | None:
    """Return the type of the platform that a remote's host is known as, where that is not the platform in question.

    `platform` is the class of the code repository and `type` its registered type. A host is known from the tables of
    public hosts, which a rule in a team's file cannot overrule, then from host rules, then from the CI that runs. None
    where the host is unknown, is served by plain `git`, or where the class does not derive its API from the host.
    """
    if remote.host is None or not issubclass(platform, HostedRepository) or platform.is_own_host(_bare(remote.host)):
        return None
    public = class_for_host(remote.host)
    if public is not None:
        known = public.type
    else:
        rule = rule_for(rules, remote)
        known = rule.type if rule is not None and rule.type is not None else type_of(remote, environment)
    return None if known in ("git", type, platform.type) else known


def _bare(host: str) -> str:
    return host.lower().removesuffix(".")


def platform_title(type: str) -> str:
    """Return the name of a platform for people: `GitLab` for `gitlab`."""
    return platform_class(type).title.partition(" and ")[0] if type != CUSTOM else "a custom code repository"


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


def nothing_served(_: str) -> int | None:
    """Count nothing as pushed: for a checkout without known remotes."""
    return None


def likely_remote(
    remotes: Mapping[str, RemoteURL],
    upstream: str | None,
    *,
    claims: Mapping[str, Sequence[str]] | None = None,
    unpushed: Callable[[str], int | None] = nothing_served,
) -> str | None:
    """Return the name of the remote that is meant in a checkout, None where there is no remote.

    It is the one that the branch follows (`upstream`), else one whose references hold HEAD, else one that has a base;
    among several of a kind one that is registered, then `origin`. One without a base never comes before one that has
    one. `claims` are the names of the registrations of each remote. `unpushed` counts the commits of HEAD that the
    references of a remote lack, None where they have no base of it; it is called only where it can decide.
    Raises RegistrationError where several are left.
    """
    claims = claims or {}
    first = upstream if upstream is not None and upstream in remotes else None
    named = [name for name in (first, *claims, "origin") if name is not None and name in remotes]
    likely = list(dict.fromkeys(named))
    likely = likely or list(remotes)
    if len(remotes) <= 1 or (len(likely) == 1 and not claims):
        return likely[0] if likely else None
    counts = {first: unpushed(first)} if first is not None else {}
    if first is not None and counts[first] is not None:
        return first
    for names in (likely, list(remotes)):
        counts.update({name: unpushed(name) for name in names if name not in counts})
        served = [name for name in counts if counts[name] is not None]
        if served:
            likely = [name for name in served if counts[name] == 0] or served
            break
    registered = [name for name in likely if name in claims]
    if first is not None and first in likely:
        return first
    if len(registered) == 1 or len(likely) == 1:
        return (registered or likely)[0]
    if registered:
        raise several_match([name for remote in registered for name in claims[remote]])
    if "origin" in likely:
        return "origin"
    raise RegistrationError(
        f"several remotes may serve this code: {some(sorted(likely))}",
        hints=[
            f"git config coderepo.default {shell_word(min(likely))}",
            f"--code-repository {shell_word(min(likely))}",
            "git remote -v",
        ],
    )


def several_match(names: Sequence[str]) -> RegistrationError:
    """Return the error for several registrations that match; `names` are theirs, the likeliest first."""
    likely = "origin" if "origin" in names else names[0]
    return RegistrationError(
        f"several code repositories match this checkout: {some(names)}",
        hints=[
            f"git config coderepo.default {shell_word(likely)}",
            f"--code-repository {shell_word(likely)}",
            "git coderepo list",
        ],
    )


def some(names: Sequence[str]) -> str:
    """Return the names for a message: three of them, and how many there are beside."""
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
