"""`run --frozen`: the command sees the snapshot, whatever is edited meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, load, refused, until, world
from tests.hints import cures


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("frozen"), "github") as made:
        made.user.program.env["CODEREPO_CACHE_DIR"] = str(made.root / "the cache")
        yield made


def result_of(place: World) -> Any:
    """What is known of the last run's end."""
    return load(max(place.checkout.path.glob(".git/coderepo/runs/*/*.result.json")))


@pytest.mark.slow
def test_an_edit_meanwhile_does_not_reach_the_command_and_is_none_of_the_run(place: World, tmp_path: Path) -> None:
    place.checkout.write("train.py", "print('as it was')\n")  # never committed
    started, go_on = tmp_path / "started", tmp_path / "go on"
    script = 'touch "$0"; while ! test -e "$1"; do sleep 0.05; done; python3 train.py; pwd'
    process = place.user.program.start(
        "run", "--frozen", "--", "sh", "-c", script, str(started), str(go_on), cwd=place.checkout.path
    )
    until(started.exists)
    place.checkout.write("train.py", "print('edited')\n")
    go_on.touch()
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    said, where = out.decode().splitlines()
    assert said == "as it was"
    assert where.startswith(str(place.root / "the cache"))
    assert b"edited" not in errors
    result = result_of(place)
    assert (result["status"], result["edited"], result["produced"]) == (0, [], [])
    assert place.forge.requests() == [], "all of it is here"


def test_it_starts_where_it_was_called_and_finds_its_modules(place: World) -> None:
    place.checkout.write("services/one/main.py", "import helper\n")
    place.checkout.write("helper.py", "print(__file__)\n")
    done = place.user.run("run", "--frozen", "python3", "main.py", cwd=place.checkout.path / "services/one")
    assert done.text.rstrip().endswith("/tree/helper.py")


def test_its_status_is_the_commands_and_it_may_not_write_there(place: World) -> None:
    assert place.user.run("run", "--frozen", "sh", "-c", "exit 9", cwd=place.checkout.path, check=False).status == 9
    if os.geteuid() != 0:
        assert place.user.run("run", "--frozen", "touch", "new", cwd=place.checkout.path, check=False).status == 1


def test_outputs_are_named_from_where_it_was_called(place: World) -> None:
    target = place.checkout.path / "out.bin"
    place.user.run(
        "run", "--frozen", "--output", "out.bin", "sh", "-c", 'echo 1 > "$0"', target, cwd=place.checkout.path
    )
    (output,) = result_of(place)["outputs"]
    assert output["path"] == "out.bin"
    place.checkout.remove("out.bin")


@cures("start it in a directory that holds code")
def test_a_folder_without_code_is_no_place_to_start(place: World) -> None:
    (place.checkout.path / "empty").mkdir()
    refused(
        place.user,
        *("run", "--frozen", "touch", "started"),
        status=125,
        says="cannot start the command in 'empty'",
        hint="a directory that holds code",
        cwd=place.checkout.path / "empty",
    )
    assert result_of(place)["status"] == 125
    (place.checkout.path / "empty").rmdir()
    place.user.run("run", "--frozen", "true", cwd=place.checkout.path)
