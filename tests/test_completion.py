"""`git coderepo <TAB>` in the shells themselves: the scripts are loaded as their users load them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from git_coderepo.cli.help.completion import SHELLS, script
from git_coderepo.cli.help.introspection import verbs
from tests.support.program import Program
from tests.support.records import add_run
from tests.support.repo import Repo

# Where Debian, Fedora, Homebrew and git's own sources have git's completion for bash.
GITS_OWN = (
    "/usr/share/bash-completion/completions/git",
    "/usr/share/git-core/contrib/completion/git-completion.bash",
    "/opt/homebrew/etc/bash_completion.d/git-completion.bash",
    "/usr/share/doc/git/contrib/completion/git-completion.bash",
)

FIRST_WORDS = list(dict.fromkeys(verb.words[0] for verb in verbs()))

Complete = Callable[[str], list[str]]


@pytest.fixture
def checkout(repo: Repo) -> Repo:
    """With two registrations, one of them with a space in its name, and a host rule, which is none."""
    repo.commit()
    for name in ("origin", "our mirror"):
        repo.git("config", f"coderepo.{name}.type", "git")
    repo.git("config", "coderepo.https://git.corp/.type", "gitlab")
    return repo


def needs(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


def run(argv: list[str], cwd: Path, env: dict[str, str], input: str = "") -> list[str]:
    done = subprocess.run(argv, cwd=cwd, env=env, input=input, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.slow
def test_each_script_is_printed_by_the_program(program: Program) -> None:
    for shell in SHELLS:
        assert program.run("completion", shell).text == script(shell)


def test_a_shell_that_nobody_completes_for_is_refused(program: Program) -> None:
    refused = program.run("completion", "tcsh", check=False)
    assert (refused.status, refused.text) == (129, "")
    assert refused.errors == "fatal: no completion for the shell 'tcsh'\nhint: choose one of: bash, zsh, fish\n"


# --- bash ---


@pytest.fixture
def bash(checkout: Repo, home: Path, env: dict[str, str]) -> Complete:
    """What bash would offer for a line, through git's own completion, which finds ours by its name."""
    shell = needs("bash")
    gits_own = next((path for path in GITS_OWN if os.path.exists(path)), None)
    if gits_own is None:
        pytest.skip("git's own completion for bash is not installed")
    place = home / ".local" / "share" / "bash-completion" / "completions" / "git-coderepo"
    place.parent.mkdir(parents=True)
    place.write_text(script("bash"))
    # What bash does when TAB is pressed: the function that `complete -F` named, with COMP_WORDS and COMP_CWORD.
    loaded = f"""
        _completion_loader () {{ source "$HOME/.local/share/bash-completion/completions/$1"; }}
        source {gits_own}
        COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9
        __git_wrap__git_main
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """

    def complete(line: str) -> list[str]:
        words = line.split(" ")
        found = run([shell, "--norc", "-c", loaded, "bash", *words], checkout.path, env)
        return [word.rstrip(" ") for word in found if word]

    return complete


def test_bash_completes_every_verb(bash: Complete) -> None:
    assert bash("git coderepo ") == FIRST_WORDS
    assert bash("git coderepo sn") == ["snapshot"]
    assert bash(f"git -C {os.curdir} coderepo st") == ["status"]


def test_bash_completes_the_options_of_a_verb(bash: Complete) -> None:
    assert bash("git coderepo fetch --") == [
        "--cache", "--code-repository", "--help", "--json", "--lfs", "--method", "--no-lfs", "--no-submodules",
        "--overlay", "--quiet", "--receipt", "--subdirectory", "--submodules",
    ]  # fmt: skip
    assert bash("git coderepo fetch --me") == ["--method"]
    assert {"--type", "--owner", "--instance-url", "--token"} <= set(bash("git coderepo register --"))
    assert bash("git coderepo --v") == ["--verbose", "--version"]


def test_bash_completes_registered_names(bash: Complete) -> None:
    assert bash("git coderepo describe ") == ["origin", "our\\ mirror"]
    assert bash("git coderepo remove or") == ["origin"]


def test_bash_completes_words_of_which_one_is_wanted(bash: Complete) -> None:
    assert bash("git coderepo register --type git") == ["github", "gitlab", "git"]
    assert bash("git coderepo fetch --method ") == ["auto", "local", "store", "archive", "git", "files", "published"]
    assert bash("git coderepo completion ") == list(SHELLS)
    assert bash("git coderepo secret ") == ["set", "list", "remove"]
    assert bash("git coderepo secret list --j") == ["--json"]
    assert bash("git coderepo help val") == ["validate"]


