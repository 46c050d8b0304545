"""With core.fileMode=false the index says what mode a file has, also where it is unmerged or intended to be added."""

from __future__ import annotations

import os

import pytest

from git_coderepo.git.process import Git
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request
from tests.support.repo import Repo

NAMES = [b"run.sh", b"sp ace.sh", b"-dash.sh", b"new\nline.sh", b"\xff.sh", b"d/e.sh"]


def check(repo: Repo) -> bytes:
    """The listing of the snapshot's tree, which is the one that git makes."""
    taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    assert taken.tree is not None and taken.tree.hex == repo.tree()
    return taken.git_with_store.run("ls-tree", "-r", taken.tree.hex)


def merge(repo: Repo, ours: str | None, theirs: str | None, *, before: str | None = "0\n", mode: int = 0o755) -> None:
    """A conflict in each of NAMES between these contents, None for no file; all executable."""
    sides = (("main", before), ("theirs", theirs), ("main", ours))
    repo.write("unrelated", "x")
    repo.commit()
    for number, (branch, contents) in enumerate(sides):
        repo.git("checkout", "-q", *(["-b"] if number == 1 else []), branch)
        for name in NAMES:
            if contents is not None:
                repo.write(name, contents, mode)
            elif os.path.lexists(repo.file(name)):
                repo.remove(name)
        repo.write(f"side {number}", "x")
        repo.commit()
        if number == 1:
            repo.git("checkout", "-q", "main")
    repo.git("config", "core.fileMode", "false")
    repo.git("merge", "theirs", check=False)
    assert b"\nu " in b"\n" + repo.git("status", "--porcelain=v2")


CONFLICTS = {
    "both changed": ("1\n", "2\n", "0\n"),
    "both added": ("1\n", "2\n", None),
    "deleted by us": (None, "2\n", "0\n"),
    "deleted by them": ("1\n", None, "0\n"),
}


@pytest.mark.parametrize("conflict", CONFLICTS)
@pytest.mark.parametrize("on_disk", ["as merged", "not executable", "solved"])
def test_an_unmerged_file_keeps_its_mode(repo: Repo, conflict: str, on_disk: str) -> None:
    ours, theirs, before = CONFLICTS[conflict]
    merge(repo, ours, theirs, before=before)
    for name in NAMES:
        if os.path.lexists(repo.file(name)):
            os.chmod(repo.file(name), 0o644 if on_disk == "not executable" else 0o755)
            if on_disk == "solved":
                repo.write(name, "solved\n")
    assert b"100755" in check(repo)


@pytest.mark.slow
def test_line_ends_of_an_unmerged_file_are_judged_by_our_side(repo: Repo) -> None:
    """With `text=auto` CRLF stays where the blob of our side has it, and goes where there is none of our side."""
    for ours in ("1\r\n", None):
        repo.write(".gitattributes", "")
        merge(repo, ours, "2\r\n", before="0\r\n", mode=0o644)
        repo.write(".gitattributes", "* text=auto\n")
        for name in NAMES:
            repo.write(name, "solved\r\n")
        check(repo)
        repo.git("merge", "--abort", check=False)
        repo.git("reset", "-q", "--hard")
        repo.git("branch", "-q", "-D", "theirs")
        repo.git("config", "--unset", "core.fileMode")


def test_a_file_that_is_intended_to_be_added_keeps_its_mode(repo: Repo) -> None:
    repo.write("a", "1\n")
    repo.commit()
    repo.git("config", "core.fileMode", "false")
    for name in NAMES:
        repo.write(name, "1\n")
        repo.git("add", "--intent-to-add", "--", name)
        repo.git("update-index", "--chmod=+x", "--", name)
    assert check(repo).count(b"100755") == len(NAMES)


def test_an_unmerged_link_stays_a_link_where_links_are_files(repo: Repo) -> None:
    for branch, target in (("main", "0"), ("theirs", "2"), ("main", "1")):
        repo.git("checkout", "-q", *(["-b"] if target == "2" else []), branch, check=target != "0")
        repo.symlink("link", target)
        repo.commit()
        if target == "2":
            repo.git("checkout", "-q", "main")
    repo.git("merge", "theirs", check=False)
    repo.git("config", "core.symlinks", "false")
    repo.remove("link")
    repo.write("link", "1")
    assert b"120000" in check(repo)
