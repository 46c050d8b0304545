"""`git coderepo ignore`: what it names is left out of snapshots, and nothing else changes."""

from __future__ import annotations

import subprocess

import pytest

from tests.hints import cures
from tests.support.program import Program
from tests.support.repo import Repo

NAMES = [b"plain", b"sp ace ", b"#hash", b"!bang", b"a*b", b"[x]", b"back\\slash", b"\xff\xfe", b"-dash", b"n" * 250]


@pytest.mark.parametrize("name", NAMES)
def test_an_ignored_path_does_not_travel_whatever_its_name(repo: Repo, program: Program, name: bytes) -> None:
    repo.write("sub/kept", "1")
    repo.commit()
    repo.write(b"sub/" + name, "x")
    repo.write(b"sub/aXb", "x")
    program.run("ignore", "--", name, cwd=repo.path / "sub")
    assert repo.git("status", "--porcelain", "-z", "-uall") == b"?? sub/aXb\0"


def test_lines_are_added_once_and_what_was_there_stays(repo: Repo, program: Program) -> None:
    repo.write("outputs/model", "x")
    exclude = repo.git_dir() / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("# mine\n*.swp")
    assert program.run("ignore", "outputs", cwd=repo.path).text == "ignored: /outputs/\n"
    assert program.run("ignore", "./outputs/", cwd=repo.path).text == ""
    assert exclude.read_text() == "# mine\n*.swp\n/outputs/\n"


def test_a_tracked_path_and_one_outside_are_refused(repo: Repo, program: Program) -> None:
    repo.write("a", "1")
    repo.commit()
    tracked = program.run("ignore", "a", cwd=repo.path, check=False)
    assert (
        tracked.status == 129
        and tracked.errors == "fatal: cannot ignore 'a': git tracks it\nhint: git rm -r --cached -- a\n"
    )
    outside = program.run("ignore", "../x", cwd=repo.path, check=False)
    assert outside.status == 129 and "is not inside the checkout" in outside.errors


@cures("{command} rm -r --cached -- {word}")
@pytest.mark.parametrize("name", [b"-dash", b"it's", b"sp ace", b"a*b", b"\xff\xfe", b"$HOME", b"n" * 250])
def test_a_shell_takes_the_hint_for_a_tracked_path_whatever_its_name(repo: Repo, program: Program, name: bytes) -> None:
    repo.write(name, "1")
    repo.commit()
    refused = program.run("ignore", "--", name, cwd=repo.path, check=False)
    (hint,) = [line.removeprefix("hint: ") for line in refused.errors.splitlines() if line.startswith("hint: ")]
    subprocess.run(["bash", "-c", hint], cwd=repo.path, env=repo.env, check=True, stdout=subprocess.DEVNULL)
    program.run("ignore", "--", name, cwd=repo.path)
    assert repo.git("status", "--porcelain", "-z", "-uall") == b"D  " + name + b"\0"
