"""Temporary directories: gone at the end, gone after a kill, and nobody else's is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from git_coderepo.filesystem.scratch import scratch_directory
from tests.support.pyz import PROJECT

HOLD = """
import sys, time
from git_coderepo.filesystem.scratch import scratch_directory
with scratch_directory(place=sys.argv[1]) as path:
    open(path + "/file", "w").close()
    print(path, flush=True)
    time.sleep(100)
"""


def start(place: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, place], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def age(path: Path) -> None:
    os.utime(path, (1, 1))


def test_it_is_private_and_gone_at_the_end_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch_directory(place=str(tmp_path)) as path:
        assert os.stat(path).st_mode & 0o777 == 0o700
        Path(path, "sub").mkdir()
        Path(path, "sub", "read-only").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_holds_stays(tmp_path: Path) -> None:
    killed, left = start(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    living, held = start(tmp_path)
    try:
        age(left)
        age(held)
        with scratch_directory(place=str(tmp_path)) as path:
            assert sorted(tmp_path.iterdir()) == sorted([held, Path(path)])
        assert (held / "file").exists()
    finally:
        living.kill()
        living.communicate()


def test_a_young_one_is_not_taken_for_abandoned(tmp_path: Path) -> None:
    """Its process may be about to lock it."""
    young = tmp_path / f"git-coderepo-{os.geteuid()}-abcd1234"
    young.mkdir()
    with scratch_directory(place=str(tmp_path)):
        assert young.exists()


def test_links_files_and_directories_of_others_stay(tmp_path: Path) -> None:
    place, victim = tmp_path / "tmp", tmp_path / "victim"
    place.mkdir()
    victim.mkdir()
    (victim / "precious").write_text("x")
    age(victim)
    mine = f"git-coderepo-{os.geteuid()}-"
    (place / f"{mine}abcd1234").symlink_to(victim)
    (place / f"{mine}abcd1235").write_text("a file")
    (place / f"{mine}abcd1236 (copy)").mkdir()
    (place / "git-coderepo-abcd1237").mkdir()
    foreign = place / f"{mine}abcd1238"
    foreign.mkdir()
    if os.geteuid() == 0:
        os.chown(foreign, 42_001, 42_001)
    for path in place.iterdir():
        if not path.is_symlink():
            age(path)
    expected = set(place.iterdir()) - (set() if os.geteuid() == 0 else {foreign})
    with scratch_directory(place=str(place)) as made:
        assert set(place.iterdir()) == {*expected, Path(made)}
    assert (victim / "precious").exists()
