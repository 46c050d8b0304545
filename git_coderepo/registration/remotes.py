"""Choose the remote of a new registration by its options, and describe how the registration affects runs.

The options choose among all remotes. A remote on the host of another platform is never chosen: no request and no token
goes there. If no remote matches, the options alone name the repository, on the platform's default host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from git_coderepo.credentials.secret import Secret
from git_coderepo.errors import CodeRepoError, InvalidRemoteURL, RegistrationError
from git_coderepo.git.process import Git, shell_word
from git_coderepo.git.pushed_commits import Walks
from git_coderepo.git.repository import branch_of_head, checkout_directory, read_layout, start_layout
from git_coderepo.git.url.remote import RemoteURL, followed_remote, refuse_invalid_remotes, remotes_of, resolve_remote
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.platforms.registry import class_for_host, recognise
from git_coderepo.registration.config import Registration, choose, inferred, matching_remote, registrations
from git_coderepo.registration.infer import HostRule, host_rules, other_platform, platform_title, some, type_of
from git_coderepo.registration.match import names_host, place_of_options
from git_coderepo.registration.options import declared, is_secret, option_word, parse_options
from git_coderepo.registration.platform_object import class_of
from git_coderepo.settings import Settings, team_settings
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.settings import Settings


class Surroundings(NamedTuple):
    """A checkout in which a code repository is registered.

    `upstream` is the remote that its branch follows. `recognised` maps hosts to the platform types that they answered.
    `ask_type` asks the user for the type of a host that does not answer; None without a terminal.
    """

    git: Git
    settings: Settings
    rules: list[HostRule]
    remotes: dict[str, RemoteURL]
    upstream: str | None
    walks: Walks
    recognised: dict[str, str]
    ask_type: Callable[[str], str] | None = None

    @classmethod
    def read(cls, git: Git) -> Surroundings:
        """Read a checkout. Raises NotACheckout, GitFailed, RegistrationError."""
        layout = read_layout(start_layout(git), git, bare_allowed=True)
        settings = team_settings(git, layout, Settings.read(git), trace)
        upstream = followed_remote(settings, branch_of_head(git))
        walks = Walks(git.offline(), settings, layout.head)
        return cls(git, settings, host_rules(settings), remotes_of(git, settings), upstream, walks, {})

    def named(self, name: str) -> str:
        """Return the name of a remote that the user gave. Raises RegistrationError for an unknown one."""
        if name not in self.remotes:
            if name in self.settings.subsections("remote"):
                refuse_invalid_remotes(self.git, self.settings)
            known = ", ".join(list(self.remotes)[:3]) or "none"
            raise RegistrationError(f"git remote not found: '{name}' (known: {known})", hints=["git remote -v"])
        return name

    def remote(self, name: str | None) -> RemoteURL | None:
        return self.remotes.get(name) if name is not None else None

    def directory(self, source: str | None) -> str | None:
        """Return the directory of a custom class that is not installed; None for a built-in platform."""
        return checkout_directory(self.git) if source is not None else None

    def in_order(self, first: str | None = None) -> list[str]:
        """Return the names of the remotes, the likeliest first."""
        likely = [name for name in (first, self.upstream, "origin") if name is not None and name in self.remotes]
        return list(dict.fromkeys([*likely, *self.remotes]))

    def likely(self, names: Iterable[str]) -> str | None:
        """Return the most likely remote among `names`, or None if `names` is empty.

        Raises RegistrationError if several are equally likely.
        """
        candidates = list(names)
        for name in (self.upstream, "origin"):
            if name is not None and name in candidates:
                return name
        if len(candidates) > 1:
            raise RegistrationError(
                f"several git remotes match: {some(candidates)}",
                hints=[f"git coderepo register --remote {shell_word(candidates[0])}", "git remote -v"],
            )
        return candidates[0] if candidates else None

    def other_platform(self, platform: type[BaseCodeRepository], type: str, remote: RemoteURL) -> str | None:
        """Return the other platform to which a remote's host belongs, by the tables or by its own answer, or None."""
        known = other_platform(platform, type, remote, self.rules, self.settings.environment)
        answer = self.recognised.get(remote.host or "") if issubclass(platform, HostedRepository) else None
        return known or (answer if answer not in (None, type) else None)

    def registered_for(self, choice: Choice) -> Registration | None:
        """Return an existing registration for the remote of `choice` on the same platform, or None."""
        if choice.remote is None:
            return None
        for each in registrations(self.settings):
            matches = matching_remote(each, self.remotes, self.rules, self.settings) == choice.remote
            if matches and each.type == choice.type and each.name != choice.remote:
                return each.replaced(remote=choice.remote)
        return None

    def choice(self) -> Registration | CodeRepoError | None:
        """Return the code repository that runs in this checkout use now, or the error that prevents the choice."""
        try:
            return choose(self.settings, self.remotes, upstream=self.upstream, unpushed=self.walks.unpushed)
        except CodeRepoError as error:
            return error


