"""A part of a checkout against what git itself makes of it: its tree, its proof, and what nothing elsewhere changes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import CodeRepoError, NotReproducible, UsageError
from git_coderepo.fetching.sources.overlay_tar import read_overlay
from git_coderepo.git.objects import DIRECTORY, TreeEntry, tree_id, tree_objects
from git_coderepo.git.process import Git
from git_coderepo.git.subtree import assemble, common_directory, is_inside, looked_at, normalised, read_part
from git_coderepo.git.tree_diff import differences
from git_coderepo.manifest.model import Manifest
from git_coderepo.snapshots.manifest_document import write_record
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request, Snapshot
from tests.support.edits import FEW_PATHS, apply, edits
from tests.support.environment import clean_environment
from tests.support.repo import Repo

EDITS = st.lists(edits(FEW_PATHS), max_size=12)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], ()),
        ([b"b", b"a", b"b"], (b"a", b"b")),
        ([b"a-b", b"a", b"a/b", b"a/b/c"], (b"a", b"a-b")),
        ([b"a/b", b"."], ()),
        ([b"a/\xff\n", b":(top)x"], (b":(top)x", b"a/\xff\n")),
    ],
)
def test_a_scope_has_no_path_inside_another(given: list[bytes], kept: tuple[bytes, ...]) -> None:
    assert normalised(given) == kept


def test_attributes_above_are_looked_at_and_none_beside() -> None:
    assert looked_at((b"a/b/c", b"d")) == (
        b".gitattributes",
        b"a/.gitattributes",
        b"a/b/.gitattributes",
        b"a/b/c",
        b"d",
    )
    assert looked_at(()) == ()
    assert common_directory((b"a/b/c", b"a/b/d")) == b"a/b"
    assert common_directory((b"a/b", b"c")) == b""


@pytest.mark.slow
@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.lists(FEW_PATHS, min_size=1, max_size=8, unique=True), st.integers(0, 7), st.integers(0, 3))
def test_a_part_is_the_tree_of_its_paths(paths: list[bytes], chosen: int, depth: int) -> None:
    """Whether a path is given as a directory with its tree, or by its files one by one, the tree is one."""
    entries: list[TreeEntry] = []
    for path in paths:
        if not any(is_inside(path, [each.path]) or is_inside(each.path, [path]) for each in entries):
            entries.append(TreeEntry(path, 0o100644, b"\1" * 20))
    trees = tree_objects(entries, "sha1")
    directory = b"/".join(entries[chosen % len(entries)].path.split(b"/")[:-1][: depth + 1])
    assume(directory)
    rest = {each.path: (each.mode, each.id) for each in entries if not is_inside(each.path, [directory])}
    part = assemble({**rest, directory: (DIRECTORY, trees[directory][0])}, "sha1")
    assert part.tree == tree_id(entries, "sha1")
    assert part.proof(directory) == [
        trees[b"/".join(directory.split(b"/")[:at])][1] for at in range(directory.count(b"/") + 1)
    ]


def of_git(repo: Repo, tree: str | None, scope: tuple[bytes, ...]) -> str:
    """The tree that git writes when all but the scope is taken out of an index; None: of the work tree as it is."""
    scratch = repo.path.parent / "scratch index"
    index = Repo(repo.path, {**repo.env, "GIT_INDEX_FILE": str(scratch)})
    if tree is None:
        shutil.copy2(repo.git_dir() / "index", scratch)
        index.git("add", "-A")
    else:
        index.git("read-tree", tree)
    paths = [path for path in index.git("ls-files", "-z").split(b"\0") if path]
    gone = [path for path in paths if not is_inside(path, scope)]
    index.git("update-index", "-z", "--force-remove", "--stdin", input=b"".join(path + b"\0" for path in gone))
    return index.line("write-tree")


@pytest.mark.slow
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(EDITS, EDITS, st.lists(FEW_PATHS, min_size=1, max_size=2), st.integers(0, 2))
def test_a_scoped_snapshot_is_what_git_makes_of_these_paths(
    before: list[tuple[str, bytes | None, bytes | None]],
    after: list[tuple[str, bytes | None, bytes | None]],
    paths: list[bytes],
    attributes: int,
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        repo = Repo.init(Path(scratch) / "checkout", clean_environment(Path(scratch) / "home"))
        if attributes:
            repo.write(".gitattributes", "*.none text\n")
        apply(repo, before)
        repo.commit()
        apply(repo, after)
        if attributes == 2 and repo.path.joinpath(".gitattributes").is_file():
            repo.write(".gitattributes", "*.none -text\n")
        scope = normalised(paths)
        looked = looked_at(scope)
        before_all = repo.git("status", "--porcelain=v2", "-z")
        git = Git(str(repo.path), environment=repo.env)
        try:
            taken = take_snapshot(git, Request(here=True, scope=scope))
        except CodeRepoError as error:
            assert "does not exist" in error.message or "beyond the symbolic link" in error.message, error.message
            return
        assert taken.tree is not None and taken.head is not None
        want = of_git(repo, None, looked)
        assert taken.tree.hex == want
        assert taken.dirty == (want != of_git(repo, "HEAD", looked))
        assert before_all == repo.git("status", "--porcelain=v2", "-z")
        check(repo, taken, scope)


def check(repo: Repo, taken: Snapshot, scope: tuple[bytes, ...]) -> None:
    """The part of the base and the overlay make the snapshot; the manifest says so, and its proof leads there."""
    git = taken.git_with_store
    entries: dict[bytes, tuple[int, bytes]] = {}
    if taken.base is not None:
        part = of_git(repo, taken.base.commit.hex, scope)
        assert taken.base_part is not None and taken.base_part.hex == part
        entries = {row.path: (row.mode, bytes.fromhex(row.id)) for row in differences(git, None, taken.base_part)}
    if taken.overlay is not None:
        for path in taken.overlay.deleted:
            del entries[path]
        opened = read_overlay(taken.overlay.data, tar_sha256=taken.overlay.tar_sha256, sha256=taken.overlay.sha256)
        ids = {row.path: bytes.fromhex(row.id) for row in taken.travels if row.mode}
        entries.update({entry.path: (entry.mode, ids[entry.path]) for entry in opened})
    assert tree_id((TreeEntry(path, *facts) for path, facts in entries.items()), "sha1") == taken.tree
    code = Manifest.parse(write_record(taken, now=0, git_version=None).data).code
    assert code.scope == scope and code.snapshot_tree == taken.tree
    (first, *_) = scope
    if len(scope) == 1 and any(path.startswith(first + b"/") for path in entries):
        assert code.subdirectory.path == first, "and reading it has held the proof to the tree"


def test_a_path_beyond_a_link_is_not_in_a_submodule(repo: Repo) -> None:
    repo.write("a.py", "1\n")
    repo.path.joinpath("a").symlink_to(".")
    repo.commit()
    repo.path.joinpath("inner").mkdir()
    Repo.init(repo.path / "inner", repo.env)
    repo.path.joinpath("to").symlink_to("inner")
    for scope in (b"a/a", b"a/a.py", b"to/x", b"a/inner/x"):  # recorded as an empty tree once
        with pytest.raises(CodeRepoError, match="beyond the symbolic link"):
            take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True, scope=(scope,)))
    with pytest.raises(NotReproducible, match="inside the submodule 'inner'"):
        take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True, scope=(b"inner/x",)))


def test_the_same_in_a_sha256_repository_with_submodules_and_links(tmp_path: Path, env: dict[str, str]) -> None:
    repo = Repo.init(tmp_path / "c", env, object_format="sha256")
    repo.write("a/b/run.sh", "#!/bin/sh\n", 0o755)
    repo.symlink("a/b/link", "../../nowhere")
    repo.write("a/c", "1")
    repo.commit()
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 64},a/b/lib")
    repo.git("commit", "-q", "-m", "a submodule")
    part = read_part(Git(str(repo.path), environment=repo.env), "HEAD", (b"a/b",), "sha256")
    assert part.tree.hex == of_git(repo, "HEAD", (b"a/b",)) and len(part.tree.hex) == 64
    assert part.rows[b"a/b"][1].hex() == repo.line("rev-parse", "HEAD:a/b")


def test_paths_are_seen_from_where_one_stands_and_settings_from_the_root(repo: Repo) -> None:
    for name in ("services/train/t.py", "services/other/o.py", "libs/l.py"):
        repo.write(name, "1\n")
    repo.commit()

    def scope(where: str, *given: str, **env: str) -> tuple[bytes, ...]:
        git = Git(str(repo.path / where), environment={**repo.env, **env})
        return take_snapshot(git, Request(here=True, scope=[os.fsencode(path) for path in given])).scope

    assert scope("services", "train") == (b"services/train",)
    assert scope("services", ".", "../libs/l.py") == (b"libs/l.py", b"services")
    assert scope("services", "..") == ()
    assert scope("services", str(repo.path / "libs")) == (b"libs",)
    repo.git("config", "--add", "coderepo.scope", "libs/")
    repo.git("config", "--add", "coderepo.scope", "./services/train")
    assert scope("services") == (b"libs", b"services/train")
    assert scope("services", "other") == (b"services/other",), "the option stands in the setting's place"
    assert scope("", CODEREPO_SCOPE="services\nlibs") == (b"libs", b"services")
    with pytest.raises(UsageError, match="is not inside the checkout"):
        scope("services", "../../elsewhere")
    with pytest.raises(NotReproducible, match="'services/trian' of the scope does not exist"):
        scope("services", "trian")
