"""A recorded run is transparent to its command: signals and status pass through, whatever becomes of the place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from git_coderepo.runs.result import Result
from tests.e2e.support import can_mount, until
from tests.support.program import Program
from tests.support.repo import Repo

# Writes a line for each signal that it receives, and ends when its standard input does.
COUNTING = """
import os, signal, sys, threading
def note(number, frame):
    os.write(1, b"%d\\n" % number)
for number in signal.valid_signals() - {9, 19, 11, 7, 8, 4, 17, 13, 25, 21, 22}:
    signal.signal(number, note)
os.write(1, b"ready\\n")
while True:
    try:
        if not os.read(0, 1): break
    except InterruptedError: pass
sys.exit(7)
"""
SENT = sorted(
    signal.valid_signals()
    - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTIN, signal.SIGTTOU}
    - {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTSTP}
)


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    repo.write("count.py", COUNTING)
    repo.write("sub/x", "")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    return repo


def start(program: Program, checkout: Repo, verb: str, *command: str) -> subprocess.Popen[bytes]:
    """`run` or `exec` with a command, in a process group of its own; its three streams are pipes."""
    words = ["run", "--"]
    if verb == "exec":
        program.run("run", "true", cwd=checkout.path)
        words = ["exec", "@{-1}", "--"]
    env = {**program.env, "CODEREPO_ALLOW_PROTOCOL": "file"}
    return subprocess.Popen(
        [program.executable(), *words, *command], cwd=checkout.path, env=env, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


class Lines:
    """The numbers that the command printed so far."""

    def __init__(self, stream: int) -> None:
        os.set_blocking(stream, False)
        self._stream = stream
        self._data = b""

    def words(self) -> list[bytes]:
        try:
            while piece := os.read(self._stream, 4096):
                self._data += piece
        except BlockingIOError:
            pass
        return self._data.split()

    def counts(self) -> Counter[int]:
        return Counter(int(word) for word in self.words() if word != b"ready")


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_every_signal_reaches_the_command_once(checkout: Repo, program: Program, verb: str) -> None:
    """Sent to us alone, as `kill PID` or a container's runtime does, or to the group, as a scheduler does."""
    running = start(program, checkout, verb, sys.executable, "count.py")
    assert running.stdin is not None and running.stdout is not None
    lines = Lines(running.stdout.fileno())
    until(lambda: b"ready" in lines.words())
    for number in SENT:
        os.kill(running.pid, number)
    until(lambda: set(lines.counts()) == set(SENT))
    for number in SENT:
        os.killpg(running.pid, number)
    until(lambda: all(lines.counts()[number] >= 2 for number in SENT))
    time.sleep(1.5)  # whatever is forwarded too much comes late
    assert lines.counts() == Counter(dict.fromkeys(SENT, 2))
    assert running.poll() is None
    running.communicate(timeout=60)
    assert running.returncode == 7


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "exec"])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT, signal.SIGALRM, signal.SIGRTMIN])
def test_the_signal_that_the_command_dies_of_is_its_status(
    checkout: Repo, program: Program, verb: str, number: int
) -> None:
    running = start(program, checkout, verb, "sh", "-c", "echo ready; exec sleep 60")
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    os.kill(running.pid, number)
    assert running.wait(60) == 128 + number
    running.communicate()