class Choice(NamedTuple):
    """The choices for a registration: the platform's `type`, the name of its git `remote`, its parsed options."""

    type: str
    remote: str | None
    values: dict[str, str | Secret]


def chosen_remote(
    here: Surroundings,
    *,
    type: str | None,
    source: str | None,
    pairs: Sequence[tuple[str, str]],
    remote: str | None,
    no_remote: bool,
    verify: bool,
    standard_input: Callable[[], bytes],
) -> Choice:
    """Choose the platform and the remote of a new registration.

    `remote` and `no_remote` come from the user and are not checked against the options. With `verify` an unknown host
    is asked which platform it is, without a credential. Raises RegistrationError, UnknownOption, UsageError,
    CredentialError.
    """
    if remote is not None:
        here.named(remote)
    if type is None and source is None:
        type, remote = _inferred_type(here, pairs, remote, no_remote, verify)
    type = type or "custom"
    platform = class_of(type, source, here.directory(source))
    values = parse_options(platform, pairs, standard_input=standard_input)
    plain = {key: value for key, value in values.items() if isinstance(value, str) and not is_secret(platform, key)}
    if no_remote:
        return Choice(type, None, values)
    if remote is None:
        remote = remote_of_options(here, platform, type, plain)
        if verify and _is_another_platform(here, platform, type, plain, remote):
            remote = remote_of_options(here, platform, type, plain)
    return Choice(type, remote, values)


def _inferred_type(
    here: Surroundings, pairs: Sequence[tuple[str, str]], remote: str | None, no_remote: bool, verify: bool
) -> tuple[str, str | None]:
    """Return the platform type that the user did not give, and the remote from which it was inferred."""
    given = {option_word(name): value for name, value in pairs}
    for word in ("host", "instanceurl", "apiurl"):
        host = given.get(word, "").partition("://")[2] or given.get(word, "")
        known = class_for_host(host.partition("/")[0].partition(":")[0])
        if known is not None:
            return known.type, remote
    if no_remote:
        raise RegistrationError("--no-remote requires --type", hints=["add --type=github, --type=gitlab or --type=git"])
    if remote is None:
        remote = next((name for name in here.in_order() if _fits(here, name, given)), None) if given else None
    if remote is None:
        remote = here.likely(here.remotes)
    if remote is None:
        refuse_invalid_remotes(here.git, here.settings)
        raise RegistrationError("this checkout has no git remote", hints=["git remote add origin URL"])
    url = here.remotes[remote]
    guessed = inferred(remote, url, here.settings, here.rules).type
    if guessed != "git" or not verify or url.transport not in ("https", "ssh") or url.host is None:
        return guessed, remote
    answered = recognise(_place_to_ask(url))
    if answered is not None:
        return answered.type, remote
    return (guessed if here.ask_type is None else here.ask_type(url.host)), remote


