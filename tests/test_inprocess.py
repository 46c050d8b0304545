"""`with coderepo.run() as run:` in a script, a notebook or a trainer: what `git coderepo run` does for a command."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import git_coderepo
from git_coderepo.manifest.model import Manifest
from git_coderepo.runs.result import Result
from tests.hints import cures
from tests.support.program import Program
from tests.support.repo import PathLike, Repo

START = "import os, sys\nimport git_coderepo as coderepo\n"


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    """A checkout with one pushed commit and an edit."""
    repo.write("train.py", "lr = 0.1\n")
    repo.write("requirements.txt", "numpy\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    repo.write("train.py", "lr = 0.2\n")
    return repo


class Script:
    """Python as a user writes it, run in a directory."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self.env = dict(env)
        self.file = folder / "script.py"

    def argv(self, body: str) -> list[str]:
        self.file.write_text(START + body)
        return [sys.executable, str(self.file), "--token=hunter2"]

    def run(
        self, body: str, cwd: PathLike, status: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(body), cwd=os.fsencode(cwd), env={**self.env, **(env or {})},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done


@pytest.fixture
def script(env: dict[str, str], tmp_path: Path) -> Script:
    return Script(env, tmp_path)


def recorded(checkout: Repo) -> list[tuple[Manifest, Result | None]]:
    """Manifest and result of each run of the record, oldest first."""
    folder = checkout.git_dir() / "coderepo" / "runs"
    paths = sorted(path for path in folder.glob("*/*.json") if not path.name.endswith(".result.json"))
    return [
        (Manifest.load(str(path)), Result.load(os.fsencode(path.with_name(f"{path.stem}.result.json"))))
        for path in paths
    ]


def left_behind(checkout: Repo) -> list[str]:
    return [name for name in os.listdir(checkout.git_dir() / "coderepo") if name.startswith("index.")]


def test_a_block_is_a_recorded_run(checkout: Repo, script: Script) -> None:
    done = script.run(
        "with coderepo.run(name='first') as run:\n"
        "    print(run.id, run.commit, run.tree, run.dirty, run.recorded, run.manifest.run.name)\n"
        "print(run.finished.status)\n",
        checkout.path,
    )
    ((manifest, result),) = recorded(checkout)
    words = [manifest.run.id, checkout.head(), checkout.tree(), "True", "True", "first"]
    assert done.stdout == " ".join(words) + "\n0\n" and done.stderr == ""
    assert manifest.run.command == (os.fsencode(sys.executable), os.fsencode(script.file), b"--token=****")
    assert manifest.environment.build_key is not None
    assert result is not None and result.state == "ok" and result.edited == result.produced == ()
    current = checkout.git_dir() / "coderepo" / "current.json"
    assert current.read_bytes() == manifest.data and left_behind(checkout) == []


@pytest.mark.slow
def test_it_is_the_run_that_the_verb_would_make(checkout: Repo, script: Script, program: Program) -> None:
    """The same manifest, but for the id, the time and the command."""
    checkout.write(b"services/tr\xe4in/ x\n.py", "y\n")
    there = checkout.file(b"services/tr\xe4in")
    program.run("run", "--name", "n", "true", cwd=there)
    script.run("with coderepo.run('n'): pass\n", there)
    verb, block = (manifest for manifest, _ in recorded(checkout))
    assert block.run.directory == verb.run.directory == b"services/tr\xe4in"
    assert (block.code, block.repository, block.environment) == (verb.code, verb.repository, verb.environment)


@pytest.mark.slow
def test_what_it_starts_knows_the_run_and_after_it_the_environment_is_as_it_was(
    checkout: Repo, script: Script, program: Program
) -> None:
    body = (
        "import subprocess\n"
        "before = dict(os.environ)\n"
        "with coderepo.run() as run:\n"
        "    subprocess.run(['git-coderepo', 'run', 'true'], check=True)\n"
        "    with coderepo.run() as inner:\n"
        "        assert inner.manifest.run.parent == run.id\n"
        "        assert os.environ['CODEREPO_RUN_ID'] == inner.id\n"
        "    assert os.environ['CODEREPO_RUN_ID'] == run.id\n"
        "    assert open(os.environ['CODEREPO_MANIFEST'], 'rb').read() == run.manifest.data\n"
        "    assert os.environ['CODEREPO_MANIFEST_JSON'].encode() == run.manifest.data\n"
        "    assert os.environ['CODEREPO_TREE'] == str(run.tree)\n"
        "    assert os.environ['CODEREPO_COMMIT'] == str(run.commit)\n"
        "    os.environ['CODEREPO_TREE'] = 'changed by the user'\n"
        "assert dict(os.environ) == before\n"
    )
    script.run(body, checkout.path)
    outer, child, inner = (manifest.run for manifest, _ in recorded(checkout))
    assert (outer.parent, child.parent, inner.parent) == (None, outer.id, outer.id)
    program.run("run", sys.executable, str(script.file), cwd=checkout.path)
    verb, within = (manifest.run for manifest, _ in recorded(checkout)[3:5])
    assert within.parent == verb.id


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "status", "state"),
    [
        ("raise ValueError('no convergence')", 1, "exit 1"),
        ("sys.exit(3)", 3, "exit 3"),
        ("sys.exit()", 0, "ok"),
        ("sys.exit('why')", 1, "exit 1"),
        ("raise KeyboardInterrupt", -2, "SIGINT"),
    ],
)
def test_an_exception_goes_on_and_the_run_is_marked(
    checkout: Repo, script: Script, statement: str, status: int, state: str
) -> None:
    script.run(f"with coderepo.run(): {statement}\n", checkout.path, status=status)
    ((_, result),) = recorded(checkout)
    assert result is not None and result.state == state and result.finished_on is not None
    assert left_behind(checkout) == []


