"""Descriptors 0 to 2 may be closed: in daemons, under cron, after `>&-`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from git_coderepo.hooks import scripts
from tests.support.repo import Repo

PROGRAM = Path(sys.executable).with_name("git-coderepo")
CLOSED = [(0,), (1,), (2,), (0, 1, 2)]


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    repo.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    repo.write("train.py", "lr = 0.2\n")
    repo.write("weights.bin", os.urandom(100_000))
    return repo


def call(checkout: Repo, closed: Sequence[int], *words: str | bytes | Path) -> tuple[int, str]:
    """The status of a command that is started with these descriptors closed, and what it wrote to the others."""
    said = checkout.path.with_name("said")
    with open(said, "wb") as file, open(os.devnull, "rb") as nothing:
        streams = {0: nothing.fileno(), 1: file.fileno(), 2: file.fileno()}
        pid = os.fork()
        if pid == 0:
            try:
                os.chdir(checkout.path)
                for number, stream in streams.items():
                    os.dup2(stream, number)
                for number in closed:
                    os.close(number)
                os.execve(os.fsencode(words[0]), [os.fsencode(word) for word in words], checkout.env)
            finally:
                os._exit(99)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")


def is_recorded(checkout: Repo) -> bool:
    manifest = json.loads((checkout.git_dir() / "coderepo" / "current.json").read_bytes())
    return bool(manifest["code"]["snapshot"]["tree"] == checkout.tree())


@pytest.mark.slow
@pytest.mark.parametrize("closed", CLOSED)
def test_snapshot_and_fetch(checkout: Repo, tmp_path: Path, closed: tuple[int, ...]) -> None:
    tree = checkout.tree()
    file = tmp_path / "run.json"
    status, said = call(checkout, closed, PROGRAM, "snapshot", "-o", file)
    assert status == 0, said
    assert json.loads(file.read_bytes())["code"]["snapshot"]["tree"] == tree
    status, said = call(checkout, closed, PROGRAM, "fetch", "--receipt", tmp_path / "receipt", file, tmp_path / "code")
    assert status == 0, said
    assert json.loads((tmp_path / "receipt").read_bytes())["tree"] == tree


@pytest.mark.slow
@pytest.mark.parametrize("closed", CLOSED)
def test_the_status_of_a_command_passes_through(checkout: Repo, tmp_path: Path, closed: tuple[int, ...]) -> None:
    """And nothing of ours is at its standard streams: it reads nothing, and what it writes is in none of our files."""
    script = tmp_path / "script"
    script.write_text(
        f'cat >"{tmp_path}/read" <&0; echo to-stdout; echo to-stderr >&2; '
        f'ls -l /proc/$$/fd >"{tmp_path}/open"; exit 3\n'
    )
    status, said = call(checkout, closed, PROGRAM, "run", "--", "sh", script)
    assert status == 3, said
    assert (tmp_path / "read").read_bytes() == b"" and is_recorded(checkout)
    for line in (tmp_path / "open").read_text().splitlines():
        assert "coderepo" not in line.rpartition("->")[2].rpartition("/")[2]
    for path in (checkout.git_dir() / "coderepo").rglob("*"):
        assert path.is_dir() or b"to-std" not in path.read_bytes()
    os.unlink(tmp_path / "read")
    status, said = call(checkout, closed, PROGRAM, "exec", "@{-1}", "--", "sh", script)
    assert status == 3, said
    assert (tmp_path / "read").read_bytes() == b""
    status, said = call(checkout, closed, PROGRAM, "run", "--frozen", "--", "sh", script)
    assert status == 3, said


@pytest.mark.parametrize("closed", CLOSED)
def test_the_hook(checkout: Repo, closed: tuple[int, ...]) -> None:
    python, launcher = scripts.this_launcher()
    for words in ((python, b"-IS", launcher), (PROGRAM, "hook", "pre-run")):
        status, said = call(checkout, closed, *words)
        assert (status, said) == (0, "")
        assert is_recorded(checkout)
        os.unlink(checkout.git_dir() / "coderepo" / "current.json")


IN_A_PROGRAM = """
import os, sys
for number in map(int, sys.argv[1:]):
    os.close(number)
import git_coderepo as coderepo
with coderepo.run(command=["x"]) as run:
    pass
manifest = coderepo.snapshot()
receipt = coderepo.fetch(run.manifest, "../code")
assert str(receipt.tree) == str(run.tree) == str(manifest.code.snapshot_tree)
assert run.finished.status == 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("closed", CLOSED)
def test_within_a_program(checkout: Repo, tmp_path: Path, closed: tuple[int, ...]) -> None:
    """A program's own descriptors are left as they are."""
    script = tmp_path / "program.py"
    script.write_text(IN_A_PROGRAM)
    done = subprocess.run(
        [sys.executable, script, *map(str, closed)],
        cwd=checkout.path,
        env=checkout.env,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
