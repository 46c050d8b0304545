"""`git coderepo completion SHELL`: print the completion script of a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.help.manual_text import TOPICS
from git_coderepo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from git_coderepo.cli.help import introspection

SHELLS = ("bash", "zsh", "fish")

# Lists the names of registrations, which these verbs take as arguments. Host rules are not registrations.
_NAMES = r"git config --name-only --get-regexp '^coderepo\..*\.type$' 2>/dev/null"
_NAMES_ONLY = r"sed -n '/:\/\//d; s/^coderepo\.\(.*\)\.type$/\1/p'"
# Lists the ids and names of runs; see `run_words`.
_RUNS = "git-coderepo completion --runs 2>/dev/null"
# zsh and fish quote what they insert, bash does not.
_QUOTED = r"""sed 's/[][ !"#$&'\''()*;<>?\^`{|}~]/\\&/g'"""
_TAKE_NAMES = ("describe", "update", "remove", "login", "logout")


@app.command(cls=Verb)
def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="The shell. One of: bash, zsh, fish.")],
) -> None:
    """Print the completion script for a shell.

    Its first lines say where to install it.
    """
    if shell not in SHELLS:
        raise UsageError(f"no completion for the shell '{shell}'", hints=[f"choose one of: {', '.join(SHELLS)}"])
    output.data(script(shell))


def script(shell: str) -> str:
    """Return the script. In bash and zsh, git's own completion calls the function that it defines."""
    from git_coderepo.cli.help.introspection import verbs

    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](list(verbs()))


def _flags(verbs: Iterable[introspection.Verb]) -> list[str]:
    """Return the long options of these verbs, including platform options if a verb takes them."""
    from git_coderepo.platforms.registry import CUSTOM, platform_class, platform_types

    found = {"--help": None}
    for verb in verbs:
        found.update({flag: None for each in verb.options for flag in each.flags if _is_long(flag)})
        if verb.takes_platform_options:
            types = [name for name in platform_types() if name != CUSTOM]
            found.update({each.flag: None for name in types for each in platform_class(name).options})
    return sorted(found)


def _is_long(flag: str) -> bool:
    return flag.startswith("--") and "_" not in flag


def _by_first_word(verbs: Iterable[introspection.Verb]) -> dict[str, list[introspection.Verb]]:
    """Group the verbs by their first word: `secret` has three, most words have one."""
    found: dict[str, list[introspection.Verb]] = {}
    for verb in verbs:
        found.setdefault(verb.words[0], []).append(verb)
    return found


def _take_runs(verbs: Iterable[introspection.Verb]) -> list[str]:
    """Return the verbs that take RUN as an argument."""
    return [verb.words[0] for verb in verbs if any(each.metavar == "RUN" for each in verb.arguments)]


def _words(verbs: list[introspection.Verb], firsts: Iterable[str]) -> list[str]:
    """Return the words that can follow a first word: second words, or the values of its argument."""
    if verbs[0].words == ("help",):
        return [*firsts, *TOPICS]
    seconds = [verb.words[1] for verb in verbs if len(verb.words) > 1]
    return seconds or [word for each in verbs[0].arguments for word in each.choices]


def _values(verbs: Iterable[introspection.Verb]) -> dict[str, tuple[str, ...]]:
    """Return the options with a fixed set of values."""
    return {flag: each.choices for verb in verbs for each in verb.options if each.choices for flag in each.flags}


def _bash(verbs: list[introspection.Verb]) -> str:
    firsts = _by_first_word(verbs)
    lines = [
        "# bash completion for git coderepo; git's own completion calls it. To install it for bash-completion:",
        "#   git coderepo completion bash > ~/.local/share/bash-completion/completions/git-coderepo",
        "_git_coderepo ()",
        "{",
        f"\tlocal verbs='{' '.join(firsts)}' verb",
        '\tverb="$(__git_find_on_cmdline "$verbs")"',
        '\tcase "$prev" in',
        *(f"\t{flag}) __gitcomp '{' '.join(words)}'; return ;;" for flag, words in _values(verbs).items()),
        "\tesac",
        '\tcase "$verb,$cur" in',
        "\t,-*) __gitcomp '--verbose --version --help' ;;",
        '\t,*) __gitcomp "$verbs" ;;',
    ]
    for first, group in firsts.items():
        lines.append(f"\t{first},-*) __gitcomp '{' '.join(_flags(group))}' ;;")
        if words := _words(group, firsts):
            lines.append(f"\t{first},*) __gitcomp '{' '.join(words)}' ;;")
    for taking, listing in ((_TAKE_NAMES, f"{_NAMES} | {_NAMES_ONLY}"), (_take_runs(verbs), _RUNS)):
        lines.append(f'\t{"|".join(f"{name},*" for name in taking)}) __gitcomp_nl "$({listing} | {_QUOTED})" ;;')
    return "\n".join([*lines, "\tesac", "}", ""])


def _zsh(verbs: list[introspection.Verb]) -> str:
    firsts = _by_first_word(verbs)
    lines = [
        "#compdef git-coderepo",
        "# zsh completion for git coderepo; zsh's completion for git calls it. To install it, save it as",
        "# `_git-coderepo` in a directory of $fpath.",
        "_git-coderepo () {",
        "  local -a verbs; verbs=(",
        *(f"    {_single(f'{first}:{_summary(group)}')}" for first, group in firsts.items()),
        "  )",
        "  if (( CURRENT == 2 )); then _describe verb verbs; return; fi",
        "  case $words[CURRENT-1] in",
        *(f"    {flag}) compadd -- {' '.join(words)}; return ;;" for flag, words in _values(verbs).items()),
        "  esac",
        "  case $words[2],$words[CURRENT] in",
    ]
    for first, group in firsts.items():
        lines.append(f"    {first},-*) compadd -- {' '.join(_flags(group))} ;;")
        if words := _words(group, firsts):
            lines.append(f"    {first},*) compadd -- {' '.join(words)} ;;")
    names = "|".join(f"{name},*" for name in _TAKE_NAMES)
    lines.append(f'    {names}) compadd -- "${{(@f)$({_NAMES} | {_NAMES_ONLY})}}" ;;')
    runs = "|".join(f"{name},*" for name in _take_runs(verbs))
    lines.append(f'    {runs}) compadd -- "${{(@f)$({_RUNS})}}"; _files ;;')
    return "\n".join([*lines, "    *) _files ;;", "  esac", "}", '_git-coderepo "$@"', ""])


def _fish(verbs: list[introspection.Verb]) -> str:
    firsts = _by_first_word(verbs)
    lines = [
        "# fish completion for git coderepo. To install it:",
        "#   git coderepo completion fish > ~/.config/fish/conf.d/git-coderepo.fish",
        "# Newer versions of fish find the completions of `git-coderepo` themselves; version 3.6 needs this function.",
        "function __git_coderepo_complete",
        "    set -l words (commandline -opc)",
        "    complete -C \"git-coderepo \"(string join ' ' -- (string escape -- $words[3..]) (commandline -ct))",
        "end",
        "complete -c git -f -n 'string match -q -- coderepo (commandline -opc)[2]' -a '(__git_coderepo_complete)'",
    ]
    for first, group in firsts.items():
        lines.append(f"complete -c git-coderepo -f -n __fish_use_subcommand -a {first} -d {_single(_summary(group))}")
        seen = f"-n '__fish_seen_subcommand_from {first}'"
        if words := _words(group, firsts):
            lines.append(f"complete -c git-coderepo -f {seen} -a '{' '.join(words)}'")
        if first in _TAKE_NAMES:
            lines.append(f"complete -c git-coderepo -f {seen} -a {_single(f'({_NAMES} | {_NAMES_ONLY})')}")
        if first in _take_runs(verbs):
            lines.append(f"complete -c git-coderepo {seen} -a {_single(f'({_RUNS})')}")
        values = _values(group)
        for flag in _flags(group):
            takes = f" -x -a '{' '.join(values[flag])}'" if flag in values else ""
            lines.append(f"complete -c git-coderepo {seen} -l {flag[2:]}{takes}")
    return "\n".join([*lines, ""])


def _summary(group: list[introspection.Verb]) -> str:
    return group[0].summary if len(group) == 1 else ", ".join(" ".join(verb.words) for verb in group)


def _single(text: str) -> str:
    """Quote a string for bash, zsh and fish."""
    return "'" + text.replace("'", "'\\''") + "'"
