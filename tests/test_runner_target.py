"""The target appears whole or not at all, whatever happens on the way, and nothing of ours stays behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.errors import TargetUnusable
from git_coderepo.fetching.target import Target
from tests.raw_tar import everything_below

TREE = ("a.py", "data dir", "link", "run.sh")


def fill(directory: str, word: str = "new") -> None:
    """A small tree, with a directory that nobody may write into."""
    place = Path(directory)
    (place / "a.py").write_text(word)
    (place / "data dir" / "deep" / "er").mkdir(parents=True)
    (place / "data dir" / "deep" / "er" / "x").write_text(word)
    (place / "data dir" / "deep" / "er").chmod(0o500)
    (place / "run.sh").write_text("#!/bin/sh\n")
    (place / "link").symlink_to("/no/such/place")


def fetch(directory: str | Path, word: str = "new") -> None:
    with Target(str(directory)) as target:
        fill(target.fresh(), word)
        target.publish()


def assert_filled(directory: Path, word: str = "new") -> None:
    assert sorted(os.listdir(directory)) == sorted(TREE)
    assert (directory / "a.py").read_text() == word
    assert (directory / "data dir" / "deep" / "er" / "x").read_text() == word


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a neighbour in it."""
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "neighbour").write_text("precious")
    return tmp_path / "place"


# --- absent or empty ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["code", "my code", "-rf", "new\nline", os.fsdecode(b"\xff\xfe"), "n" * 250, "code/", "a/b/../c"]
)
def test_a_directory_that_is_absent_appears(place: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    if ".." in name:
        (place / "a" / "b").mkdir(parents=True)
    fetch(name)
    assert_filled(place / name)
    assert not [path for path in os.listdir(place) if path.startswith(".")]


def test_directories_above_it_are_made_and_go_again_when_it_fails(place: Path):
    fetch(place / "x" / "y" / "code")
    assert_filled(place / "x" / "y" / "code")
    with pytest.raises(ZeroDivisionError), Target(str(place / "u" / "v" / "code")) as target:
        fill(target.fresh())
        raise ZeroDivisionError
    assert sorted(os.listdir(place)) == ["neighbour", "x"]


def test_an_empty_directory_is_filled_and_keeps_its_rights(place: Path):
    (place / "code").mkdir()
    (place / "code").chmod(0o2750)
    fetch(place / "code")
    assert_filled(place / "code")
    assert stat.S_IMODE((place / "code").stat().st_mode) == 0o2750
    assert sorted(os.listdir(place)) == ["code", "neighbour"]


def test_nothing_is_visible_before_it_is_whole(place: Path):
    (place / "code").mkdir()
    with Target(str(place / "code")) as target:
        fill(target.fresh())
        assert list((place / "code").iterdir()) == []
        target.publish()
        assert_filled(place / "code")


def test_a_second_attempt_begins_with_an_empty_directory(place: Path):
    with Target(str(place / "code")) as target:
        fill(target.fresh(), "first")
        again = target.fresh()
        assert os.listdir(again) == []
        fill(again, "second")
        target.publish()
    assert_filled(place / "code", "second")
    assert sorted(os.listdir(place)) == ["code", "neighbour"]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: (path.mkdir(), (path / "x").touch()), "is not empty"),
        (lambda path: (path.mkdir(), (path / ".hidden").touch()), "is not empty"),
        (lambda path: (path.mkdir(), (path / "lost+found").mkdir()), "is not empty"),
        (lambda path: path.touch(), "is a file"),
        (lambda path: os.mkfifo(path), "is a file"),
        (lambda path: path.symlink_to("neighbour"), "is a symbolic link to 'neighbour'"),
        (lambda path: path.symlink_to("nowhere"), "is a symbolic link to 'nowhere'"),
    ],
)
def test_anything_else_is_refused_and_stays(place: Path, make, word: str):
    make(place / "code")
    before = everything_below(place)
    for name in ("code", "code/"):
        with pytest.raises(TargetUnusable, match=r"code/?' " + word.replace("(", "\\(")) as refused:
            fetch(f"{place}/{name}")
        assert refused.value.hints
    assert everything_below(place) == before


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_is_no_name_is_refused(name: str):
    with pytest.raises(TargetUnusable, match="invalid directory"):
        fetch(name)


