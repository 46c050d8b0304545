"""`status --as-runner`: what will go wrong on the runner is heard before the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, everything, refused, world


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("rehearsed"), "github") as made:
        made.register()
        made.checkout.write(b"notes \xff.txt", "never committed\n")
        yield made


@pytest.fixture
def credentials(place: World, tmp_path: Path) -> Path:
    """What a runner will have mounted."""
    path = tmp_path / "the runner's credentials"
    path.write_text(f"{place.forge.url.replace('https://', f'https://{place.git_user}:{place.token}@')}\n")
    return path


def rehearsed(place: World, *arguments: str, status: int = 0) -> Any:
    done = place.user.run(
        "status", "--as-runner", "--json", "--exit-code", *arguments, cwd=place.checkout.path, check=False
    )
    assert done.status == status, done.text + done.errors
    return json.loads(done.stdout)["asRunner"]


@pytest.mark.slow
def test_with_what_the_runner_will_have_the_receipt_is_shown(place: World, credentials: Path) -> None:
    before = everything(place.user.home)
    found = rehearsed(place, "--credentials", str(credentials))
    assert found["receipt"]["tree"] == place.checkout.tree()
    assert (found["receipt"]["method"], found["says"]) == ("archive", [])
    assert everything(place.user.home) == before
    assert os.listdir(place.user.env["TMPDIR"]) == []
    shown = place.user.run("status", "--as-runner", "--credentials", credentials, cwd=place.checkout.path).text
    assert "yes: 6 files by archive in " in shown or "by archive in" in shown


@pytest.mark.slow
def test_the_users_own_token_does_not_count(place: World) -> None:
    """CODEREPO_TOKEN is in the user's environment: `fetch` would work here, and not there."""
    found = rehearsed(place, status=4)
    assert found["receipt"] is None
    assert any(line.startswith("fatal: ") for line in found["says"])
    assert any(line.startswith("hint: ") for line in found["says"])


@pytest.mark.slow
def test_nor_do_the_keyring_the_agent_and_the_users_configuration(place: World) -> None:
    place.user.run("login", "--token", "-", cwd=place.checkout.path, input=place.token.encode(), check=False)
    helper = f"!f() {{ echo username={place.git_user}; echo password={place.token}; }}; f"
    place.checkout.git("config", "--global", "credential.helper", helper)
    try:
        assert rehearsed(place, status=4)["receipt"] is None
    finally:
        place.checkout.git("config", "--global", "--unset", "credential.helper")


@pytest.mark.slow
def test_without_git(place: World, credentials: Path) -> None:
    found = rehearsed(place, "--no-git", "--credentials", str(credentials))
    assert (found["receipt"]["method"], found["receipt"]["producer"]["git"]) == ("archive", None)


@pytest.mark.slow
def test_an_overlay_beside_the_manifest_goes_along(place: World, credentials: Path) -> None:
    place.checkout.write("large.bin", os.urandom(200_000))
    found = rehearsed(place, "--credentials", str(credentials))
    assert found["receipt"]["overlay"]["files"] == 2
    place.checkout.remove("large.bin")


def test_its_options_alone_say_nothing(place: World) -> None:
    refused(place.user, "status", "--no-git", status=129, says="--as-runner", hint=None, cwd=place.checkout.path)
