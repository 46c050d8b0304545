"""The README: what it shows is run line by line, and what it says of the platforms is compared with them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import git_coderepo
from git_coderepo.cli.help import manual, manual_text
from git_coderepo.cli.help.introspection import verbs
from git_coderepo.credentials.sources import CREDENTIAL_SOURCES
from git_coderepo.platforms.registry import CUSTOM, platform_class, platform_types
from git_coderepo.settings import PROGRAM, SETTINGS
from tests.e2e.support import Machine, World, world

README = Path(git_coderepo.__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
SCREEN = 40  # lines

# What a block's first command says about where it runs: the runner has nothing but what `snapshot` wrote.
ON_A_RUNNER = ("git coderepo fetch", "git-coderepo fetch")


def blocks(language: str, text: str = TEXT) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def commands(block: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console block."""
    for part in re.split(r"(?m)^\$ ", block)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def normalised(text: str, forge_url: str) -> str:
    """The one narrow rule: durations, sizes, and the address of the server that stands in for github.com."""
    text = text.replace(forge_url, "https://github.com")
    text = re.sub(r"\b\d+\.\d\d s\b", "0.00 s", text)
    return re.sub(r"\b\d+(\.\d)? (bytes|KiB)\b", "0 bytes", text)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """A checkout of a private repository, edited; its user's token is where git keeps it, the runner's in a file."""
    with world(tmp_path, "github") as made:
        for machine in (made.user, made.runner):
            stored = made.url.replace("https://", f"https://x-access-token:{made.token}@").partition("/acme")[0]
            machine.path(".git-credentials").write_text(stored + "\n")
            for name in made.credential:
                del machine.env[name]
        made.runner.env["CODEREPO_CREDENTIALS_FILE"] = str(made.runner.path(".git-credentials"))
        made.checkout.env = made.user.env
        made.checkout.git("config", "--global", "credential.helper", "store")
        made.checkout.write("train.py", "lr = 0.2\n")
        made.checkout.commit("never pushed")
        made.checkout.write("data/weights.bin", b"\xff" * 64)
        made.checkout.write("new notes.txt", "draft\n")
        yield made


def shell(command: str, machine: Machine, directory: Path) -> subprocess.CompletedProcess[str]:
    """What a user's shell does with a line; both streams as they come."""
    return subprocess.run(
        ["sh", "-c", command], cwd=directory, env=machine.env, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_first_screen_is_what_happens(place: World) -> None:
    screen = "".join(TEXT.splitlines(keepends=True)[:SCREEN])
    shown = blocks("console", screen)
    ran = []
    for block in shown:
        on_a_runner = block.removeprefix("$ ").startswith(ON_A_RUNNER)
        machine = place.runner if on_a_runner else place.user
        directory = place.runner.home if on_a_runner else place.checkout.path
        if on_a_runner and not place.runner.path("run.json").exists():
            os.rename(place.checkout.path / "run.json", place.runner.path("run.json"))
        for command, printed in commands(block):
            ran.append(command)
            if command.startswith("pipx install"):
                continue  # tests/test_packaging.py installs
            done = shell(command, machine, directory)
            assert done.returncode == 0, f"{command}\n{done.stdout}"
            assert normalised(done.stdout, place.forge.url) == normalised(printed, place.forge.url), command
    wanted = ("pipx install .", "demo --here", "register", "snapshot -o run.json", "fetch run.json code", "verify")
    for words in wanted:
        assert any(words in command for command in ran)
    assert place.runner.tree("code") == place.checkout.tree()


def test_the_first_screen_holds_all_of_it() -> None:
    """Its blocks end before line 40, so that nothing of them is cut off."""
    before_the_next_part = TEXT.partition("\n## ")[0]
    assert len(before_the_next_part.splitlines()) <= SCREEN


@pytest.mark.slow
def test_the_python_api_is_what_happens(place: World) -> None:
    example = next(block for block in blocks("python") if "coderepo.snapshot" in block)
    (place.user.home / "example.py").write_text(example)
    # User and runner are one here: the credential is where git keeps it.
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(place.user.home / 'example.py'))}"
    done = shell(command, place.user, place.checkout.path)
    assert (done.returncode, done.stdout) == (0, "")
    assert place.user.tree("code") == place.checkout.tree()


@pytest.mark.slow
def test_the_custom_class_can_be_registered_as_shown(place: World) -> None:
    example = next(block for block in blocks("python") if "class Mirror" in block)
    modules = place.user.home / "modules"
    modules.mkdir()
    (modules / "my_module.py").write_text(example)
    place.user.env["PYTHONPATH"] = str(modules)
    (command,) = re.findall(r"`(git coderepo register mirror [^`]*)`", TEXT)
    done = shell(command, place.user, place.checkout.path)
    assert done.returncode == 0, done.stdout
    shown = shell("git coderepo describe mirror", place.user, place.checkout.path).stdout
    assert "option url" in shown and "https://mirror.corp/widgets" in shown


