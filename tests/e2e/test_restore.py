"""`git coderepo restore`: continue from a run, with exactly its files, and never over your own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, contents, lines, world
from tests.hints import cures
from tests.support.program import Result
from tests.support.repo import Repo, tree_of


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "file") as made:
        yield made


def here(place: World, *words: Any, check: bool = True) -> Result:
    return place.user.run(*words, cwd=place.checkout.path, check=check)


def dirty_run(place: World) -> str:
    """Record a run with every kind of edit above an unpushed commit; return its tree, with a clean checkout again."""
    checkout = place.checkout
    checkout.write("model.py", "layers = 3\n")
    checkout.commit("never pushed")
    checkout.write("train.py", "lr = 0.2\n")
    checkout.write("run.sh", "#!/bin/sh\n", mode=0o644)
    checkout.remove("docs/read me.txt")
    for path in (b"caf\xe9", b"-rf", b"line\nbreak", b"new/deep/file"):
        checkout.write(path, b"untracked\n")
    checkout.symlink("latest", "train.py")
    here(place, "run", "--name", "dirty", "--", "true")
    tree = checkout.tree()
    checkout.git("reset", "--hard", "--quiet")
    checkout.git("clean", "-fdq")
    checkout.write("later.py", "later\n")
    checkout.commit("later")
    return tree


def files(checkout: Repo) -> dict[Any, Any]:
    """The mode and the contents of each file, and the configuration; a switch may write the rest of `.git`."""
    found = {path: (each[0], each[-1]) for path, each in contents(checkout.path, without=(".git",)).items()}
    return {**found, "config": checkout.git("config", "--list"), "head": checkout.git("symbolic-ref", "HEAD"),
            "staged": checkout.git("ls-files", "--stage")}  # fmt: skip


def seen(checkout: Repo) -> dict[Any, Any]:
    """What `files` has, and the state of branches and worktrees."""
    return {**files(checkout), "status": checkout.git("status", "--porcelain"), "refs": checkout.git("for-each-ref"),
            "trees": checkout.git("worktree", "list")}  # fmt: skip


@pytest.mark.slow
def test_a_dirty_run_goes_on_on_a_branch_of_its_own(place: World) -> None:
    tree = dirty_run(place)
    checkout, before = place.checkout, seen(place.checkout)
    done = here(place, "restore", "dirty")
    assert f"tree {tree}, verified" in done.text and "9 edited files" in done.text
    branch = checkout.line("branch", "--show-current")
    assert branch.startswith("coderepo/") and checkout.head() == place.base and branch in done.text
    assert checkout.tree() == tree == tree_of_files(checkout)
    assert checkout.line("write-tree") == checkout.line("rev-parse", f"{place.base}^{{tree}}")  # nothing is staged
    assert checkout.git("diff", "--name-status", "-z") == b"D\0docs/read me.txt\0M\0run.sh\0M\0train.py\0"
    # The way back is git's.
    checkout.git("stash", "-u", "--quiet")
    checkout.git("switch", "--quiet", "main")
    checkout.git("stash", "drop", "--quiet")
    checkout.git("branch", "-D", "--quiet", branch)
    assert seen(checkout) == before


def tree_of_files(checkout: Repo) -> str:
    """The tree id of the files on the disk, of which no index knows anything."""
    copy = checkout.path.parent / "copy"
    shutil.copytree(checkout.path, copy, symlinks=True, ignore=lambda folder, names: [".git"])
    try:
        return tree_of(copy, checkout.env)
    finally:
        shutil.rmtree(copy)


@pytest.mark.slow
def test_a_worktree_leaves_the_checkout_alone(place: World) -> None:
    tree = dirty_run(place)
    place.checkout.write("train.py", "my own edit\n")
    before = files(place.checkout)
    done = here(place, "restore", "dirty", "--worktree", "../it's a place", "--json").json()
    assert done["tree"] == tree and done["branch"] is None and len(done["edits"]) == 9
    assert files(place.checkout) == before
    linked = Repo(place.user.home / "it's a place", place.checkout.env)
    assert linked.head() == place.base and linked.tree() == tree
    here(place, "restore", "dirty", "--worktree", "../other", "--branch", "topic/x")
    assert Repo(place.user.home / "other", place.checkout.env).line("branch", "--show-current") == "topic/x"


@pytest.mark.slow
@cures(
    "git coderepo restore {id} --worktree DIR",
    "to leave them alone: {worktree}",
    "or commit them, or put them away: git stash -u",
    "git switch {name}",
    "or choose another name: --branch NAME",
    "move it away, or restore into a new directory: --worktree DIR",
    "git -C {shell_word(place.directory)} status",
    "git status",
)
def test_nothing_of_yours_is_overwritten(place: World) -> None:
    dirty_run(place)
    checkout = place.checkout
    checkout.git("branch", "taken")
    place.user.path("full").mkdir()
    place.user.path("full/file").touch()

    def refused(*words: str, says: str) -> list[str]:
        before = seen(checkout)
        result = here(place, "restore", "dirty", *words, check=False)
        assert result.status in (128, 129) and says in result.errors, result.errors
        assert seen(checkout) == before
        return lines(result, "hint")

    assert refused("--branch", "taken", says="the branch 'taken' already exists") == [
        "git switch taken", "or choose another name: --branch NAME",
    ]  # fmt: skip
    refused("--branch", "a..b", says="invalid branch name 'a..b'")
    refused("--worktree", "../full", says="is not empty")
    refused("--worktree", "../full/file", says="is not a directory")
    with open(checkout.git_dir() / "info" / "exclude", "a", encoding="ascii") as file:
        file.write("new\n")
    checkout.write("new/deep/file", "ignored, but mine\n")
    assert refused(says="'new/deep/file' is ignored here and would be overwritten") == [
        "move it away, or restore into a new directory: --worktree DIR"
    ]
    checkout.remove("new")
    with open(checkout.git_dir() / "info" / "exclude", "a", encoding="ascii") as file:
        file.write("latest\n")
    checkout.write("latest/model.bin", "ignored, below a name that the run has for a link\n")
    refused(says="'latest' is ignored here and would be overwritten")
    checkout.remove("latest")
    checkout.write(b"mi\x1bne", "edit\n")
    command, _ = refused(says="this checkout has edits of your own: 'mi\\x1bne'")
    elsewhere = here(place, *command.partition("git coderepo ")[2].replace("DIR", "../new place").split(maxsplit=3))
    assert lines(elsewhere, "hint")[0].startswith("git -C '") and lines(elsewhere, "hint")[0].endswith("status")
    checkout.git("stash", "-u", "--quiet")
    assert lines(here(place, "restore", "dirty"), "hint") == ["git status"]


def test_nothing_is_removed_through_a_link(place: World) -> None:
    """The base has a link where the run has a directory, and git refuses to write the run's files."""
    checkout = place.checkout
    place.user.path("shared").mkdir()
    place.user.path("shared/x").write_text("not in Git\n", encoding="ascii")
    checkout.symlink("data", "../shared")
    checkout.commit("link")
    checkout.git("push", "--quiet", "origin", "HEAD")
    checkout.remove("data")
    checkout.write("data/x", "code\n")
    checkout.write("train.py", "lr = 0.2\n")
    here(place, "run", "--name", "directory", "--", "true")
    checkout.git("reset", "--hard", "--quiet")
    checkout.git("update-index", "--skip-worktree", "train.py")
    checkout.write("train.py", "hidden edit\n")
    before = seen(checkout)
    assert here(place, "restore", "directory", check=False).status == 128
    assert seen(checkout) == before
    assert place.user.path("shared/x").read_text(encoding="ascii") == "not in Git\n"


