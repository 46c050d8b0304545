"""`git coderepo login` and `logout`: save a token in the keyring, and remove it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.cli.repositories.register import warn_of_plain_secrets
from git_coderepo.errors import KeyringUnavailable, NegativeAnswer, RegistrationError, UsageError

if TYPE_CHECKING:
    from git_coderepo.credentials.secret import Secret
    from git_coderepo.git.process import Git
    from git_coderepo.git.url.remote import Origin
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.registration.resolve import CodeSource

Host = Annotated[
    str | None,
    typer.Option("--host", metavar="HOST", help="A host instead of NAME: HOST or https://HOST[:PORT][/PREFIX]."),
]
Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A code repository (default: the one that a run would use).")
]


@app.command(cls=Verb)
def login(
    name: Name = None,
    host: Host = None,
    token: Annotated[
        str | None, typer.Option("--token", metavar="@FILE|-|T", help="The token (default: prompt for it).")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="The user name for the token.")] = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Save the token without checking it.")] = False,
    as_json: Json = None,
) -> None:
    """Save a token in the keyring.

    The token is for one code repository, and is checked there before it is saved. With --host it is for a whole host
    and is saved without a check.
    """
    from git_coderepo.credentials import keyring
    from git_coderepo.credentials.named_secrets import credentials_file_hints
    from git_coderepo.credentials.secret import log_in_hint
    from git_coderepo.git.process import Git
    from git_coderepo.registration.users_credentials import users_chain
    from git_coderepo.settings import Settings

    git = Git()
    if token is not None:
        warn_of_plain_secrets([("token", token)])
    place = _place(git, name, host)
    secret = _secret(token, place.origin)
    if place.source is not None and not no_verify:
        tried = _with_token(place.source, place.origin, secret)
        tried.login()
        tried.close()
    settings = Settings.read(git)
    try:
        keyring.login(git, place.origin, secret, prefix=place.prefix, user=user)
    except KeyringUnavailable as error:
        file = token[1:] if token is not None and token.startswith("@") and not token.startswith("@@") else None
        entry = f"{place} {user or 'git'}"
        raise KeyringUnavailable(error.message, hints=credentials_file_hints(settings, entry, file)) from None
    if as_json:
        tried_first = place.source is not None and not no_verify
        stored = {"storedIn": "keyring", "user": user, "verified": tried_first}
        print_json({**place.document(), **stored}, as_json)
    else:
        output.line(f"saved the token for {place} in the keyring")
    first = users_chain(settings, git).find(place.origin, place.prefix)
    if first is not None and first.secret != secret:
        output.warn(f"the token from {first.source} takes precedence: {log_in_hint(None, place.origin, first)}")


@app.command(cls=Verb)
def logout(name: Name = None, host: Host = None, as_json: Json = None) -> None:
    """Remove a token from the keyring."""
    from git_coderepo.credentials import keyring
    from git_coderepo.git.process import Git

    git = Git()
    place = _place(git, name, host)
    if keyring.logout(git, place.origin, prefix=place.prefix):
        if as_json:
            print_json({**place.document(), "removedFrom": "keyring"}, as_json)
        else:
            output.line(f"removed the token for {place} from the keyring")
        return
    known = ", ".join(str(each) for each in keyring.logins(git))
    hints = [f"choose one of: {known}"] if known else []
    raise NegativeAnswer(f"no token for {place} in the keyring", hints=hints)


class _Place(NamedTuple):
    """The origin and path prefix of a token; `source` is None for a whole host, where no token can be tried."""

    origin: Origin
    prefix: str
    source: CodeSource | None

    def document(self) -> dict[str, object]:
        return {"origin": str(self.origin), "prefix": self.prefix}

    def __str__(self) -> str:
        return f"{self.origin}{self.prefix.rstrip('/')}"


def _place(git: Git, name: str | None, host: str | None) -> _Place:
    from git_coderepo.git.url.remote import place_of
    from git_coderepo.registration.resolve import source_here
    from git_coderepo.registration.secret_options import credential_home

    if host is not None:
        if name is not None:
            raise UsageError("NAME and --host are mutually exclusive")
        return _Place(*place_of(host if "://" in host else f"https://{host}"), None)
    source = source_here(git, name)
    repository = source.described()
    home = credential_home(repository)
    if home is None:
        raise RegistrationError(f"the code repository '{repository.name}' needs no token")
    return _Place(*home, source)


def _with_token(source: CodeSource, origin: Origin, secret: Secret) -> BaseCodeRepository:
    """Return the code repository with the token that was just given, and no other credential for its origin."""
    from git_coderepo.credentials.sources import OptionCredentials
    from git_coderepo.registration.secret_options import CustomClass

    if source.registration.source is not None:
        names = CustomClass(source.platform_class, {}, None).secret_names
        return source.with_secrets(dict.fromkeys(names[:1], secret))
    return source.with_credentials(OptionCredentials(origin, secret, source="the token just given"))


def _secret(token: str | None, origin: Origin) -> Secret:
    from git_coderepo.credentials.secret import Secret
    from git_coderepo.registration.options import read_value

    if token is not None:
        return Secret.read(read_value(token, what="'--token'", standard_input=sys.stdin.buffer.read), what="'--token'")
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot prompt for a token: standard input is not a terminal",
            hints=["use --token @FILE, or --token - to read the token from standard input"],
        )
    import getpass

    return Secret(getpass.getpass(f"token for {origin}: "))