def _fits(here: Surroundings, name: str, given: Mapping[str, str]) -> bool:
    """Return whether a remote's own platform has all these options, and they match the remote."""
    url = here.remotes[name]
    found = inferred(name, url, here.settings, here.rules)
    platform = class_of(found.type, None) if found.source is None else None
    if platform is None or not issubclass(platform, HostedRepository) or not given.keys() <= declared(platform).keys():
        return False
    options = {option.name: given[word] for word, option in declared(platform).items() if word in given}
    place = place_of_options(platform, options, url)
    return (place.owner is not None or place.name is not None) and place.holds(url)


def remote_of_options(
    here: Surroundings,
    platform: type[BaseCodeRepository],
    type: str,
    options: Mapping[str, str],
    *,
    first: str | None = None,
) -> str | None:
    """Return the name of the remote that matches a platform's options; None if the options alone name the repository.

    `first` is compared before the others. Raises RegistrationError if the options name another repository on the host
    of a remote, or do not name a repository completely.
    """
    if not issubclass(platform, HostedRepository):
        return _remote_at(here, type, options, first)
    names = here.in_order(first)
    fitting, contradicting = [], []
    path_options = [option.name for option in platform.options[:2]]
    named = any(options.get(name) for name in path_options)
    for name in names:
        url = here.remotes[name]
        if here.other_platform(platform, type, url) is not None:
            continue
        place = place_of_options(platform, options, url)
        if place.holds(url):
            fitting.append(name)
        elif _on_same_host(here, platform, type, options, url):
            contradicting.append(name)
    if fitting:
        # The host that the options name takes precedence. Options with a path only may match a mirror on another host:
        # then a host that is known as this platform takes precedence.
        place = place_of_options(platform, options, None)
        if names_host(options):
            near = [name for name in fitting if place.on_site(here.remotes[name])]
        else:
            near = [name for name in fitting if named and _is_known_as(here, type, here.remotes[name])]
        fitting = near or fitting
        one_place = all(here.remotes[name].same_place(here.remotes[fitting[0]]) for name in fitting)
        return fitting[0] if one_place or fitting[0] == first else here.likely(fitting)
    if contradicting:
        raise _contradiction(here, platform, options, contradicting[0])
    if all(options.get(name) for name in path_options):
        return None
    raise _no_remote_of(here, platform, type)


def _remote_at(here: Surroundings, type: str, options: Mapping[str, str], first: str | None) -> str | None:
    """Return the name of the remote for plain git or a custom class, which may have a URL but no host."""
    try:
        url = RemoteURL.parse(options["url"]) if options.get("url") else None
    except CodeRepoError:
        url = None  # A custom class may use the option for something else; for plain git the error comes later.
    if url is None:
        return first or here.likely(here.remotes)
    names = here.in_order(first)
    same = next((name for name in names if here.remotes[name].same_place(url)), None)
    if same is not None:
        return same
    if type != "git":
        return first or here.likely(here.remotes)  # a custom class may get the code from elsewhere
    near = next((n for n in names if url.host is not None and here.remotes[n].host == url.host), None)
    if near is not None:
        raise _contradicts(f"'{url}'", near, here.remotes[near])
    return None


def _on_same_host(
    here: Surroundings,
    platform: type[HostedRepository],
    type: str,
    options: Mapping[str, str],
    url: RemoteURL,
) -> bool:
    """Return whether a remote is on the host that the options name, or on a known host of the platform."""
    if place_of_options(platform, options, None).on_site(url):
        return True
    return not names_host(options) and _is_known_as(here, type, url)


def _is_known_as(here: Surroundings, type: str, url: RemoteURL) -> bool:
    public = class_for_host(url.host or "")
    rule = next((rule for rule in here.rules if rule.covers(url)), None)
    known = rule.type if rule is not None and rule.type is not None else type_of(url, here.settings.environment)
    return (public.type if public is not None else known) == type


