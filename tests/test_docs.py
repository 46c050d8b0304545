"""The README and the pages of the documentation: what they show is run, and what they name exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.cli.help.introspection import verbs
from git_coderepo.credentials.sources import CREDENTIAL_SOURCES
from git_coderepo.platforms.registry import CUSTOM, platform_class, platform_types
from git_coderepo.settings import PROGRAM, SETTINGS
from tests.e2e.support import Machine, World, world
from tests.support.repo import Repo
from website import console_blocks, cures, dark_pictures, messages, reference, schema_pages, terminal_picture
from website.field_meanings import MANIFEST, RECEIPT

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
GUIDES = DOCS / "guides"
PAGES = [PROJECT / "README.md", *(path for path in sorted(DOCS.rglob("*.md")) if "design" not in path.parts)]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(language: str, path: Path) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", read(path))


def named(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """A checkout of a private repository, edited; its user's token is where git keeps it, the runner's in a file."""
    with world(tmp_path, "github") as made:
        for machine in (made.user, made.runner):
            stored = made.url.replace("https://", f"https://x-access-token:{made.token}@").partition("/acme")[0]
            machine.path(".git-credentials").write_text(stored + "\n")
            for name in made.credential:
                del machine.env[name]
            machine.env["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), machine.env["PATH"]])
        made.runner.env["CODEREPO_CREDENTIALS_FILE"] = str(made.runner.path(".git-credentials"))
        made.checkout.env = made.user.env
        made.checkout.git("config", "--global", "credential.helper", "store")
        made.checkout.write("train.py", "lr = 0.2\n")
        made.checkout.commit("never pushed")
        made.checkout.write("new notes.txt", "draft\n")
        yield made


def shell(command: str, machine: Machine, directory: Path) -> subprocess.CompletedProcess[str]:
    """What a user's shell does with a line; both streams as they come."""
    return subprocess.run(
        ["sh", "-c", command], cwd=directory, env=machine.env, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


# --- the README ---


def test_the_readme_is_short() -> None:
    assert len(read(PROJECT / "README.md").splitlines()) <= 150


@pytest.mark.slow
def test_the_five_commands_work_in_any_checkout(repo: Repo) -> None:
    """Without a remote, a registration or a network."""
    repo.write("train.py", "print('trained')\n")
    (block,) = (each for each in blocks("sh", PROJECT / "README.md") if "git coderepo log" in each)
    env = {**repo.env, "PATH": os.pathsep.join([os.path.dirname(sys.executable), repo.env["PATH"]])}
    done = subprocess.run(
        ["sh", "-e", "-c", block], cwd=repo.path, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(block.splitlines()) == 5
    assert (repo.path.parent / "code" / "train.py").read_text() == "print('trained')\n"


@pytest.mark.slow
def test_the_manifest_works_elsewhere_as_the_readme_shows(place: World) -> None:
    (block,) = (each for each in blocks("sh", PROJECT / "README.md") if "scp run.json" in each)
    record, _, fetch, execute = (line.partition("#")[0].strip() for line in block.splitlines())
    done = shell(record, place.user, place.checkout.path)
    assert done.returncode == 0, done.stdout
    os.rename(place.checkout.path / "run.json", place.runner.path("run.json"))
    for command in (fetch, execute):
        done = shell(command, place.runner, place.runner.home)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
    assert place.runner.tree("code") == place.checkout.tree()


# --- the pages ---


@pytest.mark.slow
@pytest.mark.parametrize("page", console_blocks.pages(), ids=named)
def test_the_console_blocks_of_a_page_are_what_happens(page: Path, tmp_path: Path) -> None:
    executed = console_blocks.execute(read(page), tmp_path)
    assert executed.text == read(page), "python -m website.console_blocks --write"
    for command, status in executed.statuses.items():
        assert status == 0 or f"$ {command}\nfatal: " in read(page) or "\nerror: " in read(page), command


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_begins_with_what_its_reader_can_do_and_a_command(page: Path) -> None:
    if page.name == "README.md":
        return
    title, opening, rest = read(page).split("\n\n", 2)
    assert title.startswith("# ") and opening.startswith("After reading this page")
    assert "\n```" in rest[:600] or rest.startswith("```")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_verb_and_option_that_a_page_names_exists(page: Path) -> None:
    known = {" ".join(verb.words): verb for verb in verbs()}
    named_in_it = re.findall(r"git coderepo ((?:(?:secret|hooks|cache) )?[a-z]+(?:-[a-z]+)*)\b([^`\n|]*)", read(page))
    for words, rest in named_in_it:
        verb = known[words]
        flags = {flag for option in verb.options for flag in option.flags}
        if verb.takes_platform_options:
            types = [name for name in platform_types() if name != CUSTOM]
            flags |= {option.flag for name in types for option in platform_class(name).options}
            flags.add("--url")  # of the class in the page on custom platforms
        own = rest.partition(" #")[0].partition(" -- ")[0].partition(" && ")[0]
        given = {word.partition("=")[0] for word in own.split() if word.startswith("-") and word.strip('-"')}
        given -= {"--pa_token"} if words == "secret set" else set()
        assert given <= flags | {"-h"}, f"git coderepo {words}{rest}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_setting_and_variable_that_a_page_names_exists(page: Path) -> None:
    known = set(re.findall(r"`(CODEREPO_[A-Z_]+)`", reference.environment() + reference.settings()))
    assert set(re.findall(r"(?<!GIT_)\bCODEREPO_[A-Z_]+", read(page))) <= known
    settings = {each.name for each in SETTINGS.values() if each.set_by != PROGRAM}
    assert set(re.findall(r"`coderepo\.([a-z][A-Za-z]+)`", read(page))) <= settings | {"run", "commit", "tree", "dirty"}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_python_example_compiles(page: Path) -> None:
    for block in blocks("python", page):
        compile(block, named(page), "exec")


def test_the_sources_of_credentials_are_those_of_the_chain() -> None:
    titles = [each.title for each in CREDENTIAL_SOURCES]
    assert titles[-1] == "none"
    assert f": {', '.join(titles[:-1])}." in " ".join(read(GUIDES / "credentials.md").replace(":\n", ": ").split())


def test_every_page_is_in_the_navigation() -> None:
    navigation = read(PROJECT / "mkdocs.yml")
    for page in [*PAGES[1:], *(DOCS / "design").rglob("*.md")]:
        assert f" {page.relative_to(DOCS).as_posix()}\n" in navigation, page


# --- the guides ---


@pytest.mark.slow
def test_the_python_api_is_what_happens(place: World) -> None:
    example = next(block for block in blocks("python", GUIDES / "python.md") if "coderepo.snapshot" in block)
    (place.user.home / "example.py").write_text(example)
    # User and runner are one here: the credential is where git keeps it.
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(place.user.home / 'example.py'))}"
    done = shell(command, place.user, place.checkout.path)
    assert (done.returncode, done.stdout) == (0, "")
    assert place.user.tree("code") == place.checkout.tree()


