"""`fetch NAME@REVISION[:PATH]`: submodules, branches, tags and short ids, with git and without it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, lines, load, on_platforms, problems, remove, world
from tests.e2e.test_submodules import add, library
from tests.support.repo import Repo

FILES = {"train.py": b"lr = 0.1\n", "services/a b/main.py": b"print(1)\n", "services/run.sh": b"#!/bin/sh\n"}


def add_at(checkout: Repo, source: Repo, path: str, url: str) -> None:
    """A submodule that `.gitmodules` places at a URL."""
    add(checkout, source, path)
    checkout.git("config", "--file", ".gitmodules", f"submodule.{path}.url", url)


class Place:
    """A superproject with `lib` (relative URL) and `services/inner` (whole URL), which has a submodule of its own."""

    def __init__(self, hosted: World) -> None:
        self.world = hosted
        hosted.register("mine")
        root, platform = hosted.root, hosted.platform
        leaf = library(root, hosted, "leaf")
        hosted.forge.add_repository("acme/leaf", platform=platform, source=leaf.path)
        inner = library(root, hosted, "inner")
        hosted.forge.add_repository("acme/inner", platform=platform)
        lib = library(root, hosted, "lib")
        hosted.forge.add_repository("acme/lib", platform=platform, source=lib.path)
        add_at(inner, leaf, "leaf", "../leaf.git")
        inner.commit("with a leaf")
        self._publish(inner, "acme/inner")
        add_at(hosted.checkout, lib, "lib", "../lib.git")
        add_at(hosted.checkout, inner, "services/inner", f"{hosted.forge.url}/acme/inner.git")
        hosted.checkout.commit("with submodules")
        hosted.push()
        self.commit = hosted.checkout.head()
        hosted.checkout.git("tag", "-a", "v1.0", "-m", "first")
        hosted.push(refspec="refs/tags/v1.0")
        hosted.push(refspec="HEAD:refs/heads/feature/x")

    def _publish(self, repo: Repo, name: str) -> None:
        repository = self.world.forge.repository(name)
        assert repository is not None
        repository.git("fetch", "--quiet", str(repo.path), "+HEAD:refs/heads/main")

    def fetch(self, *words: str, check: bool = True, env: Mapping[str, str] | None = None) -> Any:
        remove(self.world.user.path("code"))
        receipt = self.world.user.path("receipt.json")
        receipt.unlink(missing_ok=True)
        asked: tuple[str | Path, ...] = ("fetch", "--receipt", receipt, *words, self.world.user.path("code"))
        return self.world.user.run(*asked, cwd=self.world.checkout.path, check=check, env=env)

    @property
    def code(self) -> Path:
        return self.world.user.path("code")

    @property
    def receipt(self) -> Any:
        return load(self.world.user.path("receipt.json"))


@pytest.fixture(scope="module", params=on_platforms("gitlab", "github", "git"))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with world(tmp_path_factory.mktemp(request.param), request.param, files=FILES) as made:
        yield Place(made)


@pytest.fixture
def without_git(place: Place, tmp_path: Path) -> Mapping[str, str]:
    """Our program alone on PATH, and a registration by its URL and the CI's variables, since no git can be asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    os.symlink(place.world.user.program.executable(), folder / "git-coderepo")
    marks = {
        "github": {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": place.world.forge.url},
        "gitlab": {"GITLAB_CI": "true", "CI_SERVER_URL": place.world.forge.url},
    }
    return {**marks.get(place.world.platform, {}), "PATH": str(folder)}


@pytest.fixture(autouse=True)
def tidy(place: Place) -> Iterator[None]:
    place.world.forge.forget_requests()
    yield
    place.world.forge.behave()
    place.world.forge.most_rows = None
    place.world.forge.forgets_next = False


def everything_is_there(place: Place) -> None:
    assert (place.code / "train.py").read_bytes() == FILES["train.py"]
    for path in ("lib", "services/inner", "services/inner/leaf"):
        assert (place.code / path / "lib.py").exists(), path
    found = {each["path"]: each for each in place.receipt["submodules"]}
    assert {path: each["state"] for path, each in found.items()} == dict.fromkeys(
        ("lib", "services/inner", "services/inner/leaf"), "fetched"
    )
    assert problems(place.world.user, place.world.user.path("receipt.json")) == []


@pytest.mark.slow
def test_submodules_come_along_in_one_pass(place: Place) -> None:
    place.fetch(f"mine@{place.commit}")
    everything_is_there(place)
    hosted = place.world.platform != "git"
    assert place.receipt["method"] == ("archive" if hosted else "git")
    assert place.receipt["fallbacks"] == []
    assert place.receipt["treeBy"] == "commit"
    assert len(place.world.forge.requests("archive")) == (4 if hosted else 0), "one of each repository, none twice"
    done = place.world.user.run("verify", f"mine@{place.commit}", place.code, cwd=place.world.checkout.path)
    assert "unchanged" in done.text


@pytest.mark.slow
def test_they_can_be_left(place: Place) -> None:
    done = place.fetch("--no-submodules", f"mine@{place.commit}")
    assert list((place.code / "lib").iterdir()) == []
    assert {each["state"] for each in place.receipt["submodules"]} == {"absent"}
    assert "warning" not in done.errors or place.world.platform != "git"


@pytest.mark.slow
def test_a_part_has_its_own_submodules(place: Place) -> None:
    place.fetch(f"mine@{place.commit}:services")
    assert (place.code / "inner/leaf/lib.py").exists()
    assert (place.code / "a b/main.py").exists()
    assert not (place.code / "lib").exists()


@pytest.mark.slow
@pytest.mark.parametrize("revision", ["main", "feature/x", "v1.0", "short"])
def test_a_branch_a_tag_or_a_short_id(place: Place, revision: str) -> None:
    if revision == "short":
        if place.world.platform == "git":
            done = place.fetch(f"mine@{place.commit[:10]}", check=False)
            assert done.status == 128
            assert f"has no branch, tag or commit '{place.commit[:10]}'" in done.errors
            return
        revision = place.commit[:10]
    done = place.fetch(f"mine@{revision}:services")
    assert f"'{revision}' is commit {place.commit}" in done.errors
    assert place.receipt["commit"] == place.commit


@pytest.mark.slow
def test_by_url_and_of_no_such_revision(place: Place) -> None:
    done = place.fetch(f"{place.world.url}@main")
    assert place.commit in done.errors
    gone = place.fetch(f"{place.world.url}@no-such-branch", check=False)
    assert gone.status == 128
    assert "'no-such-branch'" in lines(gone, "fatal")[0]
    assert "manifest" not in gone.errors


@pytest.mark.slow
def test_without_git_all_of_it(place: Place, without_git: Mapping[str, str]) -> None:
    """Whole, by a branch, and a part: the platform says the trees, and the receipt says that it did."""
    url = place.world.url
    if place.world.platform == "git":
        done = place.fetch(f"{url}@{place.commit}", env=without_git, check=False)
        assert done.status == 128
        assert "git" in lines(done, "fatal")[0]
        return
    for word in (f"{url}@{place.commit}", f"{url}@feature/x"):
        done = place.fetch(word, env=without_git)
        everything_is_there(place)
        assert (place.receipt["treeBy"], place.receipt["method"]) == ("platform", "archive")
        assert "the platform named the tree" in done.errors
    place.fetch(f"{url}@{place.commit}:services", env=without_git)
    assert (place.code / "inner/leaf/lib.py").exists()
    assert os.access(place.code / "run.sh", os.X_OK)
    nowhere = place.fetch(f"{url}@{place.commit}:no/such", env=without_git, check=False)
    assert "has no directory 'no/such'" in nowhere.errors
    gone = place.fetch(f"{url}@{'1' * 40}", env=without_git, check=False)
    assert (gone.status, "has no commit" in gone.errors) == (128, True), gone.errors


@pytest.mark.slow
def test_a_listing_that_is_cut_off_is_an_error(place: Place, without_git: Mapping[str, str]) -> None:
    if place.world.platform == "git":
        pytest.skip("a plain remote has no listing")
    forge = place.world.forge
    forge.most_rows = 2
    word = f"{place.world.url}@{place.commit}"
    if place.world.platform == "gitlab":  # pages of two rows: all of them are asked for
        place.fetch(word, env=without_git)
        everything_is_there(place)
        forge.forgets_next, forge.most_rows = True, 4
    done = place.fetch(word, env=without_git, check=False)
    assert done.status == 128
    # GitHub says that its answer is cut off; of GitLab's pages only their number tells.
    says = {"github": "lists only a part of the tree", "gitlab": "an incomplete or wrong listing"}
    assert says[place.world.platform] in lines(done, "fatal")[0]
    assert "install git" in done.errors
    assert not place.code.exists()


def test_a_cut_that_cannot_be_seen_is_found_by_the_tree(place: Place, without_git: Mapping[str, str]) -> None:
    """Two whole files look like a whole tree: the archive is then another one, which is what is said."""
    if place.world.platform != "gitlab":
        pytest.skip("the others name the tree themselves")
    place.world.forge.forgets_next, place.world.forge.most_rows = True, 2
    done = place.fetch(f"{place.world.url}@{place.commit}", env=without_git, check=False)
    assert done.status == 128
    assert "archive differs from the recorded tree" in lines(done, "fatal")[0]
    assert "has no archives" not in done.errors


# --- what a `.gitmodules` may not do ---


@pytest.fixture
def hostile(place: Place) -> Iterator[Any]:
    """Commits another `.gitmodules` on a branch of its own; gives a function that says at which commit."""
    checkout, world = place.world.checkout, place.world

    def commit(url: str) -> str:
        checkout.git("config", "--file", ".gitmodules", "submodule.lib.url", url)
        checkout.git("commit", "--quiet", "-am", "hostile")
        world.push(refspec="HEAD:refs/heads/hostile")
        return checkout.head()

    yield commit
    checkout.git("reset", "--quiet", "--hard", place.commit)


@pytest.mark.slow
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc", "/etc", "http://evil.example/x.git", "git://evil.example/x.git", "ext::sh -c 'touch evil'",
        "../../../../x", "https://u:p@evil.example/x.git", "https://HOST/acme/../victim/x.git",
    ],
)  # fmt: skip
def test_a_submodule_elsewhere_than_https_and_ssh(place: Place, hostile: Any, url: str) -> None:
    commit = hostile(url.replace("HOST", place.world.forge.url.removeprefix("https://")))
    done = place.fetch(f"mine@{commit}", check=False)
    assert done.status in (4, 128), done.errors
    assert "the submodule 'lib'" in lines(done, "fatal")[0]
    assert any("--no-submodules" in hint for hint in lines(done, "hint"))
    assert not place.code.exists()
    place.fetch("--no-submodules", f"mine@{commit}")


