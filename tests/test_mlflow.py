"""Every MLflow run in a registered checkout says which code it ran: with the real MLflow, as trainings use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.manifest.model import Manifest
from tests.support.program import Program
from tests.support.repo import PathLike, Repo

TAGS = ("run", "commit", "tree", "dirty")


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    """A registered checkout with one pushed commit and an edit."""
    repo.write("train.py", "lr = 0.1\n")
    repo.write(".gitignore", "*.log\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    repo.git("config", "coderepo.origin.type", "git")
    repo.git("config", "coderepo.origin.remote", "origin")
    repo.write("train.py", "lr = 0.2\n")
    return repo


class Training:
    """A script that uses MLflow; what it prints as JSON comes back."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self.env = {
            **env,
            "MLFLOW_TRACKING_URI": (folder / "mlruns").as_uri(),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "GIT_PYTHON_REFRESH": "quiet",
        }
        self.file = folder / "training.py"
        self.errors = ""

    def write(self, body: str) -> None:
        self.file.write_text(
            "import json, os, sys\nimport mlflow\n"
            "def tags(run):\n"
            "    found = mlflow.get_run(run.info.run_id).data.tags\n"
            "    return {name.partition('.')[2]: found[name] for name in found if name.startswith('coderepo.')}\n"
            + body
        )

    def run(self, body: str, cwd: PathLike, env: Mapping[str, str] | None = None) -> Any:
        self.write(body)
        done = subprocess.run(
            [sys.executable, str(self.file)], cwd=os.fsencode(cwd), env={**self.env, **(env or {})},
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        self.errors = done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def training(env: dict[str, str], tmp_path: Path) -> Training:
    return Training(env, tmp_path)


def recorded(checkout: Repo) -> list[Manifest]:
    """The manifests of the record, oldest first."""
    folder = checkout.git_dir() / "coderepo" / "runs"
    return [Manifest.load(str(path)) for path in sorted(folder.glob("*/*.json")) if ".result." not in path.name]


def tags_of(manifest: Manifest) -> dict[str, str]:
    code = manifest.code
    assert code.head is not None
    values = (manifest.run.id, code.head.commit.hex, code.snapshot_tree.hex, "true" if code.dirty else "false")
    return dict(zip(TAGS, values, strict=True))


def test_mlflow_finds_it_by_its_entry_point() -> None:
    (found,) = (each for each in entry_points(group="mlflow.run_context_provider") if each.name == "coderepo")
    assert found.load().__name__ == "CodeRepoRunContext"


@pytest.mark.slow
def test_a_run_in_a_registered_checkout_is_recorded_and_carries_its_tags(
    checkout: Repo, training: Training, program: Program
) -> None:
    """Several runs of one process and one code are one launch; an edit in between is another code."""
    first, nested, logged, edited = training.run(
        "with mlflow.start_run() as run:\n"
        "    first = tags(run)\n"
        "    with mlflow.start_run(nested=True) as child: nested = tags(child)\n"
        "    open('x.log', 'w').write('ignored')\n"
        "with mlflow.start_run() as run: logged = tags(run)\n"
        "open('train.py', 'w').write('lr = 0.3\\n')\n"
        "with mlflow.start_run() as run: edited = tags(run)\n"
        "print(json.dumps([first, nested, logged, edited]))\n",
        checkout.path,
    )
    before, after = recorded(checkout)
    assert first == nested == logged == tags_of(before) and edited == tags_of(after)
    assert before.code.dirty and after.code.snapshot_tree.hex == checkout.tree() != before.code.snapshot_tree.hex
    assert before.run.command == (os.fsencode(sys.executable), os.fsencode(training.file))
    shown = program.run("show", first["run"], cwd=checkout.path).text
    assert first["tree"] in shown and "recorded" in shown


@pytest.mark.slow
def test_within_a_recorded_run_it_is_that_run(checkout: Repo, training: Training) -> None:
    training.write(
        "import git_coderepo as coderepo\n"
        "with mlflow.start_run() as run: outer = tags(run)\n"
        "with coderepo.run('block') as block, mlflow.start_run() as run: inner = tags(run)\n"
        "assert inner['run'] == block.id\n"
        "print(json.dumps([outer, inner]))\n"
    )
    told = Program(training.env).run("run", sys.executable, str(training.file), cwd=checkout.path)
    verb, block = recorded(checkout)
    assert told.json() == [tags_of(verb), tags_of(block)] and block.run.parent == verb.run.id


@pytest.mark.slow
def test_on_a_runner_without_a_checkout_it_is_the_run_that_was_launched(
    checkout: Repo, training: Training, program: Program, tmp_path: Path
) -> None:
    program.run("run", "true", cwd=checkout.path)
    (manifest,) = recorded(checkout)
    (tmp_path / "run.json").write_bytes(manifest.data)
    program.run("fetch", str(tmp_path / "run.json"), str(tmp_path / "code"), env={"CODEREPO_ALLOW_PROTOCOL": "file"})
    body = (
        "with mlflow.start_run() as run: found = [tags(run)]\n"
        "del os.environ['CODEREPO_MANIFEST']\n"
        f"os.environ.update(CODEREPO_MANIFEST_JSON={manifest.data.decode()!r}, PATH='/no/git/here')\n"
        "with mlflow.start_run() as run: found.append(tags(run))\n"
        "print(json.dumps(found))\n"
    )
    found = training.run(body, tmp_path / "code", env={"CODEREPO_MANIFEST": str(tmp_path / "run.json")})
    assert found == [tags_of(manifest), tags_of(manifest)] and "git_coderepo" not in training.errors
    assert len(recorded(checkout)) == 1


@pytest.mark.slow
def test_it_says_nothing_and_records_nothing_where_nothing_is_registered(checkout: Repo, training: Training) -> None:
    checkout.git("config", "--remove-section", "coderepo.origin")
    body = (
        "found = []\n"
        "for place in [os.getcwd(), '/']:\n"
        "    os.chdir(place)\n"
        "    with mlflow.start_run() as run: found.append(tags(run))\n"
        "print(json.dumps(found))\n"
    )
    assert training.run(body, checkout.path) == [{}, {}]
    assert not (checkout.git_dir() / "coderepo").exists() and "which code it ran" not in training.errors


@pytest.mark.slow
def test_what_goes_wrong_is_said_and_the_training_goes_on(checkout: Repo, training: Training) -> None:
    checkout.git("config", "coderepo.dirty", "refuse")
    found = training.run(
        "import subprocess, warnings\n"
        "warnings.simplefilter('error')\n"
        "found = []\n"
        "def start():\n"
        "    with mlflow.start_run() as run: found.append(tags(run))\n"
        "start()\n"
        "subprocess.run(['git', 'config', 'coderepo.origin.type', 'nonsense'], check=True)\n"
        "start()\n"
        "os.environ['CODEREPO_MANIFEST_JSON'] = '{}'\n"
        "start()\n"
        "del os.environ['CODEREPO_MANIFEST_JSON']\n"
        "os.environ.update(CODEREPO_RUN_ID='nightly', CODEREPO_TREE='0' * 40)\n"
        "start()\n"
        "print(json.dumps(found))\n",
        checkout.path,
    )
    assert found == [{}, {}, {}, {"run": "nightly", "tree": "0" * 40}]
    said = "this MLflow run does not say which code it ran: "
    assert f"{said}the checkout is dirty, and 'coderepo.dirty' is 'refuse'; git commit" in training.errors
    assert training.errors.count(said) == 3 and "nonsense" in training.errors
    assert f"{said}invalid manifest in CODEREPO_MANIFEST_JSON" in training.errors
    assert "whether the code was dirty is not known" in training.errors


def test_a_checkout_before_its_first_commit_has_no_commit(repo: Repo, env: dict[str, str]) -> None:
    repo.write("train.py", "x\n")
    repo.git("remote", "add", "origin", "https://git.example.org/acme/widgets.git")
    repo.git("config", "coderepo.origin.type", "git")
    repo.git("config", "coderepo.origin.remote", "origin")
    body = "from git_coderepo.mlflow import CodeRepoRunContext as C; import json; print(json.dumps(C().tags()))"
    done = subprocess.run([sys.executable, "-c", body], cwd=repo.path, env=env, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert sorted(found) == ["coderepo.dirty", "coderepo.run", "coderepo.tree"]
    assert found["coderepo.tree"] == repo.tree() and done.stderr == b""
