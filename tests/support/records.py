"""Runs written down as the verbs do it, without a command: what tests of the record look back at."""

from __future__ import annotations

import json
import time
from typing import Any

from git_coderepo.git.process import Git
from git_coderepo.git.repository import read_layout, start_layout
from git_coderepo.runs.record_files import Runs
from git_coderepo.snapshots.manifest_document import Record, write_record
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request
from tests.support.repo import Repo


def record_of(repo: Repo) -> Runs:
    git = Git(str(repo.path), environment=repo.env)
    return Runs(read_layout(start_layout(git), git, bare_allowed=True))


def add_run(repo: Repo, *, name: str | None = None, now: float | None = None, result: Any = None) -> Record:
    """The checkout as it is becomes a recorded run, started at `now`; `result` goes beside it."""
    git = Git(str(repo.path), environment=repo.env)
    taken = take_snapshot(git, Request())
    record = write_record(
        taken,
        now=time.time() if now is None else now,
        git_version="2.39.5",
        name=name,
        command=[b"python", b"train.py"],
    )
    runs = record_of(repo)
    runs.write(record)
    if result is not None:
        with open(runs.result_path_of(record.id), "w", encoding="utf-8") as file:
            json.dump({**unfinished(record.id), **result}, file)
    return record


def unfinished(id: str) -> dict[str, Any]:
    """A result as it is when a run begins, of a host that is not this one."""
    return {
        "resultVersion": "1.0",
        "run": {"id": id},
        "startedOn": "2026-11-23T07:00:00Z",
        "finishedOn": None,
        "status": None,
        "signal": None,
        "edited": [],
        "produced": [],
        "outputs": [],
        "pid": 1,
        "host": "elsewhere",
    }


ENDED = {"finishedOn": "2026-11-23T07:00:05Z", "status": 0}
