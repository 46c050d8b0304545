"""Beside pre-commit, lefthook and git-lfs themselves: each goes on to work, whichever came first and whichever goes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import git_coderepo
from tests.hooks.support import Hooks, executable, in_configuration, in_folder, picture
from tests.support.environment import program_path
from tests.support.repo import Repo, run_git

ROOT = Path(git_coderepo.__file__).parent.parent


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program, path=program_path()) is None, reason=f"no {program} on PATH")


def start(hooks: Hooks, *argv: str, check: bool = True) -> int:
    """A tool, in the checkout; its status."""
    assert executable(argv[0], hooks.repo.env)
    done = subprocess.run(
        argv, cwd=hooks.repo.path, env=hooks.repo.env, capture_output=True, text=True, check=False, timeout=120
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.returncode


def both_run(hooks: Hooks) -> None:
    """A commit takes our record away, and the other tool does what it is there for."""
    theirs = hooks.repo.path / "theirs"
    theirs.unlink(missing_ok=True)
    hooks.remember()
    hooks.repo.git("commit", "-q", "--allow-empty", "-m", "x")
    assert theirs.exists(), "the other tool's hook ran"
    assert not hooks.current.exists(), "ours ran"
    theirs.unlink()


def in_the_folder(hooks: Hooks) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in hooks.folder.iterdir() if not path.name.endswith(".sample")}


# --- pre-commit ---

PRE_COMMIT_CONFIG = """\
repos:
- repo: local
  hooks:
  - id: theirs
    name: theirs
    entry: touch theirs
    language: system
    always_run: true
    pass_filenames: false
    stages: [post-commit]
"""


@pytest.fixture
def pre_commit(hooks: Hooks) -> Hooks:
    hooks.repo.write(".pre-commit-config.yaml", PRE_COMMIT_CONFIG)
    hooks.repo.write(".gitignore", "theirs\n")
    hooks.repo.commit("with pre-commit")
    return hooks


def install_pre_commit(hooks: Hooks) -> None:
    start(hooks, "pre-commit", "install", "--hook-type", "post-commit")


@pytest.mark.slow
@needs("pre-commit")
def test_pre_commit_was_there_first(pre_commit: Hooks) -> None:
    install_pre_commit(pre_commit)
    theirs = picture(pre_commit.folder)
    pre_commit.install()
    both_run(pre_commit)
    assert set(pre_commit.states().values()) == {"installed"}
    pre_commit.uninstall()
    assert picture(pre_commit.folder) == theirs


@pytest.mark.slow
@in_folder
@needs("pre-commit")
def test_pre_commit_that_writes_its_hook_anew_drops_ours_and_status_tells(pre_commit: Hooks) -> None:
    install_pre_commit(pre_commit)
    theirs = picture(pre_commit.folder)
    pre_commit.install()
    install_pre_commit(pre_commit)
    assert pre_commit.states()["post-commit"] == "missing"
    pre_commit.install()
    both_run(pre_commit)
    pre_commit.uninstall()
    assert picture(pre_commit.folder) == theirs


@pytest.mark.slow
@in_folder
@needs("pre-commit")
def test_pre_commit_came_later_and_goes_on_to_run_ours(pre_commit: Hooks) -> None:
    """It renames ours to `.legacy`; we rename nothing back, so that there is no end to it."""
    before = picture(pre_commit.folder)
    pre_commit.install()
    install_pre_commit(pre_commit)
    both_run(pre_commit)
    assert pre_commit["post-commit"].place == str(pre_commit.folder / "post-commit.legacy")
    once = in_the_folder(pre_commit)
    for _ in range(2):
        pre_commit.install()
        install_pre_commit(pre_commit)
    assert in_the_folder(pre_commit) == once
    both_run(pre_commit)
    pre_commit.uninstall()
    assert "post-commit.legacy" not in in_the_folder(pre_commit)
    start(pre_commit, "pre-commit", "uninstall", "--hook-type", "post-commit")
    assert picture(pre_commit.folder) == before


@pytest.mark.slow
@in_folder
@needs("pre-commit")
def test_pre_commit_goes_and_gives_ours_back(pre_commit: Hooks) -> None:
    before = picture(pre_commit.folder)
    pre_commit.install()
    ours = picture(pre_commit.folder)
    install_pre_commit(pre_commit)
    start(pre_commit, "pre-commit", "uninstall", "--hook-type", "post-commit")
    assert picture(pre_commit.folder) == ours
    pre_commit.uninstall()
    assert picture(pre_commit.folder) == before


@in_configuration
@needs("pre-commit")
def test_pre_commit_knows_nothing_of_ours(pre_commit: Hooks) -> None:
    pre_commit.install()
    install_pre_commit(pre_commit)
    assert set(in_the_folder(pre_commit)) == {"post-commit"}
    both_run(pre_commit)
    pre_commit.uninstall()
    start(pre_commit, "pre-commit", "uninstall", "--hook-type", "post-commit")
    assert in_the_folder(pre_commit) == {}


@pytest.mark.slow
@needs("pre-commit")
def test_our_hooks_through_pre_commit(hooks: Hooks, tmp_path: Path) -> None:
    """For those who use that framework: `.pre-commit-hooks.yaml`."""
    ours = Repo.init(tmp_path / "git-coderepo", hooks.repo.env)
    for path in (".pre-commit-hooks.yaml", "hooks/post-commit"):
        ours.write(path, (ROOT / path).read_bytes(), mode=0o755)
    revision = ours.commit()
    hooks.repo.write(
        ".pre-commit-config.yaml",
        f"repos:\n- repo: '{ours.path}'\n  rev: {revision}\n  hooks:\n  - id: coderepo-forget\n",
    )
    hooks.repo.commit()
    start(hooks, "pre-commit", "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml"))
    start(hooks, "pre-commit", "install", "--hook-type", "post-commit", "--hook-type", "post-checkout")
    hooks.remember()
    hooks.repo.git("commit", "-q", "--allow-empty", "-m", "x")
    assert not hooks.current.exists()
    hooks.remember()
    hooks.repo.git("worktree", "add", "-q", "-b", "second", tmp_path / "second")
    second = Hooks(Repo(tmp_path / "second", hooks.repo.env))
    second.remember()
    run_git("commit", "-q", "--allow-empty", "-m", "x", cwd=tmp_path / "second", env=hooks.repo.env)
    assert not second.current.exists()
    assert hooks.current.exists()


# --- lefthook ---


@pytest.fixture
def lefthook(hooks: Hooks) -> Hooks:
    hooks.repo.write("lefthook.yml", "post-commit:\n  commands:\n    theirs:\n      run: touch theirs\n")
    hooks.repo.write(".gitignore", "theirs\n")
    hooks.repo.commit("with lefthook")
    return hooks


@pytest.mark.slow
@needs("lefthook")
def test_lefthook_was_there_first(lefthook: Hooks) -> None:
    start(lefthook, "lefthook", "install")
    theirs = picture(lefthook.folder)
    lefthook.install()
    both_run(lefthook)
    lefthook.uninstall()
    assert picture(lefthook.folder) == theirs


@pytest.mark.slow
@in_folder
@needs("lefthook")
def test_lefthook_came_later_and_put_ours_aside(lefthook: Hooks) -> None:
    """It renames ours to `.old` and does not run it: `hooks install` puts it into lefthook's script."""
    lefthook.install()
    start(lefthook, "lefthook", "install")
    assert lefthook.states()["post-commit"] == "missing"
    assert "post-commit.old" in in_the_folder(lefthook)
    lefthook.install()
    assert "post-commit.old" not in in_the_folder(lefthook)
    both_run(lefthook)
    lefthook.uninstall()
    theirs = in_the_folder(lefthook)
    start(lefthook, "lefthook", "install", "--force")
    assert in_the_folder(lefthook) == theirs


