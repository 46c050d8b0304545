"""The command line as data, from which the completion scripts and the manual page are generated."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from git_coderepo.cli.app import commands, program
from git_coderepo.cli.repositories.register import PlatformVerb
from git_coderepo.cli.table import VERBS


class Parameter(NamedTuple):
    """An option (with `flags`) or an argument (without); `metavar` is None for an option without a value."""

    flags: tuple[str, ...]
    metavar: str | None
    help: str
    required: bool = False
    repeated: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """Return the allowed values if the help lists them as `One of: A, B.`, else nothing."""
        listed = self.help.partition("One of: ")[2].partition(".")[0]
        return tuple(listed.split(", ")) if listed else ()


class Verb(NamedTuple):
    """A verb: its words, such as `("secret", "set")`, its help and its parameters in the order of declaration."""

    words: tuple[str, ...]
    help: str
    parameters: tuple[Parameter, ...]
    takes_platform_options: bool = False

    @property
    def options(self) -> tuple[Parameter, ...]:
        return tuple(each for each in self.parameters if each.flags)

    @property
    def summary(self) -> str:
        """Return the first sentence of the help, without its full stop."""
        return " ".join(self.help.split("\n\n")[0].split()).removesuffix(".")

    @property
    def arguments(self) -> tuple[Parameter, ...]:
        return tuple(each for each in self.parameters if not each.flags)


@cache
def verbs() -> tuple[Verb, ...]:
    """Return all verbs in the order of `git coderepo -h`."""
    return tuple(verb for name in VERBS for verb in _walk(_all_commands()[name], (name,)))


@cache
def _all_commands() -> dict[str, Any]:
    return commands(*VERBS)


def program_options() -> tuple[Parameter, ...]:
    """Return the options that come before the verb."""
    return tuple(_parameter(each) for each in program().params)


def group_help(name: str) -> str:
    """Return the help of a first word: of the verb, or of the group of verbs."""
    return str(_all_commands()[name].help or "").strip()


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[Verb]:
    if hasattr(command, "commands"):
        for name in command.list_commands(None):
            yield from _walk(command.commands[name], (*words, name))
        return
    parameters = tuple(_parameter(each) for each in command.params)
    yield Verb(words, (command.help or "").strip(), parameters, isinstance(command, PlatformVerb))


def _parameter(each: Any) -> Parameter:
    if each.param_type_name == "argument":
        metavar = (each.metavar or (each.name or "").upper()).strip("[].")
        return Parameter((), metavar, getattr(each, "help", None) or "", each.required, each.nargs != 1)
    flag = bool(getattr(each, "is_flag", False))
    metavar = None if flag else (each.metavar or "VALUE")
    text = getattr(each, "help", None) or ""
    flags = (*each.opts, *each.secondary_opts)
    return Parameter(tuple(flags), metavar, text, each.required, bool(each.multiple))