def test_an_edit_meanwhile_is_marked_and_outputs_are_kept(checkout: Repo, script: Script, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = script.run(
        "with coderepo.run(outputs=['out']) as run:\n"
        "    open('train.py', 'w').write('lr = 9')\n"
        "    os.mkdir('out'); open(b'out/-m \\xff\\n', 'w').write('m')\n"
        f"    os.chdir({str(elsewhere)!r})\n"
        "    open('log', 'w').write('l')\n"
        "    run.outputs('log', 'never made')\n"
        "print(run.finished.edited, run.finished.produced)\n",
        checkout.path,
    )
    ((_, result),) = recorded(checkout)
    assert result is not None and result.edited == (b"train.py",) and result.produced == (b"out/-m \xff\n",)
    assert done.stdout == f"{result.edited} {result.produced}\n"
    assert "'train.py' was edited during the run" in done.stderr
    assert [(each.path, each.sha256) for each in result.outputs] == [
        (b"out/-m \xff\n", hashlib.sha256(b"m").hexdigest()),
        (os.fsencode(elsewhere / "log"), hashlib.sha256(b"l").hexdigest()),
    ]


@pytest.mark.slow
@cures("start the run again, and do not change '.git/coderepo' while it runs")
def test_a_prune_meanwhile_takes_nothing_that_the_end_of_a_run_needs(checkout: Repo, script: Script) -> None:
    """A private index has the time of the user's, which may be months old; the run may go on for days."""
    checkout.write("train.py", "lr = 0.1\n")
    for path in ("train.py", "requirements.txt"):
        os.utime(checkout.file(path), (1_600_000_000, 1_600_000_000))
    checkout.git("update-index", "--refresh")
    os.utime(checkout.git_dir() / "index", (1_700_000_000, 1_700_000_000))
    script.run(
        "import subprocess\n"
        "with coderepo.run():\n"
        "    subprocess.run(['git-coderepo', 'prune'], check=True, stdout=2)\n"
        "    open('train.py', 'w').write('lr = 9')\n",
        checkout.path,
    )
    assert [result.edited for _, result in recorded(checkout) if result is not None] == [(b"train.py",)]
    done = script.run(
        "import glob\nwith coderepo.run():\n    for each in glob.glob('.git/coderepo/index.*'): os.unlink(each)\n",
        checkout.path,
    )  # fmt: skip
    assert "cannot determine the edits during the run" in done.stderr
    done = script.run("with coderepo.run():\n    open('train.py', 'w').write('lr = 8')\n", checkout.path)
    assert "cannot determine the edits during the run" not in done.stderr


def test_a_run_can_be_of_another_directory(checkout: Repo, script: Script, tmp_path: Path) -> None:
    where = os.path.relpath(checkout.path, tmp_path)
    script.run(
        f"with coderepo.run(directory={where!r}, manifest='run.json', command=['a', 'b c']) as run:\n"
        "    os.chdir('/')\n",
        tmp_path,
    )
    ((manifest, _),) = recorded(checkout)
    assert (tmp_path / "run.json").read_bytes() == manifest.data and manifest.run.command == (b"a", b"b c")


def test_a_block_without_a_program_records_no_command(checkout: Repo, script: Script) -> None:
    """As in a notebook: what its kernel was started with is not what runs."""
    body = START + "with coderepo.run(): pass\n"
    subprocess.run([sys.executable, "-c", body], cwd=checkout.path, env=script.env, check=True, timeout=60)
    assert recorded(checkout)[0][0].run.command is None


def test_a_killed_one_is_seen_as_killed(checkout: Repo, script: Script, program: Program) -> None:
    body = "import time\nwith coderepo.run('doomed'):\n    print('ready', flush=True)\n    time.sleep(60)\n"
    running = subprocess.Popen(script.argv(body), cwd=checkout.path, env=script.env, stdout=subprocess.PIPE)
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    ((_, result),) = recorded(checkout)
    assert result is not None and result.state == "running"
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=30)
    assert result.state == "killed"
    assert "killed" in program.run("log", cwd=checkout.path).text


