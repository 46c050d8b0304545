"""The tables of the snapshot benchmarks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.measure import Contestant, Timing, in_turns
from bench.repositories import make_dirty, make_repository

STATUS_SIZES = (10, 1_000, 20_000, 100_000)
LARGE_BYTES, LARGE_COUNTS = 80_000_000, (4, 1)


def large_binary_table(scratch: Path, environment: Mapping[str, str], rounds: int) -> Iterator[str]:
    """Compare a snapshot of 80 MB of random bytes, including its overlay, with `git add -A` into a separate store."""
    yield "| changed files | way | s | × `git add -A` | peak, MiB |"
    yield "|---|---|---:|---:|---:|"
    for count in LARGE_COUNTS:
        path = scratch / f"binaries{count}"
        make_repository(path, 10, environment)
        for number in range(count):
            (path / f"weights{number}.bin").write_bytes(os.urandom(LARGE_BYTES // count))
        git = path / ".git"
        apart = {"GIT_INDEX_FILE": str(scratch / "index"), "GIT_OBJECT_DIRECTORY": str(scratch / "objects")}
        apart["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(git / "objects")

        def forget(git: Path = git) -> None:
            shutil.rmtree(git / "coderepo", ignore_errors=True)
            shutil.rmtree(scratch / "objects", ignore_errors=True)
            (scratch / "objects").mkdir()
            shutil.copy2(git / "index", scratch / "index")

        snapshot = ["git-coderepo", "snapshot", "-o", str(scratch / "run.json")]
        contestants = [
            Contestant("`git add -A`", ["git", "add", "-A"], str(path), {**environment, **apart}, before=forget),
            Contestant("`git coderepo snapshot -o`", snapshot, str(path), environment, before=forget),
            Contestant("the same, again", snapshot, str(path), environment),
        ]
        add, *others = in_turns(contestants, rounds)
        for timing in (add, *others):
            yield (
                f"| {count} of {LARGE_BYTES // count // 1_000_000} MB | {timing.name} | {timing.median:.2f} "
                f"| {timing.ratio_to(add):.2f} | {timing.peak:.0f} |"
            )
        shutil.rmtree(path)


def status_table(
    scratch: Path, environment: Mapping[str, str], rounds: int, sizes: Sequence[int] = STATUS_SIZES
) -> Iterator[str]:
    """Compare `status`, `snapshot` and the program of the pre-run hook with `git status`, clean and dirty."""
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


def _ms(timing: Timing) -> str:
    return f"{timing.median * 1000:.0f}"


def cores() -> int:
    """Return the number of cores that this process can use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