def test_the_branch_is_created_last(place: World) -> None:
    """A restore that is killed leaves no branch with a part of the run, and one that fails deletes no other branch."""
    checkout = place.checkout
    checkout.write("train.py", "lr = 0.2\n")
    here(place, "run", "--name", "edited", "--", "true")
    checkout.git("reset", "--hard", "--quiet")
    (checkout.git_dir() / "info").mkdir(exist_ok=True)
    (checkout.git_dir() / "info" / "attributes").write_text("train.py filter=slow\n", encoding="ascii")
    checkout.git("config", "filter.slow.smudge", "git branch mine; cat")
    before = files(checkout)
    for options in ((), ("--worktree", "../other")):
        failed = here(place, "restore", "edited", "--branch", "mine", *options, check=False)
        assert failed.status == 128 and "mine" in failed.errors and files(checkout) == before
        assert checkout.line("rev-parse", "mine") == checkout.head() and not os.path.exists(place.user.path("other"))
        checkout.git("branch", "--quiet", "-D", "mine")
    checkout.git("config", "--remove-section", "filter.slow")
    here(place, "restore", "edited")
    checkout.git("stash", "--quiet")
    checkout.git("switch", "--quiet", "-")
    assert checkout.git("symbolic-ref", "HEAD") == before["head"]


