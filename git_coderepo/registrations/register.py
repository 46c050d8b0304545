"""Registering: what the user means, whether it works, and what is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from git_coderepo.checkout.layout import checkout_directory, read_layout, start_layout
from git_coderepo.checkout.team import team_settings
from git_coderepo.credential import Secret
from git_coderepo.errors import (
    CodeRepoError,
    CredentialMissing,
    KeyringUnavailable,
    RegistrationError,
    RepositoryMissing,
)
from git_coderepo.git import Git
from git_coderepo.platforms import recognise
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.platforms.git_transport import check_access
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.registrations import edit
from git_coderepo.registrations.build import build, class_of, credential_home
from git_coderepo.registrations.config import Registration, inferred
from git_coderepo.registrations.config import registration as registration_of
from git_coderepo.registrations.credentials import keyring
from git_coderepo.registrations.credentials.users import users_chain
from git_coderepo.registrations.describe import credential_source
from git_coderepo.registrations.inference import likely_remote
from git_coderepo.registrations.options import parse_options
from git_coderepo.settings import Settings
from git_coderepo.trace import trace
from git_coderepo.urls import RemoteURL, remotes_of


class Registering(NamedTuple):
    """What was asked for; `pairs` are the platform's options as they were written."""

    name: str | None = None
    type: str | None = None
    remote: str | None = None
    source: str | None = None
    description: str | None = None
    logo_url: str | None = None
    pairs: Sequence[tuple[str, str]] = ()
    verify: bool = True


class Registered(NamedTuple):
    """What was done: the lines written, how it was checked (`api`, `git`, None: not), where a token is kept.

    `credential` says in words which source's credential worked; `hints` are what a runner will need.
    """

    registration: Registration
    remote: RemoteURL | None
    lines: list[tuple[str, str]]
    checked: str | None
    credential: str | None = None
    kept_at: str | None = None
    hints: tuple[str, ...] = ()


def register_repository(git: Git, wanted: Registering, *, standard_input: Callable[[], bytes]) -> Registered:
    """Register a code repository in the checkout that `git` stands in.

    Raises RegistrationError, UnknownOption, UsageError, CredentialError, PlatformError; then nothing was written.
    """
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    settings = team_settings(git, layout, Settings.read(git), trace)
    remotes = remotes_of(git, settings)
    remote_name = _remote_name(wanted, remotes, settings, git)
    remote = remotes.get(remote_name) if remote_name is not None else None
    type = _type(wanted, remote_name, remote, settings)
    name = wanted.name or remote_name
    if name is None:
        raise RegistrationError("a code repository without a remote needs a name", hints=["git coderepo register NAME"])
    edit.check_name(name)
    edit.refuse_taken(git, name)
    directory = checkout_directory(git) if wanted.source is not None else None
    platform = class_of(type, wanted.source, directory)
    values = parse_options(platform, wanted.pairs, standard_input=standard_input)
    secrets = {key: value for key, value in values.items() if isinstance(value, Secret)}
    registration = Registration(
        name,
        type,
        remote=remote_name,
        source=wanted.source,
        options={key: value for key, value in values.items() if isinstance(value, str)},
        description=wanted.description,
        logo_url=wanted.logo_url,
    )
    chain = users_chain(settings, git, interactive=False)
    repository = build(registration, remote, chain, secrets=secrets, settings=settings, directory=directory)
    checked, credential, hints = check(repository, git) if wanted.verify else (None, None, ())
    kept_at = keep_secrets(git, repository, secrets)
    lines = edit.add(git, registration)
    return Registered(registration, remote, lines, checked, credential, kept_at, hints)


class Updating(NamedTuple):
    """What is to change; None and empty leave things as they are."""

    new_name: str | None = None
    remote: str | None = None
    source: str | None = None
    description: str | None = None
    logo_url: str | None = None
    pairs: Sequence[tuple[str, str]] = ()
    unset: Sequence[str] = ()
    verify: bool = True