def test_the_names_for_classes_of_zenml_are_there() -> None:
    (line,) = re.findall(r"(?m)^from git_coderepo\.compat import .*$", TEXT)
    exec(line, {})


@pytest.mark.slow
def test_a_manifest_in_a_variable_reaches_the_runner(place: World) -> None:
    (command,) = re.findall(r"`(printf %s \"\$RUN\" \| [^`]*)`", TEXT)
    place.runner.env["RUN"] = place.manifest().read_text()
    done = shell(command, place.runner, place.runner.home)
    assert done.returncode == 0, done.stdout
    assert place.runner.tree("code") == place.checkout.tree()


@pytest.mark.slow
def test_a_line_for_zenml_works_when_it_is_pasted(place: World) -> None:
    """`--owner=…` as ZenML's documents have it, with `git coderepo` for `zenml code-repository`."""
    pasted = "register NAME --type=github --owner=acme --repository=widgets --token=@token.txt --no-verify"
    assert "register NAME --type=github --owner=" in TEXT
    (place.checkout.path / "token.txt").write_text(place.token + "\n")
    done = shell(f"git coderepo {pasted}", place.user, place.checkout.path)
    # There is no keyring on this machine: the word is what to use instead, and nothing was kept.
    assert done.returncode == 4
    assert "no keyring on this machine encrypts secrets" in done.stdout
    done = shell(f"git coderepo {pasted.replace(' --token=@token.txt', '')}", place.user, place.checkout.path)
    assert done.returncode == 0, done.stdout


def test_a_recorded_run_has_its_manifest_at_hand(place: World) -> None:
    block = next(block for block in blocks("console") if "git coderepo run --" in block)
    place.checkout.write("train.py", "import os\nopen(os.environ['CODEREPO_MANIFEST']).close()\nprint('trained')\n")
    place.user.env["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), place.user.env["PATH"]])
    ((command, printed),) = commands(block)
    done = shell(command, place.user, place.checkout.path)
    said, _, trained = done.stdout.partition("\n")
    assert (done.returncode, trained, printed) == (0, "trained\n", "")
    assert said.startswith("recorded as ") and said.endswith(" DIR")


# --- what it says is so ---


def test_the_table_of_platforms_is_theirs() -> None:
    assert manual.with_tables(TEXT) == TEXT, "make man"


def test_every_verb_and_option_that_is_named_exists() -> None:
    known = {" ".join(verb.words): verb for verb in verbs()}
    named = re.findall(r"git coderepo ((?:secret )?[a-z]+(?:-[a-z]+)*)\b([^`\n|]*)", TEXT)
    assert {"register", "status", "snapshot", "fetch", "verify", "demo", "login"} <= {words for words, _ in named}
    for words, rest in named:
        verb = known[words]
        flags = {flag for option in verb.options for flag in option.flags}
        if verb.takes_platform_options:
            types = [name for name in platform_types() if name != CUSTOM]
            flags |= {option.flag for name in types for option in platform_class(name).options}
        given = {
            word.partition("=")[0] for word in rest.partition("-- ")[0].split() if word.startswith("-") and word != "-"
        }
        given -= {"--pa_token"} if words == "secret set" else set()
        assert given <= flags | {"-h"}, f"git coderepo {words}"


def test_the_exit_statuses_are_those_of_the_manual() -> None:
    table = TEXT.partition("## Exit status")[2]
    listed = re.findall(r"(?m)^\| (\d+) \| (.*) \|$", table)
    assert [number for number, _ in listed] == [number for number, _ in manual_text.STATUS]


def test_the_sources_of_credentials_are_those_of_the_chain() -> None:
    titles = [each.title for each in CREDENTIAL_SOURCES]
    assert titles[-1] == "none"
    assert f": {', '.join(titles[:-1])}." in " ".join(TEXT.split())


def test_every_setting_and_variable_that_is_named_exists() -> None:
    tables = (manual_text.ENVIRONMENT, manual_text.RUN_ENVIRONMENT, manual_text.HOOK_ENVIRONMENT)
    ours = [each for each in SETTINGS.values() if each.set_by != PROGRAM]
    known = {name for table in tables for name, _ in table} | {each.variable for each in ours}
    assert set(re.findall(r"\bCODEREPO_[A-Z_]+", TEXT)) <= known
    settings = {each.name for each in ours}
    assert set(re.findall(r"(?<!git-)\bcoderepo\.([a-z][A-Za-z]+)`", TEXT)) <= settings  # `git-coderepo.pyz` is a file


def test_the_rule_for_a_whole_host_is_git_config(place: World) -> None:
    block = next(block for block in blocks("console") if "coderepo.https://git.corp/" in block)
    for command, _ in commands(block):
        assert shell(command, place.user, place.checkout.path).returncode == 0
    place.checkout.git("remote", "set-url", "origin", "git@git.corp:acme/widgets.git")
    assert "gitlab" in shell("git coderepo list", place.user, place.checkout.path).stdout
