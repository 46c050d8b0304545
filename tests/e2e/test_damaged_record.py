"""Verbs that look at an old run, whose objects in our own store a power loss has damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, refused, world
from tests.e2e.test_publish import AUTO, writable
from tests.hints import cures
from tests.support.marks import first_quick
from tests.test_damaged_store import damage

VERBS = {"diff": ["diff", "@{-1}", "."], "publish": ["publish"], "store": ["publish", "--store"], "show": ["show"]}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """A recorded run of a changed checkout, which is as it was committed again; overlays are files."""
    with world(tmp_path, "github") as made:
        writable(made)
        (tmp_path / "shared").mkdir(mode=0o700)
        made.user.program.env["CODEREPO_STORE"] = f"file://{tmp_path}/shared"
        made.user.program.env["CODEREPO_INLINE_LIMIT"] = "0"
        yield made


def objects(place: World) -> list[Path]:
    folder = place.checkout.git_dir() / "coderepo" / "objects"
    return [path for path in folder.glob("??/*") if path.is_file()]


def record(place: World, env: dict[str, str] | None = None) -> str:
    place.checkout.write("train.py", "lr = 0.2\n" * 10_000)
    place.checkout.write("new/large.py", "# new\n" * 10_000)
    place.user.run("run", "--", "true", cwd=place.checkout.path, env=env)
    place.checkout.git("checkout", "--quiet", ".")
    (place.checkout.path / "new" / "large.py").unlink()
    return str(place.user.run("show", "--json", cwd=place.checkout.path).json()["run"]["id"])


@pytest.mark.slow
@pytest.mark.parametrize("how", first_quick("flipped", "empty", "half"))
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_damaged_is_named_and_created_again(place: World, verb: str, how: str) -> None:
    id = record(place)
    found = objects(place)
    for path in found:
        damage(path, how)
    here: dict[str, Any] = {"cwd": place.checkout.path}
    done = place.user.run(*VERBS[verb], **here)
    if verb == "show":
        assert id in done.text
        return
    assert f"warning: {len(found)} damaged objects in " in done.errors and "created again" in done.errors
    assert "git diff-tree" not in done.errors and "inflate" not in done.errors
    assert len(list((place.checkout.git_dir() / "coderepo" / "damaged").iterdir())) == len(found)
    again = place.user.run(*VERBS[verb], **here, check=False)
    assert again.errors == "" and again.status in (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["diff", "publish", "store"])
@cures("git coderepo show {run}")
def test_a_run_that_cannot_be_made_again_is_named_with_what_it_lost(place: World, verb: str) -> None:
    id = record(place)
    for overlay in (place.checkout.git_dir() / "coderepo" / "overlays").glob("*.gz"):
        overlay.unlink()
    for path in objects(place):
        damage(path, "half")
    refused(
        place.user, *VERBS[verb], cwd=place.checkout.path, status=128, hint=f"git coderepo show {id}",
        says=f"the run {id} has lost objects that cannot be created again (the overlay",
    )  # fmt: skip
    assert id in place.user.run("show", id, cwd=place.checkout.path).text


def test_the_objects_of_a_published_run_come_from_the_platform(place: World) -> None:
    id = record(place, AUTO)
    for path in objects(place):
        damage(path, "half")
    refused(
        place.user, "diff", "@{-1}", ".", cwd=place.checkout.path, status=128,
        says=f"the run {id} has lost objects", hint=f"git coderepo fetch {id} DIR",
    )  # fmt: skip
    place.user.run("fetch", id, place.user.path("code"), cwd=place.checkout.path)