@pytest.mark.slow
def test_the_custom_class_can_be_registered_as_shown(place: World) -> None:
    page = GUIDES / "custom-platform.md"
    (example,) = blocks("python", page)
    modules = place.user.home / "modules"
    modules.mkdir()
    (modules / "my_module.py").write_text(example)
    place.user.env["PYTHONPATH"] = str(modules)
    done = shell(blocks("sh", page)[0], place.user, place.checkout.path)
    assert done.returncode == 0, done.stdout
    shown = shell("git coderepo describe mirror", place.user, place.checkout.path).stdout
    assert "option url" in shown and "https://mirror.corp/widgets" in shown


def test_the_names_for_classes_of_zenml_are_there() -> None:
    (block,) = blocks("python", GUIDES / "zenml.md")
    exec(block, {})


@pytest.mark.slow
def test_a_manifest_in_a_variable_reaches_the_runner(place: World) -> None:
    (command,) = re.findall(r"`(printf %s \"\$RUN\" \\\| [^`]*)`", read(GUIDES / "runners.md"))
    place.runner.env["RUN"] = place.manifest().read_text()
    done = shell(command.replace("\\|", "|"), place.runner, place.runner.home)
    assert done.returncode == 0, done.stdout
    assert place.runner.tree("code") == place.checkout.tree()


