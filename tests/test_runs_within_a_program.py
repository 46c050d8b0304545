"""Runs within one program: threads and tasks whose blocks overlap, and outputs that come too late or not at all."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_coderepo.manifest.model import Manifest
from git_coderepo.runs.result import Result
from tests.support.repo import Repo

START = (
    "import asyncio, contextvars, os, subprocess, sys, threading\n"
    "import git_coderepo as coderepo\nbefore = dict(os.environ)\n"
)
END = "assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())\n"


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    repo.write("t.py", "")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    return repo


def python(checkout: Repo, body: str, env: dict[str, str] | None = None) -> str:
    """What a program said on standard error; it must leave the environment as it was."""
    done = subprocess.run(
        [sys.executable, "-c", START + body + END], cwd=checkout.path, env={**checkout.env, **(env or {})},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def parents(checkout: Repo) -> dict[str | None, str | None]:
    """The name of each run's parent, by its own name."""
    folder = checkout.git_dir() / "coderepo" / "runs"
    found = [Manifest.load(str(path)).run for path in folder.glob("*/*.json") if ".result." not in path.name]
    names = {run.id: run.name for run in found}
    for path in folder.glob("*/*.result.json"):
        result = Result.load(os.fsencode(path))
        assert result is not None and result.state == "ok"
    return {run.name: names.get(run.parent, run.parent) if run.parent else None for run in found}


@pytest.mark.slow
@pytest.mark.parametrize("order", list(itertools.permutations("abc")), ids="".join)
def test_runs_end_in_any_order(checkout: Repo, order: tuple[str, ...]) -> None:
    """Each in a thread of its own: none is the parent of another, and the environment never tells of an ended one."""
    said = python(
        checkout,
        "begun, end, ended = ({name: threading.Event() for name in 'abc'} for _ in range(3))\n"
        "runs = {}\n"
        "def train(name):\n"
        "    with coderepo.run(name) as run:\n"
        "        runs[name] = run; begun[name].set(); end[name].wait(60)\n"
        "        told = subprocess.run(['printenv', 'CODEREPO_RUN_ID'], env=run.environment, capture_output=True)\n"
        "        assert told.stdout.decode().strip() == run.id\n"
        "    ended[name].set()\n"
        "threads = [threading.Thread(target=train, args=name) for name in 'abc']\n"
        "for name, thread in zip('abc', threads): thread.start(); begun[name].wait(60)\n"
        f"for name in {order!r}:\n"
        "    end[name].set(); ended[name].wait(60)\n"
        "    told = os.environ.get('CODEREPO_RUN_ID')\n"
        "    assert told in [each.id for each in runs.values() if not each.has_ended] or not any(\n"
        "        not each.has_ended for each in runs.values()), told\n"
        "for thread in threads: thread.join()\n",
    )
    assert parents(checkout) == {"a": None, "b": None, "c": None}
    assert said.count("overlaps another run") == 2


@pytest.mark.slow
def test_tasks_of_asyncio(checkout: Repo) -> None:
    """A task belongs to the run in which it was made, and not to its siblings."""
    python(
        checkout,
        "async def train(name, seconds):\n"
        "    with coderepo.run(name) as run:\n"
        "        await asyncio.sleep(seconds)\n"
        "        with coderepo.run(name + ' inner'): await asyncio.sleep(seconds)\n"
        "async def main():\n"
        "    await asyncio.gather(train('a', 0.3), train('b', 0.1))\n"
        "    with coderepo.run('outer'):\n"
        "        await asyncio.gather(train('c', 0.1), train('d', 0.3))\n"
        "asyncio.run(main())\n",
    )
    assert parents(checkout) == {
        "a": None, "b": None, "a inner": "a", "b inner": "b", "outer": None, "c": "outer", "d": "outer",
        "c inner": "c", "d inner": "d",
    }  # fmt: skip


@pytest.mark.slow
def test_a_thread_that_was_given_the_context_belongs_to_its_run(checkout: Repo) -> None:
    python(
        checkout,
        "def train():\n    with coderepo.run('inner'): pass\n"
        "with coderepo.run('outer'):\n"
        "    thread = threading.Thread(target=contextvars.copy_context().run, args=(train,))\n"
        "    thread.start(); thread.join()\n",
    )
    assert parents(checkout) == {"outer": None, "inner": "outer"}


@pytest.mark.slow
def test_blocks_of_one_thread_that_end_in_another_order(checkout: Repo) -> None:
    said = python(
        checkout,
        "a, b, c = (coderepo.run(name) for name in 'abc')\n"
        "a.__enter__(); b.__enter__(); a.__exit__(None, None, None)\n"
        "assert os.environ['CODEREPO_RUN_ID'] == b.id\n"
        "c.__enter__(); b.__exit__(None, None, None); c.__exit__(None, None, None)\n"
        "with coderepo.run('d'): pass\n",
    )
    assert parents(checkout) == {"a": None, "b": "a", "c": "b", "d": None}
    assert "overlaps" not in said


@pytest.mark.slow
def test_the_run_around_the_process_is_the_parent_of_all(checkout: Repo) -> None:
    """Within `git coderepo run`, whatever runs go on in the process."""
    around = "01a2298e-56f9-7d5a-b569-6913a6cda7ad"
    python(
        checkout,
        "def train():\n    with coderepo.run('b'): pass\n"
        "with coderepo.run('a'):\n"
        "    thread = threading.Thread(target=train); thread.start(); thread.join()\n",
        env={"CODEREPO_RUN_ID": around},
    )
    assert parents(checkout) == {"a": around, "b": around}


@pytest.mark.slow
def test_a_fork_and_a_block_that_fails(checkout: Repo) -> None:
    python(
        checkout,
        "with coderepo.run('outer') as outer:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        with coderepo.run('child'): pass\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    try:\n"
        "        with coderepo.run(directory='/'): pass\n"
        "    except coderepo.CodeRepoError: pass\n"
        "    assert os.environ['CODEREPO_RUN_ID'] == outer.id\n",
    )
    assert parents(checkout) == {"outer": None, "child": "outer"}


@pytest.mark.slow
def test_mlflow_is_told_of_the_run_around_it(checkout: Repo) -> None:
    python(
        checkout,
        "from git_coderepo.mlflow import CodeRepoRunContext\n"
        "go, done = threading.Event(), threading.Event()\n"
        "def train():\n"
        "    with coderepo.run('b'): go.set(); done.wait(60)\n"
        "with coderepo.run('a') as run:\n"
        "    thread = threading.Thread(target=train); thread.start(); go.wait(60)\n"
        "    assert os.environ['CODEREPO_RUN_ID'] != run.id\n"
        "    assert CodeRepoRunContext().tags()['coderepo.run'] == run.id\n"
        "    done.set(); thread.join()\n",
    )


def test_late_and_missing_outputs_are_said(checkout: Repo) -> None:
    said = python(
        checkout,
        "with coderepo.run(outputs=['never made', 'made']) as run:\n"
        "    open('made', 'w').close()\n"
        "run.outputs('late', 'later')\n"
        "assert [each for each in run.finished.problems] == []\n",
    )
    assert "the output" in said and "never made' of the run" in said and "'made'" not in said.replace("never made'", "")
    assert "has already ended: the digests of these outputs are not recorded: 'late', 'later'" in said
