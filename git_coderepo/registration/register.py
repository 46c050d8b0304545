"""Register and update code repositories: choose the remote, check the access, store secrets, write the section."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from git_coderepo.credentials import keyring
from git_coderepo.credentials.named_secrets import credentials_file_hints
from git_coderepo.credentials.secret import Secret
from git_coderepo.errors import (
    KeyringUnavailable,
    RegistrationError,
    UsageError,
)
from git_coderepo.git.process import Git, shell_word
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.ask_api_or_git import Asking
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.registration import write
from git_coderepo.registration.config import Registration, registrations
from git_coderepo.registration.config import registration as registration_of
from git_coderepo.registration.describe import credential_source
from git_coderepo.registration.options import parse_options
from git_coderepo.registration.platform_object import build, class_of, users_access
from git_coderepo.registration.remotes import (
    Surroundings,
    changed_choice,
    chosen_remote,
    remote_of_options,
)
from git_coderepo.registration.secret_options import credential_home, is_custom
from git_coderepo.registration.users_credentials import users_chain
from git_coderepo.settings import Settings


class Registering(NamedTuple):
    """A request to register; `pairs` are the platform's options as given, `no_remote` means without a git remote.

    `ask_type` asks the user for the platform of a host that does not answer; None without a terminal.
    """

    name: str | None = None
    type: str | None = None
    remote: str | None = None
    source: str | None = None
    description: str | None = None
    logo_url: str | None = None
    pairs: Sequence[tuple[str, str]] = ()
    verify: bool = True
    no_remote: bool = False
    ask_type: Callable[[str], str] | None = None


class Registered(NamedTuple):
    """The result of registering or updating.

    `lines` are the (key, value) lines written, and empty if the registration existed already. `checked` is `api`,
    `git`, `access` or None for no check. `place` is the location of the code, for people. `credential` names in words
    the source of the credential that worked, `kept_at` the place in the keyring of new secrets. `hints` name what a
    runner will need. `warnings` describe how the choice among the code repositories of this checkout changes.
    """

    registration: Registration
    place: str | None
    lines: list[tuple[str, str]]
    checked: str | None
    credential: str | None = None
    kept_at: str | None = None
    hints: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def register_repository(git: Git, wanted: Registering, *, standard_input: Callable[[], bytes]) -> Registered:
    """Register a code repository in the checkout of `git`'s directory.

    Raises RegistrationError, UnknownOption, UsageError, CredentialError, PlatformError; then nothing is written.
    """
    if wanted.remote is not None and wanted.no_remote:
        raise UsageError("--remote and --no-remote are mutually exclusive")
    here = Surroundings.read(git)._replace(ask_type=wanted.ask_type)
    choice = chosen_remote(
        here,
        type=wanted.type,
        source=wanted.source,
        pairs=wanted.pairs,
        remote=wanted.remote,
        no_remote=wanted.no_remote,
        verify=wanted.verify,
        standard_input=standard_input,
    )
    existing = here.registered_for(choice) if wanted.name is None else None
    if existing is not None:
        return _registered_already(git, here, wanted, existing)
    name = wanted.name if wanted.name is not None else choice.remote
    if name is None:
        raise RegistrationError(
            "a code repository without a remote requires a name", hints=["git coderepo register NAME"]
        )
    write.check_name(name)
    values = choice.values
    secrets = {key: value for key, value in values.items() if isinstance(value, Secret)}
    registration = Registration(
        name,
        choice.type,
        remote=choice.remote,
        source=wanted.source,
        options={key: value for key, value in values.items() if isinstance(value, str)},
        description=wanted.description,
        logo_url=wanted.logo_url,
    )
    known = next((each for each in registrations(here.settings) if each.name == name), None)
    if known is not None and _has_all(known, registration) and not secrets:
        return _checked_again(git, here, known, verify=wanted.verify)
    write.refuse_existing(git, name)
    before = here.choice()
    chain = users_chain(here.settings, git, interactive=False)
    remote = here.remote(choice.remote)
    directory = here.directory(wanted.source)
    access = users_access(git, choice.remote, remote)
    repository = build(
        registration, remote, chain, secrets=secrets, settings=here.settings, directory=directory, access=access
    )
    checked, credential, hints = check(repository) if wanted.verify else (None, None, ())
    place = place_shown(repository, remote)
    kept_at = keep_secrets(git, here.settings, repository, secrets)
    lines = write.add(git, registration)
    warnings = changed_choice(before, Surroundings.read(git), registration)
    return Registered(registration, place, lines, checked, credential, kept_at, hints, warnings)


def _registered_already(git: Git, here: Surroundings, wanted: Registering, existing: Registration) -> Registered:
    """Check the registration that the remote has already. Raises RegistrationError if the request differs from it."""
    if wanted.pairs or wanted.description is not None or wanted.logo_url is not None:
        raise RegistrationError(
            f"the remote '{existing.remote}' is already registered as '{existing.name}'",
            hints=[
                f"add the options to: git coderepo update {shell_word(existing.name)}",
                "git coderepo register NAME creates another registration of the remote",
            ],
        )
    return _checked_again(git, here, existing, verify=wanted.verify)


def _has_all(known: Registration, wanted: Registration) -> bool:
    """Return whether a registration already has everything that is to be registered."""
    return (
        (known.type, known.remote, known.source) == (wanted.type, wanted.remote, wanted.source)
        and known.options.items() >= wanted.options.items()
        and wanted.description in (None, known.description)
        and wanted.logo_url in (None, known.logo_url)
    )


def _checked_again(git: Git, here: Surroundings, existing: Registration, *, verify: bool) -> Registered:
    """Check the access to a registration that exists."""
    chain = users_chain(here.settings, git, interactive=False)
    remote = here.remote(existing.remote)
    access = users_access(git, existing.remote, remote)
    directory = here.directory(existing.source)
    repository = build(existing, remote, chain, settings=here.settings, directory=directory, access=access)
    checked, credential, hints = check(repository) if verify else (None, None, ())
    return Registered(existing, place_shown(repository, remote), [], checked, credential, None, hints)


class Updating(NamedTuple):
    """A request to update; None and empty values change nothing."""

    new_name: str | None = None
    remote: str | None = None
    source: str | None = None
    description: str | None = None
    logo_url: str | None = None
    pairs: Sequence[tuple[str, str]] = ()
    unset: Sequence[str] = ()
    verify: bool = True
    no_remote: bool = False


def update_repository(git: Git, name: str, wanted: Updating, *, standard_input: Callable[[], bytes]) -> Registered:
    """Change a registration. Raises what `register_repository` raises; then nothing is changed."""
    if wanted.remote is not None and wanted.no_remote:
        raise UsageError("--remote and --no-remote are mutually exclusive")
    here = Surroundings.read(git)
    known = registration_of(here.settings, name)
    if wanted.new_name is not None and wanted.new_name != name:
        write.check_name(wanted.new_name)
        write.refuse_existing(git, wanted.new_name)
    unset = [*wanted.unset, *(["remote"] if wanted.no_remote and "remote" not in wanted.unset else [])]
    source = wanted.source or known.source
    directory = here.directory(source)
    platform = class_of(known.type, source, directory)
    values = parse_options(platform, wanted.pairs, standard_input=standard_input, partial=True)
    secrets = {key: value for key, value in values.items() if isinstance(value, Secret)}
    plain = {key: value for key, value in values.items() if isinstance(value, str)}
    options = {key: value for key, value in known.options.items() if key not in unset} | plain
    moved = any(each.name in (*plain, *unset) for each in platform.options if not each.secret)
    if wanted.remote is not None:
        remote_name: str | None = here.named(wanted.remote)
    elif "remote" in unset:
        remote_name = None
    elif moved and source is None:
        # The changed options may name another remote, or none.
        remote_name = remote_of_options(here, platform, known.type, options, first=known.remote)
        if remote_name is None and known.remote is not None:
            unset.append("remote")
    else:
        remote_name = known.remote
    after = Registration(wanted.new_name or name, known.type, remote=remote_name, source=source, options=options)
    before = here.choice()
    chain = users_chain(here.settings, git, interactive=False)
    remote = here.remote(remote_name)
    access = users_access(git, remote_name, remote)
    repository = build(
        after, remote, chain, secrets=secrets, settings=here.settings, directory=directory, access=access
    )
    checked, credential, hints = check(repository) if wanted.verify else (None, None, ())
    place = place_shown(repository, remote)
    kept_at = keep_secrets(git, here.settings, repository, secrets)
    now = write.update(
        git,
        name,
        new_name=wanted.new_name,
        options=plain,
        unset=unset,
        remote=remote_name if remote_name != known.remote else None,
        source=wanted.source,
        description=wanted.description,
        logo_url=wanted.logo_url,
    )
    warnings = changed_choice(before, Surroundings.read(git), now)
    lines = write.lines_of(now)
    return Registered(now, place, lines, checked, credential, kept_at, hints, warnings)


def place_shown(repository: BaseCodeRepository, remote: RemoteURL | None) -> str | None:
    """Return the location of the code, for people: the page of a hosted repository, else the remote.

    Raises RegistrationError or InvalidRemoteURL for invalid options of a built-in platform.
    """
    if isinstance(repository, HostedRepository) and (remote is None or not repository.serves(remote)):
        return f"{repository.site.url}/{repository.path}"
    if not isinstance(repository, HostedRepository) and not is_custom(repository):
        return repository.git_url()
    return remote.url() if remote is not None else None


def check(repository: BaseCodeRepository) -> tuple[str, str | None, tuple[str, ...]]:
    """Check the access to a code repository; return (`api`, `git` or `access`, credential source, hints for a runner).

    If the API does not answer, the user's own git is asked instead. Raises the platform's error.
    """
    asking = Asking(repository)
    try:
        asking.login()
    finally:
        repository.close()
    if asking.by_git and isinstance(repository, HostedRepository):
        home = credential_home(repository)
        where = home[0] if home is not None else repository.site.url
        hints = (
            f"a runner needs a token for {where}: {repository.scopes}",
            f"create a token at {repository.token_page()}",
        )
        return "git", None, hints
    return "api" if isinstance(repository, HostedRepository) else "access", credential_source(repository), ()


def keep_secrets(
    git: Git, settings: Settings, repository: BaseCodeRepository, secrets: Mapping[str, Secret]
) -> str | None:
    """Store secrets in the keyring under their origin; return the origin and path, or None without secrets.

    Raises KeyringUnavailable if no keyring encrypts them, RegistrationError for a secret without a known origin, which
    has to be stored as a named secret instead.
    """
    if not secrets:
        return None
    home = credential_home(repository)
    custom = is_custom(repository)
    for name, secret in secrets.items():
        if home is None or (name != "token" and not custom):
            raise RegistrationError(
                f"cannot store the secret option '{name}': its origin is unknown",
                hints=[
                    f"git coderepo secret set NAME --{name}=-",
                    f"use --{name}='{{{{NAME.{name}}}}}' instead of the secret itself",
                ],
            )
        origin, prefix = home
        try:
            if custom:
                keyring.keep_option(git, origin, name, secret, prefix=prefix)
            else:
                keyring.login(git, origin, secret, prefix=prefix)
        except KeyringUnavailable as error:
            user = name if custom else repository.git_credential_user() or "git"
            place = f"{origin}{prefix.rstrip('/')}"
            hints = [
                f"omit --{name}, and add its value to the file that CODEREPO_CREDENTIALS_FILE names:",
                *credentials_file_hints(settings, f"{place} {user}"),
            ]
            raise KeyringUnavailable(error.message, hints=hints) from None
    return f"{home[0]}{home[1]}" if home is not None else None