def test_a_fork_of_the_trainer_does_not_end_its_run(checkout: Repo, script: Script) -> None:
    body = (
        "try:\n"
        "    with coderepo.run() as run:\n"
        "        child = os.fork()\n"
        "        if child == 0: raise SystemExit(5)\n"
        "        os.waitpid(child, 0)\n"
        "        assert os.environ['CODEREPO_RUN_ID'] == run.id\n"
        "finally:\n"
        "    if child == 0: os._exit(0)\n"
    )
    script.run(body, checkout.path)
    ((_, result),) = recorded(checkout)
    assert result is not None and result.state == "ok"


@pytest.mark.slow
def test_what_the_settings_publish_is_published(checkout: Repo, script: Script) -> None:
    """By a block as by the verb, and by what MLflow asks as by the hook; the build key is in the manifest."""
    checkout.git("config", "coderepo.publish", "auto")
    script.run(
        "from git_coderepo.mlflow import CodeRepoRunContext\n"
        "with coderepo.run() as run: pass\n"
        "CodeRepoRunContext().tags()\n",
        checkout.path,
    )
    served = checkout.line("ls-remote", "origin", "refs/coderepo/runs/*")
    for manifest, _ in recorded(checkout):
        assert manifest.code.snapshot_ref is not None and manifest.code.snapshot_ref in served
        assert manifest.code.overlay is None and manifest.environment.build_key is not None
    assert len(recorded(checkout)) == 2
    checkout.git("config", "coderepo.publish", "ask")
    done = script.run("with coderepo.run() as run: assert run.manifest.code.overlay is not None\n", checkout.path)
    assert "there is no terminal to prompt on" in done.stderr


