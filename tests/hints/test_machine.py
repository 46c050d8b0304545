"""The hints about the machine itself, its git and its Python: each is followed, and the command then works."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hints import cures
from tests.hints.support import stopped, tail, typed
from tests.support.program import Program
from tests.support.repo import Repo

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(repo: Repo, program: Program) -> Repo:
    program.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
    repo.write("train.py", "print('trained')\n")
    repo.commit()
    repo.push_to(repo.path.parent / "remote.git")
    return repo


@cures("install git 2.34 or newer, or add it to PATH")
@pytest.mark.parametrize("there", ["none", "old"])
def test_git_is_installed(checkout: Repo, program: Program, there: str, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if there == "old":
        (folder / "git").write_text("#!/bin/sh\necho git version 2.25.1\n")
        (folder / "git").chmod(0o755)
    # The program's own interpreter is found by its absolute path.
    without = {"PATH": str(folder)}
    says = "'git' was not found on PATH" if there == "none" else "git 2.25.1 is too old"
    words = ("hooks", "install")
    hints = stopped(program, *words, cwd=checkout.path, says=says, env=without)
    assert hints == ["install git 2.34 or newer, or add it to PATH"]
    program.run(*words, cwd=checkout.path)


@cures("to fetch it in a partial clone: git cat-file -e {id}")
def test_an_object_that_a_partial_clone_lacks(checkout: Repo, program: Program, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    Repo(remote, checkout.env).git("config", "uploadpack.allowFilter", "true")
    Repo(remote, checkout.env).git("config", "uploadpack.allowAnySHA1InWant", "true")
    partial = Repo.clone(f"file://{remote}", tmp_path / "partial", checkout.env, "--filter=blob:none", "--no-checkout")
    for reference in partial.line("for-each-ref", "--format=%(refname)", "refs/remotes").split():
        partial.git("update-ref", "-d", "--no-deref", reference)
    (hint,) = stopped(program, "snapshot", "HEAD", cwd=partial.path, says="not in this partial clone")
    typed(tail(hint), partial.path, program.env)
    done = program.run("snapshot", "HEAD", cwd=partial.path)
    assert done.json()["code"]["snapshot"]["tree"] == partial.line("rev-parse", "HEAD^{tree}")


@cures(
    "git config coderepo.inlineLimit 64k   # a larger overlay then goes into a file next to the manifest",
    "git push   # files that the platform has are not listed",
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_manifest_that_would_be_too_large(checkout: Repo, program: Program, which: int) -> None:
    checkout.git("branch", "--set-upstream-to=origin/main")
    checkout.git("config", "coderepo.inlineLimit", "8m")
    checkout.write("large.bin", os.urandom(4 << 20))
    checkout.commit()
    hints = stopped(program, "snapshot", "-o", "../run.json", cwd=checkout.path, says="the manifest would be")
    typed(hints[which], checkout.path, program.env)
    program.run("snapshot", "-o", "../run.json", cwd=checkout.path)
