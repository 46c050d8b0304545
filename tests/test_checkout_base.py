"""The walk to the base says which commit it is, and its tree, whatever the user has git write logs like."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_coderepo.checkout.base import GUESS, find_base
from git_coderepo.checkout.survey import survey
from git_coderepo.git import Git
from tests.support.repo import Repo

# Of all of these `git log` makes something else; `gpg` is not even here.
SETTINGS = {
    "i18n.logOutputEncoding": "UTF-16", "i18n.commitEncoding": "ISO-8859-1", "log.showSignature": "true",
    "format.pretty": "oneline", "log.abbrevCommit": "true", "color.ui": "always", "notes.displayRef": "*",
    "log.decorate": "full", "log.showRoot": "false", "gpg.program": "false",
}  # fmt: skip


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
    known = find_base(
        git, found.layout, found.layout.head, found.guessed_walk, GUESS,
        shallow=False, fetched_from=None, ci_commit=None,
    )  # fmt: skip
    assert known is not None and (known.commit.hex, known.unpushed) == (base, unpushed)
    assert known.tree is None if unpushed == 0 else (known.tree is not None and known.tree.hex == tree)
