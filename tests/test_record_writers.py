"""Many at once, and killed: every run that was announced is in the record, whole and valid."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from git_coderepo.git.process import Git
from git_coderepo.git.store import Store
from git_coderepo.manifest.model import Manifest
from git_coderepo.runs.find import runs_here
from git_coderepo.runs.history import newest, select
from git_coderepo.runs.prune import PruneRequest, prune
from git_coderepo.runs.search_index import Filter
from tests.support import writers
from tests.support.repo import Repo


@pytest.mark.parametrize(
    ("count", "kills", "every"),
    [(16, 10, 0.05), pytest.param(64, 30, 1.0, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
def test_many_writers_one_killed_now_and_then(repo: Repo, count: int, kills: int, every: float) -> None:
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.git("config", "coderepo.inlineLimit", "0")  # the overlay lies beside the manifests, one for all of them
    repo.write("train.py", "lr = 0.2\n")
    started = subprocess.Popen(
        [sys.executable, writers.__file__, str(repo.path), str(count), str(kills), str(every)],
        env={**repo.env, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    git = Git(str(repo.path), environment=repo.env)
    runs, layout = runs_here(git)
    while started.poll() is None:  # readers, and one who tidies up, are in nobody's way
        time.sleep(8 * every)
        select(runs, Filter(name="writer *"), limit=10)
        assert prune(runs, Store(layout), git, PruneRequest(keep=0), now=time.time()).runs == ()
    assert started.returncode == 0

    announced = (repo.git_dir() / "announced").read_bytes().splitlines()
    assert len(announced) == len(set(announced)) > count
    recorded = list(newest(runs))
    assert {runs.path_of(id) for id in recorded} >= set(announced)
    for id in recorded:  # those of the killed that were not announced, too
        manifest = Manifest.load(os.fsdecode(runs.path_of(id)))
        assert manifest.run.id == id and manifest.code.overlay is not None
        overlay = manifest.code.overlay.sha256
    kept = Path(os.fsdecode(runs.overlays)) / f"{overlay}.tar.gz"
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == overlay
    assert set(select(runs, Filter(name="writer *"))) == set(recorded)
