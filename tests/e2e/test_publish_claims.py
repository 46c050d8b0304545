"""What `publish` and `show` say is so: nothing is removed that was not there, no page is named that does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, lines, world
from tests.support.repo import Repo


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "file") as made:
        yield made


def run(place: World) -> str:
    place.user.run("run", "--", "true", cwd=place.checkout.path)
    return str(place.user.run("log", "--json", cwd=place.checkout.path).json()[0]["id"])


def with_submodule(place: World, tmp_path: Path) -> Repo:
    """A submodule at `lib/the sub`, clean and pushed, in the pushed checkout."""
    author = Repo.init(tmp_path / "author of the sub", place.user.env)
    author.write("inner.py", b"inner\n")
    author.commit("first")
    served = place.forge.add_repository("acme/sub", platform="git", source=author.path)
    place.checkout.git("submodule", "--quiet", "add", f"file://{served.path}", "lib/the sub")
    place.checkout.commit("with a submodule")
    place.push()
    place.checkout.git("update-ref", "refs/remotes/origin/main", "HEAD")
    return Repo(place.checkout.path / "lib/the sub", place.user.env)


def test_what_was_never_published_is_not_removed(place: World) -> None:
    id = run(place)
    result = place.user.run("publish", "--delete", id, cwd=place.checkout.path, check=False)
    assert result.status == 1 and result.stdout == b""
    assert lines(result, "error") == [f"run {id} is not published on 'origin'"]


@pytest.mark.slow
def test_what_was_removed_already_is_not_removed_again(place: World) -> None:
    place.checkout.write("train.py", b"edited")
    id = run(place)
    place.user.run("publish", id, cwd=place.checkout.path)
    assert place.user.run("publish", "--delete", id, cwd=place.checkout.path).text.startswith(f"removed {id}")
    assert place.user.run("publish", "--delete", id, cwd=place.checkout.path, check=False).status == 1


def test_what_somebody_else_removed_is_no_longer_noted_as_published(place: World) -> None:
    id = run(place)
    place.user.run("publish", id, cwd=place.checkout.path)
    place.repository.git("update-ref", "-d", f"refs/coderepo/runs/{id}")
    assert place.user.run("publish", "--delete", id, cwd=place.checkout.path, check=False).status == 1
    assert "refs/coderepo" not in place.user.run("show", id, cwd=place.checkout.path).text


@pytest.mark.slow
def test_a_clean_pushed_submodule_needs_nothing_to_travel(place: World, tmp_path: Path) -> None:
    with_submodule(place, tmp_path)
    place.checkout.write("train.py", b"edited")
    id = run(place)

    place.user.run("publish", id, cwd=place.checkout.path)

    other = place.clone("another clone")
    place.user.run("fetch", id, place.user.path("code"), cwd=other.path)
    assert place.user.path("code/lib/the sub/inner.py").read_bytes() == b"inner\n"
    assert place.user.path("code/train.py").read_bytes() == b"edited"


@pytest.mark.slow
@pytest.mark.parametrize("change", ["an edit", "an untracked file", "a commit that is not pushed"])
def test_a_submodule_of_which_something_travels_is_refused(place: World, tmp_path: Path, change: str) -> None:
    sub = with_submodule(place, tmp_path)
    sub.write("new.py" if change == "an untracked file" else "inner.py", b"changed\n")
    if change == "a commit that is not pushed":
        sub.commit("not pushed")
    id = run(place)

    result = place.user.run("publish", id, cwd=place.checkout.path, check=False)

    assert result.status == 128
    assert "the submodule 'lib/the sub' has changes" in lines(result, "fatal")[0]
    assert place.repository.git("for-each-ref", "refs/coderepo") == ""


@pytest.mark.parametrize("pushed", [True, False])
def test_show_names_the_page_of_a_pushed_commit_only(tmp_path: Path, pushed: bool) -> None:
    with world(tmp_path, "github") as place:
        place.register("mine", "--type", "github")
        place.checkout.write("train.py", b"edited")
        commit = place.checkout.commit("second")
        if pushed:
            place.push()
            place.checkout.git("update-ref", "refs/remotes/origin/main", "HEAD")
        id = run(place)

        shown = place.user.run("show", id, cwd=place.checkout.path).text

        assert (f"/commit/{commit}" in shown) is pushed
