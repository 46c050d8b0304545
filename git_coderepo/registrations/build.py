"""From a registration, or from what a manifest says of one, to the platform's object.

A registration is the user's own word. A manifest is untrusted on a runner: the protocol, a custom class, and the
hosts that git's helpers are asked about are then held to what the runner itself allows.
"""

from __future__ import annotations

from git_coderepo.credential import NoCredentials, Secret
from git_coderepo.errors import CodeRepoError, InvalidManifest, RegistrationError
from git_coderepo.platforms import CUSTOM, platform_class
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.registrations.config import Registration
from git_coderepo.registrations.credentials.chain import Chain
from git_coderepo.registrations.credentials.option import OptionCredentials
from git_coderepo.registrations.inference import host_rules, rule_for
from git_coderepo.registrations.options import is_secret, parse_reference, python_name, with_defaults
from git_coderepo.registrations.sources import check_source
from git_coderepo.trace import trace
from git_coderepo.urls import RemoteURL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from git_coderepo.credential import CredentialSource
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.settings import Settings
    from git_coderepo.urls import Origin

    class RecordedRemote(Protocol):
        """The remote's parts as a manifest has them."""

        @property
        def transport(self) -> str: ...
        @property
        def host(self) -> str | None: ...
        @property
        def port(self) -> int | None: ...
        @property
        def user(self) -> str | None: ...
        @property
        def path(self) -> str: ...

    class RecordedRepository(Protocol):
        """`repository` of a manifest."""

        @property
        def name(self) -> str: ...
        @property
        def type(self) -> str: ...
        @property
        def source(self) -> str | None: ...
        @property
        def remote(self) -> RecordedRemote | None: ...
        @property
        def options(self) -> Mapping[str, str]: ...


def class_of(type: str, source: str | None, directory: str | None = None) -> type[BaseCodeRepository]:
    """The class of a platform; a custom one is imported, from `directory` too.

    Raises RegistrationError, SourceNotAllowed.
    """
    if source is None:
        return platform_class(type)
    from git_coderepo.platforms.custom import load_class

    return load_class(source, directory=directory)


def build(
    registration: Registration,
    remote: RemoteURL | None,
    credentials: CredentialSource,
    *,
    secrets: Mapping[str, Secret] | None = None,
    settings: Settings | None = None,
    directory: str | None = None,
) -> BaseCodeRepository:
    """The platform of a registration, with its remote, its credentials, and what `settings` say of waiting.

    `secrets` are the values of secret options as they were just given, by Python name; those that the registration
    names by reference are read when they are needed, and not at all with NoCredentials. `directory` is where a custom
    class may lie that is not installed: the checkout, never on a runner. Raises RegistrationError,
    SourceNotAllowed, and for a custom class with secret options CredentialError.
    """
    platform = class_of(registration.type, registration.source, directory)
    given: dict[str, Secret | str] = {**registration.options, **(secrets or {})}
    public = {name: value for name, value in given.items() if isinstance(value, str) and not is_secret(platform, name)}
    hidden = {name: value for name, value in given.items() if name not in public}
    if registration.source is None or isinstance(credentials, NoCredentials):
        repository = _made(platform, registration, public, {})
    else:
        # A class of one's own has nobody but its constructor to take a secret.
        plain = {name: _reader(value)() for name, value in hidden.items()}
        repository = _made(platform, registration, public, plain)
    repository.remote = remote
    repository.credentials = credentials
    if settings is not None:
        repository.max_wait = settings.seconds("maxWait", repository.max_wait)
    if "token" in hidden and not isinstance(credentials, NoCredentials):
        repository.credentials = _with_token(repository, credentials, hidden["token"])
    return repository


def _made(
    platform: type[BaseCodeRepository],
    registration: Registration,
    public: Mapping[str, str],
    secrets: Mapping[str, Secret],
) -> BaseCodeRepository:
    revealed = {name: secret.reveal() for name, secret in secrets.items()}
    try:
        return platform(registration.name, with_defaults(platform, {**public, **revealed}))
    except CodeRepoError:
        raise
    except Exception as error:
        if registration.source is None:
            raise
        words = str(error)
        for text in revealed.values():
            words = words.replace(text, "****")
        message = f"'{registration.source}' does not take these options: {type(error).__name__}: {words}"
    raise RegistrationError(message)


def _reader(value: Secret | str) -> Callable[[], Secret]:
    if isinstance(value, Secret):
        return lambda: value
    from git_coderepo.registrations.secrets import resolve

    return lambda: resolve(value)


