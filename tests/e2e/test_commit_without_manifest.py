"""`fetch NAME@COMMIT[:PATH] DIR`: a commit as it is, with no manifest, the tree read from the commit itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, load, on_platforms, problems, refused, world
from tests.support.repo import Repo

FILES = {
    "train.py": b"lr = 0.1\n",
    "services/train/main.py": b"print(1)\n",
    "services/train/data dir/€.txt": b"euro\n",
    b"services/train/caf\xe9": b"\xe9\n",
    "services/train/run.sh": b"#!/bin/sh\n",
    "services/other.txt": b"not asked for\n",
}


@pytest.fixture(scope="module", params=on_platforms("github", "gitlab", "git"))
def hosted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp(request.param), request.param, files=FILES) as made:
        made.register("mine")
        made.checkout.git("config", "--global", "alias.x", "status")
        yield made


@pytest.mark.slow
def test_by_registration_remote_and_url(hosted: World, tmp_path: Path) -> None:
    whole = hosted.checkout.line("rev-parse", "HEAD^{tree}")
    part = hosted.checkout.line("rev-parse", "HEAD:services/train")
    here: dict[str, Any] = {"cwd": hosted.checkout.path}
    for name, path, tree in (
        ("mine", "", whole),
        ("mine", ":.", whole),
        ("mine", ":services/train/", part),
        ("origin", "", whole),
        (hosted.url, ":services/train", part),
    ):
        target = tmp_path / f"{name} {path}".replace("/", "_")
        receipt = tmp_path / "receipt.json"
        word = f"{name}@{hosted.base}{path}"
        made = hosted.user.run("fetch", "--json", "--receipt", receipt, word, target, **here).json()
        assert load(receipt) == made
        assert problems(hosted.user, receipt) == []
        assert (made["tree"], made["treeBy"], made["commit"]) == (tree, "commit", hosted.base)
        assert made["manifest"] == {"digest": None, "runId": None}
        assert made["subdirectory"] == (path.strip(":/.") or ".")
        assert hosted.user.tree(target) == tree
        if name == hosted.url:
            assert hosted.user.run("verify", word, target, **here).text.endswith(f"tree {tree}, unchanged\n")


@pytest.mark.slow
def test_on_a_runner_that_has_nothing_but_the_url(hosted: World) -> None:
    word = f"{hosted.url}@{hosted.base}:services"
    said = hosted.runner.run("fetch", word, "by url").text
    assert hosted.runner.tree("by url") == hosted.checkout.line("rev-parse", "HEAD:services")
    assert "verified" in said


@pytest.mark.parametrize("method", ["archive", "git"])
def test_a_part_comes_by_either_method(hosted: World, method: str, tmp_path: Path) -> None:
    word = f"mine@{hosted.base}:services/train"
    target = tmp_path / "part"
    asked = ("fetch", "--method", method, "--json", word, target)
    done = hosted.user.run(*asked, cwd=hosted.checkout.path, check=False)
    if hosted.platform == "git" and method == "archive":
        assert done.status == 128
        assert "has no archives" in done.errors
        return
    assert done.json()["method"] == method
    assert (target / "data dir" / "€.txt").read_text() == "euro\n"
    assert not (target / "services").exists()


@pytest.mark.slow
def test_what_is_not_there_is_refused(hosted: World) -> None:
    here: dict[str, Any] = {"cwd": hosted.checkout.path}
    gone = f"mine@{'1' * 40}"
    refused(hosted.user, "fetch", gone, "../code", **here, status=128, says="no such commit", hint="push it again")
    nowhere = f"mine@{hosted.base}:no/such/folder"
    refused(hosted.user, "fetch", nowhere, "../code", **here, status=128, says="no/such/folder", hint=None)
    file = f"mine@{hosted.base}:train.py"
    refused(hosted.user, "fetch", file, "../code", **here, status=128, says="train.py", hint=None)
    tree = hosted.checkout.line("rev-parse", "HEAD^{tree}")
    no_commit = f"mine@{tree}"
    refused(hosted.user, "fetch", no_commit, "../code", **here, status=128, says="", hint=None)
    for outside in ("/etc", "../..", "services/../.."):
        word = f"mine@{hosted.base}:{outside}"
        refused(hosted.user, "fetch", word, "../code", **here, status=129, says="path relative to the root", hint=None)
    short = f"mine@{'1' * 12}"
    refused(hosted.user, "fetch", short, "../code", **here, status=128, says="1" * 12, hint="full id")


@pytest.mark.parametrize(
    "url",
    [
        "git@no-such-host.invalid:acme/widgets.git",
        "ssh://git@no-such-host.invalid:2222/acme/widgets.git",
        "https://ada@no-such-host.invalid/acme/widgets.git",
        "https://ada:secret@no-such-host.invalid/acme/widgets.git",
    ],
)
def test_a_url_with_a_user_in_it_is_split_at_the_last_sign(tmp_path: Path, url: str) -> None:
    """The last `@` before the id splits the word: the host is asked, which is not there."""
    with world(tmp_path, "file") as place:
        asked = ("fetch", f"{url}@{place.base}", "code")
        env = {"CODEREPO_ALLOW_PROTOCOL": ""}
        said = refused(place.runner, *asked, env=env, status=128, says="'", hint="")
        assert "no-such-host.invalid" in said.errors
        assert "secret" not in said.errors


@pytest.mark.slow
def test_a_repository_beside_the_runner_and_a_name_with_a_sign(tmp_path: Path) -> None:
    with world(tmp_path, "file", object_format="sha256") as place:
        place.checkout.git("config", "--rename-section", "remote.origin", "remote.who@where")
        here: dict[str, Any] = {"cwd": place.checkout.path}
        made = place.user.run("fetch", "--json", f"who@where@{place.base}", "../by name", **here).json()
        assert len(made["tree"]) == 64
        beside = Repo.clone(f"file://{place.repository.path}", place.runner.home / "a clone", place.runner.env)
        place.runner.run("fetch", f"a clone@{beside.head()}", "from a path")
        tree = place.checkout.line("rev-parse", "HEAD^{tree}")
        assert place.runner.tree("from a path", "sha256") == tree == made["tree"]


@pytest.mark.slow
def test_without_git_the_platform_says_the_tree(tmp_path: Path) -> None:
    """And the receipt says that it was the platform."""
    for platform in ("github", "gitlab"):
        with world(tmp_path / platform, platform) as place:
            marks = {
                "github": {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": place.forge.url},
                "gitlab": {"GITLAB_CI": "true", "CI_SERVER_URL": place.forge.url},
            }[platform]
            (tmp_path / "empty").mkdir(exist_ok=True)
            program = place.runner.program.executable()
            place.runner.program.env.update(marks, PATH=str(tmp_path / "empty"))
            done = subprocess.run(
                [program, "fetch", "--receipt", "receipt.json", f"{place.url}@{place.base}", "code"],
                cwd=place.runner.home,
                env=place.runner.program.env,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            assert "warning: the platform named the tree" in done.stderr
            assert load(place.runner.home / "receipt.json")["treeBy"] == "platform"
            assert place.runner.tree("code") == place.checkout.line("rev-parse", "HEAD^{tree}")