def test_a_directory_below_a_file_is_refused(place: Path):
    with pytest.raises(TargetUnusable, match="not a directory"):
        fetch(place / "neighbour" / "code")
    with pytest.raises(TargetUnusable, match="too long"):
        fetch(place / ("n" * 256))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError, TargetUnusable])
@pytest.mark.parametrize("exists", [False, True])
def test_whatever_interrupts_it_leaves_nothing(place: Path, error: type[BaseException], exists: bool):
    if exists:
        (place / "code").mkdir()
    before = everything_below(place)
    with pytest.raises(error), Target(str(place / "code")) as target:
        fill(target.fresh())
        raise error("stop")
    assert everything_below(place) == before
    with Target(str(place / "code")):
        pass
    assert everything_below(place) == before


def test_somebody_fills_the_directory_meanwhile(place: Path):
    for exists in (False, True):
        name = place / f"code{exists}"
        if exists:
            name.mkdir()
        with pytest.raises(TargetUnusable, match="was filled by another process"), Target(str(name)) as target:
            fill(target.fresh())
            name.mkdir(exist_ok=True)
            (name / "theirs").touch()
            target.publish()
        assert os.listdir(name) == ["theirs"]
    (place / "file").unlink(missing_ok=True)
    with pytest.raises(TargetUnusable, match="was filled by another process"), Target(str(place / "file")) as target:
        fill(target.fresh())
        (place / "file").symlink_to("neighbour")
        target.publish()
    assert sorted(os.listdir(place)) == ["codeFalse", "codeTrue", "file", "neighbour"]


# --- two at once, and leftovers -------------------------------------------------------------------

WAITING = """
import sys
from git_coderepo.fetching.target import Target
with Target(sys.argv[1]) as target:
    open(target.fresh() + "/theirs", "w").close()
    print("ready", flush=True)
    sys.stdin.read()
    target.publish()
"""


