"""A scratch repository says which tree a commit's directory is, whatever the directory is called."""

from __future__ import annotations

import os

import pytest

from git_coderepo.errors import CodeRepoError
from git_coderepo.objects import ObjectId
from git_coderepo.runner.scratch import Scratch
from tests.support.repo import Repo


def test_a_directory_named_like_what_git_describe_gives_is_that_directory(repo: Repo) -> None:
    repo.write("a", "1")
    parts = [b"docs/v1-2-g" + repo.commit()[:8].encode(), b"x~1", b"-z", b"new\nline", b"\xff"]
    for number, part in enumerate(parts):
        repo.write(part + b"/file", str(number))
    commit = ObjectId(repo.commit())
    trees = {
        row.split(b"\t")[1]: row[12:52] for row in repo.git("ls-tree", "-r", "-t", "-z", "HEAD").split(b"\0") if row
    }
    with Scratch("sha1", repo.env) as scratch:
        scratch.git.run("fetch", "--quiet", str(repo.path), "HEAD")
        for part in parts:
            assert scratch.tree_of(commit, part).hex.encode() == trees[part], os.fsdecode(part)
        with pytest.raises(CodeRepoError, match="has no directory 'a'"):
            scratch.tree_of(commit, b"a")
