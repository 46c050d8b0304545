"""The platform of the code repository in a manifest, built on a runner that does not trust the manifest.

The runner's own settings decide which protocols, custom classes and hosts a manifest may name.
"""

from __future__ import annotations

from git_coderepo.credentials.chain import Chain
from git_coderepo.credentials.secret import parse_reference
from git_coderepo.errors import InvalidManifest, RegistrationError
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.registry import CUSTOM
from git_coderepo.registration.config import Registration
from git_coderepo.registration.infer import host_rules, rule_for
from git_coderepo.registration.options import is_secret, python_name
from git_coderepo.registration.platform_object import Access, build, class_of
from git_coderepo.registration.trusted_classes import check_source
from git_coderepo.trace import trace
from git_coderepo.transport.git_remote import allowed_protocols, check_transport
from git_coderepo.transport.http import check_protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from git_coderepo.credentials.secret import CredentialSource
    from git_coderepo.git.url.remote import Origin
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.settings import Settings

    class RecordedRemote(Protocol):
        """The parts of a remote in a manifest."""

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
        """The field `repository` of a manifest."""

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


def from_manifest(
    repository: RecordedRepository,
    credentials: CredentialSource,
    settings: Settings,
    *,
    access: Access | None = None,
    trusts_api: bool | None = None,
) -> BaseCodeRepository:
    """Return the platform that an untrusted manifest names (rules 1 and 3 in docs/design/safety.md).

    `access` has the recipient of messages and the user's own remotes; `trusts_api` is that of a superproject on the
    same instance.

    Options of the runner's own host rules take precedence over the manifest's. Raises InvalidManifest for a secret or
    a reference to one, RegistrationError for invalid options, ProtocolNotAllowed, SourceNotAllowed, InvalidRemoteURL.
    """
    _refuse_references(repository)
    if repository.type == CUSTOM or repository.source is not None:
        check_source(repository.source, settings)
    platform = class_of(repository.type, repository.source)
    options: dict[str, str] = {}
    for key, value in repository.options.items():
        name = python_name(platform, key)
        if name is None:
            trace(f"an option of the manifest is ignored: '{repository.type}' does not know it")
        elif is_secret(platform, name):
            raise InvalidManifest(f"invalid manifest: it contains the secret option '{key}'")
        else:
            options[name] = value
    allowed = allowed_protocols(settings.environment)
    remote = None
    if repository.remote is not None:
        parts = repository.remote
        remote = RemoteURL.from_parts(parts.transport, parts.host, parts.port, parts.user, parts.path)
        check_transport(remote, allowed)
    defaults = {option.name: option.default for option in platform.options}
    recorded = {name for name, value in options.items() if value != defaults.get(name)}
    rules = host_rules(settings)
    rule = rule_for(rules, remote) if remote is not None else None
    if rule is not None and rule.type in (None, repository.type):
        options.update(rule.options)
        recorded.difference_update(rule.options)
    if url := options.get("url"):
        place = RemoteURL.parse(url)
        if place.has_secret:
            raise InvalidManifest("invalid manifest: it contains a URL with a password, a token or a query")
        check_transport(place, allowed)
    registration = Registration(
        repository.name, repository.type, source=repository.source, options=options, registered=False
    )
    home = remote.platform_host(platform.host_aliases) if remote is not None and remote.host is not None else None

    def is_named(origin: Origin) -> bool:
        """Return whether the remote or the runner's own rules name this origin, not only an option of the manifest."""
        known = platform.credential_aliases.get(str(origin))
        named = [str(rule.origin) for rule in rules]
        if str(origin) in named or (known is not None and known in named):
            return True
        return (
            home is not None and origin.host == home and (origin.host in platform.hosts or helpers_know_hosts(settings))
        )

    is_the_runners = (
        rule is not None
        and rule.type in (None, repository.type)
        and any(rule.options.get(name) for name in ("api_url", "instance_url"))
    )
    access = access or Access()
    allowed_access = Access(
        notify=access.notify,
        users_git=access.users_git,
        users_remotes=access.users_remotes,
        protocols=allowed,
        trusts_api=is_the_runners or trusts_api,
    )
    confined = credentials.confined(is_named) if isinstance(credentials, Chain) else credentials
    try:
        built = build(registration, remote, confined, settings=settings, recorded=recorded, access=allowed_access)
        api = built.api_origin()
    except RegistrationError as error:
        reason = f"invalid options for '{repository.type}' in the manifest: {error.message}"
        raise RegistrationError(reason, hints=error.hints) from None
    if api is not None:
        check_protocol(api, settings.environment)
    return built


# Helpers that store each credential under its host, and have none for any other host.
_BY_HOST = frozenset(
    ("store", "cache", "manager", "manager-core", "osxkeychain", "libsecret", "gnome-keyring", "wincred", "oauth")
)


def helpers_know_hosts(settings: Settings) -> bool:
    """Return whether each of git's credential helpers that is set for all hosts stores its credentials by host.

    Any other program may give the same token for every host: it is not asked about a host that only a manifest names.
    """
    helpers = settings.values("credential", "helper")
    while "" in helpers:
        helpers = helpers[helpers.index("") + 1 :]  # an empty value removes the helpers before it
    return all(text.split()[0].rpartition("/")[2].removeprefix("git-credential-") in _BY_HOST for text in helpers)


def _refuse_references(repository: RecordedRepository) -> None:
    """Refuse `{{…}}`, by which a manifest could have the runner insert a secret of its own. Raises InvalidManifest."""
    remote = repository.remote
    texts = [repository.name, repository.type, repository.source, *repository.options, *repository.options.values()]
    if remote is not None:
        texts += [remote.transport, remote.host, remote.user, remote.path]
    if any("{{" in text or parse_reference(text) is not None for text in texts if text is not None):
        raise InvalidManifest(
            "invalid manifest: it contains '{{…}}', a reference to a secret, which only a registration may contain"
        )
