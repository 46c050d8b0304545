"""RUN means the same in every verb, in a fresh clone too, whose record has no run: a published one is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support import World, on_platforms, refused, remove, world
from tests.e2e.test_publish import AUTO, writable
from tests.support.repo import Repo


@pytest.fixture(scope="module", params=on_platforms("github", "git"))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp(request.param), request.param) as made:
        writable(made)
        yield made


@pytest.fixture(scope="module")
def runs(place: World) -> list[str]:
    """Two published runs, `old name` and `try 2`, each of a changed checkout; their ids."""
    ids = []
    for name in ("old name", "try 2"):
        place.checkout.write("train.py", f"# {name}\n")
        place.user.run("run", "--name", name, "--", "true", cwd=place.checkout.path, env=AUTO)
        ids.append(place.user.run("show", "--json", cwd=place.checkout.path).json()["run"]["id"])
    return ids


@pytest.fixture(scope="module")
def fresh(place: World, runs: list[str]) -> Repo:
    return place.clone("a fresh clone")


@pytest.mark.slow
@pytest.mark.parametrize("by", ["id", "prefix", "name"])
def test_a_published_run_in_a_fresh_clone(place: World, fresh: Repo, runs: list[str], by: str) -> None:
    word = {"id": runs[1], "prefix": runs[1][:23], "name": "try 2"}[by]
    here: dict[str, Any] = {"cwd": fresh.path}
    shown = place.user.run("show", word, **here).text
    assert runs[1] in shown and "try 2" in shown and f"refs/coderepo/runs/{runs[1]}" in shown
    assert place.user.run("show", "--json", word, **here).json()["run"]["id"] == runs[1]
    assert "+# try 2" in place.user.run("diff", word, "--", "-R", **here).text
    first = {"id": runs[0], "prefix": runs[0][:23], "name": "old name"}[by]
    between = place.user.run("diff", first, word, **here).text
    assert "-# old name" in between and "+# try 2" in between
    code = place.user.path("code")
    place.user.run("fetch", word, code, **here)
    assert (code / "train.py").read_text() == "# try 2\n"
    assert "unchanged" in place.user.run("verify", word, code, **here).text
    remove(code)
    assert place.user.run("exec", word, "--", "cat", "train.py", **here).text == "# try 2\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["show"], ["diff"], ["fetch", "X"], ["exec", "--", "true"], ["verify", "X"], ["publish"]]
)
def test_an_unknown_one_is_unknown_in_the_same_words(place: World, fresh: Repo, words: list[str]) -> None:
    verb, *rest = words
    status = 125 if verb == "exec" else 128
    rest = [place.user.path("code").as_posix() if word == "X" else word for word in rest]
    for name in ("no such run", "0123456789"):
        refused(
            place.user, verb, name, *rest, cwd=fresh.path, status=status,
            says=f"unknown run '{name}', and no file has this name; it is not published on 'origin'",
            hint="git coderepo log",
        )  # fmt: skip


@pytest.mark.slow
def test_the_users_repository_gets_no_object(place: World, fresh: Repo, runs: list[str]) -> None:
    before = fresh.git("count-objects", "-v")
    place.user.run("diff", *runs, cwd=fresh.path)
    assert fresh.git("count-objects", "-v") == before


@pytest.mark.slow
@pytest.mark.parametrize("by", ["prefix", "name", "manifest"])
def test_publish_knows_a_published_run_in_a_fresh_clone(place: World, fresh: Repo, by: str) -> None:
    here: dict[str, Any] = {"cwd": fresh.path}
    place.checkout.write("train.py", f"# let go of by {by}\n")
    name = f"by {by}"
    place.user.run("run", "--name", name, "--", "true", cwd=place.checkout.path, env=AUTO)
    id = place.user.run("show", "--json", cwd=place.checkout.path).json()["run"]["id"]
    manifest = place.user.path("named.json")
    manifest.write_bytes(place.user.run("show", "--json", id, cwd=place.checkout.path).stdout)
    word = {"prefix": id[:23], "name": name, "manifest": manifest}[by]
    if by != "manifest":
        again = place.user.run("publish", word, **here)
        assert again.text == f"run {id} is already published: refs/coderepo/runs/{id} on 'origin'\n"
        shared = place.user.path("shared")
        shared.mkdir(mode=0o700, exist_ok=True)
        stored = place.user.run("publish", "--store", word, env={"CODEREPO_STORE": f"file://{shared}"}, **here)
        assert id in stored.text and "written" in stored.text
    refused(place.user, "publish", "--delete", word, status=128, says="has no overlay", hint="--force", **here)
    done = place.user.run("publish", "--delete", "--force", word, **here)
    assert done.text == f"removed {id} from 'origin'\n"
    assert not place.repository.git("for-each-ref", f"refs/coderepo/runs/{id}")


@pytest.mark.slow
def test_publish_deletes_the_last_run_by_its_place(place: World) -> None:
    here: dict[str, Any] = {"cwd": place.checkout.path}
    place.checkout.write("train.py", "# the last\n")
    place.user.run("run", "--name", "last", "--", "true", env=AUTO, **here)
    id = place.user.run("show", "--json", **here).json()["run"]["id"]
    assert place.user.run("publish", "--delete", "--force", "@{-1}", **here).text == f"removed {id} from 'origin'\n"
