"""The registrations in git's configuration, and the choice of the code repository that a checkout uses.

A registration is a section `[coderepo "NAME"]` with `type`, `remote` (the name of a git remote), `source` (a custom
class), `description`, `logoUrl`, and the platform's options by their camelCase key. The value of a secret option is a
reference `{{name.key}}`.
"""

from __future__ import annotations

from git_coderepo.errors import RegistrationError
from git_coderepo.git.process import shell_word
from git_coderepo.registration.infer import (
    host_rules,
    likely_remote,
    named_options,
    nothing_served,
    other_platform,
    rule_for,
    several_match,
    type_of,
)
from git_coderepo.registration.match import matcher
from git_coderepo.registration.options import platform_of
from git_coderepo.similar import closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from git_coderepo.git.url.remote import RemoteURL
    from git_coderepo.registration.infer import HostRule
    from git_coderepo.settings import Settings


# The options that name the host of a platform.
HOST_OPTIONS = ("url", "host", "api_url", "instance_url")


class Registration:
    """A code repository with its `name` and platform `type`, `registered` or inferred from a git remote.

    `remote` is the name of that remote, or None if only the options say where the code is. `source` is a custom class.
    `options` holds the given options by Python name, and secrets only as `{{name.key}}`.
    """

    __slots__ = ("description", "logo_url", "name", "options", "registered", "remote", "source", "type")

    def __init__(
        self,
        name: str,
        type: str,
        *,
        remote: str | None = None,
        source: str | None = None,
        options: Mapping[str, str] | None = None,
        description: str | None = None,
        logo_url: str | None = None,
        registered: bool = True,
    ) -> None:
        self.name = name
        self.type = type
        self.remote = remote
        self.source = source
        self.options = dict(options or {})
        self.description = description
        self.logo_url = logo_url
        self.registered = registered

    def replaced(
        self, *, name: str | None = None, remote: str | None = None, options: Mapping[str, str] | None = None
    ) -> Registration:
        """Return this registration with another name, remote or options."""
        return Registration(
            self.name if name is None else name,
            self.type,
            remote=self.remote if remote is None else remote,
            source=self.source,
            options=self.options if options is None else options,
            description=self.description,
            logo_url=self.logo_url,
            registered=self.registered,
        )

    def __repr__(self) -> str:
        return f"Registration({self.name!r}, {self.type!r}, remote={self.remote!r})"


def registrations(settings: Settings) -> list[Registration]:
    """Return all registrations, in git's order. Raises RegistrationError for an invalid one."""
    result = []
    for name in settings.subsections("coderepo"):
        if "://" in name:
            continue
        values = {
            entry.name: "true" if entry.value is None else entry.value
            for entry in settings.entries
            if entry.section == "coderepo" and entry.subsection == name
        }
        source = values.pop("source", None)
        type = values.pop("type", None) or ("custom" if source is not None else None)
        if type is None:
            raise RegistrationError(
                f"the code repository '{name}' requires a type",
                hints=[f"git config {shell_word(f'coderepo.{name}.type')} github"],
            )
        remote, description, logo_url = (values.pop(key, None) for key in ("remote", "description", "logourl"))
        options = named_options(settings, name, type, source, values)
        result.append(
            Registration(
                name, type, remote=remote, source=source, options=options, description=description, logo_url=logo_url
            )
        )
    return result


def registration(settings: Settings, name: str) -> Registration:
    """Return the registration of that name. Raises RegistrationError, with a similar name as hint."""
    return _named(registrations(settings), {}, settings, name)