def test_a_worktree_whose_line_ends_are_edits_at_once(place: World) -> None:
    """The commit has other line ends than its own .gitattributes asks for."""
    checkout = place.checkout
    checkout.write("notes.txt", b"a\r\nb\r\n")
    checkout.commit("before there were attributes")
    checkout.write(".gitattributes", "*.txt text\n")
    checkout.git("add", ".gitattributes")
    checkout.git("commit", "--quiet", "-m", "attributes")
    checkout.git("push", "--quiet", "origin", "HEAD")
    checkout.write("train.py", "lr = 0.2\n")
    here(place, "run", "--name", "lines", "--", "true")
    assert "verified" in here(place, "restore", "lines", "--worktree", "../lines").text
    assert b"lr = 0.2" in place.user.path("lines/train.py").read_bytes()


@pytest.mark.slow
@cures("restore into a new directory: --worktree DIR")
def test_a_result_that_differs_is_undone(place: World) -> None:
    """Files that are ignored today, but not at the base of the run, would join its code."""
    dirty_run(place)
    place.checkout.write(".gitignore", "data.log\n")
    place.checkout.commit("ignore")
    place.checkout.write("data.log", "mine\n")
    place.user.path("empty").mkdir()
    before = seen(place.checkout)
    refused = here(place, "restore", "dirty", check=False)
    assert refused.status == 128 and "would differ from the run: 'data.log'" in refused.errors
    assert seen(place.checkout) == before
    place.checkout.git("config", "filter.bad.smudge", "false")
    place.checkout.git("config", "filter.bad.required", "true")
    (place.checkout.git_dir() / "info").mkdir(exist_ok=True)
    (place.checkout.git_dir() / "info" / "attributes").write_text("caf* filter=bad\n", encoding="ascii")
    before = seen(place.checkout)
    failed = here(place, "restore", "dirty", "--worktree", "../empty", "--branch", "b", check=False)
    assert failed.status == 128 and os.listdir(place.user.path("empty")) == [] and seen(place.checkout) == before
    place.checkout.git("config", "--remove-section", "filter.bad")
    here(place, "restore", "dirty", "--worktree", "../empty")


def test_a_base_that_is_not_here_is_fetched(place: World) -> None:
    place.checkout.git("switch", "--quiet", "--create", "topic")
    place.checkout.write("model.py", "layers = 3\n")
    base = place.checkout.commit("pushed")
    place.checkout.git("push", "--quiet", "origin", "topic")
    place.checkout.write("train.py", "lr = 0.2\n")
    here(place, "snapshot", "-o", "../run.json")
    other = place.clone("other", "--single-branch", "--branch", "main")
    assert base.encode() not in other.git("rev-list", "--all")
    place.user.run("restore", "../run.json", cwd=other.path)
    assert other.head() == base and other.tree() == place.checkout.tree()
    assert other.git("rev-list", "--count", "HEAD") == b"2\n"


@pytest.mark.slow
@cures("git coderepo fetch {manifest.run.id} DIR")
def test_a_part_of_a_repository_and_a_submodule(place: World) -> None:
    checkout = place.checkout
    checkout.write("docs/new.txt", "in scope\n")
    checkout.remove("docs/read me.txt")
    checkout.write("train.py", "not in scope\n")
    here(place, "run", "--name", "part", "--subdirectory", "docs", "--", "true")
    checkout.git("stash", "-u", "--quiet")
    here(place, "restore", "part")
    assert checkout.git("status", "--porcelain", "-z") == b" D docs/read me.txt\0?? docs/new.txt\0"
    checkout.git("stash", "-u", "--quiet")
    checkout.git("submodule", "--quiet", "add", place.url, "lib")
    checkout.commit("with a submodule")
    here(place, "run", "--name", "sub", "--", "true")
    refused = here(place, "restore", "sub", check=False)
    assert refused.status == 128 and "it has submodules" in refused.errors
    fetched = lines(refused, "hint")[0].partition("git coderepo ")[2].replace("DIR", "../fetched")
    here(place, *fetched.split())
