"""Many processes that record runs as fast as they can, some killed: `python writers.py CHECKOUT N KILLS EVERY`.

Each path is announced in the file `announced`, one a line, once its run is written. Every EVERY seconds one writer is
killed with SIGKILL, and another one takes its place; after KILLS of them, and more than N announced runs, it ends.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

from git_coderepo.git.process import Git
from git_coderepo.runs.record_files import Runs
from git_coderepo.snapshots.manifest_document import write_record
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request, Snapshot


def write_on(snapshot: Snapshot, runs: Runs, announced: int) -> None:
    for number in range(1 << 30):
        record = write_record(snapshot, now=time.time(), git_version=None, name=f"writer {os.getpid()}, {number}")
        os.write(announced, runs.write(record) + b"\n")


def start(snapshot: Snapshot, runs: Runs, announced: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            write_on(snapshot, runs, announced)
        finally:
            os._exit(1)  # only an error ends it by itself
    return child


def lines_of(path: str) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def main(checkout: str, count: int, kills: int, every: float) -> None:
    git = Git(checkout)
    snapshot = take_snapshot(git, Request())
    assert snapshot.layout is not None
    runs = Runs(snapshot.layout)
    file = os.path.join(checkout, ".git", "announced")
    announced = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writers = [start(snapshot, runs, announced) for _ in range(count)]
    killed = 0
    while killed < kills or lines_of(file) <= count:
        time.sleep(every)
        chosen = random.randrange(count)
        os.kill(writers[chosen], signal.SIGKILL)
        _, status = os.waitpid(writers[chosen], 0)
        assert os.WIFSIGNALED(status), "a writer failed"
        writers[chosen] = start(snapshot, runs, announced)
        killed += 1
    for writer in writers:
        os.kill(writer, signal.SIGKILL)
        _, status = os.waitpid(writer, 0)
        assert os.WIFSIGNALED(status), "a writer failed"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
