"""From a registration, which is the user's own word, to the platform's object; see `recorded` for a manifest's."""

from __future__ import annotations

from git_coderepo.credentials.secret import NoCredentials, Secret
from git_coderepo.errors import CodeRepoError, RegistrationError
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.platforms.registry import platform_class
from git_coderepo.registration.config import Registration
from git_coderepo.registration.infer import host_rules, other_platform, platform_title
from git_coderepo.registration.options import is_hidden, is_secret, with_defaults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from git_coderepo.credentials.secret import CredentialSource
    from git_coderepo.git.url.remote import Origin
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.registration.infer import HostRule
    from git_coderepo.settings import Settings


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
    recorded: Container[str] = (),
) -> BaseCodeRepository:
    """The platform of a registration, with its remote, its credentials, and what `settings` say of waiting.

    `secrets` are the values of secret options as they were just given, by Python name; those that the registration
    names by reference are read when they are needed, and not at all with NoCredentials. A custom class gets all its
    secrets at once, those that are neither given nor named from the credentials; see `custom_secrets`. `directory` is
    where a custom class may lie that is not installed: the checkout, never on a runner. `recorded` are the options
    whose value only a manifest gives. Raises RegistrationError,
    SourceNotAllowed, and for a custom class with secret options CredentialError.
    """
    platform = class_of(registration.type, registration.source, directory)
    rules, environment = (host_rules(settings), settings.environment) if settings is not None else ([], {})
    if remote is not None and (other := other_platform(platform, registration.type, remote, rules, environment)):
        # Neither a request nor a token of this platform goes to the other one's host: the options alone say where the
        # code is, on the platform's default host unless they name one.
        _require_path(registration, platform, remote, other)
        remote = None
    given: dict[str, Secret | str] = {**registration.options, **(secrets or {})}
    public = {
        name: value for name, value in given.items() if isinstance(value, str) and not is_hidden(platform, name, value)
    }
    hidden = {name: value for name, value in given.items() if name not in public}
    if registration.source is None or isinstance(credentials, NoCredentials):
        repository = _made(platform, registration, public, {})
    else:
        from git_coderepo.registration.custom_secrets import filled

        known = {name: _reader(value, settings)() for name, value in hidden.items()}
        secrets = filled(platform, with_defaults(platform, public), known, remote, credentials, recorded)
        repository = _made(platform, registration, public, secrets)
    repository.remote = remote
    repository.credentials = credentials
    if settings is not None:
        repository.max_wait = settings.seconds("maxWait", repository.max_wait)
    if registration.source is None and isinstance(repository, HostedRepository):
        _refuse_other_platforms(repository, registration, rules, environment)
    if "token" in hidden and not isinstance(credentials, NoCredentials):
        repository.credentials = _with_token(repository, credentials, hidden["token"], settings)
        repository.has_own_token = True
    return repository


def _require_path(
    registration: Registration, platform: type[BaseCodeRepository], remote: RemoteURL, other: str
) -> None:
    """Raise RegistrationError unless the options name the repository, whose remote is on the host of `other`."""
    if all(registration.options.get(option.name) for option in platform.options[:2]):
        return
    flags = " and ".join(option.flag for option in platform.options[:2])
    raise RegistrationError(
        f"the remote of '{registration.name}' is on '{remote.host}', which is {platform_title(other)} and not "
        f"{platform_title(registration.type)}",
        hints=[f"give {flags} to git coderepo register or update, or name another remote: --remote REMOTE"],
    )


def _refuse_other_platforms(
    repository: HostedRepository, registration: Registration, rules: list[HostRule], environment: Mapping[str, str]
) -> None:
    """Raise RegistrationError where the options name a host that is known as another platform."""
    for origin in dict.fromkeys((repository.web_origin(), repository.api_origin())):
        if origin is None:
            continue
        path = repository.remote.path if repository.remote is not None else "/"
        place = RemoteURL(origin.scheme, None, origin.host, origin.port, path)
        other = other_platform(type(repository), registration.type, place, rules, environment)
        if other is not None:
            raise RegistrationError(
                f"'{registration.name}' is {platform_title(registration.type)}, and its host '{origin.host}' is "
                f"{platform_title(other)}",
                hints=[f"use --type={other}, or another --host"],
            )


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


def _reader(value: Secret | str, settings: Settings | None) -> Callable[[], Secret]:
    if isinstance(value, Secret):
        return lambda: value
    from git_coderepo.credentials.named_secrets import resolve

    return lambda: resolve(value, settings)


def _with_token(
    repository: BaseCodeRepository, credentials: CredentialSource, token: Secret | str, settings: Settings | None
) -> CredentialSource:
    """The credentials behind the token that belongs to this code repository alone."""
    home = credential_home(repository)
    if home is None:
        return credentials
    origin, _ = home
    source = "the option 'token'" if isinstance(token, Secret) else f"the secret {token}"
    secret = token if isinstance(token, Secret) else _reader(token, settings)
    # The path is not looked at: whoever asks holds the object of this one code repository.
    from git_coderepo.credentials.chain import Chain
    from git_coderepo.credentials.option import OptionCredentials

    link = OptionCredentials(origin, secret, source=source)
    return credentials.preceded_by(link) if isinstance(credentials, Chain) else Chain([link, credentials])


def credential_home(repository: BaseCodeRepository) -> tuple[Origin, str] | None:
    """(origin, path prefix) under which a token for this code repository is kept; None: it takes none.

    Of origins that share one credential by the platform's documents it is the one that people know: `github.com`.
    """
    if is_custom(repository):
        from git_coderepo.registration.custom_secrets import homes

        places = homes(public_options(repository), repository.remote)
        return places[0] if places else None
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


def is_custom(repository: BaseCodeRepository) -> bool:
    """Return whether a code repository is of a class that does not come with the program and asks for itself."""
    is_ours = type(repository).__module__.startswith("git_coderepo.platforms.")
    return not is_ours and not isinstance(repository, HostedRepository)


def public_options(repository: BaseCodeRepository) -> dict[str, str]:
    """Return the options of a code repository that are not secret, by Python name."""
    platform = type(repository)
    values = repository.option_values
    return {name: value for name, value in values.items() if not is_secret(platform, name)}