def choose(
    settings: Settings,
    remotes: Mapping[str, RemoteURL],
    *,
    name: str | None = None,
    upstream: str | None = None,
    unpushed: Callable[[str], int | None] = nothing_served,
) -> Registration | None:
    """Return the code repository that a checkout with these git remotes uses; None without remotes and registrations.

    It is the one named `name`, else the one that `coderepo.default` names, else the registration of the likely remote,
    else that remote itself; see `likely_remote` for `upstream` and `unpushed`. Options of a host rule count where it
    has none of its own. Raises RegistrationError if several match or `name` is unknown.
    """
    rules = host_rules(settings)
    known = registrations(settings)
    name = name if name is not None else settings.text("default")
    if name is not None:
        chosen = _named(known, remotes, settings, name, rules)
        return _completed(chosen, _remote_of(chosen, remotes, rules, settings), remotes, rules)
    claims: dict[str, list[Registration]] = {}
    for each in known:
        remote = matching_remote(each, remotes, rules, settings)
        if remote is not None:
            claims.setdefault(remote, []).append(each)
    if not claims:
        # A registration without a remote and a host (of a custom class) can serve every checkout that no other matches.
        anywhere = [each for each in known if each.remote is None and _names_no_place(each)]
        if anywhere:
            return _completed(_one_of(anywhere), None, remotes, rules)
    names = {remote: [each.name for each in group] for remote, group in claims.items()}
    likely = likely_remote(remotes, upstream, claims=names, unpushed=unpushed)
    if likely is None:
        return None
    if likely in claims:
        return _completed(_one_of(claims[likely]), likely, remotes, rules)
    return inferred(likely, remotes[likely], settings, rules)


def _one_of(group: list[Registration]) -> Registration:
    """Return the first of several registrations of one remote. Raises RegistrationError if they differ."""
    first = group[0]
    if any(_terms(each) != _terms(first) for each in group):
        raise several_match([each.name for each in group])
    return first


def _terms(registration: Registration) -> tuple[str, str | None, dict[str, str]]:
    """Return what distinguishes two registrations that match the same remote: the type, the class and the host."""
    options = registration.options
    hosts: dict[str, str] = {name: options[name] for name in HOST_OPTIONS if name in options}
    return registration.type, registration.source, hosts if registration.source is None else options


def inferred(name: str, remote: RemoteURL, settings: Settings, rules: list[HostRule] | None = None) -> Registration:
    """Return the code repository of a remote without a registration: of the platform of its host, else `git`."""
    rule = rule_for(host_rules(settings) if rules is None else rules, remote)
    if rule is not None and rule.type is not None:
        options = rule.options
        return Registration(name, rule.type, remote=name, source=rule.source, options=options, registered=False)
    return Registration(name, type_of(remote, settings.environment), remote=name, registered=False)


def _named(
    known: list[Registration],
    remotes: Mapping[str, RemoteURL],
    settings: Settings,
    name: str,
    rules: list[HostRule] | None = None,
) -> Registration:
    for each in known:
        if each.name == name:
            return each
    if name in remotes:
        return inferred(name, remotes[name], settings, rules)
    near = closest(name, [each.name for each in known] + list(remotes))
    if near:
        hints = [f"did you mean '{near[0]}'?"]
    else:
        hints = ["git coderepo list"] if known or remotes else ["git remote add NAME URL"]
    raise RegistrationError(f"code repository not found: '{name}'", hints=hints)


def _completed(
    chosen: Registration, remote: str | None, remotes: Mapping[str, RemoteURL], rules: list[HostRule]
) -> Registration:
    rule = rule_for(rules, remotes[remote]) if remote is not None and remote in remotes else None
    options = {**rule.options, **chosen.options} if rule is not None and rule.type == chosen.type else chosen.options
    return chosen.replaced(remote=remote, options=options)


def _remote_of(
    chosen: Registration, remotes: Mapping[str, RemoteURL], rules: list[HostRule], settings: Settings
) -> str | None:
    """Return the name of the git remote of a registration that was chosen by name."""
    return chosen.remote if chosen.remote is not None else matching_remote(chosen, remotes, rules, settings)


def matching_remote(
    candidate: Registration, remotes: Mapping[str, RemoteURL], rules: list[HostRule], settings: Settings
) -> str | None:
    """Return the name of the remote that matches a registration, or None."""
    platform = platform_of(candidate.type, candidate.source)
    if candidate.remote is not None and candidate.remote not in remotes:
        return None
    own = remotes[candidate.remote] if candidate.remote is not None else None
    known = settings.environment
    if platform is not None and own is not None and other_platform(platform, candidate.type, own, rules, known):
        return None
    holds = matcher(platform, candidate.options, own) if platform is not None else None
    if holds is None:
        return candidate.remote
    names = remotes if candidate.remote is None else [candidate.remote]
    return next((name for name in names if holds(remotes[name])), None)


def _names_no_place(candidate: Registration) -> bool:
    platform = platform_of(candidate.type, candidate.source)
    return platform is None or matcher(platform, candidate.options, None) is None
