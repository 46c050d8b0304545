"""Code repositories as git's configuration names them, and the choice of the one that is meant.

A registration is a section `[coderepo "NAME"]` with `type`, `remote` (the name of a git remote), `source` (a custom
class), `description`, `logoUrl`, and the platform's options by their camelCase key. A secret option is there as a
reference `{{name.key}}` or not at all.
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from git_coderepo.git.url.remote import RemoteURL
    from git_coderepo.registration.infer import HostRule
    from git_coderepo.settings import Settings


PLACES = ("url", "host", "api_url", "instance_url")  # the options that say where a platform is


class Registration:
    """A code repository by its `name` and platform `type`, `registered` or inferred from a git remote.

    `remote` is the name of that remote, None where the options alone say where the code is; `source` a custom class;
    `options` by Python name as far as they were given, secrets only as `{{name.key}}`.
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
        """The same with another name, remote or options."""
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
    """All that are registered, in git's order. Raises RegistrationError for one that makes no sense."""
    found = []
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
                f"the code repository '{name}' has no type",
                hints=[f"git config {shell_word(f'coderepo.{name}.type')} github"],
            )
        remote, description, logo_url = (values.pop(key, None) for key in ("remote", "description", "logourl"))
        options = named_options(settings, name, type, source, values)
        found.append(
            Registration(
                name, type, remote=remote, source=source, options=options, description=description, logo_url=logo_url
            )
        )
    return found


def registration(settings: Settings, name: str) -> Registration:
    """The registered one of that name; raises RegistrationError with the near miss as hint."""
    return _named(registrations(settings), {}, settings, name)


def choose(
    settings: Settings,
    remotes: Mapping[str, RemoteURL],
    *,
    name: str | None = None,
    upstream: str | None = None,
    unpushed: Callable[[str], int | None] = nothing_served,
) -> Registration | None:
    """Return the code repository that is meant in a checkout with these git remotes, None where there is none at all.

    It is the one of that `name`, else of `coderepo.default`, else the registered one whose remote is meant, else that
    remote under its own name; see `likely_remote` for `upstream` and `unpushed`. The options of a host rule stand
    beneath its own. Raises RegistrationError when several match or `name` is unknown.
    """
    rules = host_rules(settings)
    known = registrations(settings)
    wanted = name if name is not None else settings.text("default")
    if wanted is not None:
        chosen = _named(known, remotes, settings, wanted, rules)
        return _completed(chosen, _remote_of(chosen, remotes, rules, settings), remotes, rules)
    claims: dict[str, list[Registration]] = {}
    for each in known:
        remote = matching_remote(each, remotes, rules, settings)
        if remote is not None:
            claims.setdefault(remote, []).append(each)
    if not claims:
        # One whose options and git remote say nothing (a custom class) can serve any checkout, if no other claims it.
        anywhere = [each for each in known if each.remote is None and _says_nothing(each)]
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
    """Return the first of several registrations of one place. Raises RegistrationError where they differ."""
    first = group[0]
    if any(_terms(each) != _terms(first) for each in group):
        raise several_match([each.name for each in group])
    return first


def _terms(registration: Registration) -> tuple[str, str | None, dict[str, str]]:
    """Return what tells apart two registrations that match the same remote: the type, the class and the host."""
    options = registration.options
    hosts: dict[str, str] = {name: options[name] for name in PLACES if name in options}
    return registration.type, registration.source, hosts if registration.source is None else options


def inferred(name: str, remote: RemoteURL, settings: Settings, rules: list[HostRule] | None = None) -> Registration:
    """What a remote is without a registration: named after it, of the platform that its host tells, else `git`."""
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
    import difflib

    near = difflib.get_close_matches(name, [each.name for each in known] + list(remotes), n=1)
    hints = [f"did you mean '{near[0]}'?"] if near else ["git coderepo list"]
    raise RegistrationError(f"no code repository '{name}'", hints=hints)


def _completed(
    chosen: Registration, remote: str | None, remotes: Mapping[str, RemoteURL], rules: list[HostRule]
) -> Registration:
    rule = rule_for(rules, remotes[remote]) if remote is not None and remote in remotes else None
    options = {**rule.options, **chosen.options} if rule is not None and rule.type == chosen.type else chosen.options
    return chosen.replaced(remote=remote, options=options)


def _remote_of(
    chosen: Registration, remotes: Mapping[str, RemoteURL], rules: list[HostRule], settings: Settings
) -> str | None:
    """The name of the git remote of a registration that was asked for by name."""
    return chosen.remote if chosen.remote is not None else matching_remote(chosen, remotes, rules, settings)


def matching_remote(
    candidate: Registration, remotes: Mapping[str, RemoteURL], rules: list[HostRule], settings: Settings
) -> str | None:
    """The name of the remote that lies where a registration says; None: none does."""
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


def _says_nothing(candidate: Registration) -> bool:
    platform = platform_of(candidate.type, candidate.source)
    return platform is None or matcher(platform, candidate.options, None) is None
