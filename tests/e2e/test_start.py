"""What a start costs: which modules are loaded and which processes started until the work begins. No time is measured.

Each fetch on each of a thousand machines pays for it before the first request goes out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from git_coderepo.cli.table import VERBS
from tests.e2e.support import World, world
from tests.support.program import Program, Result

# What only some other verb, setting or terminal needs.
NEVER = {
    "rich", "keyring", "jsonschema", "pydantic", "git", "fsspec", "sqlite3", "concurrent.futures", "platformdirs",
    "git_coderepo.cli.help.introspection", "git_coderepo.cli.help.manual", "git_coderepo.cli.colour",
    "git_coderepo.runs.lifecycle", "git_coderepo.snapshots.pipeline", "git_coderepo.hooks",
}  # fmt: skip
# The entry point, and at its end the names of all modules on standard error.
TELLING = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
sys.argv[0] = "git-coderepo"
from git_coderepo.__main__ import main
main()
"""
NETWORK = {"requests", "urllib3", "charset_normalizer", "http.client", "ssl"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("start"), "github") as made:
        made.register()
        made.checkout.write("-an edit \n.txt", "that travels\n")
        made.manifest()
        # Named, so that nobody looks for the user's own; and filled.
        made.runner.program.env["CODEREPO_CACHE_DIR"] = str(made.runner.path("my cache"))
        made.runner.run("exec", "run.json", "--", "true")
        yield made


def loaded(env: Mapping[str, str], *words: str) -> tuple[set[str], str]:
    """The modules that the program has loaded at its end, and what it wrote to standard output."""
    done = subprocess.run(
        [sys.executable, "-c", TELLING, *words], env=env, cwd=env["HOME"], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split()), done.stdout


def files_of_verbs(modules: set[str]) -> set[str]:
    return {verb.module for verb in VERBS.values()} & modules


def asked_of_git(said: Result) -> list[str]:
    """What git was started for before the first request, or, where there was none, at all."""
    before = said.errors.partition("GET ")[0]
    return [line.split("git ", 1)[1].split()[0] for line in before.splitlines() if "run git " in line]


@pytest.mark.slow
def test_a_fetch_loads_its_own_verb_and_nothing_that_it_does_not_use(place: World) -> None:
    modules, _ = loaded(place.runner.program.env, "fetch", "--method", "archive", "run.json", "code")
    assert files_of_verbs(modules) == {VERBS["fetch"].module}
    assert modules >= NETWORK
    assert not modules & NEVER


def test_a_command_in_code_that_is_in_the_cache_loads_nothing_that_speaks_to_a_network(place: World) -> None:
    place.forge.forget_requests()
    modules, _ = loaded(place.runner.program.env, "exec", "run.json", "--", "true")
    assert place.forge.requests() == []
    assert files_of_verbs(modules) == {VERBS["exec"].module}
    assert "git_coderepo.fetching.cache.cached_fetch" in modules
    assert not modules & NEVER
    assert not modules & NETWORK


def test_the_version_loads_no_verb_and_no_typer(place: World) -> None:
    modules, _ = loaded(place.runner.program.env, "--version")
    assert {name for name in modules if name.startswith("git_coderepo.")} == {
        "git_coderepo.__main__",
        "git_coderepo.cli",
        "git_coderepo.cli.main",
        "git_coderepo.cli.output",
        "git_coderepo.errors",
        "git_coderepo.git",
        "git_coderepo.git.spawn",
        "git_coderepo.trace",
    }
    assert not modules & (NEVER | NETWORK | {"typer", "json", "re", "typing"})


def test_validate_without_options_loads_no_typer(place: World) -> None:
    path = str(place.runner.path("run.json"))
    modules, said = loaded(place.runner.program.env, "validate", path, path)
    assert said == f"'{path}' is valid\n" * 2
    assert files_of_verbs(modules) == set()
    assert not modules & (NEVER | NETWORK | {"typer", "inspect", "subprocess"})


def test_the_list_of_verbs_loads_none_of_them(place: World) -> None:
    modules, said = loaded(place.runner.program.env, "-h")
    assert files_of_verbs(modules) == set()
    assert all(f"  {name} " in said for name in VERBS)


def test_git_is_asked_for_its_settings_and_for_the_place_and_nothing_twice(place: World) -> None:
    said = place.runner.run("--verbose", "fetch", "--method", "archive", "run.json", "told")
    assert asked_of_git(said) == ["config", "rev-parse", "config"], "the last for http.*, whatever the hosts"
    assert said.errors.count("GET https://") == 2, "the archive's link leads to another host"
    assert sum("run git config" in line for line in said.errors.splitlines()) == 2
    said = place.runner.run("-v", "exec", "run.json", "--", "true")
    assert asked_of_git(said) == ["config", "rev-parse"]


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_found_in_the_file_that_is_named_for_it(verb: str, program: Program) -> None:
    modules, said = loaded(program.env, "-v", verb, "-h")
    assert said.startswith(f"Usage: git coderepo {verb}")
    files = files_of_verbs(modules)
    assert VERBS[verb].module in files
    assert len(files) < len(VERBS) / 2


def test_help_finds_a_topic_that_nothing_has_loaded(program: Program) -> None:
    for verb in ("build-key", "logout", "secret"):
        assert program.run("help", verb).text == program.run(verb, "--help").text


def test_what_is_no_verb_is_held_against_all_of_them(program: Program) -> None:
    for words in (["feth"], ["-v", "feth"], ["--verbose", "help", "feth"]):
        said = program.run(*words, check=False)
        assert said.status == 129
        assert "hint: did you mean 'fetch'?" in said.errors or "hint: git coderepo help fetch" in said.errors
    assert "did you mean" not in program.run("frobnicate", check=False).errors
    for words in (["-v", "--help"], ["--help", "fetch"]):
        assert program.run(*words).text.startswith("NAME\n    git-coderepo - ")
    for words in (["-h"], ["-v", "-h"], ["-h", "fetch"]):
        listed = re.findall(r"(?m)^  ([a-z-]+)  ", program.run(*words).text.partition("Everyday:")[2])
        assert listed == list(VERBS)
    for words in (["--version"], ["-v", "--version"], ["--version", "feth"]):
        assert program.run(*words).text.startswith("git-coderepo ")