def start_waiting(directory: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_of_two_fetches_at_once_one_wins_and_the_other_leaves_nothing(place: Path):
    other = start_waiting(place / "code")
    with pytest.raises(TargetUnusable), Target(str(place / "code")) as target:
        fill(target.fresh())
        assert other.communicate(b"")[1] == b""
        target.publish()
    assert os.listdir(place / "code") == ["theirs"]
    assert sorted(os.listdir(place)) == ["code", "neighbour"]

    other = start_waiting(place / "again")
    fetch(place / "again")
    assert b"was filled by another process" in other.communicate(b"")[1]
    assert_filled(place / "again")
    assert sorted(os.listdir(place)) == ["again", "code", "neighbour"]


def test_what_a_killed_fetch_left_goes_with_the_next_one_and_a_living_one_s_stays(place: Path):
    dead, living = start_waiting(place / "code"), start_waiting(place / "code")
    dead.kill()
    dead.communicate()
    assert len([name for name in os.listdir(place) if name.startswith(".code.coderepo-")]) == 2
    with Target(str(place / "code")):
        kept = [name for name in os.listdir(place) if name.startswith(".code.coderepo-")]
        assert len(kept) == 2, "the living one's and our own"
    (left,) = [name for name in os.listdir(place) if name.startswith(".code.coderepo-")]
    assert f"-{living.pid}-" in left
    living.communicate(b"")
    assert os.listdir(place / "code") == ["theirs"]
    assert sorted(os.listdir(place)) == ["code", "neighbour"]


def test_only_what_is_surely_a_leftover_of_this_directory_goes(place: Path):
    digits = "0123456789abcdef"
    for name in (f".other.coderepo-1-{digits}", ".code.coderepo-notes", f".code.coderepo-1-{digits}.bak"):
        (place / name).mkdir()
    (place / f".code.coderepo-2-{digits}").write_text("a file")
    (place / f".code.coderepo-3-{digits}").symlink_to(place)
    before = everything_below(place)
    (place / f".code.coderepo-4-{digits}").mkdir()
    fetch(place / "code")
    after = everything_below(place)
    assert {path: after[path] for path in after if not path.startswith("code")} == before


# --- killed at any point --------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from git_coderepo.fetching.target import Target
from tests.test_runner_target import fill
left = int(sys.argv[2])
def hook(event, arguments):
    global left
    if left and (event == "open" or event.startswith("os.")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
with Target(sys.argv[1]) as target:
    fill(target.fresh(), "old")
    sys.addaudithook(hook)
    target.publish()
"""


def kill_at_every_step(directory: Path) -> int:
    """Let a fetch be killed at the first system call of publishing, then the second, …; fetch again each time."""
    for step in range(1, 200):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(directory), str(step)],
            capture_output=True,
            cwd=Path(__file__).parent.parent,
        )
        finished = done.returncode == 0
        assert finished or done.returncode == -signal.SIGKILL, done.stderr.decode()
        try:
            fetch(directory)
            assert_filled(directory)
        except TargetUnusable as error:
            # It had come so far that the directory is whole.
            assert error.message.endswith("is not empty")
            assert_filled(directory, "old")
        for path in directory.iterdir():
            subprocess.run(["rm", "-rf", "--", path], check=True)
        if finished:
            return step
    raise AssertionError("it never ended")


@pytest.mark.slow
def test_a_fetch_killed_at_any_step_is_in_nobody_s_way(place: Path):
    (place / "code").mkdir()
    assert kill_at_every_step(place / "code") > 2
    assert sorted(os.listdir(place)) == ["code", "neighbour"]


# --- directories that can only be filled ----------------------------------------------------------


@pytest.fixture
def mounted(place: Path) -> Iterator[Path]:
    """A small file system, as a volume in a container."""
    (place / "volume").mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root mounts file systems")
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", place / "volume"], capture_output=True
    ).returncode:
        pytest.skip("this machine lets root mount nothing")
    yield place / "volume"
    subprocess.run(["umount", place / "volume"], check=True)


def test_a_mount_point_is_filled_and_nothing_of_ours_stays(mounted: Path):
    (mounted / "lost+found").mkdir()
    device = mounted.stat().st_dev
    with Target(str(mounted)) as target:
        fill(target.fresh(), "first")
        fill(target.fresh(), "second")
        assert not {"a.py", "run.sh"} & set(os.listdir(mounted)), "not visible before it is whole"
        target.publish()
    (mounted / "lost+found").rmdir()
    assert_filled(mounted, "second")
    assert mounted.stat().st_dev == device
    assert sorted(os.listdir(mounted.parent)) == ["neighbour", "volume"]


def test_a_mount_point_is_as_it_was_after_a_failure(mounted: Path):
    (mounted / "lost+found").mkdir()
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error), Target(str(mounted)) as target:
            fill(target.fresh())
            raise error
        assert os.listdir(mounted) == ["lost+found"]
    with pytest.raises(TargetUnusable, match="was filled by another process"), Target(str(mounted)) as target:
        (Path(target.fresh()) / "lost+found").touch()
        target.publish()
    assert os.listdir(mounted) == ["lost+found"]
    with pytest.raises(TargetUnusable, match="was filled by another process"), Target(str(mounted)) as target:
        fill(target.fresh())
        (mounted / "theirs").touch()
        target.publish()
    assert sorted(os.listdir(mounted)) == ["lost+found", "theirs"]
    with pytest.raises(TargetUnusable, match="is not empty"):
        fetch(mounted)


@pytest.mark.slow
def test_a_fetch_into_a_mount_point_killed_at_any_step_is_undone_by_the_next(mounted: Path):
    assert kill_at_every_step(mounted) > 10
    assert os.listdir(mounted) == []


def test_of_two_fetches_into_one_mount_point_one_wins(mounted: Path):
    other = start_waiting(mounted)
    with pytest.raises(TargetUnusable), Target(str(mounted)) as target:
        fill(target.fresh())
        assert other.communicate(b"")[1] == b""
        target.publish()
    assert os.listdir(mounted) == ["theirs"]
    (mounted / "theirs").unlink()

    other = start_waiting(mounted)
    fetch(mounted)
    assert b"was filled by another process" in other.communicate(b"")[1]
    assert_filled(mounted)


def test_a_hidden_directory_that_came_with_a_tree_is_no_leftover(mounted: Path):
    """Its name is made up to be taken for one of ours, its journal to have a neighbour removed."""
    made_up = mounted / ".coderepo-1-0123456789abcdef"
    (made_up / "tree").mkdir(parents=True)
    (mounted / "code.py").write_text("precious")
    inode = (mounted / "code.py").stat().st_ino
    (made_up / "journal").write_bytes(b"1\0%d code.py" % inode)
    before = everything_below(mounted)
    with pytest.raises(TargetUnusable, match="is not empty"):
        fetch(mounted)
    assert everything_below(mounted) == before
    (made_up / "journal").unlink()
    (made_up / "other").touch()
    before = everything_below(mounted)
    with pytest.raises(TargetUnusable, match="is not empty"):
        fetch(mounted)
    assert everything_below(mounted) == before


def test_a_directory_bound_from_the_same_file_system_is_a_mount_point_too(mounted: Path, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bound\\ here\n").mkdir()
    subprocess.run(["mount", "--bind", tmp_path / "elsewhere", tmp_path / "bound\\ here\n"], check=True)
    try:
        fetch(tmp_path / "bound\\ here\n")
        assert_filled(tmp_path / "elsewhere")
    finally:
        subprocess.run(["umount", tmp_path / "bound\\ here\n"], check=True)


def test_a_full_or_read_only_file_system_is_said_in_words_and_nothing_stays(mounted: Path):
    with pytest.raises(TargetUnusable, match="there is no space left on the device"), Target(str(mounted)) as target:
        place = target.fresh()
        fill(place)
        with Path(place, "big").open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
            while True:
                stream.write(bytes(4096))
        target.publish()
    assert os.listdir(mounted) == []
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    for directory in (mounted, mounted / "code", mounted / "x" / "code"):
        with pytest.raises(TargetUnusable, match="the file system is read-only"):
            fetch(directory)


def test_the_current_directory_is_filled_not_replaced(place: Path, monkeypatch: pytest.MonkeyPatch):
    """A shell that stands in it goes on standing in it."""
    (place / "here").mkdir()
    inode = (place / "here").stat().st_ino
    monkeypatch.chdir(place / "here")
    fetch(".")
    assert (place / "here").stat().st_ino == inode
    assert_filled(place / "here")
    assert sorted(os.listdir(place)) == ["here", "neighbour"]
    with pytest.raises(TargetUnusable, match=r"'\.' is not empty"):
        fetch(".")


AS_ANOTHER_USER = """
import ctypes, os, sys
from tests.test_runner_target import fetch
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
fetch(sys.argv[1])
"""


@pytest.mark.slow
def test_a_directory_in_one_that_cannot_be_written_is_filled():
    """As a volume that belongs to the job's user, in an image that belongs to root."""
    checkout = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as name:
        parent = Path(name)
        (parent / "code").mkdir()
        if os.geteuid() == 0:
            os.chown(parent / "code", 65534, 65534)
        parent.chmod(0o555)
        try:
            arguments = [sys.executable, "-c", AS_ANOTHER_USER]
            assert subprocess.run([*arguments, parent / "code"], cwd=checkout, capture_output=True).stderr == b""
            refused = subprocess.run([*arguments, parent / "new"], cwd=checkout, capture_output=True).stderr
            assert refused.endswith(b"new': permission denied\n")
        finally:
            parent.chmod(0o755)
        assert sorted(os.listdir(parent)) == ["code"]
        assert_filled(parent / "code")
        (parent / "code" / "data dir" / "deep" / "er").chmod(0o700)


def test_no_descriptor_is_left_open(place: Path):
    def opened() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    before = opened()
    fetch(place / "code")
    with pytest.raises(TargetUnusable):
        fetch(place / "code")
    with pytest.raises(TargetUnusable):
        fetch(place / "neighbour" / "code")
    with Target(str(place / "other")) as target:
        target.fresh()
    assert opened() == before
