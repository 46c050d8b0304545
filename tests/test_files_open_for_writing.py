"""A file that somebody may be writing to is hashed for every snapshot: its times do not always tell that it changed."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.git.process import Git
from git_coderepo.git.repository import read_layout, start_layout
from git_coderepo.git.status import Change
from git_coderepo.snapshots.tree.worktree_stat import Found
from tests.support.coarse import whole_seconds
from tests.support.environment import clean_environment
from tests.support.repo import Repo
from tests.test_reuse import check, private_index, settle, snapshot

NAMES = [b"plain", b"sp ace", b"-dash", b"new\nline", b"\xff", b"d/e/f"]


@pytest.fixture(params=["disk", "tmpfs"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Repo]:
    """Files that are tracked and edited, and others that are untracked; on tmpfs times tell less than on a disk."""
    if request.param == "tmpfs" and not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no tmpfs")
    place = "/dev/shm" if request.param == "tmpfs" else None
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        repo = Repo.init(Path(scratch) / "checkout", clean_environment(tmp_path / "home"))
        for name in NAMES:
            repo.write(b"tracked/" + name, "committed\n")
        repo.commit()
        for name in NAMES:
            repo.write(b"tracked/" + name, bytes(9000))
            repo.write(b"new/" + name, bytes(9000))
        settle(repo)
        check(repo)
        yield repo


def mapped(repo: Repo, path: bytes) -> mmap.mmap:
    with open(repo.file(path), "r+b") as file:
        return mmap.mmap(file.fileno(), 0)


@pytest.mark.parametrize("folder", [b"tracked/", b"new/"])
def test_what_is_written_through_a_mapping_is_seen_though_no_time_changes(checkout: Repo, folder: bytes) -> None:
    maps = [mapped(checkout, folder + name) for name in NAMES]
    for each in maps:
        each[0] = 1
    settle(checkout)
    before = check(checkout).tree
    for number in (2, 3):
        for each in maps:
            each[1] = number
        assert check(checkout).tree != before
    for each in maps:
        each.close()
    check(checkout)


@pytest.mark.slow
def test_what_was_mapped_while_it_was_hashed_and_is_closed_now_is_hashed_again(checkout: Repo) -> None:
    """The last write came after the hash, through a page that was dirty: no time tells, and nobody has it open."""
    each = mapped(checkout, b"new/plain")
    each[0] = 1
    settle(checkout)
    before = check(checkout).tree
    each[0] = 2
    each.close()
    assert check(checkout).tree != before


@pytest.mark.slow
def test_what_is_mapped_read_and_written_since_the_last_snapshot_is_seen(checkout: Repo) -> None:
    """On tmpfs a page that was read is writable without a fault, and the times stay as they are."""
    before = check(checkout).tree
    each = mapped(checkout, b"new/plain")
    assert each[0] == 0
    each[0] = 2
    each.close()
    assert check(checkout).tree != before


def test_a_file_that_is_open_for_writing_is_hashed_again_and_the_others_are_not(checkout: Repo) -> None:
    git = Git(str(checkout.path), environment=checkout.env)
    layout = read_layout(start_layout(git), git)
    with open(checkout.file(b"new/plain"), "r+b"):
        found = Found(layout, [Change(b"new/" + name, "?", "?", False) for name in NAMES])
        found.judge()
    assert found.doubtful == {b"new/plain"}
    assert found.settled in (set(), {b"new/" + name for name in NAMES[1:]})  # tmpfs: none


def test_a_file_of_another_user_is_neither(checkout: Repo) -> None:
    """The kernel gives leases to a file's owner alone, and to who may break the rule."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    git = Git(str(checkout.path), environment=checkout.env)
    layout = read_layout(start_layout(git), git)
    folder = checkout.path
    while folder != folder.parent:
        if not os.stat(folder).st_mode & 0o001:
            os.chmod(folder, 0o755)
        folder = folder.parent
    os.seteuid(65534)
    try:
        found = Found(layout, [Change(b"new/" + name, "?", "?", False) for name in NAMES])
        found.judge()
    finally:
        os.seteuid(0)
    assert (sorted(found.settled), sorted(found.doubtful)) == ([], [])


_OPENER = """
import os, sys
while True:
    os.close(os.open(sys.argv[1], os.O_WRONLY))
"""
_LOOKER = """
import sys
from git_coderepo.snapshots.tree.worktree_stat import Found
from git_coderepo.git.repository import read_layout, start_layout
from git_coderepo.git.status import Change
from git_coderepo.git.process import Git
git = Git(sys.argv[1])
layout = read_layout(start_layout(git), git)
outcomes = set()
for _ in range(4000):
    found = Found(layout, [Change(b"new/plain", "?", "?", False)])
    found.judge()
    outcomes.add((len(found.settled), len(found.doubtful)))
print(sorted(outcomes))
"""


@pytest.mark.slow
@pytest.mark.parametrize("checkout", ["disk"], indirect=True)
def test_a_lease_that_a_writer_breaks_kills_nobody(checkout: Repo) -> None:
    """A broken lease sends SIGIO, which ends a process; here to one with threads or without, whatever it blocks."""
    env = {**checkout.env, "PYTHONPATH": str(Path(__file__).parent.parent)}
    opener = subprocess.Popen([sys.executable, "-c", _OPENER, checkout.file(b"new/plain")])
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOKER, checkout.path],
            env=env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert opener.poll() is None
    finally:
        opener.kill()
        opener.wait()
    assert done.returncode == 0, done.stderr
    assert "(0, 1)" in done.stdout  # they did meet


@pytest.mark.slow
def test_whole_second_times_hide_nothing(tmp_path: Path) -> None:
    """Inodes of 128 bytes have no room for nanoseconds: two edits in one second have the same times."""
    with whole_seconds(tmp_path) as place:
        if place is None:
            pytest.skip("no file system with whole seconds can be mounted here")
        repo = Repo.init(place / "checkout", clean_environment(tmp_path / "home"))
        repo.write("a", "0\n")
        repo.commit()
        for _ in range(3):
            while time.time() % 1 > 0.3:
                time.sleep(0.05)
            for number in range(1, 4):
                repo.write("a", f"{number}\n")
                repo.write("new", f"{number}\n")
                check(repo)
        time.sleep(2.1)
        check(repo)
        before = private_index(repo).read_bytes()
        snapshot(repo)
        assert private_index(repo).read_bytes() == before


def test_a_clock_that_was_set_back_makes_no_entry_serve(checkout: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second that comes twice could give two contents the same times."""
    now = time.time_ns
    from git_coderepo.snapshots.tree import reuse

    kept = private_index(checkout)
    if not kept.exists():
        assert str(checkout.path).startswith("/dev/shm")  # nothing is kept of what lies there
        return
    parts = reuse._read(os.fsencode(kept))
    assert parts is not None and reuse._is_of_this_start(parts[0])
    monkeypatch.setattr(time, "time_ns", lambda: now() - 3_600_000_000_000)
    assert not reuse._is_of_this_start(parts[0])