def _contradiction(
    here: Surroundings, platform: type[HostedRepository], options: Mapping[str, str], remote: str
) -> RegistrationError:
    url = here.remotes[remote]
    place = place_of_options(platform, options, url)
    owner, _, name = (url.path or "").strip("/").removesuffix(".git").rpartition("/")
    return _contradicts(
        f"'{_path_of(options, platform) or f'{place.owner or owner}/{place.name or name}'}'", remote, url
    )


def _path_of(options: Mapping[str, str], platform: type[HostedRepository]) -> str:
    return "/".join(options[option.name].strip("/") for option in platform.options[:2] if options.get(option.name))


def _contradicts(subject: str, remote: str, url: RemoteURL) -> RegistrationError:
    return RegistrationError(
        f"the options name {subject}, but the remote '{remote}' is '{url}'",
        hints=[
            "omit the options to register that remote",
            f"--remote={shell_word(remote)} uses that remote anyway",
            "use --no-remote to register a repository that is not a remote of this checkout",
        ],
    )


def _no_remote_of(here: Surroundings, platform: type[HostedRepository], type: str) -> RegistrationError:
    title = platform_title(type)
    flags = " and ".join(option.flag for option in platform.options[:2])
    for name in here.in_order():
        url = here.remotes[name]
        other = here.other_platform(platform, type, url)
        if other is not None:
            return RegistrationError(
                f"no remote of this checkout is on {title}: '{name}' is on '{url.host}', which is "
                f"{platform_title(other)}",
                hints=[f"add {flags}", f"--type={other}"],
            )
    if here.remotes:
        return RegistrationError(
            "no remote of this checkout matches the options", hints=[f"add {flags}", "git remote -v"]
        )
    refuse_invalid_remotes(here.git, here.settings)
    return RegistrationError("this checkout has no git remote", hints=[f"add {flags}", "git remote add origin URL"])


def _is_another_platform(
    here: Surroundings,
    platform: type[BaseCodeRepository],
    type: str,
    options: Mapping[str, str],
    remote: str | None,
) -> bool:
    """Return whether an unknown host, which only the remote names, answers as another platform."""
    if remote is None or names_host(options) or not issubclass(platform, HostedRepository):
        return False
    url = here.remotes[remote]
    if url.host is None or url.transport not in ("https", "ssh") or _is_known_as(here, type, url):
        return False
    answered = recognise(_place_to_ask(url), first=type)
    if answered is None or answered.type == platform.type:
        return False
    here.recognised[url.host] = answered.type
    return True


def _place_to_ask(url: RemoteURL) -> str:
    origin = url.origin()
    return str(origin) if url.transport == "https" and origin is not None else url.host or ""


def changed_choice(
    before: Registration | CodeRepoError | None, here: Surroundings, registered: Registration
) -> tuple[str, ...]:
    """Return warnings about the choice among the code repositories after one was registered or changed."""
    after = here.choice()
    default = f"git config coderepo.default {shell_word(registered.name)}"
    if isinstance(after, CodeRepoError):
        return (f"runs here cannot choose a code repository: {after.message}", *after.hints)
    if after is None or after.name != registered.name:
        used = f"runs here use '{after.name}'" if after is not None else "no run here uses this registration"
        return (f"{used}, not '{registered.name}'; to change that: {default}",)
    if isinstance(before, Registration) and before.remote != after.remote and before.name != after.name:
        return (
            f"runs here now use '{after.name}' and no longer '{before.name}'; to change that: "
            f"git config coderepo.default {shell_word(before.name)}",
        )
    return ()


# --- Find the remotes of the user's own repository -------------------------------------------------------------------


def located_remotes(git: Git, settings: Settings) -> Iterator[tuple[str, RemoteURL]]:
    """Yield (name, URL with ssh's aliases resolved) of the remotes of `git`'s repository, without invalid ones."""
    for name in settings.subsections("remote"):
        try:
            remote = resolve_remote(git, settings, name)
        except InvalidRemoteURL:
            continue
        if remote is not None:
            yield name, remote
