"""A scratch repository says which tree a commit's directory is, whatever the directory is called."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from git_coderepo.errors import CodeRepoError, UnsafeTree
from git_coderepo.fetching.commit import MOST_BYTES, submodule_urls
from git_coderepo.git.objects import ObjectId
from git_coderepo.transport.scratch_repository import Scratch
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


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "start"), [("blob", b""), ("commit", b"tree %s\n")])
def test_an_object_that_inflates_to_gigabytes_is_not_held_in_memory(repo: Repo, kind: str, start: bytes) -> None:
    repo.write("a", "1")
    repo.commit()
    start = start and start % repo.line("rev-parse", "HEAD^{tree}").encode()
    author = b"author a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\n" if start else b""
    large = start + author + bytes(200 << 20)
    id = repo.git("hash-object", "-w", "-t", kind, "--stdin", "--literally", input=large).decode().strip()
    with Scratch("sha1", repo.env) as scratch:
        with open(os.path.join(scratch.directory, "objects/info/alternates"), "wb") as file:
            file.write(os.fsencode(repo.git_dir() / "objects") + b"\n")
        tracemalloc.start()
        try:
            with pytest.raises(UnsafeTree, match="more than"):
                scratch.contents(kind, id, 1 << 20)
            assert tracemalloc.get_traced_memory()[1] < 20 << 20
        finally:
            tracemalloc.stop()
        assert scratch.contents("tree", repo.line("rev-parse", "HEAD^{tree}"), 1 << 20)


def test_a_gitmodules_without_measure_is_refused() -> None:
    with pytest.raises(UnsafeTree, match="gitmodules"):
        submodule_urls(b"#" * (MOST_BYTES + 1))