def _with_token(repository: BaseCodeRepository, credentials: CredentialSource, token: Secret | str) -> CredentialSource:
    """The credentials behind the token that belongs to this code repository alone."""
    home = credential_home(repository)
    if home is None:
        return credentials
    origin, _ = home
    source = "the option 'token'" if isinstance(token, Secret) else f"the secret {token}"
    secret = token if isinstance(token, Secret) else _reader(token)
    # The path is not looked at: whoever asks holds the object of this one code repository.
    link = OptionCredentials(origin, secret, source=source)
    return credentials.preceded_by(link) if isinstance(credentials, Chain) else Chain([link, credentials])


def credential_home(repository: BaseCodeRepository) -> tuple[Origin, str] | None:
    """(origin, path prefix) under which a token for this code repository is kept; None: it takes none.

    Of origins that share one credential by the platform's documents it is the one that people know: `github.com`.
    """
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


def from_manifest(
    repository: RecordedRepository, credentials: CredentialSource, settings: Settings
) -> BaseCodeRepository:
    """The platform that a manifest names, for a runner that trusts nothing in it (safety rules 1 and 3).

    Options of the runner's own host rules stand above the manifest's. Raises InvalidManifest for a secret, a
    reference or an option that makes no sense, ProtocolNotAllowed, SourceNotAllowed, InvalidRemoteURL.
    """
    from git_coderepo.platforms.git_transport import allowed_protocols, check_transport
    from git_coderepo.platforms.http import check_protocol

    _refuse_references(repository)
    if repository.type == CUSTOM or repository.source is not None:
        check_source(repository.source, settings)
    platform = class_of(repository.type, repository.source)
    options: dict[str, str] = {}
    for key, value in repository.options.items():
        name = python_name(platform, key)
        if name is None:
            trace(f"the manifest has an option that '{repository.type}' does not know: passed over")
        elif is_secret(platform, name):
            raise InvalidManifest(f"the manifest holds the secret option '{key}'")
        else:
            options[name] = value
    allowed = allowed_protocols(settings.environment)
    remote = None
    if repository.remote is not None:
        parts = repository.remote
        remote = RemoteURL.from_parts(parts.transport, parts.host, parts.port, parts.user, parts.path)
        check_transport(remote, allowed)
    rules = host_rules(settings)
    rule = rule_for(rules, remote) if remote is not None else None
    if rule is not None and rule.type in (None, repository.type):
        options.update(rule.options)
    if url := options.get("url"):
        place = RemoteURL.parse(url)
        if place.has_secret:
            raise InvalidManifest("the manifest holds a URL with a password, a token or a query")
        check_transport(place, allowed)
    registration = Registration(
        repository.name, repository.type, source=repository.source, options=options, registered=False
    )
    home = remote.platform_host(platform.host_aliases) if remote is not None and remote.host is not None else None

    def is_named(origin: Origin) -> bool:
        """Whether the remote or the runner's own rules lead to this origin, and not an option of the manifest alone."""
        known = platform.credential_aliases.get(str(origin))
        named = [str(rule.origin) for rule in rules]
        if str(origin) in named or (known is not None and known in named):
            return True
        return (
            home is not None and origin.host == home and (origin.host in platform.hosts or helpers_know_hosts(settings))
        )

    confined = credentials.confined(is_named) if isinstance(credentials, Chain) else credentials
    try:
        built = build(registration, remote, confined, settings=settings)
        built.protocols = allowed
        api = built.api_origin()
    except RegistrationError as error:
        reason = f"the options that the manifest has for '{repository.type}' make no sense: {error.message}"
        raise RegistrationError(reason, hints=error.hints) from None
    if api is not None:
        check_protocol(api, settings.environment)
    return built


# Helpers that keep each credential under its host: asked for another one, they have nothing.
_BY_HOST = frozenset(
    ("store", "cache", "manager", "manager-core", "osxkeychain", "libsecret", "gnome-keyring", "wincred", "oauth")
)


def helpers_know_hosts(settings: Settings) -> bool:
    """Whether each of git's credential helpers that is set for all hosts keeps its credentials by host.

    A program of somebody's own may answer whoever asks: for a host that only a manifest names it is not asked.
    """
    helpers = settings.values("credential", "helper")
    while "" in helpers:
        helpers = helpers[helpers.index("") + 1 :]  # an empty one forgets those before it
    return all(text.split()[0].rpartition("/")[2].removeprefix("git-credential-") in _BY_HOST for text in helpers)


def _refuse_references(repository: RecordedRepository) -> None:
    """`{{…}}` would have the runner put a secret of its own where a manifest says."""
    remote = repository.remote
    texts = [repository.name, repository.type, repository.source, *repository.options, *repository.options.values()]
    if remote is not None:
        texts += [remote.transport, remote.host, remote.user, remote.path]
    if any("{{" in text or parse_reference(text) is not None for text in texts if text is not None):
        raise InvalidManifest("the manifest refers to a secret: '{{…}}' is for registrations only")
