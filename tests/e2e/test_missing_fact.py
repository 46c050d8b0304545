"""Where a base is not known, the missing fact is named with the command that provides it; an outage is no answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, lines, world
from tests.hints import cures
from tests.support.program import Result
from tests.support.repo import Repo


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "file") as made:
        made.user.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
        yield made


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "github") as made:
        made.checkout.git("config", "--global", f"coderepo.{made.forge.url}/.type", "github")
        yield made


def status(place: World, repo: Repo, *arguments: str, check: bool = False) -> Result:
    return place.user.run("status", "-v", *arguments, cwd=repo.path, check=check)


def type_hints(repo: Repo, result: Result) -> None:
    """Type each hint that is a git command of its own."""
    for hint in lines(result, "hint"):
        if hint.startswith("git ") and not hint.startswith("git coderepo"):
            subprocess.run(["sh", "-c", hint], cwd=repo.path, env=repo.env, check=True, capture_output=True)


def bare_with_worktree(place: World) -> Repo:
    bare = place.user.home / "project/.bare"
    Repo.clone(place.url, bare, place.user.env, "--bare")
    worktree = place.user.home / "project/w"
    Repo(bare, place.user.env).git("worktree", "add", "--quiet", worktree, "main")
    return Repo(worktree, place.user.env)


@pytest.mark.slow
@cures(
    "git config --add {shell_word(f'remote.{name}.fetch')} {shell_word(refspec)}",
    "git fetch {word}",
)
def test_no_fetch_refspec(place: World) -> None:
    repo = bare_with_worktree(place)
    before = status(place, repo)
    assert "the setting 'remote.origin.fetch' creates no tracking references" in before.text
    assert "--check" in before.errors
    assert "known by platform" in status(place, repo, "--check").text
    type_hints(repo, before)
    after = status(place, repo)
    assert "known by remote-tracking" in after.text and not lines(after, "hint"), after.text


def test_a_mirrors_refspec(place: World) -> None:
    repo = place.checkout
    repo.git("config", "remote.origin.fetch", "+refs/*:refs/*")
    repo.commit()  # with that refspec the branch itself would count as fetched
    assert "'remote.origin.fetch' creates no tracking references" in status(place, repo).text


@pytest.mark.slow
@cures(
    "git coderepo status --check asks the platform; run and snapshot take --check as well",
    "add a separate remote for each URL of '{name}': git remote -v lists them",
)
def test_two_urls_on_one_remote(place: World) -> None:
    repo = place.checkout
    repo.git("remote", "set-url", "--add", "origin", "https://elsewhere.example/acme/widgets.git")
    found = status(place, repo)
    assert "the remote 'origin' has different URLs for fetch and push" in found.text
    assert any("git remote -v" in hint for hint in lines(found, "hint"))
    assert "known by platform" in status(place, repo, "--check").text
    report = status(place, repo, "--json").json()
    assert report["missingFact"]["message"].startswith("the remote 'origin' has different URLs")
    repo.git("remote", "set-url", "--delete", "origin", "https://elsewhere.example/acme/widgets.git")
    repo.git("remote", "add", "elsewhere", "https://elsewhere.example/acme/widgets.git")
    assert status(place, repo, "--json").json()["missingFact"] is None


@pytest.mark.slow
@cures("git push {word} HEAD")
def test_nothing_fetched_yet_and_an_unrelated_branch(place: World) -> None:
    repo = Repo.init(place.user.home / "new", place.user.env)
    repo.write("x", "1")
    repo.commit()
    repo.git("remote", "add", "origin", place.url)
    found = status(place, repo)
    assert "nothing has been fetched from 'origin' yet" in found.text
    type_hints(repo, found)
    found = status(place, repo)
    assert "no commit of this branch was on 'origin' when it was last fetched" in found.text
    repo.git("branch", "--move", "topic")
    type_hints(repo, status(place, repo))
    assert "known by remote-tracking" in status(place, repo).text


def test_an_overlay_that_is_too_large_for_want_of_a_base(place: World) -> None:
    repo = bare_with_worktree(place)
    repo.git("config", "coderepo.overlayLimit", "1k")
    refused = place.user.run("run", "--", "true", cwd=repo.path, check=False)
    assert refused.status == 125
    assert "the setting 'remote.origin.fetch' creates no tracking references" in lines(refused, "fatal")[0]
    assert "not known to be on the platform" in lines(refused, "fatal")[0]
    type_hints(repo, refused)
    assert place.user.run("run", "--", "true", cwd=repo.path).status == 0


@pytest.mark.slow
@pytest.mark.parametrize("unpushed", [1, 3, 40])
def test_check_asks_for_the_parents(hosted: World, unpushed: int) -> None:
    repo = hosted.checkout
    repo.git("config", "--unset-all", "remote.origin.fetch")
    for _ in range(unpushed):
        repo.commit()
    assert "none: the whole tree travels" in status(hosted, repo).text
    report = status(hosted, repo, "--check", "--json").json()
    assert report["base"] == {
        "commit": hosted.base, "knownBy": "platform", "unpushed": unpushed, "archive": "exact",
    }, report  # fmt: skip


# --- an outage is no answer -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--check"], ["--as-runner"]])
def test_a_platform_that_cannot_be_reached_is_unknown(hosted: World, arguments: list[str]) -> None:
    dead = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    dead["CODEREPO_MAX_WAIT"] = "1"
    found = hosted.user.run("status", *arguments, "--exit-code", cwd=hosted.checkout.path, check=False, env=dead)
    assert found.status == 128, found.text + found.errors
    if arguments == ["--check"]:
        assert "reproducible  unknown: cannot reach" in found.text
        document = hosted.user.run("status", "--check", "--json", cwd=hosted.checkout.path, env=dead).json()
        assert document["reproducible"] is None


@pytest.mark.slow
def test_a_failure_is_not_taken_for_an_unborn_branch(place: World) -> None:
    repo = place.checkout
    lib = Repo.init(place.user.home / "lib", place.user.env)
    lib.commit()
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{lib.path}", "lib")
    repo.commit()
    repo.write("lib/.git", "gitdir: /nowhere\n")
    found = status(place, repo)
    assert "no commit yet" not in found.text and "reproducible  no: " in found.text, found.text + found.errors
    damaged = place.clone("damaged")
    damaged.write(".git/refs/heads/main", "no commit\n")
    found = status(place, damaged)
    assert "no commit yet" not in found.text and "HEAD does not resolve to a commit" in found.text, (
        found.text + found.errors
    )
    unborn = Repo.init(place.user.home / "unborn", place.user.env)
    assert "no commit yet" in status(place, unborn).text


# --- a read-only .git -------------------------------------------------------------------------------------------------


@pytest.fixture
def read_only() -> list[str]:
    """What has a command see the `.git` of its directory read-only, also as root."""
    script = 'mount --bind .git .git && mount -o remount,bind,ro .git && exec "$@"'
    before = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a read-only mount needs root and unshare(1)")
    return before


@pytest.mark.slow
@cures("export CODEREPO_RECORD_DIR=/path/to/directory")
@pytest.mark.parametrize("verb", [["run", "--", "true"], ["snapshot"], ["hook", "pre-run"]])
def test_a_read_only_git_directory(place: World, read_only: list[str], verb: list[str]) -> None:
    repo = place.checkout
    repo.write("new", "dirty\n")
    program = os.fsdecode(place.user.program.executable())

    def go(**env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*read_only, program, *verb], cwd=repo.path, env={**place.user.env, **env}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    refused = go()
    if "mount: " in refused.stderr or "unshare: " in refused.stderr:
        pytest.skip("this machine allows no mount namespace")
    assert refused.returncode != 0
    assert (
        "read-only file system" in refused.stderr
        and "hint: export CODEREPO_RECORD_DIR=/path/to/directory\n" in refused.stderr
    )
    elsewhere = place.user.home / "records"
    done = go(CODEREPO_RECORD_DIR=str(elsewhere))
    assert done.returncode == 0, done.stderr
    if verb[0] != "snapshot":
        (current,) = elsewhere.rglob("current.json")
        shown = place.user.run("show", cwd=repo.path, env={"CODEREPO_RECORD_DIR": str(elsewhere)})
        assert "tree" in shown.text and current.stat().st_size
    assert not (repo.path / ".git/coderepo").exists()
