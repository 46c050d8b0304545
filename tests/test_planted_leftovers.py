"""Whoever may rename a directory cannot have it removed by giving it the name of one of our temporary ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_coderepo.errors import TargetUnusable
from git_coderepo.fetching.target import Target
from git_coderepo.filesystem.leftovers import sweep
from git_coderepo.filesystem.scratch import scratch_directory

RANDOM = "0123456789abcdef"


@pytest.fixture(params=[0o777, 0o775], ids=oct)
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A directory that others may write to, as projects have it on shared disks; it has no sticky bit."""
    place = tmp_path / "project"
    place.mkdir()
    if os.geteuid() == 0:
        os.chown(place, -1, 42_001)  # a group of some people
    elif request.param == 0o775:
        pytest.skip("needs root to have a directory of another group")
    place.chmod(request.param)
    return place


def planted(place: Path, name: str) -> Path:
    results = place / "results"
    results.mkdir(mode=0o755)
    (results / "precious").write_text("x")
    os.utime(results, (1, 1))
    results.rename(place / name)
    return place / name / "precious"


def test_by_a_scratch_directory(place: Path) -> None:
    victim = planted(place, f"git-coderepo-{os.geteuid()}-abcd1234")
    with scratch_directory(place=str(place)):
        pass
    assert victim.exists()


def test_by_a_fetch_into_the_same_directory(place: Path) -> None:
    victim = planted(place, f".code.coderepo-1-{RANDOM}")
    with Target(str(place / "code")) as target:
        Path(target.fresh(), "a").write_text("1")
        target.publish()
    assert victim.exists() and (place / "code" / "a").exists()


def test_by_a_scratch_repository(place: Path) -> None:
    victim = planted(place, f"git-coderepo-scratch-1-{RANDOM}")
    descriptor = os.open(place, os.O_RDONLY)
    try:
        assert sweep(descriptor, "git-coderepo-scratch-") == frozenset()
    finally:
        os.close(descriptor)
    assert victim.exists()


def test_what_only_this_user_can_rename_is_still_swept(place: Path) -> None:
    place.chmod(0o1777)
    if os.geteuid() == 0:
        os.chown(place, 0, 0)
    victim = planted(place, f".code.coderepo-1-{RANDOM}")
    with Target(str(place / "code")):
        pass
    assert not victim.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of another user")
def test_by_a_journal_of_somebody_else(place: Path) -> None:
    results = place / "results"
    results.mkdir()
    (results / "precious").write_text("x")
    work = place / f".coderepo-1-{RANDOM}"
    (work / "tree").mkdir(parents=True)
    journal = work / "journal"
    journal.write_bytes(b"%d\0%d results" % (work.stat().st_ino, results.stat().st_ino))
    for path in (work, work / "tree", journal):
        os.chown(path, 42_002, 42_001)
    with pytest.raises(TargetUnusable, match="not empty"), Target(str(place)):
        pass
    assert (results / "precious").exists()
