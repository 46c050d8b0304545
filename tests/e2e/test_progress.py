"""What takes long says how far it is, on a terminal; git's GIT_PROGRESS_DELAY is when that starts."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from git_coderepo.cli.progress import progress_words
from tests.e2e.support import Machine, World, world
from tests.forge.misbehaviour import Slow
from tests.support.repo import PathLike

SLOW_FILTER = 'i=0; while [ "$i" -lt 3 ]; do sleep 0.3; i=$((i+1)); done; cat'


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "github") as made:
        made.register("hub", "--remote", "origin")
        yield made


def on_terminal(
    machine: Machine, *arguments: PathLike, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """The exit status of a command, and what a terminal received from its standard error."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [machine.program.executable(), *map(os.fsencode, arguments)],
        cwd=cwd if cwd is not None else machine.home,
        env={**machine.program.env, "TERM": "xterm", "COLUMNS": "120", **(env or {})},
        stdin=terminal, stdout=subprocess.DEVNULL, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while select.select([controller], [], [], 120)[0]:
        try:
            piece = os.read(controller, 1 << 16)
        except OSError:  # EIO: the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(controller)
    return process.wait(60), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode("utf-8", "replace"))


def edit_slowly(place: World) -> None:
    """Change a file that git hashes through a filter which takes its time."""
    place.checkout.git("config", "filter.slow.clean", SLOW_FILTER)
    place.checkout.write(".gitattributes", b"*.bin filter=slow\n")
    place.checkout.write("data/weights.bin", os.urandom(3_000_000))


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["snapshot", "-o", "../run.json"], ["run", "true"]], ids=["snapshot", "run"])
def test_hashing_shows_its_bytes_while_git_is_at_work(place: World, arguments: list[str]) -> None:
    edit_slowly(place)
    status, shown = on_terminal(place.user, *arguments, cwd=place.checkout.path)
    assert status == 0, shown
    assert re.search(r"hashing\s+[0-9.]+/3\.0 MB", shown), shown


@pytest.mark.slow
def test_packing_shows_its_bytes(place: World) -> None:
    place.checkout.write("data/weights.bin", os.urandom(12_000_000))
    status, shown = on_terminal(
        place.user, "snapshot", "-o", "../run.json", cwd=place.checkout.path, env={"GIT_PROGRESS_DELAY": "0"}
    )
    assert status == 0, shown
    assert re.search(r"packing\s+[0-9.]+/12\.0 MB", shown), shown


@pytest.mark.slow
def test_nothing_is_shown_of_what_is_short(place: World) -> None:
    place.checkout.write("train.py", b"lr = 0.2\n")
    status, shown = on_terminal(
        place.user, "run", "--quiet", "--", "true", cwd=place.checkout.path, env={"GIT_PROGRESS_DELAY": "60"}
    )
    assert (status, shown) == (0, "")


@pytest.mark.slow
def test_status_and_verify_show_what_they_hash(place: World) -> None:
    edit_slowly(place)
    status, shown = on_terminal(place.user, "status", cwd=place.checkout.path)
    assert status == 0, shown
    assert re.search(r"hashing\s+[0-9.]+/3\.0 MB.*left", shown), shown
    manifest = place.manifest()
    place.runner.run("fetch", manifest, "code")
    status, shown = on_terminal(place.runner, "verify", manifest, "code", env={"GIT_PROGRESS_DELAY": "0"})
    assert status == 0, shown
    assert "hashing" in shown


@pytest.mark.slow
def test_the_log_of_ci_gets_plain_lines_unless_it_is_to_be_quiet(place: World) -> None:
    edit_slowly(place)
    env = {"GIT_PROGRESS_DELAY": "0", "CI": "true"}
    lines = place.user.run("snapshot", "-o", "../run.json", cwd=place.checkout.path, env=env).errors.splitlines()
    shown = [line for line in lines if line.startswith("hashing: ")]
    assert shown and all(" of 2.9 MiB" in line and line.isprintable() for line in shown)
    edit_slowly(place)
    quiet = place.user.run("run", "--quiet", "--", "true", cwd=place.checkout.path, env=env)
    assert "hashing" not in quiet.errors


def test_the_words_of_a_log_have_size_rate_and_time_left() -> None:
    assert progress_words(3 << 20, 9 << 20, 2.0) == "3.0 MiB of 9.0 MiB, 1.5 MiB/s, 4 s left"
    assert progress_words(2048, None, 1.0) == "2.0 KiB, 2.0 KiB/s"
    assert progress_words(0, 10, 1.0) == "0 bytes of 10 bytes"


@pytest.mark.slow
def test_nothing_is_shown_without_a_terminal(place: World) -> None:
    edit_slowly(place)
    done = place.user.run("snapshot", "-o", "../run.json", cwd=place.checkout.path, env={"GIT_PROGRESS_DELAY": "0"})
    assert "hashing" not in done.errors


@pytest.mark.slow
def test_a_fetch_moves_within_one_large_file(place: World) -> None:
    place.checkout.write("data/weights.bin", os.urandom(8_000_000))
    place.checkout.commit("large")
    place.push()
    manifest = place.manifest()
    place.forge.misbehave("archive", Slow(4_000_000), times=None)
    status, shown = on_terminal(place.runner, "fetch", manifest, "code", env={"GIT_PROGRESS_DELAY": "0"})
    assert status == 0, shown
    assert len(set(re.findall(r"1 file ([0-9.]+ [a-zA-Z]+)", shown))) > 2, shown