@pytest.mark.slow
def test_a_line_for_zenml_works_when_it_is_pasted(place: World) -> None:
    """`--owner=…` as ZenML's documents have it, with `git coderepo` for `zenml code-repository`."""
    pasted = "register NAME --type=github --owner=acme --repository=widgets --token=@token.txt --no-verify"
    assert "register NAME --type=github --owner=" in read(GUIDES / "zenml.md")
    (place.checkout.path / "token.txt").write_text(place.token + "\n")
    done = shell(f"git coderepo {pasted}", place.user, place.checkout.path)
    # There is no keyring on this machine: the word is what to use instead, and nothing was kept.
    assert done.returncode == 4
    assert "no keyring on this machine encrypts secrets" in done.stdout
    done = shell(f"git coderepo {pasted.replace(' --token=@token.txt', '')}", place.user, place.checkout.path)
    assert done.returncode == 0, done.stdout


def test_the_rule_for_a_whole_host_is_git_config(place: World) -> None:
    block = next(block for block in blocks("sh", GUIDES / "gitlab.md") if "coderepo.https://git.corp/" in block)
    assert shell(block, place.user, place.checkout.path).returncode == 0
    place.checkout.git("remote", "set-url", "origin", "git@git.corp:acme/widgets.git")
    assert "gitlab" in shell("git coderepo list", place.user, place.checkout.path).stdout


def test_the_makefile_of_the_snippets_records_a_run(repo: Repo) -> None:
    (makefile,) = blocks("makefile", GUIDES / "snippets.md")
    repo.write("Makefile", makefile)
    repo.write("train.py", "print('trained')\n")
    env = {**repo.env, "PATH": os.pathsep.join([os.path.dirname(sys.executable), repo.env["PATH"]])}
    done = subprocess.run(["make", "train"], cwd=repo.path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "trained" in done.stdout and "recorded as" in done.stderr


# --- what is made from the program ---


def test_the_reference_has_every_verb_option_and_setting() -> None:
    commands, settings = reference.commands(), reference.settings()
    for verb in verbs():
        assert f"\n### {' '.join(verb.words)}\n" in commands
        for each in verb.parameters:
            assert all(f"`{name}`" in commands for name in each.flags or (each.metavar,))
    for setting in SETTINGS.values():
        assert f"| `coderepo.{setting.name}` |" in settings


@pytest.mark.parametrize(("name", "meanings"), [("run-manifest-1", MANIFEST), ("receipt-1", RECEIPT)])
def test_the_reference_says_what_every_field_means(name: str, meanings: dict[str, str]) -> None:
    fields = schema_pages.fields(schema_pages.schema(name))
    assert {each.path for each in fields} == set(meanings)
    assert all(meanings[each.path] or each.remark for each in fields)


@pytest.mark.slow
def test_the_list_of_messages_has_those_that_people_meet() -> None:
    text = messages.make()
    for words in ("unknown revision", "refused the token from", "is not in a work tree", "would travel with the run"):
        assert words in text
    assert text.count("\n| `") > 300
    assert set(re.findall(r"(?m)^## (\w+)$", text)) == set(cures.CURES)


def test_every_message_that_is_explained_is_one_of_the_program() -> None:
    catalogue = read(PROJECT / "tests" / "catalogue.txt")
    explained = [each.partition(": ")[2].strip() for each in blocks("text", DOCS / "troubleshooting.md")]
    assert len(explained) > 12
    for message in explained:
        pattern = ".*".join(re.escape(part) for part in message.split("…"))
        assert re.search(f"(?m)^{pattern}", catalogue), message


@pytest.mark.slow
def test_the_pictures_of_the_terminal_show_what_happens() -> None:
    lines = terminal_picture.transcript()
    for theme in terminal_picture.THEMES:
        made = console_blocks.normalised(terminal_picture.drawn(lines, theme).replace("\u00a0", " "))
        shown = console_blocks.normalised(read(terminal_picture.path(theme)).replace("\u00a0", " "))
        assert shown == made, "make pictures"


def test_the_dark_pictures_are_the_light_ones() -> None:
    for path in sorted((DOCS / "images").glob("*-light.svg")):
        if not path.name.startswith("terminal-"):
            dark = read(path.with_name(path.name.replace("-light", "-dark")))
            assert dark == dark_pictures.darkened(read(path)), "python -m website.dark_pictures"
