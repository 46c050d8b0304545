"""A listing that is patched is the one that git gives for the other tree, byte for byte."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git
from git_coderepo.git.tree_diff import differences
from git_coderepo.snapshots.tree import edit
from tests.support.edits import FEW_PATHS, apply, edits
from tests.support.environment import clean_environment
from tests.support.repo import Repo

EDITS = st.lists(edits(FEW_PATHS), max_size=12)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=EDITS, after=EDITS)
def test_a_patched_listing_is_gits_own_whatever_differs(before: list[Any], after: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        repo = Repo.init(Path(scratch) / "checkout", clean_environment(Path(scratch) / "home"))
        trees = []
        for each in (before, after):
            apply(repo, each)
            repo.commit()
            trees.append(ObjectId(repo.line("rev-parse", "HEAD^{tree}")))
        git = Git(str(repo.path), environment=repo.env)
        whole = {tree: git.run("ls-tree", "-r", "-z", "--full-tree", tree.hex) for tree in trees}
        found = differences(git, *trees)
        for few in (256, -1):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(edit, "_FEW", few)
                assert edit.patched(whole[trees[0]], found) == whole[trees[1]]
        assert edit.patched(b"", differences(git, None, trees[1])) == whole[trees[1]]
