"""`git coderepo register`: register where the code of a checkout is hosted."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json, Quiet
from git_coderepo.errors import CredentialError, RepositoryMissing, UsageError
from git_coderepo.platforms.registry import CUSTOM, platform_class, platform_types
from git_coderepo.registration.options import is_on_command_line

if TYPE_CHECKING:
    from git_coderepo.errors import CodeRepoError
    from git_coderepo.registration.register import Registered

PLATFORM_OPTIONS = {"ignore_unknown_options": True, "allow_extra_args": True}

Type = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help=f"The platform. One of: {', '.join(platform_types())}.")
]
Remote = Annotated[
    str | None, typer.Option("--remote", metavar="REMOTE", help="The git remote of the code repository.")
]
NoRemote = Annotated[
    bool, typer.Option("--no-remote", help="Do not use a git remote; locate the code from the other options.")
]
Source = Annotated[
    str | None, typer.Option("--source", metavar="MODULE.CLASS", help="The class of a custom code repository.")
]
Description = Annotated[str | None, typer.Option("--description", metavar="TEXT", help="A short description.")]
LogoURL = Annotated[str | None, typer.Option("--logo-url", "--logo_url", metavar="URL", help="The URL of a logo.")]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not check the repository and the credential.")]


class PlatformVerb(Verb):
    """A verb that also takes the options of the platforms, and lists them in its help."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        for type in platform_types():
            if type == CUSTOM:
                formatter.write_paragraph()
                formatter.write_text(f"Options of '{type}': those that the class declares.")
                continue
            with formatter.section(f"Options of '{type}'"):
                formatter.write_dl([(f"{each.flag} VALUE", each.help) for each in platform_class(type).options])


@app.command(cls=PlatformVerb, context_settings=PLATFORM_OPTIONS)
def register(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A name for the code repository (default: the remote's).")
    ] = None,
    type: Type = None,
    remote: Remote = None,
    no_remote: NoRemote = False,
    source: Source = None,
    description: Description = None,
    logo_url: LogoURL = None,
    no_verify: NoVerify = False,
    quiet: Quiet = False,
    as_json: Json = None,
) -> None:
    """Register where the code of this checkout is hosted.

    Without options, use the checkout's remote, the platform of its host and a credential that you already have. Check
    that the credential works and that the repository exists, and print what was added to the configuration. On a
    terminal, ask for what is still unknown: the platform of a host that does not answer, and a token if none works.
    """
    from git_coderepo.git.process import Git, check_version
    from git_coderepo.registration.register import Registering, register_repository

    name, pairs = name_and_pairs(name, context.args)
    warn_of_plain_secrets(pairs)
    git = Git()
    check_version(git)
    has_options = any((type, source, no_remote, pairs))
    wanted = Registering(
        name=name,
        type=type,
        remote=remote,
        source=source,
        description=description,
        logo_url=logo_url,
        pairs=pairs,
        verify=not no_verify,
        no_remote=no_remote,
        ask_type=_ask_type if output.has_terminal() and not has_options else None,
    )
    try:
        done = register_repository(git, wanted, standard_input=sys.stdin.buffer.read)
    except (CredentialError, RepositoryMissing) as error:
        token = None if wanted.ask_type is None else _ask_token(error)
        if token is None:
            raise
        again = wanted._replace(pairs=[("token", token)])
        done = register_repository(git, again, standard_input=sys.stdin.buffer.read)
    if as_json:
        print_json(registered_document(done), as_json)
        return
    place = f" at {done.place}" if done.place is not None else ""
    word = "registered" if done.lines else "already registered:"
    if not quiet:
        output.line(f"{word} '{done.registration.name}': {done.registration.type}{place}")
    show(done, quiet=quiet)
    if done.lines and not quiet:
        output.line("to record a run: git coderepo run -- COMMAND")


def _ask_type(host: str) -> str:
    """Ask for the platform of a host that did not say what it is."""
    types = [each for each in platform_types() if each != CUSTOM]
    while True:
        answer = output.ask_text(f"which platform is {host}? One of: {', '.join(types)} [git]").lower() or "git"
        if answer in types:
            return answer
        output.say(f"'{answer}' is not a type of code repository")


def _ask_token(error: CodeRepoError) -> str | None:
    """Say what is wrong and where to create a token, and ask for it; None if that would not help, or without answer."""
    if not any("create a token" in hint for hint in error.hints):
        return None
    import getpass

    output.say(error.message)
    for text in error.hints:
        output.hint(text)
    try:
        token = getpass.getpass("token (it is saved in the keyring; empty to give up): ").strip()
    except EOFError:  # ^D
        token = ""
    if not token:
        return None
    return f"@{token}" if token.startswith("@") else token  # a single @ would name a file


def registered_document(done: Registered) -> dict[str, object]:
    """Return what was registered as JSON values."""
    return {
        "name": done.registration.name,
        "type": done.registration.type,
        "place": done.place,
        "settings": dict(done.lines),
        "verified": done.checked,
        "credential": done.credential,
        "tokenSavedFor": done.kept_at,
        "warnings": [*done.warnings, *done.hints],
    }


def show(done: Registered, *, quiet: bool = False) -> None:
    """Print the new settings, how the repository was verified, and what a runner will need."""
    for text in () if quiet else _lines(done):
        output.line(f"  {text}")
    if done.warnings:
        output.warn(done.warnings[0])
    for text in (*done.warnings[1:], *done.hints):
        output.hint(text)


def _lines(done: Registered) -> Iterator[str]:
    for key, value in done.lines:
        yield f"coderepo.{done.registration.name}.{key} = {value}"
    if done.checked is None:
        yield "not verified"
    elif done.checked == "git":
        yield "verified with git; the platform's API was not used"
    else:
        source = f", using {done.credential}" if done.credential is not None else ""
        yield f"verified: the repository exists{source}"
    if done.kept_at is not None:
        yield f"saved the token for {done.kept_at} in the keyring"


def name_and_pairs(first: str | None, rest: Iterable[str]) -> tuple[str | None, list[tuple[str, str]]]:
    """Return NAME and a (name, value) pair for each platform option on the command line.

    `first` is what the parser took for NAME, which can be a platform option; `rest` are the words after it.
    `--name=value` and `--name value` are equivalent. Raises UsageError.
    """
    name: str | None = None
    pairs = []
    words = iter([*([first] if first is not None else []), *rest])
    for word in words:
        if not word.startswith("-") or word == "-":
            if name is not None:
                raise UsageError(f"unexpected argument '{word}'", hints=["write platform options as --NAME=VALUE"])
            name = word
            continue
        option, equals, value = word.lstrip("-").partition("=")
        if not equals:
            following = next(words, None)
            if following is None or following.startswith("--"):
                raise UsageError(f"option '{word}' requires a value", hints=[f"{word}=VALUE"])
            value = following
        pairs.append((option, value))
    return name, pairs


def warn_of_plain_secrets(pairs: Iterable[tuple[str, str]]) -> None:
    """Warn of a token on the command line, which the process list and the shell's history show."""
    for name, value in pairs:
        if name.replace("_", "-") == "token" and is_on_command_line(value):
            output.warn("a token on the command line is visible to every process; use --token @FILE or --token -")
