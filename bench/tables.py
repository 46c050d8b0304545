"""The tables: what is compared with what."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.measure import Contestant, Timing, in_turns
from bench.repositories import make_dirty, make_repository

STATUS_SIZES = (10, 1_000, 20_000, 100_000)


def status_table(
    scratch: Path, environment: Mapping[str, str], rounds: int, sizes: Sequence[int] = STATUS_SIZES
) -> Iterator[str]:
    """`status`, `snapshot` and the pre-run hook's program beside `git status`, clean and dirty."""
    yield "| files | state | `git status`, ms | `status`, ms | × | `snapshot`, ms | × | `hook pre-run`, ms | × |"
    yield "|---:|---|---:|---:|---:|---:|---:|---:|---:|"
    for size in sizes:
        path = scratch / f"status{size}"
        make_repository(path, size, environment)
        for state in ("clean", "dirty"):
            if state == "dirty":
                make_dirty(path)
            git, status, snapshot, hook = in_turns(
                [
                    Contestant(
                        "git status",
                        ["git", "status", "--porcelain=v2", "--untracked-files=all"],
                        str(path),
                        environment,
                    ),
                    Contestant("status", ["git-coderepo", "status"], str(path), environment),
                    Contestant("snapshot", ["git-coderepo", "snapshot"], str(path), environment),
                    Contestant("hook", ["git-coderepo", "hook", "pre-run"], str(path), environment),
                ],
                rounds,
            )
            yield (
                f"| {size:,} | {state} | {_ms(git)} | {_ms(status)} | {status.ratio_to(git):.2f} "
                f"| {_ms(snapshot)} | {snapshot.ratio_to(git):.2f} | {_ms(hook)} | {hook.ratio_to(git):.2f} |"
            )
        shutil.rmtree(path)
        shutil.rmtree(path.with_suffix(".git"))


def start_table(scratch: Path, environment: Mapping[str, str], rounds: int) -> Iterator[str]:
    """What starting costs before anything is done."""
    python = [sys.executable, "-c", "pass"]
    timings = in_turns(
        [
            Contestant("`python -c pass`", python, str(scratch), environment),
            Contestant("`git --version`", ["git", "--version"], str(scratch), environment),
            Contestant("`git coderepo --version`", ["git-coderepo", "--version"], str(scratch), environment),
        ],
        rounds * 2,
    )
    yield "| command | ms |"
    yield "|---|---:|"
    for timing in timings:
        yield f"| {timing.name} | {_ms(timing)} |"


def _ms(timing: Timing) -> str:
    return f"{timing.median * 1000:.0f}"


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