@pytest.mark.slow
def test_what_cannot_be_recorded_does_not_begin(checkout: Repo, script: Script) -> None:
    body = (
        "before = dict(os.environ)\n"
        "try:\n"
        "    with coderepo.run(): print('started')\n"
        "except coderepo.CodeRepoError as error:\n"
        "    print(error.message)\n"
        "assert dict(os.environ) == before\n"
    )
    hook = checkout.git_dir() / "hooks" / "pre-run"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ntest -f "$CODEREPO_MANIFEST" && exit 3\n')
    hook.chmod(0o755)
    assert re.match(
        "the pre-run hook failed with status .*: nothing was run\n$", script.run(body, checkout.path).stdout
    )
    assert left_behind(checkout) == []
    checkout.git("config", "coderepo.dirty", "refuse")
    assert script.run(body, checkout.path).stdout == "the checkout is dirty, and 'coderepo.dirty' is 'refuse'\n"


@pytest.mark.slow
def test_a_result_that_cannot_be_written_is_said_and_never_hides_what_the_user_did(
    checkout: Repo, script: Script
) -> None:
    spoil = "    import shutil; shutil.rmtree('.git/coderepo/runs'); open('.git/coderepo/runs', 'w')\n"
    done = script.run("with coderepo.run():\n" + spoil + "print('trained')\n", checkout.path)
    assert "cannot write the result of the run" in done.stderr and done.stdout == "trained\n"
    checkout.remove(".git/coderepo/runs")
    done = script.run("with coderepo.run():\n" + spoil + "    raise ValueError('mine')\n", checkout.path, status=1)
    assert done.stderr.endswith("ValueError: mine\n") and "cannot write the result of the run" in done.stderr


def test_one_block_is_one_run(checkout: Repo, script: Script) -> None:
    done = script.run(
        "run = coderepo.run()\n"
        "try: run.id\n"
        "except coderepo.CodeRepoError as error: print(error.message)\n"
        "with run: pass\n"
        "try:\n"
        "    with run: pass\n"
        "except coderepo.CodeRepoError as error: print(error.message)\n",
        checkout.path,
    )
    assert done.stdout == "the run has not started\na run can start only once\n" and len(recorded(checkout)) == 1


REPORT = (
    "before = dict(os.environ)\n"
    "with coderepo.run(outputs=sys.argv[2:]) as run:\n"
    "    print(run.id, run.commit, run.tree, run.dirty, run.recorded, os.environ['CODEREPO_RUN_ID'] == run.id)\n"
    "assert run.finished is None and dict(os.environ) == before\n"
)


def on_a_runner(checkout: Repo, program: Program, code: Path) -> Manifest:
    """What a runner has: a directory that was fetched, and the manifest."""
    program.run("run", "--name", "launched", "true", cwd=checkout.path)
    ((manifest, _),) = recorded(checkout)
    (code.parent / "run.json").write_bytes(manifest.data)
    program.run("fetch", str(code.parent / "run.json"), str(code), env={"CODEREPO_ALLOW_PROTOCOL": "file"})
    return manifest


@pytest.mark.slow
def test_on_a_runner_it_is_the_run_that_was_recorded(
    checkout: Repo, script: Script, program: Program, tmp_path: Path
) -> None:
    manifest = on_a_runner(checkout, program, tmp_path / "code")
    assert not (tmp_path / "code" / ".git").exists()
    said = f"{manifest.run.id} {checkout.head()} {checkout.tree()} True False True\n"
    path, text = {"CODEREPO_MANIFEST": str(tmp_path / "run.json")}, {"CODEREPO_MANIFEST_JSON": manifest.data.decode()}
    gone = {**text, "CODEREPO_MANIFEST": "/where/it/was/recorded.json", "CODEREPO_RUN_ID": manifest.run.id}
    for variables in (path, text, gone):
        done = script.run(REPORT, tmp_path / "code", env=variables)
        assert (done.stdout, done.stderr) == (said, "")
    no_git = {**text, "PATH": str(tmp_path / "nothing")}
    assert script.run(REPORT, tmp_path / "code", env=no_git).stdout == said
    assert len(recorded(checkout)) == 1
    kept = script.run(REPORT.replace("sys.argv[2:]", "['model']"), tmp_path / "code", env=text)
    assert "the digests of its outputs are not recorded" in kept.stderr


