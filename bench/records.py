"""Measure `log` and `show` with 1,000 and with 1,000,000 recorded runs."""

from __future__ import annotations

import calendar
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.measure import Contestant, Timing, in_turns
from bench.repositories import make_repository
from bench.tables import cores
from git_coderepo.snapshots.manifest_document import uuid7

COUNTS = (1_000, 1_000_000)
MONTHS = 24
_COMMITS = 5_000


def records_table(scratch: Path, environment: Mapping[str, str], rounds: int) -> Iterator[str]:
    """Measure `log` and `show` on records of 24 months."""
    yield "| runs | making the index, s | its MB | command | ms | × the same with 1,000 |"
    yield "|---:|---:|---:|---|---:|---:|"
    first: dict[str, Timing] = {}
    for count in COUNTS:
        path = scratch / f"records{count}"
        make_repository(path, 10, environment)
        template = _template(path, environment)
        ids, commit = write_records(path / ".git" / "coderepo" / "runs", template, count)
        started = time.perf_counter()
        _git(path, environment, "coderepo", "log", "--commit", commit, "-n", "20")
        seconds = time.perf_counter() - started
        size = (path / ".git" / "coderepo" / "runs" / "index.sqlite").stat().st_size
        middle = ids[len(ids) // 2]
        commands = {
            "`log -n 20`": ["log", "-n", "20"],
            "`log --commit`": ["log", "--commit", commit],
            "`log --name`, one run": ["log", "--name", f"run {count // 3}"],
            "`show PREFIX`": ["show", middle[:18]],
            "`show @{-1}`": ["show"],
        }
        timings = in_turns(
            [Contestant(name, ["git-coderepo", *words], str(path), environment) for name, words in commands.items()],
            rounds,
        )
        _git(path, environment, "coderepo", "run", "--", "true")
        timings += in_turns(
            [Contestant("`log -n 20`, one run later", ["git-coderepo", "log", "-n", "20"], str(path), environment)],
            rounds,
        )
        for timing in timings:
            reference = first.setdefault(timing.name, timing)
            yield (
                f"| {count:,} | {seconds:.1f} | {size / 1e6:.1f} | {timing.name} | {timing.median * 1000:.0f} "
                f"| {timing.median / reference.median:.2f} |"
            )
        shutil.rmtree(path)
        shutil.rmtree(path.with_suffix(".git"))


def write_records(directory: Path, template: bytes, count: int) -> tuple[list[str], str]:
    """`count` manifests like `template`, spread over the last MONTHS months; (ids in order, a commit).

    Every commit has `count / 5,000` runs, at least one. A process for each core writes them, and nothing is synced.
    """
    chance = random.Random(count)
    present = time.time()
    year, month, *_ = time.gmtime(present)
    commits = [f"{chance.getrandbits(160):040x}" for _ in range(min(_COMMITS, count))]
    months = []
    for at in range(MONTHS):
        number = year * 12 + month - 1 - (MONTHS - 1 - at)
        first, end = count * at // MONTHS, count * (at + 1) // MONTHS
        months.append((directory, (number // 12, number % 12 + 1), first, end, present, template, commits))
    with multiprocessing.get_context("fork").Pool(cores()) as pool:
        ids = [id for month_ids in pool.starmap(_write_month, months) for id in month_ids]
    return ids, commits[0]


def _write_month(
    directory: Path,
    month: tuple[int, int],
    first: int,
    end: int,
    present: float,
    template: bytes,
    commits: Sequence[str],
) -> list[str]:
    """Write the runs of one month, numbered from `first`; return their ids in order."""
    chance = random.Random(first)
    parts = _parts(template)
    start = calendar.timegm((*month, 1, 0, 0, 0))
    last = min(start + 27 * 86400, present - 60)
    place = _made(directory / "{:04}-{:02}".format(*month))
    folder = os.open(place, os.O_RDONLY)
    ids: list[str] = []
    for number in range(first, end):
        now = start + (last - start) * (number - first) / (end - first)
        id = uuid7(now)
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        tree = f"{chance.getrandbits(160):040x}"
        data = parts % (id, created, f"run {number}", commits[number % len(commits)], tree, tree)
        file = os.open(f"{id}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
        os.write(file, data.encode())
        os.close(file)
        ids.append(id)
    os.close(folder)
    os.utime(place, (last, last))
    return ids


def _parts(template: bytes) -> str:
    """Return the manifest as a format string with six fields: id, time, name, commit, tree, and the tree again."""
    document = json.loads(template)
    document["run"].update(id="\0", createdOn="\0", name="\0")
    document["code"]["head"].update(commit="\0")
    document["code"]["snapshot"].update(tree="\0")
    document["code"]["subdirectory"].update(tree="\0")
    text = json.dumps(document, indent=2).replace("%", "%%")
    return text.replace("\\u0000", "%s") + "\n"


def _template(path: Path, environment: Mapping[str, str]) -> bytes:
    return subprocess.run(
        ["git-coderepo", "snapshot"], cwd=path, env=dict(environment), check=True, capture_output=True
    ).stdout


def _git(path: Path, environment: Mapping[str, str], *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=path, env=dict(environment), check=True, capture_output=True)


def _made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path