@pytest.mark.slow
def test_another_host_gets_no_credential_of_this_one(place: Place, hostile: Any) -> None:
    commit = hostile(f"{place.world.forge.evil_url}/acme/lib.git")
    done = place.fetch(f"mine@{commit}", check=False)
    assert done.status in (4, 128)
    saw = place.world.forge.origins_that_saw(place.world.token)
    assert place.world.forge.evil_url not in saw


@pytest.mark.slow
def test_a_circle_of_submodules_ends(tmp_path: Path) -> None:
    with world(tmp_path, "git", files=FILES) as made:
        made.register("mine")
        lib = library(tmp_path, made, "lib")
        made.forge.add_repository("acme/lib", platform="git", source=lib.path)
        checkout = made.checkout
        for _ in range(12):  # each commit has the one before as its submodule
            before = checkout.head()
            checkout.write(".gitmodules", f'[submodule "me"]\n\tpath = me\n\turl = {made.url}\n')
            checkout.git("add", ".gitmodules")
            checkout.git("update-index", "--add", "--cacheinfo", f"160000,{before},me")
            checkout.git("commit", "--quiet", "-m", "round")
        made.push()
        done = made.user.run("fetch", f"mine@{checkout.head()}", "../code", cwd=checkout.path, check=False)
        assert done.status == 128
        assert "more than 8 levels deep" in done.errors
        assert not made.user.path("code").exists()