@pytest.mark.slow
def test_where_there_is_neither_checkout_nor_manifest_it_says_so(script: Script, program: Program, repo: Repo) -> None:
    home = script.env["HOME"]
    assert f"NotACheckout: neither the program '{script.file}' nor" in script.run(REPORT, home, status=1).stderr
    damaged = script.run(REPORT, home, status=1, env={"CODEREPO_MANIFEST_JSON": "{}"})
    assert "invalid manifest in CODEREPO_MANIFEST_JSON" in damaged.stderr
    missing = script.run(REPORT, home, status=1, env={"CODEREPO_MANIFEST": "gone.json"})
    assert "cannot read the manifest 'gone.json'" in missing.stderr


@pytest.mark.slow
def test_a_manifest_of_another_run_is_not_taken_for_this_one(
    checkout: Repo, script: Script, program: Program, tmp_path: Path
) -> None:
    manifest = on_a_runner(checkout, program, tmp_path / "code")
    other = "0" + manifest.run.id[1:-1] + ("0" if manifest.run.id[-1] != "0" else "1")
    variables = {"CODEREPO_MANIFEST_JSON": manifest.data.decode(), "CODEREPO_RUN_ID": other}
    assert (
        "the manifest in the environment is that of"
        in script.run(REPORT, tmp_path / "code", status=1, env=variables).stderr
    )


@pytest.mark.slow
def test_a_checkout_that_git_refuses_is_not_taken_for_a_runner(
    checkout: Repo, script: Script, program: Program, tmp_path: Path
) -> None:
    manifest = on_a_runner(checkout, program, tmp_path / "code")
    variables = {"CODEREPO_MANIFEST_JSON": manifest.data.decode()}
    checkout.remove(".git/HEAD")
    (Path(checkout.env["HOME"]) / "x").mkdir()
    assert "NotACheckout" in script.run(REPORT, checkout.path, status=1, env=variables).stderr


@pytest.mark.slow
def test_a_run_within_a_checkout_is_recorded_whatever_manifest_is_inherited(
    checkout: Repo, script: Script, program: Program
) -> None:
    program.run("run", sys.executable, *script.argv("with coderepo.run() as run: print(run.recorded)\n")[1:],
                cwd=checkout.path)  # fmt: skip
    outer, inner = (manifest.run for manifest, _ in recorded(checkout))
    assert inner.parent == outer.id


def test_what_no_run_is_called_is_no_parent(checkout: Repo, program: Program) -> None:
    done = program.run("run", "true", cwd=checkout.path, env={"CODEREPO_RUN_ID": "nightly-7"})
    assert "'nightly-7' in CODEREPO_RUN_ID is not the id of a run" in done.errors
    assert recorded(checkout)[0][0].run.parent is None


def test_a_manifest_too_large_for_a_variable_leaves_none_of_another_run(checkout: Repo, program: Program) -> None:
    checkout.git("config", "coderepo.inlineLimit", "1m")
    checkout.write("weights.bin", os.urandom(200 << 10))
    told = program.run("run", "env", cwd=checkout.path, env={"CODEREPO_MANIFEST_JSON": "of the run before"})
    assert "CODEREPO_MANIFEST=" in told.text and "CODEREPO_MANIFEST_JSON" not in told.text


def test_the_example_of_the_guide_works(checkout: Repo, script: Script) -> None:
    text = (Path(git_coderepo.__file__).parent.parent / "docs/guides/python.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"(?ms)^```python\n(.*?)^```$", text) if "coderepo.run(" in block)
    checkout.write("trainer.py", "def train(tree):\n    open('model.pt', 'w').write(str(tree))\n")
    example = example.replace("import git_coderepo", "sys.path.insert(0, '.')\nimport git_coderepo", 1)
    script.run(example, checkout.path)
    ((manifest, result),) = recorded(checkout)
    assert result is not None and result.state == "ok" and [each.path for each in result.outputs] == [b"model.pt"]
    assert manifest.run.name is not None