def update_repository(git: Git, name: str, wanted: Updating, *, standard_input: Callable[[], bytes]) -> Registered:
    """Change a registration; raises as `register_repository`, and then nothing was changed."""
    settings = Settings.read(git)
    known = registration_of(settings, name)
    remotes = remotes_of(git, settings)
    if wanted.remote is not None and wanted.remote not in remotes:
        raise RegistrationError(f"no git remote '{wanted.remote}'", hints=["git remote -v"])
    source = wanted.source or known.source
    directory = checkout_directory(git) if source is not None else None
    platform = class_of(known.type, source, directory)
    values = parse_options(platform, wanted.pairs, standard_input=standard_input, partial=True)
    secrets = {key: value for key, value in values.items() if isinstance(value, Secret)}
    plain = {key: value for key, value in values.items() if isinstance(value, str)}
    kept = {key: value for key, value in known.options.items() if key not in wanted.unset}
    after = Registration(
        wanted.new_name or name,
        known.type,
        remote=wanted.remote or (None if "remote" in wanted.unset else known.remote),
        source=source,
        options={**kept, **plain},
    )
    remote = remotes.get(after.remote) if after.remote is not None else None
    chain = users_chain(settings, git, interactive=False)
    repository = build(after, remote, chain, secrets=secrets, settings=settings, directory=directory)
    checked, credential, hints = check(repository, git) if wanted.verify else (None, None, ())
    kept_at = keep_secrets(git, repository, secrets)
    now = edit.update(
        git,
        name,
        new_name=wanted.new_name,
        options=plain,
        unset=wanted.unset,
        remote=wanted.remote,
        source=wanted.source,
        description=wanted.description,
        logo_url=wanted.logo_url,
    )
    return Registered(now, remote, edit.lines_of(now), checked, credential, kept_at, hints)


def _remote_name(wanted: Registering, remotes: Mapping[str, RemoteURL], settings: Settings, git: Git) -> str | None:
    """The git remote that is meant; None where the options alone say where the code is."""
    if wanted.remote is not None:
        if wanted.remote not in remotes:
            known = ", ".join(remotes) or "none"
            raise RegistrationError(f"no git remote '{wanted.remote}'", hints=[f"git remote -v (here: {known})"])
        return wanted.remote
    branch = git.start("symbolic-ref", "--quiet", "--short", "HEAD").finish().stdout.decode(errors="replace").strip()
    upstream = settings.value("branch", "remote", branch) if branch else None
    likely = likely_remote(remotes, upstream)
    if likely is None and wanted.type is None and wanted.source is None:
        if remotes:
            raise RegistrationError(
                "several git remotes could be meant: " + ", ".join(remotes),
                hints=[f"git coderepo register --remote {name}" for name in remotes],
            )
        raise RegistrationError("this checkout has no git remote", hints=["git remote add origin URL"])
    return likely


def _type(wanted: Registering, name: str | None, remote: RemoteURL | None, settings: Settings) -> str:
    """The platform: as said, as the host tells, else as the host answers."""
    if wanted.type is not None:
        return wanted.type
    if wanted.source is not None:
        return "custom"
    assert name is not None and remote is not None
    guessed = inferred(name, remote, settings).type
    if guessed != "git" or not wanted.verify or remote.transport not in ("https", "ssh") or remote.host is None:
        return guessed
    origin = remote.origin()
    answered = recognise(str(origin) if remote.transport == "https" and origin is not None else remote.host)
    return answered.type if answered is not None else guessed


def check(repository: BaseCodeRepository, git: Git) -> tuple[str, str | None, tuple[str, ...]]:
    """(how it was asked: `api` or `git`, the credential's source, hints for a runner).

    Where there is no credential for the API, the user's own git transport is asked instead. Raises what the platform
    answers.
    """
    try:
        repository.login()
    except (CredentialMissing, RepositoryMissing) as error:
        if not isinstance(repository, HostedRepository) or credential_source(repository) is not None:
            raise
        try:
            check_access(repository, git)
        except CodeRepoError:
            raise error from None
        home = credential_home(repository)
        where = home[0] if home is not None else repository.site.url
        return (
            "git",
            None,
            (
                f"a runner needs a token for {where}: {repository.scopes}",
                f"a token is made at {repository.token_page()}",
            ),
        )
    finally:
        repository.close()
    return "api" if isinstance(repository, HostedRepository) else "access", credential_source(repository), ()


def keep_secrets(git: Git, repository: BaseCodeRepository, secrets: Mapping[str, Secret]) -> str | None:
    """Keep a token in the keyring, under the origin it belongs to; gives that, None where there was no token.

    Raises KeyringUnavailable where no keyring keeps a secret encrypted, RegistrationError for a secret that is not
    a token: those have names of their own.
    """
    for name, secret in secrets.items():
        home = credential_home(repository)
        if name != "token" or home is None:
            raise RegistrationError(
                f"the secret option '{name}' is kept under a name of its own",
                hints=[f"git coderepo secret set NAME --{name}=-", f"then give --{name}='{{{{NAME.{name}}}}}'"],
            )
        origin, prefix = home
        try:
            keyring.login(git, origin, secret, prefix=prefix)
        except KeyringUnavailable as error:
            error.hints = (*error.hints, "or register without the token, and give it by one of these")
            raise
        return f"{origin}{prefix}"
    return None
