"""A token that a registration names by reference, `{{name.key}}`: it serves every verb, and no manifest shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.platforms.registry import platform_class
from tests.e2e.support import PROJECT, World, lines, on_platforms, world
from tests.support.program import Result
from tests.support.repo import PathLike

pytestmark = pytest.mark.slow

KEYRING = {"PYTHON_KEYRING_BACKEND": "tests.support.keyring_backend.FileKeyring", "PYTHONPATH": str(PROJECT)}
REFERENCE = "{{my_secret.pa_token}}"
SCOPES = {
    "github": ("contents:read", "contents:write"),
    "gitlab": ("read_api", "read_repository", "write_repository"),
    "git": ("read", "write"),
}


@pytest.fixture(params=on_platforms("github", "gitlab", "git"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A user with no token but the one in a file, which may push."""
    with world(tmp_path, request.param) as made:
        for name in made.credential:
            made.user.env.pop(name)
            made.user.program.env.pop(name)
        made.token = made.forge.add_token(request.param, scopes=SCOPES[request.param])
        (made.user.home / "a token").write_text(made.token + "\n")
        yield made


def keep(place: World, keyring: bool) -> dict[str, str]:
    """Keep the secret; without a keyring by typing what the refusal says. Gives what the program needs to find it."""
    words = ("secret", "set", "my_secret", "--pa_token", f"@{place.user.home / 'a token'}")
    if keyring:
        place.user.run(*words, env=KEYRING)
        return KEYRING
    said = place.user.run(*words, check=False)
    assert said.status == 4
    for hint in lines(said, "hint"):
        subprocess.run(["sh", "-c", hint], env=place.user.env, cwd=place.user.home, check=True)
    return {}


@pytest.mark.parametrize("keyring", [True, False], ids=["keyring", "file"])
def test_every_verb_works_and_nothing_of_it_is_recorded(place: World, keyring: bool) -> None:
    env = keep(place, keyring)
    checkout = place.checkout

    def here(*words: PathLike) -> Result:
        return place.user.run(*words, cwd=checkout.path, env=env)

    assert REFERENCE in here("secret", "list").text
    here("register", "r", f"--type={place.platform}", f"--token={REFERENCE}", "--remote=origin", *_host(place))
    checkout.write("train.py", "lr = 0.2\n")
    here("status", "--check", "--exit-code")
    assert here("describe", "--json").json()["credential"] == f"the secret {REFERENCE}"
    here("snapshot", "--check", "-o", place.user.home / "run.json")
    here("run", "--", sys.executable, "-c", "pass")
    here("hook", "pre-run")
    here("publish")
    here("log", "--remote")
    here("fetch", f"r@{place.base}", place.user.home / "fetched")
    api = "import git_coderepo as c\nc.snapshot(check=True)\nwith c.run(check=True): pass"
    subprocess.run(
        [sys.executable, "-c", api], cwd=checkout.path, env={**place.user.env, "PYTHONPATH": str(PROJECT), **env},
        check=True,
    )  # fmt: skip

    folder = checkout.path / ".git" / "coderepo"
    manifests = [place.user.home / "run.json", *folder.rglob("*.json")]
    assert len(manifests) > 3
    for manifest in manifests:
        text = manifest.read_text()
        assert not any(word in text for word in ("{{", place.token, "my_secret")), manifest
    # A runner gets it back with a credential of its own.
    for file in place.user.home.glob("run.json*"):
        shutil.copy(file, place.runner.home)
    place.runner.run("fetch", place.runner.home / "run.json", place.runner.home / "code")


def _host(place: World) -> list[str]:
    """How the forge's host and port are told, which no public host has."""
    option = {"github": "--host", "gitlab": "--instance-url"}.get(place.platform)
    return [f"{option}={place.forge.url}"] if option is not None else []


@pytest.mark.parametrize(
    ("type", "option"),
    [(type, option) for type in ("github", "gitlab", "git") for option in platform_class(type).options
     if not option.secret],
    ids=lambda value: str(getattr(value, "name", value)),
)  # fmt: skip
def test_an_option_that_is_recorded_cannot_be_a_reference(tmp_path: Path, type: str, option: object) -> None:
    with world(tmp_path, "file") as place:
        name = option.flag.lstrip("-")  # type: ignore[attr-defined]
        words = ("register", "r", f"--type={type}", f"--{name}={REFERENCE}", "--no-remote", "--no-verify")
        done = place.user.run(*words, cwd=place.checkout.path, check=False)
        assert done.status == 129
        assert lines(done, "fatal") == [f"'--{name}' is recorded with each run and cannot refer to a secret"]

        # Written by hand it stops a run, which names it and the line that cures it.
        for key, value in (("type", type), (option.key, REFERENCE)):  # type: ignore[attr-defined]
            place.checkout.git("config", f"coderepo.r.{key}", value)
        place.checkout.git("config", "coderepo.default", "r")
        for verb in (("snapshot",), ("run", "--", "true"), ("hook", "pre-run")):
            done = place.user.run(*verb, cwd=place.checkout.path, check=False)
            assert done.status != 0 and place.token not in done.errors
            assert "{{" not in done.text
        assert not list((place.checkout.path / ".git" / "coderepo").rglob("*.json"))


def test_a_name_that_no_manifest_may_hold_is_refused(tmp_path: Path) -> None:
    with world(tmp_path, "file") as place:
        done = place.user.run("register", "a{{b", cwd=place.checkout.path, check=False)
        assert done.status == 128 and "of a code repository" in done.errors
        place.checkout.git("remote", "rename", "origin", "a{{b")
        done = place.user.run("snapshot", cwd=place.checkout.path, check=False)
        assert done.status == 128
        assert lines(done, "hint")[0] == "git remote rename 'a{{b' NEW"
        place.checkout.git("remote", "rename", "a{{b", "origin")
        assert json.loads(place.user.run("snapshot", cwd=place.checkout.path).text)
