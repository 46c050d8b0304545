"""The platform of a host without a registration, from host rules, the CI's variables and the platforms' public hosts.

A host rule is a section `[coderepo "https://git.corp/"]` with a platform's `type`, options by their camelCase key,
and for the credential `user` and `token` (a reference `{{name.key}}`). It applies to the whole host, or to the paths
below its own; of several, the rule with the longest path counts. Rules count only in the user's and the system's
configuration and with `git -c`, since a repository's own configuration may come from somebody else. A team's file
may set the `type` of a host only.
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
    """A host rule: `origin`, `prefix` (`/` or `/group`), `type` or None, `source`, `options` by Python name, `user`.

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
        """Return whether a remote is on the rule's host below its path, and on its port if the protocol is the same."""
        if remote.host is None or remote.host.lower() != self.origin.host:
            return False
        if remote.transport == self.origin.scheme and remote.origin() != self.origin:
            return False
        return below(self.prefix, remote.path or "/")


def host_rules(settings: Settings) -> list[HostRule]:
    """Return all host rules, the longest prefix first. Raises RegistrationError for an invalid one."""
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
                trace(f"the rule for '{subsection}' is ignored: only the user and the system may set host rules")
        if values:
            rules.append(_rule(settings, subsection, values))
    return sorted(rules, key=lambda rule: -len(rule.prefix))


def _rule(settings: Settings, subsection: str, values: dict[str, str]) -> HostRule:
    try:
        origin, prefix = place_of(subsection)
    except CodeRepoError as error:
        message = f"invalid host rule in the configuration: {error.message}"
        raise RegistrationError(message, hints=error.hints) from None
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
    """Return the options in a section, by Python name.

    Raises RegistrationError for an unknown option, and for a secret option whose value is not a reference.
    """
    platform = platform_of(type, source)
    options = {}
    for key, value in values.items():
        name = python_name(platform, key)
        if name is None:
            raise RegistrationError(
                f"unknown option 'coderepo.{section}.{key}' of the platform '{type}'",
                hints=[
                    f"git config{_scope(settings, section, key)} --unset-all {shell_word(f'coderepo.{section}.{key}')}"
                ],
            )
        if is_secret(platform, name) and parse_reference(value) is None:
            raise literal_secret(section, key, settings)
        options[name] = value
    return options


def literal_secret(section: str, key: str, settings: Settings | None = None) -> RegistrationError:
    """Return the error for a secret in plain text: in the configuration of `settings`, else about to be written."""
    setting = shell_word(f"coderepo.{section}.{key}")
    hints = [f"git coderepo secret set NAME --{key}=@FILE"]
    if settings is not None:
        hints += [
            f"git config{_scope(settings, section, key)} --replace-all {setting} '{{{{NAME.{key}}}}}'",
            "revoke the old token where it was issued, since others may have read it",
        ]
    else:
        hints.append(f"use '{{{{NAME.{key}}}}}' instead of the secret")
    return RegistrationError(f"'coderepo.{section}.{key}' contains a secret in plain text", hints=hints)


def _scope(settings: Settings, section: str, key: str) -> str:
    """Return the option of `git config`, after a space, for the file that contains a setting."""
    setting = ("coderepo", section, key.lower())
    scopes = [each.scope for each in settings.entries if (each.section, each.subsection, each.name) == setting]
    return f" --{scopes[-1]}" if scopes and scopes[-1] in ("system", "global", "worktree") else ""


def rule_for(rules: Sequence[HostRule], remote: RemoteURL) -> HostRule | None:
    """Return the rule with the longest prefix that covers a remote, or None."""
    return next((rule for rule in rules if rule.covers(remote)), None)


def built_in() -> Iterator[type[BaseCodeRepository]]:
    """Return the classes of the built-in platforms."""
    return (platform_class(type) for type in platform_types() if type != CUSTOM)


def type_of(remote: RemoteURL, environment: Mapping[str, str]) -> str:
    """Return the platform type of a remote: that of a public host, else that of the CI's own server, else `git`."""
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
    """Return the type of another platform to which a remote's host is known to belong, or None.

    `platform` is the class of the code repository and `type` its registered type. A host is known by the platforms'
    public hosts, which a team's file cannot overrule, then by host rules, then by the variables of the running CI. The
    result is None for an unknown host, for plain `git`, and for a class that does not derive its API from the host.
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
    """Return the name of a platform for messages: `GitLab` for `gitlab`."""
    return platform_class(type).title.partition(" and ")[0] if type != CUSTOM else "a custom code repository"


def ci_servers(environment: Mapping[str, str]) -> Iterator[tuple[str, Origin]]:
    """Yield (platform type, origin of its server) for each CI whose documented variables are set."""
    for platform in built_in():
        ci = platform.ci
        if ci is None or environment.get(ci.marker[0]) != ci.marker[1]:
            continue
        try:
            yield platform.type, Origin.parse(environment.get(ci.server, ""))
        except CodeRepoError:
            trace(f"'{ci.server}' is ignored: it is not the URL of a server")


def nothing_served(_: str) -> int | None:
    """Return None, for a checkout in which no remote is known to have a commit."""
    return None


def likely_remote(
    remotes: Mapping[str, RemoteURL],
    upstream: str | None,
    *,
    claims: Mapping[str, Sequence[str]] | None = None,
    unpushed: Callable[[str], int | None] = nothing_served,
) -> str | None:
    """Return the name of the remote that a checkout most likely uses, or None without remotes.

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
    """Return the error for several registrations that match; `names` has the likeliest first."""
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
    """Return names for a message: at most three, and the number of the others."""
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
