"""A few kilobytes of manifest that ask for hours of work: what is done for them is bounded by their size."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from git_coderepo import api
from git_coderepo.errors import TreeDiffers, UnsafeTree
from git_coderepo.filesystem.directories import remove_tree
from git_coderepo.git.objects import FILE, TreeEntry, blob_id, tree_id
from tests.support.manifests import example_document

Files = Sequence[tuple[str, bytes]]
_counting: list[list[str]] = []


def _count(event: str, arguments: tuple[object, ...]) -> None:
    if event == "os.mkdir" and _counting:
        _counting[-1].append(str(arguments[0]))


sys.addaudithook(_count)


@contextmanager
def made_directories() -> Iterator[list[str]]:
    """The directories that this process makes in the block."""
    _counting.append([])
    try:
        yield _counting[-1]
    finally:
        _counting.pop()


def written(place: Path, files: Files, *, tree: str | None = None) -> Path:
    """A manifest whose overlay is everything; `tree` another id than the one the overlay makes."""
    import zlib

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, contents in sorted(files):
            facts = tarfile.TarInfo(path)
            facts.size = len(contents)
            tar.addfile(facts, io.BytesIO(contents))
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(buffer.getvalue()) + packer.flush()
    if tree is None:
        tree = tree_id((TreeEntry(p.encode(), FILE, blob_id(c, "sha1")) for p, c in files), "sha1").hex
    document = example_document()
    document["repository"] = None
    document["run"]["directory"] = "."
    code = document["code"]
    code.update(base=None, head=None, special=None, submodules=[], omitted=[])
    code["changes"]["unpushed"] = None
    code["snapshot"] = {"tree": tree, "ref": None, "commit": None}
    code["subdirectory"] = {"path": ".", "tree": tree, "proof": []}
    code["overlay"] = {
        "tarSha256": sha256(buffer.getvalue()).hexdigest(),
        "sha256": sha256(packed).hexdigest(),
        "size": len(packed),
        "files": len(files),
        "deleted": [],
        "data": base64.b64encode(packed).decode(),
    }
    manifest = place / "run.json"
    manifest.write_text(json.dumps(document))
    return manifest


def deep(count: int, levels: int) -> Files:
    return [(f"{number:04d}/" + "d/" * levels + "f", b"") for number in range(count)]


@pytest.fixture
def runner(env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_overlay_that_is_everything_is_hashed_before_anything_is_written(runner: Path) -> None:
    manifest = written(runner, deep(3, 2000), tree="1" * 40)
    assert manifest.stat().st_size < 3 << 10
    with made_directories() as made, pytest.raises(TreeDiffers, match="nothing was written"):
        api.fetch(str(manifest), "code")
    assert len(made) < 10, len(made)
    assert not (runner / "code").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("count", "levels"), [(11, 2000), (300, 120), (2500, 40)])
def test_directories_are_bounded_by_the_overlays_size(runner: Path, count: int, levels: int) -> None:
    """Its tree is the right one, so that nothing else would stop it."""
    manifest = written(runner, deep(count, levels))
    with made_directories() as made, pytest.raises(UnsafeTree, match="too many for its size"):
        api.fetch(str(manifest), "code")
    assert len(made) < 10, len(made)
    assert not (runner / "code").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("count", "levels"), [(1, 2000), (4, 2000), (1000, 8), (500, 15)])
def test_an_honest_tree_is_not_meant(runner: Path, count: int, levels: int) -> None:
    manifest = written(runner, deep(count, levels))
    api.fetch(str(manifest), "code")
    assert (runner / "code" / "0000").is_dir()
    # pytest cannot remove directories as deep as these when it cleans up.
    parent = os.open(runner, os.O_RDONLY | os.O_DIRECTORY)
    try:
        remove_tree("code", parent=parent)
    finally:
        os.close(parent)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("**/" * 100 + "y*x", "d/" * 2000),
        ("**/" + "*d" * 100 + "y*x", "d/" * 2000),
        ("*d" * 60 + "y*x", "d" * 200),
        ("*?" * 40 + "y*x", "d" * 200),
    ],
)
def test_patterns_of_attributes_that_would_take_hours(runner: Path, pattern: str, path: str) -> None:
    lines = f"{pattern} text eol=crlf\n".encode() * 400
    files = [(".gitattributes", lines), *((f"{path}{number:05d}x", b"a\n") for number in range(100))]
    manifest = written(runner, files)
    with pytest.raises(UnsafeTree, match="take too long to match"):
        api.fetch(str(manifest), "code")
    assert not (runner / "code").exists()


@pytest.mark.slow
def test_many_ordinary_patterns_and_paths_are_not_meant(runner: Path) -> None:
    lines = [f"src/**/generated-{number}/*.txt text eol=crlf" for number in range(60)]
    files = [(".gitattributes", "\n".join([*lines, "*.bat text eol=crlf", ""]).encode())]
    files += [(f"src/package{number}/generated-{number % 60}/some file {number}.txt", b"a\n") for number in range(2000)]
    manifest = written(runner, files)
    api.fetch(str(manifest), "code")
    assert (runner / "code/src/package7/generated-7/some file 7.txt").read_bytes() == b"a\r\n"