@pytest.mark.slow
def test_a_command_in_a_session_of_its_own_receives_what_is_sent_to_our_group(checkout: Repo, program: Program) -> None:
    body = "import os, sys; os.setsid(); exec(open('count.py').read())"
    running = start(program, checkout, "run", sys.executable, "-c", body)
    assert running.stdin is not None and running.stdout is not None
    lines = Lines(running.stdout.fileno())
    until(lambda: b"ready" in lines.words())
    os.killpg(running.pid, signal.SIGUSR2)
    until(lambda: lines.counts() == {signal.SIGUSR2: 1})
    running.communicate(timeout=60)
    assert running.returncode == 7


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_stopped_command_goes_on(checkout: Repo, program: Program) -> None:
    """^Z and `fg`, sent to us alone: we stop with the command, so that a shell takes its terminal back."""
    # A group whose leader's parent is in the same session is not orphaned, so that SIGTSTP stops it.
    running = subprocess.Popen(
        [program.executable(), "run", "--", "sh", "-c", "echo $$; exec sleep 60"], cwd=checkout.path, env=program.env,
        preexec_fn=os.setpgrp, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None
    command = int(running.stdout.readline())
    time.sleep(0.3)
    os.kill(running.pid, signal.SIGTSTP)
    until(lambda: state_of(running.pid) == "T" and state_of(command) == "T")
    os.kill(running.pid, signal.SIGCONT)
    until(lambda: state_of(running.pid) in "SR" and state_of(command) in "SR")
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait(60) == 143
    running.communicate()


def test_an_ignored_signal_stays_ignored(checkout: Repo, program: Program) -> None:
    """As under nohup."""
    script = (
        "trap '' HUP USR1; exec git-coderepo run -- sh -c 'kill -HUP $PPID; kill -USR1 $PPID; kill -HUP $$; exit 5'"
    )
    done = subprocess.run(["sh", "-c", script], cwd=checkout.path, env=program.env, capture_output=True, timeout=60)
    assert done.returncode == 5


@pytest.mark.slow
def test_nothing_of_ours_stays_behind_when_we_are_killed(checkout: Repo, program: Program) -> None:
    running = start(program, checkout, "run", "sh", "-c", "echo $$; exec sleep 2")
    assert running.stdout is not None
    assert int(running.stdout.readline())
    os.kill(running.pid, signal.SIGKILL)
    running.wait(30)
    assert running.communicate(timeout=30)[0] == b""  # the pipe closes with the command: nothing else holds it


# --- the place is gone --------------------------------------------------------------------------------


def result_of(folder: Path) -> Result:
    (path,) = folder.glob("coderepo/runs/*/*.result.json")
    found = Result.load(os.fsencode(path))
    assert found is not None
    return found


GONE: Mapping[str, str] = {
    "directory": "cd .. && rm -r sub",
    "checkout moved": "cd ../.. && mv '{checkout}' '{checkout} moved'",
    "checkout removed": "cd ../.. && rm -rf '{checkout}'",
    "worktree removed": "cd ../.. && git -C '{checkout}' worktree remove --force '{here}'",
    "branch switched": "cd .. && git checkout -q -f other",
    "repository removed": "rm -rf ../.git",
    "record removed": "rm -rf ../.git/coderepo",
    "record is a file": "rm -rf ../.git/coderepo/runs; echo x >../.git/coderepo/runs",
    "index damaged": "for each in ../.git/coderepo/index.*; do echo x >$each; done",
    "no git": "mkdir ../bin; mv ../bin .; echo '#!/bin/sh' >../.git/config; echo '[' >>../.git/config",
}


@pytest.fixture
def place(request: pytest.FixtureRequest, checkout: Repo, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory to start in, and the shell's commands that take it away."""
    checkout.git("checkout", "-q", "-b", "other")
    checkout.remove("sub")
    checkout.commit()
    checkout.git("checkout", "-q", "-")
    here = Path(checkout.path)
    if request.param == "worktree removed":
        here = tmp_path / "linked"
        checkout.git("worktree", "add", "-q", "-b", "third", here)
    yield here / "sub", GONE[request.param].format(checkout=checkout.path, here=here)


@pytest.mark.parametrize("place", GONE, indirect=True)
@pytest.mark.parametrize("status", [0, 7])
def test_the_status_is_the_commands_where_the_place_is_gone(
    place: tuple[Path, str], program: Program, status: int
) -> None:
    here, away = place
    done = program.run("run", "--", "sh", "-c", f"{away}; exit {status}", cwd=here, check=False)
    assert done.status == status, done.errors
    assert "fatal" not in done.errors


@pytest.mark.parametrize("place", GONE, indirect=True)
def test_a_block_does_not_raise_over_its_own_success(place: tuple[Path, str], program: Program) -> None:
    here, away = place
    body = (
        "import subprocess, git_coderepo as coderepo\n"
        f"with coderepo.run(): subprocess.run(['sh', '-c', {away!r}], check=True)\n"
        "print('trained')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", body], cwd=here, env=program.env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr


def test_the_result_of_a_checkout_that_was_moved_is_written(checkout: Repo, program: Program) -> None:
    moved = f"{checkout.path} moved"
    done = program.run(
        "run", "--", "sh", "-c", f"mv '{checkout.path}' '{moved}'; exit 3", cwd=checkout.path, check=False
    )
    assert done.status == 3 and "no longer exists" in done.errors
    result = result_of(Path(moved) / ".git")
    assert (result.state, result.unknown) == ("exit 3", ("edited", "produced"))
    assert "unknown" in program.run("show", "@{-1}", cwd=moved).text
    assert not list(Path(moved, ".git", "coderepo").glob("runs/*/*.tmp"))


@pytest.mark.slow
def test_exec_passes_the_status_where_its_copy_is_gone(checkout: Repo, program: Program, tmp_path: Path) -> None:
    program.run("run", "true", cwd=checkout.path)
    copy = tmp_path / "copy"
    done = program.run(
        "exec", "--copy", copy, "@{-1}", "--", "sh", "-c", f"rm -rf '{copy}' '{checkout.path}'; exit 6",
        cwd=checkout.path, check=False, env={"CODEREPO_ALLOW_PROTOCOL": "file"},
    )  # fmt: skip
    assert done.status == 6, done.errors


@pytest.mark.slow
def test_a_closed_standard_error_changes_no_status(checkout: Repo, program: Program) -> None:
    script = (
        "git-coderepo run -- sh -c 'echo x >count.py; sleep 1; exit 9' 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}"
    )
    done = subprocess.run(["bash", "-c", script], cwd=checkout.path, env=program.env, timeout=60)
    assert done.returncode == 9


@pytest.mark.slow
def test_a_request_to_end_after_the_command_cuts_the_record_short(checkout: Repo, program: Program) -> None:
    """Hashing large outputs takes its time; a scheduler that ends the job then does not change how it ended."""
    checkout.write(".git/info/exclude", "late\n")
    running = subprocess.Popen(
        [program.executable(), "run", "--output", "late", "--", "sh", "-c", "truncate -s 40G late; echo done; exit 4"],
        cwd=checkout.path, env=program.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None and running.stdout.readline() == b"done\n"
    time.sleep(2)
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 4 and b"interrupted" in errors


# --- a full disk -------------------------------------------------------------------------------------

Fill = Callable[[], None]


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own")
@pytest.mark.parametrize("log", ["", " 2>log"])
def test_a_full_disk_at_the_end_leaves_the_status_and_the_result(
    checkout: Repo, program: Program, tmp_path: Path, log: str
) -> None:
    """The checkout, and where asked the log that standard error goes to, are on the disk that the command fills."""
    small = tmp_path / "small"
    small.mkdir()
    command = "dd if=/dev/zero of=filled bs=4k 2>/dev/null; echo x >sub/made; exit 0"
    script = (
        f"mount -t tmpfs -o size=4m,mode=777 tmpfs '{small}'; cp -r '{checkout.path}' '{small}/c'; cd '{small}/c'\n"
        f"s=0; git coderepo run -- sh -c '{command}'{log} || s=$?; rm filled; cp -r .git/coderepo '{tmp_path}/kept'\n"
        "exit $s"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script], env=program.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "kept" / "runs").glob("*/*.result.json")
    result = Result.load(os.fsencode(path))
    assert result is not None and result.state == "ok" and result.finished_on is not None


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own")
def test_a_result_that_is_larger_than_the_reserve_keeps_the_status(
    checkout: Repo, program: Program, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    names = "x" * 200
    command = (
        f"i=0; while [ $i -lt 300 ]; do : >sub/{names}$i; i=$((i+1)); done; dd if=/dev/zero of=filled bs=4k; exit 0"
    )
    script = (
        f"mount -t tmpfs -o size=8m,mode=777 tmpfs '{small}'; cp -r '{checkout.path}' '{small}/c'; cd '{small}/c'\n"
        f"git coderepo run -- sh -c '{command}'; rm filled; cp -r .git/coderepo '{tmp_path}/kept'"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script], env=program.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "only its status" in done.stderr
    (path,) = (tmp_path / "kept" / "runs").glob("*/*.result.json")
    result = Result.load(os.fsencode(path))
    assert result is not None and result.state == "ok" and "produced" in result.unknown


def test_without_room_for_the_end_nothing_is_started(checkout: Repo, program: Program, tmp_path: Path) -> None:
    """A disk that is full from the start is said before anything runs."""
    if not can_mount():
        pytest.skip("needs a mount namespace of its own")
    small = tmp_path / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=2m,mode=777 tmpfs '{small}'; cp -r '{checkout.path}' '{small}/c'; cd '{small}/c'\n"
        "dd if=/dev/zero of=.git/filled bs=4k 2>/dev/null || true\n"
        f"git coderepo run -- touch '{tmp_path}/started'"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script], env=program.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 125 and not (tmp_path / "started").exists(), done.stderr
