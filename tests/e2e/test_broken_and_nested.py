"""Repositories inside a checkout: the broken one is named as the user knows it, and each hint cures what it is for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from git_coderepo.errors import GitFailed, NotACheckout
from git_coderepo.git.messages import failure
from tests.e2e.support import lines
from tests.hints import cures
from tests.support.program import Program, Result
from tests.support.repo import Repo


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    platform = Repo.init(tmp_path / "platform.git", repo.env, bare=True)
    repo.git("remote", "add", "origin", f"file://{platform.path}")
    repo.write("train.py", "x\n")
    repo.commit()
    repo.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    repo.git("fetch", "--quiet", "origin")
    return repo


def typed(repo: Repo, command: str, below: str = ".") -> None:
    subprocess.run(
        ["sh", "-c", command], cwd=repo.path / below, env=repo.env, check=True, capture_output=True, timeout=60
    )


def refusal(program: Program, repo: Repo, below: str = ".") -> Result:
    repo.path.joinpath(below).mkdir(exist_ok=True)
    done = program.run("snapshot", cwd=repo.path / below, check=False)
    assert done.status == 128 and done.stdout == b"", done.errors
    return done


# --- a repository that is no submodule ------------------------------------------------------------------------------


def nested(checkout: Repo, name: str, *, url: str | None, commit: bool = True) -> Repo:
    inner = Repo.init(checkout.path / name, checkout.env)
    inner.write("v", "v\n")
    if commit:
        inner.commit()
    if url is not None:
        inner.git("remote", "add", "origin", url)
    return inner


@cures(
    "exclude it: {ignore_command(path + b'/', toplevel)}",
    "or push it to a remote of its own, and then: {git_word(toplevel)} submodule add -- URL {name}",
)
@pytest.mark.parametrize("name", ["vendored", "it's a dir", "-x"])
@pytest.mark.parametrize("below", [".", "it's below"])
def test_a_nested_repository_is_left_out(
    checkout: Repo, program: Program, tmp_path: Path, name: str, below: str
) -> None:
    nested(checkout, name, url=None)
    hints = lines(refusal(program, checkout, below), "hint")
    assert not any(hint.startswith("git submodule add") for hint in hints), hints
    pushes = [hint for hint in hints if "push it to a remote of its own" in hint]
    assert len(pushes) == (name != "-x"), "git makes no submodule of a path with a dash at its start"
    typed(checkout, hints[0].removeprefix("exclude it: "), below)
    assert program.run("snapshot", cwd=checkout.path).status == 0
    if not pushes:
        return
    (checkout.git_dir() / "info" / "exclude").unlink()
    bare = Repo.init(tmp_path / "its platform.git", checkout.env, bare=True)
    inner = Repo(checkout.path / name, checkout.env)
    inner.git("remote", "add", "origin", f"file://{bare.path}")
    inner.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    typed(checkout, pushes[0].rpartition(": ")[2].replace("URL", f"'file://{bare.path}'"), below)
    assert program.run("snapshot", cwd=checkout.path).status == 0


@cures("{git_word(toplevel)} submodule add -- {shell_word(url)} {name}")
@pytest.mark.parametrize("below", [".", "it's below"])
def test_a_nested_repository_with_a_remote_becomes_a_submodule(
    checkout: Repo, program: Program, tmp_path: Path, below: str
) -> None:
    bare = Repo.init(tmp_path / "its platform.git", checkout.env, bare=True)
    inner = nested(checkout, "it's a dir", url=f"file://{bare.path}")
    inner.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    inner.git("fetch", "--quiet", "origin")
    (command,) = [hint for hint in lines(refusal(program, checkout, below), "hint") if "submodule add" in hint]
    typed(checkout, command, below)
    assert checkout.line("config", "--file", ".gitmodules", "submodule.it's a dir.url") == f"file://{bare.path}"
    assert program.run("snapshot", cwd=checkout.path).status == 0


@pytest.mark.parametrize("url", ["../elsewhere", "/srv/git/x.git", "https://ada:hunter2@git.corp/x.git"])
def test_a_url_that_would_mean_something_else_for_others(checkout: Repo, program: Program, url: str) -> None:
    nested(checkout, "vendored", url=url)
    refused = refusal(program, checkout)
    assert "hunter2" not in refused.errors and url not in refused.errors
    assert "git submodule add -- URL vendored" in refused.errors


def test_a_nested_repository_without_a_commit(checkout: Repo, program: Program) -> None:
    nested(checkout, "vendored", url="https://git.corp/x.git", commit=False)
    assert "submodule add" not in refusal(program, checkout).errors


# --- a submodule whose `.git` is none -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("contents", [
    "gitdir: /nowhere/at/all\n", "gitdir: ../.git/modules/gone\n", "gitdir: x/../y\n", "garbage\n", "",
])  # fmt: skip
def test_the_broken_submodule_is_named(checkout: Repo, program: Program, tmp_path: Path, contents: str) -> None:
    checkout.git("config", "--global", "protocol.file.allow", "always")
    lib = Repo.init(tmp_path / "lib", checkout.env)
    lib.commit()
    for name in ("first", "my lib"):
        checkout.git("submodule", "--quiet", "add", f"file://{lib.path}", name)
    checkout.commit()
    checkout.write("my lib/.git", contents)
    refused = refusal(program, checkout)
    assert lines(refused, "fatal") == ["the '.git' of the submodule 'my lib' is not a repository"]
    (hint,) = lines(refused, "hint")
    checkout.path.joinpath("my lib").rename(tmp_path / "moved away")
    typed(checkout, hint.partition("and then: ")[2])
    assert "fatal: the submodule" not in program.run("snapshot", cwd=checkout.path, check=False).errors


@pytest.mark.slow
def test_a_broken_submodule_in_a_submodule(checkout: Repo, program: Program, tmp_path: Path) -> None:
    checkout.git("config", "--global", "protocol.file.allow", "always")
    lib = Repo.init(tmp_path / "lib", checkout.env)
    lib.commit()
    outer = Repo.init(tmp_path / "outer", checkout.env)
    outer.git("submodule", "--quiet", "add", f"file://{lib.path}", "inner")
    outer.commit()
    checkout.git("submodule", "--quiet", "add", f"file://{outer.path}", "outer")
    checkout.git("submodule", "--quiet", "update", "--init", "--recursive")
    checkout.commit()
    checkout.write("outer/inner/.git", "gitdir: /nowhere\n")
    refused = refusal(program, checkout)
    assert "the '.git' of the submodule 'outer/inner'" in refused.errors
    (hint,) = lines(refused, "hint")
    checkout.path.joinpath("outer/inner").rename(tmp_path / "moved away")
    typed(checkout, hint.partition("and then: ")[2])
    assert "fatal: the submodule" not in program.run("snapshot", cwd=checkout.path, check=False).errors


# --- git's own words --------------------------------------------------------------------------------------------------


def test_a_message_of_several_lines_is_told_whole() -> None:
    words = (
        b"warning: something before\n"
        b"fatal: Unable to create '/x/.git/index.lock': File exists.\n\n"
        b"Another git process seems to be running in this repository, e.g.\n"
        b"an editor opened by 'git commit'. Please make sure all processes\n"
        b"are terminated then try again.\n"
        b"hint: look at the editor\n"
    )
    error = failure(["git", "-C", "x", "update-index"], 128, words)
    assert isinstance(error, GitFailed)
    assert error.message == (
        "'git update-index' failed: Unable to create '/x/.git/index.lock': File exists. Another git process seems to "
        "be running in this repository, e.g. an editor opened by 'git commit'. Please make sure all processes are "
        "terminated then try again"
    )
    assert error.hints == ("look at the editor",)
    error = failure(
        ["git", "status"], 128,
        b"fatal: not a git repository (or any parent up to mount point /)\n"
        b"Stopping at filesystem boundary (GIT_DISCOVERY_ACROSS_FILESYSTEM not set).\n",
    )  # fmt: skip
    assert isinstance(error, NotACheckout)
    assert error.message.endswith("Stopping at filesystem boundary (GIT_DISCOVERY_ACROSS_FILESYSTEM not set)")
    assert failure(["git", "x"], 129, b"error: no\nusage: git x\n   or: git y\n").message == "'git x' failed: no"


def test_a_locked_index_is_told_whole(checkout: Repo, program: Program) -> None:
    """A configuration that git cannot read is a message of its own, and of one line."""
    checkout.write(".git/config", checkout.read(".git/config") + b"[broken\n")
    said = lines(program.run("status", cwd=checkout.path, check=False), "fatal")
    assert len(said) == 1 and "bad config line" in said[0]
