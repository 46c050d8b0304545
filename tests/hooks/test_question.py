"""What the hook asks git before the program is there, and the program's own question, are one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_coderepo.hooks import scripts
from tests.hooks.support import Hooks, without_programs

PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from git_coderepo.git.spawn import start_git_status
asked = start_git_status()
from git_coderepo.git.status import start_status
from git_coderepo.git.process import Git
one, other = start_status(Git(), started=asked), start_status(Git())
assert one.argv == other.argv
one.finish(), other.finish()
assert (one.status, one.stderr) == (other.status, other.stderr) == (3, b"said\\n")
assert one.stdout == other.stdout
sys.stdout.buffer.write(one.stdout)
"""

SHORT_OF_FILES = """
import os, resource, sys
sys.path.insert(0, sys.argv[1])
from git_coderepo.git.spawn import start_git_status
limit = next_one = os.dup(0)
os.close(next_one)
resource.setrlimit(resource.RLIMIT_NOFILE, (limit + int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
assert start_git_status() is None
resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
assert os.dup(0) == next_one
"""


def run(*words: str | bytes, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-IS", *words], env=env, cwd=cwd, capture_output=True, timeout=60)


@pytest.fixture
def root() -> str:
    return os.fsdecode(scripts.this_launcher()[1]).removesuffix("/git_coderepo/hooks/lean.py")


def test_it_is_the_same_question(hooks: Hooks, tmp_path: Path, root: str) -> None:
    """The same words, the same environment; the answers come from the files that the first one was given."""
    env = without_programs(hooks.repo.env, tmp_path / "few")
    env = {**env, "LC_ALL": "de_DE.UTF-8", "GIT_OPTIONAL_LOCKS": "1", "ODD": os.fsdecode(b"\xff = \n"), "EMPTY": ""}
    (tmp_path / "few" / "env").symlink_to("/usr/bin/env")
    git = tmp_path / "few" / "git"
    look = "echo said >&2; printf '%s\\0' \"$@\"; read -r line; printf '<%s>' \"$line\"; env; exit 3"
    git.write_text(f"#!/bin/sh\n{look}\n")
    done = run("-c", PROGRAM, root, env=env, cwd=hooks.repo.path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\0--porcelain=v2\0" in done.stdout and b"\0<>" in done.stdout
    assert b"\nLC_ALL=C\n" in done.stdout and b"\nODD=\xff = \n" in done.stdout


def test_where_there_is_no_git_the_hook_says_so(hooks: Hooks, tmp_path: Path) -> None:
    hooks.remember()
    env = without_programs(hooks.repo.env, tmp_path / "few")
    (tmp_path / "few" / "git").unlink()
    done = run(scripts.this_launcher()[1], env=env, cwd=hooks.repo.path)
    assert done.returncode == 1
    assert done.stderr.startswith(b"fatal: 'git' was not found on PATH\nhint: ")
    assert not hooks.current.exists()


@pytest.mark.parametrize("free", [0, 1])
def test_where_no_file_can_be_opened_for_the_answer_the_program_asks_again(hooks: Hooks, root: str, free: int) -> None:
    """Two files are needed; what was opened is closed again, so that the program can say why it does not go on."""
    done = run("-c", SHORT_OF_FILES, root, str(free), env=hooks.repo.env, cwd=hooks.repo.path)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_trace_shows_it_among_the_others(hooks: Hooks) -> None:
    done = run(scripts.this_launcher()[1], env={**hooks.repo.env, "GIT_TRACE": "1"}, cwd=hooks.repo.path)
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith(b"trace: coderepo: run git ")]
    assert len([line for line in lines if b" status " in line]) == 1
