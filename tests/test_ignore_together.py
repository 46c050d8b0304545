"""`ignore` from several processes at once, and what a killed process left beside the files that we write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.program import Program
from tests.support.repo import Repo

KILLED = "exclude.4242.0123abcd.tmp"


@pytest.mark.slow
def test_no_line_is_lost_among_eight_processes(repo: Repo, program: Program) -> None:
    repo.write("tracked", "1")
    repo.commit()
    names = [f"folder {number}" for number in range(8)]
    for name in names:
        repo.write(f"{name}/x", "x")
    running = [program.start("ignore", name, cwd=repo.path) for name in names]
    answers = [each.communicate(timeout=120) for each in running]
    assert [each.returncode for each in running] == [0] * 8, answers
    exclude = (repo.git_dir() / "info" / "exclude").read_text().splitlines()
    assert [line for line in sorted(exclude) if line.startswith("/folder")] == [f"/{name}/" for name in names]
    assert repo.git("status", "--porcelain", "-uall") == b""


def test_what_a_killed_process_left_is_removed_by_the_next_and_nothing_else(repo: Repo, program: Program) -> None:
    repo.write("outputs/x", "x")
    info = repo.git_dir() / "info"
    info.mkdir(exist_ok=True)
    strangers = ["exclude.tmp", "exclude.4242.tmp", "other.4242.0123abcd.tmp", "exclude.4242.0123abcd.tmp.bak"]
    young = "exclude.4243.0123abcd.tmp"
    for name in (KILLED, young, *strangers):
        (info / name).write_text("half a fi")
        if name != young:
            os.utime(info / name, (1, 1))
    program.run("ignore", "outputs", cwd=repo.path)
    assert {path.name for path in info.iterdir()} == {"exclude", young, *strangers}


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_hooks_leave_no_temporary_file_of_a_killed_process(repo: Repo, program: Program, verb: str) -> None:
    folder = repo.git_dir() / "hooks"
    folder.mkdir(exist_ok=True)
    before = {path.name for path in folder.iterdir()}
    for event in ("pre-run", "post-commit"):
        left = folder / f"{event}.4242.0123abcd.tmp"
        left.write_text("#!/bin/sh\n# half a scr")
        os.utime(left, (1, 1))
    program.run("hooks", verb, cwd=repo.path)
    program.run("hooks", "uninstall", cwd=repo.path)
    assert {path.name for path in Path(folder).iterdir()} == before


def test_a_rewritten_hook_keeps_its_mode_and_leaves_no_other_file(repo: Repo, program: Program) -> None:
    folder = repo.git_dir() / "hooks"
    folder.mkdir(exist_ok=True)
    script = folder / "post-commit"
    script.write_text("#!/bin/sh\necho mine\n")
    script.chmod(0o751)
    before = script.read_bytes()
    program.run("hooks", "install", cwd=repo.path)
    assert script.stat().st_mode & 0o7777 == 0o751
    program.run("hooks", "uninstall", cwd=repo.path)
    assert (script.read_bytes(), script.stat().st_mode & 0o7777) == (before, 0o751)
