"""Object ids, and that the ids of blobs and trees are the ones git gives."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import InvalidObjectId, UnsafeTree
from git_coderepo.git.objects import (
    EXECUTABLE,
    FILE,
    GITLINK,
    SYMLINK,
    ObjectId,
    TreeEntry,
    blob_id,
    directory_trees,
    empty_tree_id,
    tree_id,
    tree_objects,
)
from tests.support.environment import clean_environment
from tests.support.repo import Repo

FORMATS = ("sha1", "sha256")
ID_BYTES = {"sha1": 20, "sha256": 32}

# Names that sort one way as files and another as directories, and any bytes.
NAMES = st.one_of(
    st.sampled_from([b"a", b"a.", b"a-b", b"a.b", b"a0", b"ab", b"A", b" ", b"\xff", b"new\nline", b'"', b"n" * 250]),
    st.binary(min_size=1, max_size=4).filter(lambda name: not set(name) & {0, 0x2F} and name.strip(b".") != b""),
).filter(lambda name: b"git" not in name.lower())
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=4).map(b"/".join),
    st.tuples(st.sampled_from([FILE, EXECUTABLE, SYMLINK, GITLINK]), st.integers(1, 255)),
    max_size=15,
).map(lambda tree: {path: each for path, each in tree.items() if not any(one.startswith(path + b"/") for one in tree)})


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Repo]:
    place = tmp_path_factory.mktemp("objects")
    env = clean_environment(place / "home")
    return {name: Repo.init(place / name, env, object_format=name) for name in FORMATS}


def as_entries(tree: dict[bytes, tuple[int, int]], object_format: str) -> list[TreeEntry]:
    return [TreeEntry(path, mode, bytes([byte]) * ID_BYTES[object_format]) for path, (mode, byte) in tree.items()]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(tree=TREES, object_format=st.sampled_from(FORMATS))
@example(tree={b"a.b": (FILE, 1), b"a/x": (FILE, 2), b"a0": (FILE, 3), b"a-": (GITLINK, 4)}, object_format="sha1")
@example(tree={}, object_format="sha256")
def test_any_tree_has_the_id_that_git_gives_it(repositories: dict[str, Repo], tree, object_format: str):
    """Z6: names of any bytes, in git's order."""
    repo = repositories[object_format]
    entries = as_entries(tree, object_format)
    repo.git("read-tree", "--empty")
    rows = b"".join(b"%o %b\t%b\0" % (each.mode, each.id.hex().encode(), each.path) for each in entries)
    repo.git("update-index", "-z", "--index-info", input=rows)
    assert repo.git("ls-files", "-z").count(b"\0") == len(entries)
    root = repo.line("write-tree", "--missing-ok")
    assert tree_id(entries, object_format).hex == root
    assert tree_id(reversed(entries), object_format).hex == root

    objects = tree_objects(entries, object_format)
    for directory, (raw, contents) in objects.items():
        name = f"{root}:".encode() + directory if directory else root.encode()
        assert repo.git("rev-parse", "--verify", name).strip() == raw.hex().encode()
        assert repo.git("cat-file", "tree", raw.hex()) == contents


@pytest.mark.parametrize("object_format", FORMATS)
@pytest.mark.parametrize("contents", [b"", b"hello\n", b"\0" * 3000, b"\r\n\xff"])
def test_a_blob_has_the_id_that_git_gives_it(repositories: dict[str, Repo], object_format: str, contents: bytes):
    expected = repositories[object_format].git("hash-object", "--stdin", "--no-filters", input=contents).strip()
    assert blob_id(contents, object_format).hex().encode() == expected


@pytest.mark.parametrize("object_format", FORMATS)
def test_the_empty_tree_has_the_id_that_git_gives_it(repositories: dict[str, Repo], object_format: str):
    repo = repositories[object_format]
    repo.git("read-tree", "--empty")
    assert empty_tree_id(object_format).hex == tree_id([], object_format).hex == repo.line("write-tree")


def test_directories_with_nothing_in_them_make_no_tree():
    children = {b"": {b"a": b"100644" + bytes(20)}, b"d": {}, b"d/e": {}}
    assert [directory for directory, _, _ in directory_trees(children, "sha1")] == [b""]
    assert [(id.hex(), contents) for _, id, contents in directory_trees({b"": {}, b"d": {}}, "sha1")] == [
        (empty_tree_id("sha1").hex, b"")
    ]


def test_a_path_named_twice_or_as_file_and_directory_is_no_tree():
    for paths in ([b"a", b"a"], [b"a", b"a/b"], [b"a/b", b"a"], [b"d/a/b/c", b"d/a"], [b"d/a", b"d/a/b/c"]):
        with pytest.raises(UnsafeTree):
            tree_id([TreeEntry(path, FILE, bytes(20)) for path in paths], "sha1")


def test_ids_are_whole_and_lower_case():
    for digits in ("1" * 40, "abcdef0123456789" * 4):
        assert ObjectId.from_raw(ObjectId(digits).raw) == ObjectId(digits)
        assert str(ObjectId(digits)) == digits
    assert ObjectId("1" * 40).object_format == "sha1"
    assert ObjectId("1" * 64).object_format == "sha256"
    for text in ("", "1" * 39, "1" * 41, "A" * 40, "g" * 40, "1" * 39 + "\n", "１" * 40, "1" * 63):
        with pytest.raises(InvalidObjectId):
            ObjectId(text)
    assert {ObjectId("1" * 40), ObjectId("1" * 40)} == {ObjectId("1" * 40)}
    assert ObjectId("1" * 40) != "1" * 40


def test_importing_it_costs_next_to_nothing():
    """The hook's path imports it: hashlib comes when something is hashed."""
    import subprocess
    import sys

    program = (
        "import sys, git_coderepo.git.objects\n"
        "print([name for name in ('hashlib', 'typing', 're') if name in sys.modules])"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-IS",
            "-c",
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r}); {program}",
        ],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"[]\n"
    assert hashlib.sha1(b"blob 0\0").digest() == blob_id(b"", "sha1")
