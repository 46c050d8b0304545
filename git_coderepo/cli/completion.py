"""`git coderepo completion SHELL`: what the shell needs for `git coderepo <TAB>`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.errors import UsageError

if TYPE_CHECKING:
    from git_coderepo.cli.surface import Verb

SHELLS = ("bash", "zsh", "fish")


@app.command(cls=Verb)
def completion(shell: Annotated[str, typer.Argument(metavar="SHELL", help="One of: bash, zsh, fish.")]) -> None:
    """Print the completion script for a shell.

    Its first lines say where it goes.
    """
    if shell not in SHELLS:
        raise UsageError(f"no completion for the shell '{shell}'", hints=[f"one of: {', '.join(SHELLS)}"])
    output.data(script(shell))


def script(shell: str) -> str:
    """The script; git's own completion for bash and zsh calls the function it defines."""
    from git_coderepo.cli.surface import verbs

    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](verbs())


def _flags(verb: Verb) -> list[str]:
    """A verb's long options, those of the platforms among them where it takes them."""
    from git_coderepo.platforms import platform_class, platform_types

    found = {flag: None for option in verb.options for flag in option.flags if flag.startswith("--")}
    if verb.takes_platform_options:
        for name in platform_types():
            found.update(dict.fromkeys(option.flag for option in platform_class(name).options))
    return list(found)


def _first_words(verbs: list[Verb]) -> list[str]:
    return list(dict.fromkeys(verb.words[0] for verb in verbs))


def _second_words(verbs: list[Verb], first: str) -> list[str]:
    return [verb.words[1] for verb in verbs if verb.words[0] == first and len(verb.words) > 1]


def _bash(verbs: list[Verb]) -> str:
    cases = []
    for first in _first_words(verbs):
        seconds = _second_words(verbs, first)
        options = sorted({flag for verb in verbs if verb.words[0] == first for flag in _flags(verb)})
        words = " ".join([*seconds, *options])
        cases.append(f"\t{first}) __gitcomp '{words}' ;;")
    return "\n".join(
        [
            "# bash completion for git coderepo: source it after git's own completion, for example",
            "#   git coderepo completion bash > ~/.local/share/bash-completion/completions/git-coderepo",
            "_git_coderepo ()",
            "{",
            "\tlocal word verb=",
            '\tfor word in "${words[@]:__git_cmd_idx+1:cword-__git_cmd_idx-1}"; do',
            '\t\tcase "$word" in -*) ;; *) verb=$word; break ;; esac',
            "\tdone",
            '\tcase "$cur,$verb" in',
            "\t-*,) __gitcomp '--verbose --version --help' ;;",
            f"\t*,) __gitcomp '{' '.join(_first_words(verbs))}' ;;",
            "\t--*|[!-]*) ;;",
            "\tesac",
            '\t[ -n "$verb" ] || return',
            '\tcase "$cur" in -*) ;; *)',
            '\t\tcase "$verb" in',
            "\t\tdescribe|update|remove|login|logout)",
            "\t\t\t__gitcomp_nl \"$(git config --name-only --get-regexp '^coderepo\\..*\\.type$' 2>/dev/null |"
            " sed 's/^coderepo\\.//; s/\\.type$//')\"; return ;;",
            f"\t\tcompletion) __gitcomp '{' '.join(SHELLS)}'; return ;;",
            "\t\tsecret) ;;",
            "\t\t*) return ;;",
            "\t\tesac ;;",
            "\tesac",
            '\tcase "$verb" in',
            *cases,
            "\tesac",
            "}",
            "",
        ]
    )


def _zsh(verbs: list[Verb]) -> str:
    lines = [
        "#compdef git-coderepo",
        "# zsh completion for git coderepo: put it as `_git-coderepo` into a directory of $fpath",
        "_git-coderepo () {",
        "  local -a verbs; verbs=(",
    ]
    seen: set[str] = set()
    for verb in verbs:
        if verb.words[0] not in seen:
            seen.add(verb.words[0])
            lines.append(f"    {_single(verb.words[0] + ':' + _summary(verb))}")
    lines += ["  )", "  if (( CURRENT == 2 )); then _describe verb verbs; return; fi", "  case $words[2] in"]
    for first in _first_words(verbs):
        seconds = _second_words(verbs, first)
        options = sorted({flag for verb in verbs if verb.words[0] == first for flag in _flags(verb)})
        lines.append(f"    {first}) compadd -- {' '.join([*seconds, *options])}; _files ;;")
    return "\n".join([*lines, "  esac", "}", '_git-coderepo "$@"', ""])


def _fish(verbs: list[Verb]) -> str:
    lines = [
        "# fish completion for git coderepo: put it into ~/.config/fish/completions/git-coderepo.fish",
        "function __git_coderepo_needs_verb",
        "    set -l words (commandline -opc)",
        "    test (count $words) -eq 2; and test $words[2] = coderepo",
        "end",
        "function __git_coderepo_verb",
        "    set -l words (commandline -opc)",
        "    test (count $words) -gt 2; and test $words[2] = coderepo; and contains -- $words[3] $argv",
        "end",
    ]
    seen: set[str] = set()
    for verb in verbs:
        first = verb.words[0]
        if first not in seen:
            seen.add(first)
            lines.append(f"complete -c git -f -n __git_coderepo_needs_verb -a {first} -d {_single(_summary(verb))}")
        if len(verb.words) > 1:
            lines.append(
                f"complete -c git -f -n '__git_coderepo_verb {first}' -a {verb.words[1]} -d {_single(_summary(verb))}"
            )
        lines += [f"complete -c git -n '__git_coderepo_verb {first}' -l {flag[2:]}" for flag in _flags(verb)]
    return "\n".join([*lines, ""])


def _summary(verb: Verb) -> str:
    return verb.help.split(".")[0].split("\n")[0]


def _single(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
