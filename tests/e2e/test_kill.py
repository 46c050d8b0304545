"""Killed at any point of a fetch: nothing half-done is visible, and the next fetch succeeds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, remove, world
from tests.forge import Slow, Stall

FILES = {f"part {n}/file {m}.bin": os.urandom(3000) for n in range(10) for m in range(20)}


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("killed"), "github", files=FILES) as made:
        made.register()
        made.manifest()
        yield made


@pytest.fixture
def place(hosted: World) -> Iterator[World]:
    yield hosted
    hosted.forge.behave()
    for path in [hosted.runner.home / "code", *Path(hosted.runner.env["TMPDIR"]).iterdir()]:
        remove(path)


def started(place: World, *arguments: str, until: Callable[[], bool]) -> subprocess.Popen[bytes]:
    """A fetch that has come so far."""
    process = place.runner.program.start("fetch", *arguments, "run.json", "code", cwd=place.runner.home)
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def hidden(place: World) -> list[Path]:
    return [path for path in place.runner.home.iterdir() if path.name.startswith(".code.coderepo-")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize(("method", "target"), [("archive", "absent"), ("archive", "empty"), ("git", "absent")])
def test_killed_while_files_arrive(place: World, number: signal.Signals, method: str, target: str) -> None:
    if target == "empty":
        (place.runner.home / "code").mkdir()
    place.forge.misbehave("archive", Stall(after=300_000), times=1)
    place.forge.misbehave("git/upload-pack", Stall(after=100), times=1)

    def arriving() -> bool:
        if method == "git":
            return len(place.forge.requests("git/upload-pack")) == 1
        return any((path / "part 1").exists() for path in hidden(place))

    place.forge.forget_requests()
    process = started(place, "--method", method, until=arriving)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    place.forge.behave()

    assert b"Traceback" not in errors
    assert (place.runner.home / "code").exists() == (target == "empty")
    assert target == "absent" or os.listdir(place.runner.home / "code") == []
    if number == signal.SIGINT:
        assert process.returncode == 130
    elif number == signal.SIGTERM:
        assert process.returncode in (-signal.SIGTERM, 143)
    else:
        assert process.returncode == -signal.SIGKILL
    if number != signal.SIGKILL:
        assert hidden(place) == [], "who can clean up does"
        assert os.listdir(place.runner.env["TMPDIR"]) == []

    place.runner.run("fetch", "run.json", "code")
    assert place.runner.tree("code") == place.checkout.tree()
    assert hidden(place) == [], "the next fetch cleans up after the killed one"


@pytest.mark.slow
def test_killed_at_any_moment(place: World) -> None:
    """At whatever point the blow falls, the directory is either not there or whole."""
    tree = place.checkout.tree()
    place.forge.misbehave("archive", Slow(2_000_000), times=None)
    for milliseconds in range(200, 1200, 200):
        process = place.runner.program.start("fetch", "--quiet", "run.json", "code", cwd=place.runner.home)
        time.sleep(milliseconds / 1000)
        process.kill()
        process.communicate(timeout=60)
        if (place.runner.home / "code").exists():
            assert place.runner.tree("code") == tree
            shutil.rmtree(place.runner.home / "code")
    place.forge.behave()
    place.runner.run("fetch", "run.json", "code")
    assert place.runner.tree("code") == tree
    assert hidden(place) == []


def test_two_fetches_into_one_directory(place: World) -> None:
    """One of them wins, or the other says what happened; what is there is whole."""
    both = [place.runner.program.start("fetch", "run.json", "code", cwd=place.runner.home) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 0], [0, 128]), answers
    assert place.runner.tree("code") == place.checkout.tree()
    assert hidden(place) == []


@pytest.mark.slow
def test_a_snapshot_that_is_killed_leaves_no_half_manifest(place: World) -> None:
    written = place.user.home / "killed.json"
    place.checkout.write("large.bin", os.urandom(5_000_000))
    for milliseconds in range(150, 600, 150):
        process = place.user.program.start("snapshot", "-o", str(written), cwd=place.checkout.path)
        time.sleep(milliseconds / 1000)
        process.kill()
        process.communicate(timeout=60)
        if written.exists():
            place.user.run("validate", written)
            place.user.run("fetch", "--method", "git", written, "whole")
            shutil.rmtree(place.user.home / "whole")
            written.unlink()
    place.user.run("snapshot", "-o", written, cwd=place.checkout.path)
    assert place.user.run("status", "--exit-code", cwd=place.checkout.path).status == 0
    place.checkout.remove("large.bin")
