"""The hints of the command line itself: each is followed, and what was refused then works."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import PROJECT, World, lines, world
from tests.hints import cures
from tests.hints.support import stopped, tail, typed
from tests.support.program import Program
from tests.support.repo import Repo

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(repo: Repo) -> Repo:
    repo.write("train.py", "print('trained')\n")
    repo.commit()
    return repo


@pytest.fixture
def keyring() -> dict[str, str]:
    return {"PYTHON_KEYRING_BACKEND": "tests.support.keyring_backend.FileKeyring", "PYTHONPATH": str(PROJECT)}


@cures("{command} -h")
@pytest.mark.parametrize("words", ["--nonsense", "nonsense", "snapshot --nonsense", "hooks nonsense", "exec"])
def test_the_help_lists_what_there_is_instead(checkout: Repo, program: Program, words: str) -> None:
    (hint,) = stopped(program, *words.split(), cwd=checkout.path, says="fatal: ")
    shown = typed(hint, checkout.path, program.env).text
    assert shown.startswith("Usage: git coderepo") and "nonsense" not in shown


@cures("git coderepo run -- python train.py", "git coderepo exec {shell_word(run)} -- python train.py")
@pytest.mark.parametrize("words", [("run",), ("exec", "an 'odd' name")])
def test_a_command_is_added(checkout: Repo, program: Program, words: tuple[str, ...]) -> None:
    checkout.push_to(checkout.path.parent / "remote.git")
    program.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
    program.run("run", "--name", "an 'odd' name", "--", "true", cwd=checkout.path)
    (hint,) = stopped(program, *words, cwd=checkout.path, says="no command to run")
    assert typed(hint, checkout.path, program.env).text == "trained\n"


@cures("choose one of: {', '.join(SHELLS)}")
def test_a_shell_of_the_list_has_a_completion(program: Program, checkout: Repo) -> None:
    (hint,) = stopped(program, "completion", "tcsh", cwd=checkout.path, says="no completion")
    for shell in tail(hint).split(", "):
        assert program.run("completion", shell).text


@cures("choose one of: {', '.join(COLUMNS)}", "use --filter COLUMN=TEXT")
def test_a_column_of_the_list_is_listed_and_filtered_by(program: Program, checkout: Repo) -> None:
    checkout.git("config", "coderepo.widgets.type", "git")
    (hint,) = stopped(program, "list", "--columns", "nonsense", cwd=checkout.path, says="'nonsense'")
    assert program.run("list", "--columns", tail(hint).replace(" ", ""), cwd=checkout.path).text.startswith("NAME")
    (hint,) = stopped(program, "list", "--filter", "widgets", cwd=checkout.path, says="'widgets'")
    words = hint.partition("--filter ")[2].replace("COLUMN", "name").replace("TEXT", "widgets")
    assert "widgets" in program.run("list", "--filter", words, cwd=checkout.path).text


@cures("choose one of: {', '.join(scripts.EVENTS)}")
def test_an_event_of_the_list_is_installed(program: Program, checkout: Repo) -> None:
    (hint,) = stopped(program, "hooks", "install", "--event", "pre-commit", cwd=checkout.path, says="'pre-commit'")
    for event in tail(hint).split(", "):
        assert program.run("hooks", "install", "--event", event, cwd=checkout.path).text.startswith(f"{event}: ")


@cures("to show which runs are recorded: git coderepo hooks status")
def test_what_installed_hooks_record(program: Program, checkout: Repo) -> None:
    (hint,) = lines(program.run("hooks", "install", cwd=checkout.path), "hint")
    assert "installed" in typed(tail(hint), checkout.path, program.env).text


@cures("to register a code repository that is inferred from a remote: git coderepo register")
def test_a_remote_that_is_not_registered(place: World) -> None:
    cwd = place.clone("not registered").path
    (hint,) = lines(place.user.run("list", cwd=cwd), "hint")
    typed(tail(hint), cwd, place.user.env)
    assert lines(place.user.run("list", cwd=cwd), "hint") == []


@cures("to write it beside the manifest: git coderepo snapshot -o FILE")
def test_a_large_overlay_is_written_beside_the_manifest(place: World) -> None:
    checkout = place.clone("large")
    checkout.write("large.bin", os.urandom(100_000))
    (hint,) = lines(place.user.run("snapshot", cwd=checkout.path), "hint")
    typed(tail(hint).replace("FILE", "../to\\ send.json"), checkout.path, place.user.env)
    assert (place.user.home / "to send.json").exists() and list(place.user.home.glob("*.tar.gz"))


@cures("git coderepo build-key --file PATH", "git config coderepo.buildFile PATTERN")
@pytest.mark.parametrize("which", [0, 1])
def test_a_build_key_from_a_file_that_is_named(program: Program, checkout: Repo, which: int) -> None:
    checkout.push_to(checkout.path.parent / "remote.git")
    program.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
    checkout.write("apt.list", "libgomp1\n")
    hints = stopped(program, "build-key", cwd=checkout.path, says="no inputs of a dependency image")
    typed(hints[which].replace("PATH", "apt.list").replace("PATTERN", "'*.list'"), checkout.path, program.env)
    if which == 1:
        program.run("build-key", cwd=checkout.path)


@cures("use --token @FILE, or --token - to read the token from standard input")
@pytest.mark.parametrize("way", ["@token", "-"])
def test_a_token_without_a_terminal(program: Program, checkout: Repo, keyring: dict[str, str], way: str) -> None:
    program.env.update(keyring)
    checkout.write("token", "hunter2\n")
    (hint,) = stopped(program, "login", "--host", "git.corp", cwd=checkout.path, says="cannot prompt for a token")
    assert f"--token {way.replace('token', 'FILE')}" in hint
    done = program.run("login", "--host", "git.corp", "--token", way, cwd=checkout.path, input=b"hunter2\n")
    assert "in the keyring" in done.text


@cures("choose one of: {known}")
def test_a_token_that_the_keyring_has_is_removed(program: Program, checkout: Repo, keyring: dict[str, str]) -> None:
    program.env.update(keyring)
    for host in ("git.corp", "git.corp:8443/acme"):
        program.run("login", "--host", host, "--token", "-", cwd=checkout.path, input=b"hunter2\n")
    (hint,) = stopped(program, "logout", "--host", "git.crop", cwd=checkout.path, says="no token for")
    for place in tail(hint.replace("https://", "")).split(", "):
        assert "removed" in program.run("logout", "--host", place, cwd=checkout.path).text


@cures("write platform options as --NAME=VALUE", "{word}=VALUE")
def test_the_options_of_a_platform(program: Program, checkout: Repo) -> None:
    words = ("register", "--no-verify", "--no-remote", "--type=git", "widgets")
    (hint,) = stopped(program, *words, "url", "https://git.corp/a/b", cwd=checkout.path, says="unexpected argument")
    option = hint.rpartition(" ")[2].replace("NAME", "url").replace("VALUE", "https://git.corp/a/b")
    assert "widgets" in program.run(*words, option, cwd=checkout.path).text
    (hint,) = stopped(program, "update", "--no-verify", "widgets", "--url", cwd=checkout.path, says="requires a value")
    option = hint.replace("VALUE", "https://git.corp/a/c")
    program.run("update", "--no-verify", "widgets", option, cwd=checkout.path)
    assert checkout.line("config", "coderepo.widgets.url") == "https://git.corp/a/c"


@cures("git coderepo secret set -h", "git coderepo update -h")
@pytest.mark.parametrize("words", [("secret", "set", "--token=-"), ("update", "--url=https://git.corp/a/b")])
def test_the_help_says_where_the_name_goes(program: Program, checkout: Repo, words: tuple[str, ...]) -> None:
    (hint,) = stopped(program, *words, cwd=checkout.path, says="missing argument 'NAME'")
    assert f"{' '.join(words[:-1])} [OPTIONS] NAME" in typed(hint, checkout.path, program.env).text


# --- publish ---


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("published"), "file") as made:
        yield made


@cures("git config coderepo.store file:///DIRECTORY")
def test_a_shared_store_in_a_directory(place: World, tmp_path: Path) -> None:
    cwd = place.checkout.path
    place.user.run("run", "--", "true", cwd=cwd)
    hint, _ = stopped(place.user.program, "publish", "--store", cwd=cwd, says="coderepo.store is not set")
    typed(hint.replace("file:///DIRECTORY", shlex.quote(f"file://{tmp_path}")), cwd, place.user.env)
    assert "written" in place.user.run("publish", "--store", cwd=cwd).text
    place.checkout.git("config", "--unset", "coderepo.store")


@cures("git coderepo log --remote", "git coderepo publish --delete --force {manifest.run.id}")
def test_a_published_run_is_found_and_deleted(place: World) -> None:
    place.checkout.write("train.py", "lr = 0.7\n")
    place.user.run("run", "--", "true", cwd=place.checkout.path, env={"CODEREPO_PUBLISH": "auto"})
    fresh = place.clone("fresh").path
    words = ("publish", "--delete")
    _, hint = stopped(place.user.program, *words, "0123456789ab", cwd=fresh, says="unknown run '0123456789ab'")
    (run,) = [line.split()[0] for line in typed(hint, fresh, place.user.env).text.splitlines() if line[:1].isdigit()]
    (hint,) = stopped(place.user.program, *words, run, cwd=fresh, says="has no overlay")
    typed(hint, fresh, place.user.env)
    assert place.repository.git("for-each-ref", "refs/coderepo") == ""
