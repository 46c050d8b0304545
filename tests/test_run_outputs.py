"""Declared outputs: a run is credited with what it made, and what it did not make is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hints import cures
from tests.support.program import Program
from tests.support.repo import Repo


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    repo.write("train.py", "lr = 0.1\n")
    repo.write(".gitignore", "/ignored/\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    return repo


def last_result(checkout: Repo) -> Any:
    *_, path = sorted((checkout.git_dir() / "coderepo" / "runs").glob("*/*.result.json"))
    return json.loads(path.read_bytes())


def credited(checkout: Repo) -> list[Any]:
    return [each["path"] for each in last_result(checkout)["outputs"]]


BEFORE = ("same", "edited", "same size", "touched", "replaced", "removed", "sub/deep")


@pytest.fixture
def with_outputs(checkout: Repo) -> Repo:
    """Outputs of an earlier run, two days old."""
    for name in BEFORE:
        checkout.write(f"ignored/{name}", "old\n")
        os.utime(checkout.file(f"ignored/{name}"), (1_700_000_000, 1_700_000_000))
    os.symlink("same", checkout.file("ignored/link"))
    return checkout


def test_a_run_is_credited_with_what_is_new_or_changed(with_outputs: Repo, program: Program) -> None:
    script = (
        "cd ignored; echo more >>edited; printf 'new\\n' >'same size'; touch -d '2023-11-14 22:13:20Z' 'same size';"
        "touch touched; cp -p replaced x; mv x replaced; rm removed; echo new >sub/new; cat same sub/deep"
    )
    done = program.run("run", "--output", "ignored", "--", "sh", "-c", script, cwd=with_outputs.path)
    assert credited(with_outputs) == [
        "ignored/edited", "ignored/replaced", "ignored/same size", "ignored/touched", "ignored/sub/new",
    ]  # fmt: skip
    assert "error:" not in done.errors and "warning:" not in done.errors


def test_a_run_that_changes_nothing_is_credited_with_nothing(with_outputs: Repo, program: Program) -> None:
    done = program.run("run", "--output", "ignored", "--output", "ignored/", "--", "true", cwd=with_outputs.path)
    assert credited(with_outputs) == []
    assert "did not change the output 'ignored'" in done.errors
    assert program.run("log", "--produced", "ignored/same", cwd=with_outputs.path, check=False).text == ""


def test_through_a_link(with_outputs: Repo, program: Program) -> None:
    program.run("run", "--output", "ignored/link", "--", "true", cwd=with_outputs.path)
    assert credited(with_outputs) == []
    program.run("run", "--output", "ignored/link", "--", "sh", "-c", "echo x >>ignored/same", cwd=with_outputs.path)
    assert credited(with_outputs) == ["ignored/link"]


@pytest.mark.parametrize(("script", "status"), [("exit 0", 1), ("exit 7", 7), ("kill -TERM $$", 143)])
def test_a_path_that_does_not_exist_is_an_error(checkout: Repo, program: Program, script: str, status: int) -> None:
    """Said when the command's status is known, which is what is recorded."""
    script = f"echo m >made; {script}"
    done = program.run(
        "run", "--output", "made", "--output", "no such", "--", "sh", "-c", script, cwd=checkout.path, check=False
    )
    assert done.status == status and "error: the output 'no such' does not exist" in done.errors
    assert credited(checkout) == ["made"]
    assert last_result(checkout)["status"] == (0 if status == 1 else status)
    assert last_result(checkout)["notWritten"] == ["no such"]
    assert "output      no such, not written by the run\n" in program.run("show", cwd=checkout.path).text


def test_an_output_that_cannot_be_read_loses_nothing_else(checkout: Repo, program: Program) -> None:
    script = "mkdir ignored; echo a >ignored/a; ln -s /proc/self/mem ignored/b; echo c >ignored/c"
    done = program.run("run", "--output", "ignored", "--", "sh", "-c", script, cwd=checkout.path)
    assert "cannot read the output 'ignored/b'" in done.errors
    assert credited(checkout) == ["ignored/a", "ignored/c"]


@pytest.mark.slow
@cures("git coderepo ignore {shown_command([cure])}")
def test_an_output_of_the_last_run_is_not_edited_code(checkout: Repo, program: Program) -> None:
    """It is untracked, so it travels: that is said, with the line that cures it."""
    script = "mkdir -p out; date +%s%N >out/model; echo x >>train.py"
    program.run("run", "--output", "out", "--", "sh", "-c", script, cwd=checkout.path)
    checkout.git("checkout", "--quiet", "train.py")
    done = program.run("run", "--output", "out", "--", "sh", "-c", script, cwd=checkout.path)
    assert last_result(checkout)["edited"] == ["train.py"] and credited(checkout) == ["out/model"]
    assert "'out/model' was edited" not in done.errors and "'train.py' was edited" in done.errors
    assert "'out/model', declared as an output, is untracked and travels with this run as code" in done.errors
    (hint,) = [line for line in done.errors.splitlines() if line.startswith("hint: git coderepo ignore ")]
    program.run(*hint.removeprefix("hint: git coderepo ").split(" "), cwd=checkout.path)
    checkout.git("checkout", "--quiet", "train.py")
    cured = program.run("run", "--output", "out", "--", "sh", "-c", script, cwd=checkout.path)
    assert "travels" not in cured.errors and credited(checkout) == ["out/model"]


def test_a_declared_folder_does_not_hide_edited_code(checkout: Repo, program: Program) -> None:
    checkout.write("notes", "x\n")
    script = "echo x >>train.py; echo x >>notes"
    done = program.run("run", "--output", ".", "--", "sh", "-c", script, cwd=checkout.path)
    assert last_result(checkout)["edited"] == ["train.py"]
    assert "hint: git coderepo ignore" in done.errors and "ignore .\n" not in done.errors
    # A tracked file that is declared by its own path is an output.
    program.run("run", "--output", "train.py", "--", "sh", "-c", script, cwd=checkout.path)
    assert last_result(checkout)["edited"] == ["notes"] and credited(checkout) == ["train.py"]


IN_A_PROGRAM = """
import logging, os, sys
logging.basicConfig(format="%(message)s")
import git_coderepo as coderepo
with coderepo.run(outputs=["ignored", "no such"]) as run:
    open("ignored/edited", "w").write("new")
    os.makedirs("late")
    open("late/made", "w").write("new")
    run.outputs("late", "early")
run.outputs("too late")
"""


@pytest.mark.slow
def test_within_a_program(with_outputs: Repo, tmp_path: Path) -> None:
    with_outputs.write("early/made", "old\n")
    os.utime(with_outputs.file("early/made"), (1_700_000_000, 1_700_000_000))
    (tmp_path / "program.py").write_text(IN_A_PROGRAM)
    subprocess.run(["sleep", "0.1"], check=True)  # what is declared late is told by its times
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"],
        cwd=with_outputs.path, env=with_outputs.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert credited(with_outputs) == ["ignored/edited", "late/made"]
    assert "the output 'no such' of the run" in done.stderr and "does not exist" in done.stderr
    assert "has already ended: the digests of these outputs are not recorded" in done.stderr
    assert last_result(with_outputs)["status"] == 0
