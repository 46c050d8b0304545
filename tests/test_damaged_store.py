"""What a power loss leaves of our own objects, trees and overlays is moved aside and made again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from git_coderepo.git.process import Git
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request, Snapshot
from tests.support.program import Program
from tests.support.repo import Repo
from tests.test_checkout_snapshot import check_overlay
from tests.test_reuse import private_index, settle


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "flipped": flipped,
    "zeroes": lambda data: bytes(len(data)),
    "longer": lambda data: data + b"x",
}


def damage(path: Path, how: str) -> None:
    """Write over a file that may be read-only, as git's objects are."""
    data = DAMAGES[how](path.read_bytes())
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def snapshot(repo: Repo) -> tuple[Snapshot, list[str]]:
    """A snapshot that is right, whose objects are all readable, and what was said."""
    said: list[str] = []
    taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True, notify=said.append))
    assert taken.tree is not None and taken.tree.hex == repo.tree()
    assert taken.git_with_store.run("rev-list", "--objects", "--no-object-names", taken.tree.hex)
    check_overlay(taken)
    return taken, said


@pytest.fixture
def recorded(repo: Repo) -> Repo:
    """Changed and new files in folders, some large, of which a snapshot was taken; its objects are loose."""
    for name in (b"sp ace", b"new\nline", b"-dash", b"\xff", b"d/e/f"):
        repo.write(b"tracked/" + name, "committed\n")
    repo.commit()
    for name in (b"sp ace", b"new\nline", b"-dash", b"\xff", b"d/e/f"):
        repo.write(b"tracked/" + name, b"changed " + name)
        repo.write(b"new/" + name, b"new " + name)
    repo.write("weights.bin", os.urandom(200_000))
    settle(repo)
    snapshot(repo)
    return repo


def objects(repo: Repo, kind: str) -> Iterator[Path]:
    """The loose objects of ours that are blobs or trees."""
    store = repo.git_dir() / "coderepo" / "objects"
    for path in sorted(store.glob("??/*")):
        env = {**repo.env, "GIT_OBJECT_DIRECTORY": str(store)}
        if Repo(repo.path, env).line("cat-file", "-t", path.parent.name + path.name) == kind:
            yield path


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", ["blob", "tree"])
@pytest.mark.parametrize("kept", [True, False], ids=["private index", "no private index"])
def test_damaged_objects_are_made_again(recorded: Repo, kind: str, how: str, kept: bool) -> None:
    if (kind, how) == ("blob", "longer"):
        pytest.skip("git reads such a blob as if nothing were wrong")
    damaged = list(objects(recorded, kind))
    assert damaged
    for path in damaged:
        damage(path, how)
    shutil.rmtree(recorded.git_dir() / "coderepo" / "overlays")  # else no object is read
    if not kept:
        private_index(recorded).unlink()
    _, said = snapshot(recorded)
    if kind == "blob":
        (words,) = said
        assert "damaged objects" in words and "partial clone" not in words
    aside = os.listdir(recorded.git_dir() / "coderepo" / "damaged")
    assert {name.partition(".")[0] for name in aside} >= {path.name for path in damaged}
    assert snapshot(recorded)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("end", ["pack", "idx"])
def test_a_damaged_pack_is_made_again(recorded: Repo, how: str, end: str) -> None:
    """`prune` packs the objects of kept runs."""
    store = recorded.git_dir() / "coderepo" / "objects"
    ids = [path.parent.name + path.name for path in store.glob("??/*")]
    packing = Repo(recorded.path, {**recorded.env, "GIT_OBJECT_DIRECTORY": str(store)})
    packing.git("pack-objects", "-q", store / "pack" / "pack", input="".join(f"{id}\n" for id in ids).encode())
    for path in store.glob("??/*"):
        path.unlink()
    shutil.rmtree(recorded.git_dir() / "coderepo" / "overlays")
    assert snapshot(recorded)[1] == []
    shutil.rmtree(recorded.git_dir() / "coderepo" / "overlays")
    for path in store.glob("??/*"):
        path.unlink()
    (path,) = (store / "pack").glob(f"*.{end}")
    damage(path, how)
    snapshot(recorded)
    assert snapshot(recorded)[1] == []


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_private_index_serves_nothing(recorded: Repo, how: str) -> None:
    before = private_index(recorded).read_bytes()
    damage(private_index(recorded), how)
    snapshot(recorded)
    assert private_index(recorded).read_bytes() != DAMAGES[how](before)


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("noted", [True, False], ids=["by its trees", "by its digest"])
def test_a_damaged_overlay_never_goes_with_a_run(recorded: Repo, program: Program, how: str, noted: bool) -> None:
    """Neither the one that is kept for the same trees, nor a file of the same name that was there already."""
    folder = recorded.git_dir() / "coderepo" / "overlays"
    (path,) = folder.iterdir()
    damage(path, how)
    if not noted:
        shutil.rmtree(recorded.git_dir() / "coderepo" / "trees")
    program.run("hook", "pre-run", cwd=recorded.path)
    manifest = json.loads((recorded.git_dir() / "coderepo" / "current.json").read_bytes())
    overlay = manifest["code"]["overlay"]["sha256"]
    assert hashlib.sha256((folder / f"{overlay}.tar.gz").read_bytes()).hexdigest() == overlay
    assert snapshot(recorded)[1] == []


def test_objects_are_synced(recorded: Repo) -> None:
    """`core.fsync` is from git 2.36; older ones know `core.fsyncObjectFiles`."""
    taken = take_snapshot(Git(str(recorded.path), environment=recorded.env), Request(here=True))
    settings = dict(taken.git_with_store.settings)
    assert settings["core.fsync"].split(",")[0] == "loose-object"
    assert settings["core.fsyncObjectFiles"] == "true"