def test_bash_completes_runs_by_id_and_by_name(bash: Complete, checkout: Repo) -> None:
    first = add_run(checkout, name="lr 0.1").id[:18]
    second = add_run(checkout, name="b\xe9ta").id[:18]
    add_run(checkout)
    words = bash("git coderepo show ")
    assert words[1:3] == [second, first] and words[3:] == ["b\xe9ta", "lr\\ 0.1"]
    assert bash(f"git coderepo restore {first}") == [first]
    for verb in ("diff", "fetch", "exec", "verify", "publish"):
        assert bash(f"git coderepo {verb} lr") == ["lr\\ 0.1"], verb
    name = 'it\'s $(rm x); `rm y` [z] \\ ~ # "{1,2}" a^b!'
    add_run(checkout, name=name)
    (word,) = bash("git coderepo show it")
    assert run(["bash", "-c", f"printf '%s\\n' {word}"], checkout.path, dict(os.environ)) == [name]


def test_no_run_is_offered_where_there_is_none(program: Program, checkout: Repo) -> None:
    for cwd in (checkout.path, None):
        done = program.run("completion", "--runs", cwd=cwd)
        assert (done.text, done.errors) == ("", "")


def test_bash_leaves_paths_to_its_own_completion(bash: Complete) -> None:
    assert bash("git coderepo fetch ru") == []
    assert bash("git coderepo verify run.json co") == []


# --- fish ---


@pytest.fixture
def fish(checkout: Repo, home: Path, env: dict[str, str]) -> Complete:
    """What fish offers for a line, as `complete -C` prints it, descriptions left out."""
    shell = needs("fish")
    place = home / ".config" / "fish" / "conf.d" / "git-coderepo.fish"
    place.parent.mkdir(parents=True)
    place.write_text(script("fish"))

    def complete(line: str) -> list[str]:
        found = run([shell, "--command", "complete --do-complete $argv[1]", line], checkout.path, env)
        return [each.split("\t")[0] for each in found]

    return complete


def test_fish_completes_verbs_options_and_names(fish: Complete) -> None:
    assert set(FIRST_WORDS) <= set(fish("git coderepo "))
    assert fish("git coderepo sn") == ["snapshot"]
    assert {"--code-repository", "--method", "--receipt"} <= set(fish("git coderepo fetch --"))
    assert set(fish("git coderepo describe ")) == {"origin", "our mirror"}
    assert {"auto", "local", "archive", "git", "files"} == set(fish("git coderepo fetch --method "))
    assert set(fish("git coderepo secret ")) == {"set", "list", "remove"}


# --- zsh ---

# Completion proper needs a terminal and minutes of patience: zsh's builtins of that name are stood in for, and print.
ZSH = """
    compadd () { shift; print -rl -- "$@" }
    _describe () { print -rl -- "${(@P)2}" }
    _files () { print files }
    _git-coderepo () { builtin autoload -XUz }
    fpath=($HOME/zsh)
    words=("$@") CURRENT=$#
    _git-coderepo
"""


@pytest.fixture
def zsh(checkout: Repo, home: Path, env: dict[str, str]) -> Complete:
    """What the script offers after zsh's own completion for git has cut the line down to `coderepo …`."""
    shell = needs("zsh")
    place = home / "zsh" / "_git-coderepo"
    place.parent.mkdir()
    place.write_text(script("zsh"))

    def complete(line: str) -> list[str]:
        return run([shell, "-f", "-c", ZSH, "zsh", *line.split(" ")[1:]], checkout.path, env)

    return complete


def test_zsh_completes_verbs_options_and_names(zsh: Complete) -> None:
    assert [line.split(":")[0] for line in zsh("git coderepo ")] == FIRST_WORDS
    assert "--method" in zsh("git coderepo fetch --")
    assert zsh("git coderepo describe ") == ["origin", "our mirror"]
    assert zsh("git coderepo fetch --method ") == ["auto", "local", "archive", "git", "files"]
    assert zsh("git coderepo fetch ") == ["files"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_finds_no_fault_in_the_script(shell: str, tmp_path: Path, env: dict[str, str]) -> None:
    path = tmp_path / "script"
    path.write_text(script(shell))
    assert run([needs(shell), "-n", str(path)], tmp_path, env) == []
