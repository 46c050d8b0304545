"""The walk to the base says which commit it is, and its tree, whatever the user has git write logs like."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_coderepo.git.process import Git, Process
from git_coderepo.git.pushed_commits import GUESS, KnownCommits, Walk, find_base, start_walk
from git_coderepo.snapshots.inspect_checkout import survey
from tests.support.repo import Repo

# Of all of these `git log` makes something else; `gpg` is not even here.
SETTINGS = {
    "i18n.logOutputEncoding": "UTF-16", "i18n.commitEncoding": "ISO-8859-1", "log.showSignature": "true",
    "format.pretty": "oneline", "log.abbrevCommit": "true", "color.ui": "always", "notes.displayRef": "*",
    "log.decorate": "full", "log.showRoot": "false", "gpg.program": "false",
}  # fmt: skip


def tracked(walk: Process | Walk | None) -> KnownCommits:
    """What is known from the tracking references alone."""
    return KnownCommits(references=GUESS, walk=walk, is_shallow_origin=False, fetched_from=None, ci_commit=None)


@pytest.mark.parametrize("place", ["tip", "another tip", "behind", "ahead", "aside"])
def test_a_commit_is_served_where_a_tracking_reference_is_or_comes_by(repo: Repo, tmp_path: Path, place: str) -> None:
    """At the tip of one nothing is walked; the answer is that of a walk."""
    repo.write("a", "1")
    first = repo.commit("first")
    repo.write("a", "2")
    second = repo.commit("second")
    repo.git("branch", "older", first)
    mine = Repo.clone(str(repo.path), tmp_path / "mine", repo.env)
    mine.git("checkout", "-q", "--detach", {"another tip": "origin/older"}.get(place, "origin/main"))
    if place in ("behind", "aside"):
        mine.git("update-ref", "-d", "refs/remotes/origin/older")
        mine.git("checkout", "-q", "--detach", first)
    if place in ("ahead", "aside"):
        mine.commit("mine")
    git = Git(str(mine.path), environment=mine.env)
    found = survey(git)
    head = found.layout.head
    assert head is not None
    told, walked = (
        find_base(git, found.layout, head, tracked(walk)) for walk in (found.guessed_walk, start_walk(git, GUESS))
    )
    assert told is not None and walked is not None
    assert (told.commit, told.known_by, told.unpushed) == (walked.commit, walked.known_by, walked.unpushed)
    ahead = place in ("ahead", "aside")
    assert told.unpushed == ahead
    assert told.commit.hex == (head.hex if not ahead else second if place == "ahead" else first)
    assert isinstance(found.guessed_walk, Walk) == ("tip" in place)


@pytest.mark.parametrize("unpushed", [0, 2])
def test_the_base_is_found_whatever_logs_are_written_like(repo: Repo, tmp_path: Path, unpushed: int) -> None:
    repo.write("a", "1")
    repo.commit()
    mine = Repo.clone(str(repo.path), tmp_path / "mine", repo.env)
    base, tree = mine.head(), mine.line("rev-parse", "HEAD^{tree}")
    for name, value in SETTINGS.items():
        mine.git("config", name, value)
    for number in range(unpushed):
        mine.write("a", f"caf\xe9 {number}")
        mine.commit("caf\xe9")
    mine.git("notes", "add", "-m", "a note", base)
    git = Git(str(mine.path), environment=mine.env)
    found = survey(git)
    assert found.layout.head is not None
    known = find_base(git, found.layout, found.layout.head, tracked(found.guessed_walk))
    assert known is not None and (known.commit.hex, known.unpushed) == (base, unpushed)
    assert known.tree is None if unpushed == 0 else (known.tree is not None and known.tree.hex == tree)


@pytest.mark.parametrize("last", ["{head}", "sha1", "sha1\n{head}", "{head}\n{head}\nsha1", "", "tree"])
def test_a_root_whose_name_ends_like_an_answer_of_gits(repo: Repo, tmp_path: Path, last: str) -> None:
    """Paths come a line each, and a name may hold line breaks, and what looks like the ids after them."""
    repo.write("a", "1")
    head, tree = repo.commit(), repo.line("rev-parse", "HEAD^{tree}")
    root = tmp_path / f"two\n{last.format(head=head)}"
    repo.git("clone", "-q", f"--separate-git-dir={tmp_path / 'apart'}", repo.path, root)
    found = survey(Git(str(root), environment=repo.env))
    layout = found.layout
    assert (layout.toplevel, layout.git_dir) == (os.fsencode(root), os.fsencode(tmp_path / "apart"))
    assert layout.head is not None and layout.head_tree is not None
    assert (layout.head.hex, layout.head_tree.hex) == (head, tree)
    assert layout.index == os.fsencode(tmp_path / "apart" / "index")
