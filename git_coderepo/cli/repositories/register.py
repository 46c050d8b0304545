"""`git coderepo register`: tie the checkout's remote to a platform."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.errors import UsageError
from git_coderepo.platforms.registry import CUSTOM, platform_class, platform_types
from git_coderepo.registration.options import is_on_command_line

if TYPE_CHECKING:
    from git_coderepo.registration.register import Registered

PLATFORM_OPTIONS = {"ignore_unknown_options": True, "allow_extra_args": True}

Type = Annotated[str | None, typer.Option("--type", metavar="TYPE", help=f"One of: {', '.join(platform_types())}.")]
Remote = Annotated[str | None, typer.Option("--remote", metavar="REMOTE", help="The name of its git remote.")]
NoRemote = Annotated[
    bool, typer.Option("--no-remote", help="Use no git remote: the options alone say where the code is.")
]
Source = Annotated[
    str | None, typer.Option("--source", metavar="MODULE.CLASS", help="The class of a custom code repository.")
]
Description = Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is, in a few words.")]
LogoURL = Annotated[
    str | None, typer.Option("--logo-url", "--logo_url", metavar="URL", help="The URL of a picture of it.")
]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not ask the platform first.")]


class PlatformVerb(Verb):
    """A verb that also takes the options of a platform; its help lists them for each."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        for type in platform_types():
            if type == CUSTOM:
                formatter.write_paragraph()
                formatter.write_text(f"Options of '{type}': whatever the class takes.")
                continue
            with formatter.section(f"Options of '{type}'"):
                formatter.write_dl([(f"{each.flag} VALUE", each.help) for each in platform_class(type).options])


@app.command(cls=PlatformVerb, context_settings=PLATFORM_OPTIONS)
def register(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The name of the code repository; else the remote's.")
    ] = None,
    type: Type = None,
    remote: Remote = None,
    no_remote: NoRemote = False,
    source: Source = None,
    description: Description = None,
    logo_url: LogoURL = None,
    no_verify: NoVerify = False,
) -> None:
    """Tie this checkout to the platform that serves its code.

    Without options: the checkout's remote, the platform of its host, and a credential that is already there. The
    platform is asked whether the credential works and the repository exists, and what was done is said.
    """
    from git_coderepo.git.process import Git, check_version
    from git_coderepo.registration.register import Registering, register_repository

    name, pairs = name_and_pairs(name, context.args)
    warn_of_plain_secrets(pairs)
    git = Git()
    check_version(git)
    done = register_repository(
        git,
        Registering(
            name=name,
            type=type,
            remote=remote,
            source=source,
            description=description,
            logo_url=logo_url,
            pairs=pairs,
            verify=not no_verify,
            no_remote=no_remote,
        ),
        standard_input=sys.stdin.buffer.read,
    )
    place = f" at {done.place}" if done.place is not None else ""
    word = "registered" if done.lines else "already registered:"
    output.line(f"{word} '{done.registration.name}': {done.registration.type}{place}")
    show(done)


def show(done: Registered) -> None:
    """What was written down, how the platform was asked and with which credential, and what a runner will need."""
    for key, value in done.lines:
        output.line(f"  coderepo.{done.registration.name}.{key} = {value}")
    if done.checked is None:
        output.line("  not verified")
    elif done.checked == "git":
        output.line("  verified through git's own transport; the platform's API was not asked")
    else:
        source = f", with {done.credential}" if done.credential is not None else ""
        output.line(f"  verified: the repository exists{source}")
    if done.kept_at is not None:
        output.line(f"  the token is in the keyring, for {done.kept_at}")
    if done.warnings:
        output.warn(done.warnings[0])
    for text in (*done.warnings[1:], *done.hints):
        output.hint(text)


def name_and_pairs(first: str | None, rest: Iterable[str]) -> tuple[str | None, list[tuple[str, str]]]:
    """The NAME and the (name, value) of each option that the verb itself does not know, from the words as they stood.

    `--name=value` and `--name value` are one. What the parser took for NAME may be such an option: it knows none of
    them. Raises UsageError.
    """
    name: str | None = None
    pairs = []
    words = iter([*([first] if first is not None else []), *rest])
    for word in words:
        if not word.startswith("-") or word == "-":
            if name is not None:
                raise UsageError(
                    f"unexpected argument '{word}'", hints=["write the options of a platform as --NAME=VALUE"]
                )
            name = word
            continue
        option, equals, value = word.lstrip("-").partition("=")
        if not equals:
            following = next(words, None)
            if following is None or following.startswith("--"):
                raise UsageError(f"option '{word}' needs a value", hints=[f"{word}=VALUE"])
            value = following
        pairs.append((option, value))
    return name, pairs


def warn_of_plain_secrets(pairs: Iterable[tuple[str, str]]) -> None:
    """A secret on the command line stands in the process list and in the shell's history."""
    for name, value in pairs:
        if name.replace("_", "-") == "token" and is_on_command_line(value):
            output.warn("a token on the command line is seen by every process; --token @FILE or --token - is not")
