"""Build the platform of a registration; `from_manifest` builds that of a manifest."""

from __future__ import annotations

from git_coderepo.credentials.secret import NoCredentials, Secret
from git_coderepo.errors import CodeRepoError, RegistrationError
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.base import located
from git_coderepo.platforms.custom import load_class
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.platforms.registry import platform_class
from git_coderepo.registration.config import Registration
from git_coderepo.registration.infer import host_rules, other_platform, platform_title
from git_coderepo.registration.options import is_hidden, with_defaults
from git_coderepo.trace import silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from git_coderepo.credentials.secret import CredentialSource
    from git_coderepo.git.process import Git
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.registration.infer import HostRule
    from git_coderepo.settings import Settings
    from git_coderepo.transport.users_remote import UsersRemote


class Access:
    """By what a code repository is reached, besides its remote and its credentials.

    `notify` receives messages for people. `users_git` stands in the user's own repository and `users_remotes` are its
    remotes (name, URL with ssh's aliases resolved): the first one that leads to the code repository is used, too.
    `protocols` are those that git may use, None for what the user's own git allows. `trusts_api`: see
    `HostedRepository`; None if only an API at its usual place is trusted. With `only_credentials` a token of the
    registration is left out.
    """

    __slots__ = ("notify", "only_credentials", "protocols", "trusts_api", "users_git", "users_remotes")

    def __init__(
        self,
        *,
        notify: Callable[[str], None] = silent,
        users_git: Git | None = None,
        users_remotes: Iterable[tuple[str, RemoteURL]] = (),
        protocols: frozenset[str] | None = None,
        trusts_api: bool | None = True,
        only_credentials: bool = False,
    ) -> None:
        self.notify = notify
        self.users_git = users_git
        self.users_remotes = users_remotes
        self.protocols = protocols
        self.trusts_api = trusts_api
        self.only_credentials = only_credentials


def users_access(
    git: Git, name: str | None, remote: RemoteURL | None, *, notify: Callable[[str], None] = silent
) -> Access:
    """Return access through the remote `name` of the repository that `git` stands in, if it leads to the code.

    `remote` is its URL with ssh's aliases resolved.
    """
    remotes = ((name, remote),) if name is not None and remote is not None else ()
    return Access(notify=notify, users_git=git, users_remotes=remotes)


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
    access: Access | None = None,
) -> BaseCodeRepository:
    """Return the platform of a registration, with its remote, its credentials and `coderepo.maxWait`.

    `secrets` holds values of secret options that were just given, by Python name. Secrets that the registration names
    by reference are read when they are needed, and never with NoCredentials. A custom class receives all its secrets
    at once; see `secret_options`. `directory` may contain a custom class that is not installed: it is the checkout,
    and None on a runner. `recorded` are the names of options whose value only a manifest gives. Raises
    RegistrationError, SourceNotAllowed, and for a custom class with secret options CredentialError.
    """
    access = access or Access()
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
    repository = _made(platform, registration, public, values, remote)
    repository.notify = access.notify
    repository.protocols = access.protocols
    repository.credentials = credentials
    if settings is not None:
        repository.max_wait = settings.seconds("maxWait", repository.max_wait)
    if registration.source is None and isinstance(repository, HostedRepository):
        _refuse_other_platforms(repository, registration, rules, environment)
    if "token" in hidden and not access.only_credentials:
        from git_coderepo.registration.secret_options import with_token

        repository.credentials = with_token(repository, credentials, hidden["token"], settings)
        repository.has_own_token = True
    if isinstance(repository, HostedRepository):
        repository.trusts_api = repository.has_usual_api() if access.trusts_api is None else access.trusts_api
    if access.users_git is not None:
        repository.users_remote = _users_remote(repository, access.users_git, access.users_remotes)
    return repository


def _users_remote(
    repository: BaseCodeRepository, git: Git, remotes: Iterable[tuple[str, RemoteURL]]
) -> UsersRemote | None:
    """Return the first of the remotes that leads to the code repository and has a URL that git takes."""
    # The hook's path, which has no credentials, loads none of their modules.
    from git_coderepo.credentials.chain import Chain
    from git_coderepo.transport.users_remote import users_remote

    for name, remote in remotes:
        if not _serves(repository, remote):
            continue
        known = repository.credentials
        others = known.without_git() if isinstance(known, Chain) else known
        found = users_remote(git, name, others, lambda url: _serves(repository, url))
        if found is not None:
            return found
    return None


def _serves(repository: BaseCodeRepository, remote: RemoteURL) -> bool:
    """Return whether a remote, with ssh's aliases resolved, is this code repository."""
    from git_coderepo.platforms.git import GitRemote  # the hook loads the platform of its checkout alone

    if isinstance(repository, HostedRepository | GitRemote):
        return repository.serves(remote)
    url = repository.git_url()
    return url is not None and RemoteURL.parse(url).same_place(remote, fold_path=True)


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
        hints=[f"add {flags} to git coderepo register or update, or choose another remote: --remote REMOTE"],
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
    remote: RemoteURL | None,
) -> BaseCodeRepository:
    revealed = {name: secret.reveal() for name, secret in secrets.items()}
    try:
        return located(platform, registration.name, with_defaults(platform, {**public, **revealed}), remote)
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
