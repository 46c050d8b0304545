"""Build the platform of a registration; `from_manifest` builds that of a manifest."""

from __future__ import annotations

from git_coderepo.credentials.secret import NoCredentials, Secret
from git_coderepo.errors import CodeRepoError, RegistrationError
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.custom import load_class
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.platforms.registry import platform_class
from git_coderepo.registration.config import Registration
from git_coderepo.registration.infer import host_rules, other_platform, platform_title
from git_coderepo.registration.options import is_hidden, with_defaults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from git_coderepo.credentials.secret import CredentialSource
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.registration.infer import HostRule
    from git_coderepo.settings import Settings


def class_of(type: str, source: str | None, directory: str | None = None) -> type[BaseCodeRepository]:
    """Return the class of a platform; a custom class is imported, also from `directory` if it is given.

    Raises RegistrationError, SourceNotAllowed.
    """
    if source is None:
        return platform_class(type)
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
    """Return the platform of a registration, with its remote, its credentials and `coderepo.maxWait`.

    `secrets` holds values of secret options that were just given, by Python name. Secrets that the registration names
    by reference are read when they are needed, and never with NoCredentials. A custom class receives all its secrets
    at once; see `secret_options`. `directory` may contain a custom class that is not installed: it is the checkout,
    and None on a runner. `recorded` are the names of options whose value only a manifest gives. Raises
    RegistrationError, SourceNotAllowed, and for a custom class with secret options CredentialError.
    """
    platform = class_of(registration.type, registration.source, directory)
    rules, environment = (host_rules(settings), settings.environment) if settings is not None else ([], {})
    if remote is not None and (other := other_platform(platform, registration.type, remote, rules, environment)):
        # No request and no token of this platform goes to the host of another one. Without the remote, the options
        # alone name the repository, on the platform's default host unless they name another.
        _require_path(registration, platform, remote, other)
        remote = None
    given: dict[str, Secret | str] = {**registration.options, **(secrets or {})}
    public = {
        name: value for name, value in given.items() if isinstance(value, str) and not is_hidden(platform, name, value)
    }
    hidden = {name: value for name, value in given.items() if name not in public}
    if isinstance(credentials, NoCredentials):
        hidden = {}
    values: Mapping[str, Secret] = {}
    if registration.source is not None and not isinstance(credentials, NoCredentials):
        # The hook's path, which has no credentials, loads none of their modules.
        from git_coderepo.registration.secret_options import CustomClass, secret_reader

        known = {name: secret_reader(value, settings)() for name, value in hidden.items()}
        custom = CustomClass(platform, with_defaults(platform, public), remote, recorded)
        values = custom.secrets(known, credentials)
    repository = _made(platform, registration, public, values)
    repository.remote = remote
    repository.credentials = credentials
    if settings is not None:
        repository.max_wait = settings.seconds("maxWait", repository.max_wait)
    if registration.source is None and isinstance(repository, HostedRepository):
        _refuse_other_platforms(repository, registration, rules, environment)
    if "token" in hidden:
        from git_coderepo.registration.secret_options import with_token

        repository.credentials = with_token(repository, credentials, hidden["token"], settings)
        repository.has_own_token = True
    return repository


def _require_path(
    registration: Registration, platform: type[BaseCodeRepository], remote: RemoteURL, other: str
) -> None:
    """Raise RegistrationError unless the options name the repository: the remote, on the host of `other`, does not."""
    if all(registration.options.get(option.name) for option in platform.options[:2]):
        return
    flags = " and ".join(option.flag for option in platform.options[:2])
    raise RegistrationError(
        f"the remote of '{registration.name}' is on '{remote.host}', which is {platform_title(other)} and not "
        f"{platform_title(registration.type)}",
        hints=[f"give {flags} to git coderepo register or update, or choose another remote: --remote REMOTE"],
    )


def _refuse_other_platforms(
    repository: HostedRepository, registration: Registration, rules: list[HostRule], environment: Mapping[str, str]
) -> None:
    """Raise RegistrationError if the options name a host that is known as another platform."""
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
        reason = str(error)
        for text in revealed.values():
            reason = reason.replace(text, "****")
        message = f"'{registration.source}' does not accept these options: {type(error).__name__}: {reason}"
    raise RegistrationError(message)
