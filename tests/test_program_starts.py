"""The fork server behind `Program` (tests/support/fork_server.py) gives what a start of the installed program gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fork_server import fork_server, read_at_the_start
from tests.support.program import Program
from tests.support.repo import Repo

SURROUNDINGS = """
pwd; umask; date +%Z; env -0 | grep -azv ^CODEREPO_ | sort -z; ls /proc/self/fd; cat; echo told >&2
exit 3
"""
# Everything that a module of the package holds and that is neither code nor another object's own state.
CONSTANTS = """
import importlib, json, pkgutil, sys
import git_coderepo
plain = (str, bytes, int, float, bool, type(None), tuple, list, dict, set, frozenset)
found = {}
for module in pkgutil.walk_packages(git_coderepo.__path__, "git_coderepo."):
    if module.name == "git_coderepo.testing":
        continue
    for name, value in vars(importlib.import_module(module.name)).items():
        if not name.startswith("__") and isinstance(value, plain):
            text = repr(sorted(value, key=repr)) if isinstance(value, (set, frozenset)) else repr(value)
            if " at 0x" not in text and "frozenset" not in text:
                found[f"{module.name}.{name}"] = text
json.dump(found, sys.stdout)
"""


def really(program: Program, *words: str, cwd: Path, env: dict[str, str], input: bytes) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [program.executable(), *words], cwd=cwd, env={**program.env, **env}, input=input, capture_output=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [
    ("--version",), ("nonsense",), ("status", "--json"), ("describe", "nothing of this name"), ("log", "--json"),
], ids=" ".join)  # fmt: skip
def test_the_same_words_have_the_same_answer(program: Program, repo: Repo, words: tuple[str, ...]) -> None:
    repo.write("-an odd\n.txt", "text\n")
    repo.commit()
    assert fork_server(program.executable(), program.env) is not None
    answer = program.run(*words, cwd=repo.path, check=False)
    assert (answer.status, answer.stdout, answer.stderr) == really(program, *words, cwd=repo.path, env={}, input=b"")


@pytest.mark.slow
def test_a_command_stands_in_the_same_surroundings(program: Program, repo: Repo) -> None:
    repo.commit()
    words = ("run", "--quiet", "--", "sh", "-c", SURROUNDINGS)
    env = {"ODD": "line\nbreak \udcff", "TZ": "Asia/Tokyo"}
    before = os.umask(0o027)
    try:
        answer = program.run(*words, cwd=repo.path, env=env, input=b"typed\n" * 50_000, check=False)
        status, out, err = really(program, *words, cwd=repo.path, env=env, input=b"typed\n" * 50_000)
    finally:
        os.umask(before)
    assert answer.status == status == 3
    assert answer.stderr == err == b"told\n"
    assert answer.stdout == out
    assert b"0027\nJST\n" in out
    assert out.count(b"typed\n") == 50_000


def test_a_signal_is_the_programs_end(program: Program, repo: Repo) -> None:
    repo.commit()
    assert program.run("run", "--", "sh", "-c", "kill -KILL $PPID", cwd=repo.path, check=False).status == -9


@pytest.mark.slow
def test_a_call_that_takes_too_long_is_ended(program: Program, repo: Repo) -> None:
    repo.commit()
    words = ("run", "--", "sh", "-c", "echo $PPID $$ > pids; exec sleep 200")
    for seconds in (5, 30, 100):  # until the command had time to begin
        with pytest.raises(subprocess.TimeoutExpired):
            program.run(*words, cwd=repo.path, timeout=seconds)
        if os.path.exists(repo.file("pids")):
            break
    pid, command = map(int, repo.read("pids").split())
    os.kill(command, signal.SIGKILL)
    with pytest.raises(ProcessLookupError):
        while True:
            os.kill(pid, 0)
    program.run("--version")


def test_a_directory_that_is_not_there_is_an_error_of_the_test(program: Program, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        program.run("--version", cwd=tmp_path / "nowhere")


def test_what_python_reads_at_its_start_needs_a_start(program: Program) -> None:
    assert read_at_the_start(program.env) == {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONPATH": "/x", "SOME": "1", "HOME": "/"}.items():
        server = fork_server(program.executable(), {**program.env, name: value})
        assert (server is None) == (name not in ("SOME", "HOME"))
    assert fork_server(b"/bin/true", program.env) is None


@pytest.mark.slow
def test_the_package_reads_one_thing_at_its_import(env: dict[str, str], tmp_path: Path) -> None:
    """The server imports it in other surroundings than those of a call: what it finds there must not stay with it."""
    other = {**env, "TERM": "xterm", "HOME": "/", "TZ": "Asia/Tokyo", "COLUMNS": "31", "NO_COLOR": "1", "CI": "true",
             "GIT_DIR": "/x", "CODEREPO_TOKEN": "t", "CODEREPO_CACHE_DIR": "/x", "TMPDIR": "/", "XDG_CACHE_HOME": "/x",
             "GIT_TRACE": "1", "SSL_CERT_FILE": "/x", "HTTPS_PROXY": "http://x", "CODEREPO_RUN_ID": "x"}  # fmt: skip
    held = [
        json.loads(subprocess.run([sys.executable, "-c", CONSTANTS, *more], cwd=cwd, env=each,
                                  capture_output=True, check=True).stdout)
        for each, cwd, more in ((env, tmp_path, ()), (other, "/", ("a", "word")))
    ]  # fmt: skip
    assert held[0].keys() == held[1].keys()
    assert {name.rpartition(".")[2] for name in held[0] if held[0][name] != held[1][name]} == {"STARTED_IN"}