@in_folder
@needs("lefthook")
def test_what_lefthook_put_aside_is_taken_out_too(lefthook: Hooks) -> None:
    lefthook.install()
    start(lefthook, "lefthook", "install")
    lefthook.uninstall()
    assert {name for name in in_the_folder(lefthook) if b"coderepo" in in_the_folder(lefthook)[name]} == set()


# --- git-lfs ---

LFS_LIKE = """\
#!/bin/sh
command -v git >/dev/null 2>&1 || { echo >&2 "git-lfs was not found on your path"; exit 2; }
touch theirs "$@"
"""


@in_folder
def test_beside_a_script_like_that_of_git_lfs(hooks: Hooks) -> None:
    path = hooks.foreign("post-commit", LFS_LIKE)
    hooks.install()
    both_run(hooks)
    hooks.uninstall()
    assert path.read_text() == LFS_LIKE


@needs("git-lfs")
def test_git_lfs_was_there_first(hooks: Hooks) -> None:
    start(hooks, "git", "lfs", "install", "--local")
    theirs = picture(hooks.folder)
    hooks.install()
    hooks.remember()
    hooks.repo.write("model.bin", "weights")
    hooks.repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    hooks.repo.commit("weights")
    assert not hooks.current.exists()
    assert hooks.repo.git("cat-file", "blob", "HEAD:model.bin").startswith(b"version https://git-lfs")
    hooks.uninstall()
    assert picture(hooks.folder) == theirs
    assert start(hooks, "git", "lfs", "install", "--local") == 0


@in_folder
@needs("git-lfs")
def test_git_lfs_leaves_what_it_does_not_know_and_is_content_when_ours_are_gone(hooks: Hooks) -> None:
    hooks.install()
    ours = {name: text for name, text in in_the_folder(hooks).items() if b"coderepo" in text}
    assert start(hooks, "git", "lfs", "install", "--local", check=False) != 0
    now = in_the_folder(hooks)
    assert {name: now[name] for name in ours} == ours
    hooks.uninstall()
    assert start(hooks, "git", "lfs", "install", "--local") == 0
