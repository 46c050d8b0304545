"""`git coderepo run` and the pre-run hook: what is recorded, what is passed through, and what stops a run."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.manifest.model import Manifest
from git_coderepo.runs.redact_command import redacted
from tests.support.program import Program
from tests.support.repo import Repo


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    """A checkout with one pushed commit and an edit."""
    repo.write("train.py", "lr = 0.1\n")
    repo.write(".gitignore", "*.log\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    repo.write("train.py", "lr = 0.2\n")
    return repo


def runs(checkout: Repo) -> list[Path]:
    """The manifests of the record, oldest first."""
    folder = checkout.git_dir() / "coderepo" / "runs"
    return sorted(path for path in folder.glob("*/*.json") if not path.name.endswith(".result.json"))


def result_of(manifest: Path) -> Any:
    return json.loads(manifest.with_name(manifest.name.replace(".json", ".result.json")).read_text())


def test_a_run_is_recorded_and_its_status_is_the_commands(checkout: Repo, program: Program) -> None:
    done = program.run(
        "run", "--name", "first", "--", "sh", "-c", "cat train.py; exit 7", cwd=checkout.path, check=False
    )
    (path,) = runs(checkout)
    short = path.name[:18]
    said = f"recorded as {short}; to get its code: git coderepo fetch {short} DIR\n"
    assert (done.status, done.stdout, done.errors) == (7, b"lr = 0.2\n", said)
    manifest = Manifest.load(str(path))
    assert manifest.run.name == "first" and path.name == f"{manifest.run.id}.json"
    assert manifest.run.command == (b"sh", b"-c", b"cat train.py; exit 7")
    assert manifest.code.snapshot_tree.hex == checkout.tree() and manifest.code.dirty
    assert (checkout.git_dir() / "coderepo" / "current.json").read_bytes() == path.read_bytes()
    assert result_of(path)["status"] == 7 and result_of(path)["finishedOn"] is not None


def test_what_a_run_recorded_can_be_fetched(checkout: Repo, program: Program, tmp_path: Path) -> None:
    program.run("run", "--", "true", cwd=checkout.path)
    allowed = {"CODEREPO_ALLOW_PROTOCOL": "file"}
    program.run("fetch", str(runs(checkout)[0]), str(tmp_path / "code"), env=allowed)
    assert (tmp_path / "code" / "train.py").read_bytes() == b"lr = 0.2\n"


def test_the_command_is_told_what_it_runs(checkout: Repo, program: Program) -> None:
    done = program.run("run", "--", "sh", "-c", "env", cwd=checkout.path)
    names = dict(line.split("=", 1) for line in done.text.splitlines() if line.startswith("CODEREPO_") and "=" in line)
    (path,) = runs(checkout)
    assert names["CODEREPO_MANIFEST"] == str(path) and names["CODEREPO_TREE"] == checkout.tree()
    assert names["CODEREPO_COMMIT"] == checkout.head() and names["CODEREPO_RUN_ID"] in path.name
    assert "GIT_OPTIONAL_LOCKS" not in done.text and "GIT_NO_REPLACE_OBJECTS" not in done.text


@pytest.mark.parametrize(
    ("command", "status"),
    [(["does-not-exist"], 127), (["/"], 126), (["sh", "-c", "kill -KILL $$"], 137), (["sh", "-c", "kill $$"], 143)],
)
def test_a_command_that_cannot_start_or_dies_ends_as_in_a_shell(
    checkout: Repo, program: Program, command: list[str], status: int
) -> None:
    assert program.run("run", "--", *command, cwd=checkout.path, check=False).status == status
    assert result_of(runs(checkout)[0])["status"] == status


def test_125_is_ours_alone(checkout: Repo, program: Program, tmp_path: Path) -> None:
    assert program.run("run", "--nonsense", cwd=checkout.path, check=False).status == 125
    assert program.run("run", cwd=checkout.path, check=False).status == 125
    assert program.run("run", "true", cwd=tmp_path, check=False).status == 125
    checkout.git("config", "coderepo.dirty", "refuse")
    refused = program.run("run", "--", "touch", "started", cwd=checkout.path, check=False)
    assert refused.status == 125 and "is dirty" in refused.errors and not (checkout.path / "started").exists()


def test_an_edit_meanwhile_is_marked_and_outputs_are_not(checkout: Repo, program: Program) -> None:
    script = "echo 'lr = 9' > train.py; mkdir out; echo m > out/model; echo x > x.log"
    done = program.run("run", "--output", "out", "--", "sh", "-c", script, cwd=checkout.path)
    assert "'train.py' was edited while the command ran" in done.errors
    result = result_of(runs(checkout)[0])
    assert result["edited"] == ["train.py"] and result["produced"] == ["out/model"]
    digest = hashlib.sha256(b"m\n").hexdigest()
    assert result["outputs"] == [{"path": "out/model", "sha256": digest, "size": 2}]
    only_outputs = program.run("run", "--quiet", "--", "sh", "-c", "echo n > out/model2", cwd=checkout.path)
    assert only_outputs.errors == "" and result_of(runs(checkout)[1])["edited"] == []


@pytest.mark.slow
def test_a_run_within_a_run_has_a_parent(checkout: Repo, program: Program) -> None:
    program.run("run", "--", "git-coderepo", "run", "--", "true", cwd=checkout.path)
    outer, inner = (Manifest.load(str(path)).run for path in runs(checkout))
    assert inner.parent == outer.id and outer.parent is None


def test_sigterm_reaches_the_command_and_the_end_is_written_down(checkout: Repo, program: Program) -> None:
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    running = program.start("run", "--", "sh", "-c", script, cwd=checkout.path)
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=30)
    assert running.returncode == 9 and result_of(runs(checkout)[0])["status"] == 9


@pytest.mark.slow
def test_a_run_killed_for_good_has_no_end(checkout: Repo, program: Program) -> None:
    running = program.start("run", "--", "sh", "-c", "echo ready; sleep 2", cwd=checkout.path)
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    running.kill()
    running.communicate(timeout=30)
    result = result_of(runs(checkout)[0])
    assert result["finishedOn"] is None and result["pid"] == running.pid


def test_the_users_own_check_stops_it(checkout: Repo, program: Program) -> None:
    hook = checkout.git_dir() / "hooks" / "pre-run"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ntest -n "$CODEREPO_TREE" && test -f "$CODEREPO_MANIFEST" && exit 3\n')
    hook.chmod(0o755)
    done = program.run("run", "--", "touch", "started", cwd=checkout.path, check=False)
    assert done.status == 125 and "the pre-run hook failed with status" in done.errors
    assert not (checkout.path / "started").exists()
    hook.write_text("#!/bin/sh\necho '# formatted' >> train.py\n")
    done = program.run("run", "--", "touch", "started", cwd=checkout.path, check=False)
    assert (
        done.status == 125
        and "the checkout changed after it was recorded, by the pre-run hook or another process: 'train.py'"
        in done.errors
    )


def test_nothing_of_the_users_changes(checkout: Repo, program: Program) -> None:
    index = checkout.git_dir() / "index"
    before = (index.read_bytes(), index.stat().st_mtime_ns, checkout.git("for-each-ref"), checkout.git("stash", "list"))
    program.run("run", "--", "true", cwd=checkout.path)
    after = (index.read_bytes(), index.stat().st_mtime_ns, checkout.git("for-each-ref"), checkout.git("stash", "list"))
    assert after == before
    left = [name for name in os.listdir(checkout.git_dir() / "coderepo") if name.startswith("index")]
    assert left == []


def test_the_hook_records_what_run_would(checkout: Repo, program: Program, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    program.run("hook", "pre-run", cwd=checkout.path, env={"CODEREPO_OUT": str(out)})
    (path,) = runs(checkout)
    manifest = Manifest.load(str(path))
    assert manifest.code.snapshot_tree.hex == checkout.tree() and manifest.code.overlay is not None
    current = checkout.git_dir() / "coderepo" / "current.json"
    assert current.read_bytes() == path.read_bytes() == out.read_bytes()


def test_the_hook_leaves_no_old_answer_when_it_cannot_record(checkout: Repo, program: Program) -> None:
    program.run("hook", "pre-run", cwd=checkout.path)
    checkout.git("config", "coderepo.dirty", "refuse")
    done = program.run("hook", "pre-run", cwd=checkout.path, check=False)
    assert done.status == 1 and done.errors.startswith("fatal: the checkout is dirty")
    assert not (checkout.git_dir() / "coderepo" / "current.json").exists() and len(runs(checkout)) == 1


def test_the_hook_does_nothing_within_a_recorded_run(checkout: Repo, program: Program) -> None:
    program.run("hook", "pre-run", cwd=checkout.path, env={"CODEREPO_RUN_ID": "x"})
    assert not (checkout.git_dir() / "coderepo").exists()


def test_runs_are_filed_by_the_month_of_their_id(checkout: Repo, program: Program) -> None:
    program.run("hook", "pre-run", cwd=checkout.path)
    assert runs(checkout)[0].parent.name == time.strftime("%Y-%m", time.gmtime())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([b"train", b"--lr", b"1"], [b"train", b"--lr", b"1"]),
        ([b"x", b"--token=abc"], [b"x", b"--token=****"]),
        ([b"x", b"--api-key", b"abc", b"y"], [b"x", b"--api-key", b"****", b"y"]),
        ([b"x", b"--no-password", b"-v"], [b"x", b"--no-password", b"-v"]),
        ([b"WANDB_API_KEY=abc", b"x"], [b"WANDB_API_KEY=****", b"x"]),
        ([b"x", b"ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"], [b"x", b"****"]),
        ([b"git", b"clone", b"https://u:p@h/r"], [b"git", b"clone", b"https://****@h/r"]),
    ],
)
def test_what_looks_like_a_secret_is_not_recorded(given: list[bytes], kept: list[bytes]) -> None:
    assert list(redacted(given)) == kept
