"""The checkout as a platform's author sees it, in every state that a checkout can be in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_coderepo.errors import NotACheckout
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.context import LocalRepositoryContext
from git_coderepo.platforms.git import GitRemote
from git_coderepo.platforms.github import GitHub
from tests.support.repo import Repo


@pytest.fixture(autouse=True)
def user(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def pushed(tmp_path: Path, env: dict[str, str], repo: Repo) -> Repo:
    """A checkout whose only commit is on its remote `origin`."""
    repo.write("train.py", "lr = 0.1")
    repo.commit()
    Repo.clone(repo.path, tmp_path / "served.git", env, "--bare")
    repo.git("remote", "add", "origin", f"file://{tmp_path / 'served.git'}")
    repo.git("fetch", "--quiet", "origin")
    return repo


def context(repo: Repo) -> LocalRepositoryContext:
    return LocalRepositoryContext(str(repo.path), "origin")


def test_a_pushed_checkout_has_nothing_of_its_own(pushed: Repo) -> None:
    found = context(pushed)
    assert (found.root, found.branch, found.current_commit) == (str(pushed.path), "main", pushed.head())
    assert not found.is_dirty and not found.has_local_changes


@pytest.mark.parametrize("path", ["new file", b"not-\xff-utf8", "-dash", "new\nline", "n" * 250])
def test_an_untracked_file_makes_it_dirty_whatever_its_name(
    pushed: Repo, path: str | bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Z6"""
    pushed.write(path, "x")
    assert context(pushed).is_dirty and context(pushed).has_local_changes
    monkeypatch.setenv("CODEREPO_UNTRACKED", "ignore")
    assert not context(pushed).is_dirty


def test_staged_and_edited_and_deleted_files_make_it_dirty(pushed: Repo) -> None:
    pushed.write("train.py", "lr = 0.2")
    assert context(pushed).is_dirty
    pushed.git("add", "-A")
    assert context(pushed).is_dirty
    pushed.git("reset", "--hard", "--quiet")
    assert not context(pushed).is_dirty
    pushed.remove("train.py")
    assert context(pushed).is_dirty


def test_a_commit_pushed_under_another_name_counts_as_pushed(pushed: Repo) -> None:
    """Z4"""
    pushed.write("train.py", "lr = 0.2")
    pushed.commit()
    assert context(pushed).has_local_changes
    pushed.git("push", "--quiet", "origin", "HEAD:refs/heads/topic/other name".replace(" ", "-"))
    assert not context(pushed).has_local_changes


def test_a_detached_head_is_fine(pushed: Repo) -> None:
    """Z4"""
    pushed.git("checkout", "--quiet", "--detach")
    assert context(pushed).branch is None
    assert not context(pushed).has_local_changes


def test_a_remote_that_cannot_be_reached_is_not_asked(pushed: Repo) -> None:
    """Z4"""
    pushed.git("remote", "set-url", "origin", "https://nowhere.invalid/x.git")
    assert not context(pushed).has_local_changes


def test_a_repository_without_a_commit(repo: Repo) -> None:
    """Z4"""
    found = context(repo)
    assert found.current_commit is None and found.branch == "main"
    assert not found.is_dirty and found.has_local_changes


def test_a_checkout_without_a_remote_has_everything_for_itself(repo: Repo) -> None:
    repo.commit()
    assert LocalRepositoryContext(str(repo.path)).has_local_changes


def test_below_the_top_and_in_a_linked_worktree(pushed: Repo, tmp_path: Path) -> None:
    pushed.write("src/x.py", "")
    assert LocalRepositoryContext(str(pushed.path / "src")).root == str(pushed.path)
    pushed.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    linked = LocalRepositoryContext(str(tmp_path / "linked"), "origin")
    assert linked.root == str(tmp_path / "linked") and not linked.has_local_changes


def test_outside_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(NotACheckout):
        LocalRepositoryContext(str(tmp_path))
    assert LocalRepositoryContext.at(str(tmp_path), lambda _: True) is None


def test_nothing_is_written(pushed: Repo) -> None:
    os.utime(pushed.path / "train.py")
    index = (pushed.git_dir() / "index").read_bytes()
    assert not context(pushed).has_local_changes
    assert (pushed.git_dir() / "index").read_bytes() == index


@pytest.mark.slow
def test_the_object_view_is_gitpythons(pushed: Repo) -> None:
    with context(pushed).repo as found:
        assert found.head.commit.hexsha == pushed.head()


def test_a_platform_finds_its_checkout_by_any_remote_and_after_aliases(repo: Repo) -> None:
    """Z8"""
    github = GitHub("origin", {"owner": "acme", "repository": "widgets"})
    assert github.get_local_context(str(repo.path)) is None
    repo.git("config", "url.git@github.com:.insteadOf", "gh:")
    repo.git("remote", "add", "mirror", "https://git.corp/acme/widgets.git")
    repo.git("remote", "add", "up", "gh:Acme/widgets")
    found = github.get_local_context(str(repo.path))
    assert found is not None and found.remote_name == "up" and found.root == str(repo.path)
    other = GitRemote("mirror", {})
    other.remote = RemoteURL.parse("ssh://git@git.corp/acme/widgets")
    found = other.get_local_context(str(repo.path))
    assert found is not None and found.remote_name == "mirror"
