"""Measure hooks: at a commit, compared with other tools; pre-run, compared with Python's start and git status."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.measure import Contestant, Timing, in_turns
from bench.repositories import make_dirty, make_repository

SIZES = (10, 1_000, 20_000, 100_000)
UNTRACKED, CHANGED, LARGE = 5_000, 4, 20_000_000  # 5,000 untracked files, and four binaries of 20 MB that changed


def commit_table(scratch: Path, environment: Mapping[str, str], rounds: int) -> Iterator[str]:
    """Measure `git commit --allow-empty` without hooks, with an empty hook, with ours and with those of other tools."""
    ways: dict[str, Callable[[Path], bool]] = {
        "no hooks": lambda path: True,
        "a post-commit of `sh` that does nothing": _noop,
        "git coderepo's (`hooks install`)": lambda path: _installed(
            path, environment, "git-coderepo", "hooks", "install"
        ),
        "pre-commit's (`pre-commit install`, no checks)": lambda path: _pre_commit(path, environment),
        "git-lfs's (`git lfs install --local`)": lambda path: _installed(
            path, environment, "git-lfs", "install", "--local"
        ),
    }
    contestants = []
    missing = []
    for number, (name, install) in enumerate(ways.items()):
        path = scratch / f"commit{number}"
        make_repository(path, 10, environment)
        if install(path):
            command = ["git", "commit", "--quiet", "--allow-empty", "--message", "x"]
            contestants.append(Contestant(name, command, str(path), environment))
        else:
            missing.append(name)
    timings = in_turns(contestants, rounds * 2)
    none, noop = timings[:2]
    yield "| hooks | `git commit --allow-empty`, ms | × none | ms over the one that does nothing |"
    yield "|---|---:|---:|---:|"
    for timing in timings:
        over = "" if timing in (none, noop) else f"{timing.over(noop) * 1000:+.1f}"
        yield f"| {timing.name} | {timing.median * 1000:.1f} | {timing.ratio_to(none):.2f} | {over} |"
    for name in missing:
        yield f"| {name} | not installed | | |"


def _ours(path: Path, environment: Mapping[str, str]) -> bool:
    return _installed(path, environment, "git-coderepo", "hooks", "install")


def _noop(path: Path) -> bool:
    hook = path / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n:\n", encoding="utf-8")
    hook.chmod(0o755)
    return True


def _pre_commit(path: Path, environment: Mapping[str, str]) -> bool:
    (path / ".pre-commit-config.yaml").write_text("repos: []\n", encoding="utf-8")
    subprocess.run(["git", "add", "-A"], cwd=path, env=dict(environment), check=True)
    subprocess.run(["git", "commit", "-qm", "x"], cwd=path, env=dict(environment), check=True)
    return _installed(path, environment, "pre-commit", "install")


def _installed(path: Path, environment: Mapping[str, str], *command: str) -> bool:
    """Install the hooks of a tool; return whether the tool is available."""
    if shutil.which(command[0], path=environment["PATH"]) is None:
        return False
    subprocess.run(command, cwd=path, env=dict(environment), check=True, capture_output=True)
    return True


def pre_run_table(scratch: Path, environment: Mapping[str, str], rounds: int) -> Iterator[str]:
    """Measure `git hook run pre-run`, compared with `python -c pass` and `git status` in the same round."""
    yield ("| files | state | `python -c pass`, ms | `git status`, ms | pre-run, ms | × (python + status) | × status |")
    yield "|---:|---|---:|---:|---:|---:|---:|"
    for size in SIZES:
        path = scratch / f"prerun{size}"
        make_repository(path, size, environment)
        _ours(path, environment)
        yield from _rows(path, f"{size:,}", {"clean": _keep}, environment, rounds)
        make_dirty(path)
        states: dict[str, Callable[[Path], None]] = {"ten small changes, first": _forget, "the same, again": _keep}
        yield from _rows(path, f"{size:,}", states, environment, rounds)
        _remove(path)
    path = scratch / "prerun-large"
    make_repository(path, 1_000, environment)
    _large(path, environment)
    _ours(path, environment)
    words = f"{UNTRACKED:,} untracked, {CHANGED * LARGE // 1_000_000} MB of binaries changed"
    states = {f"{words}, first": _forget, "the same, again": _keep}
    yield from _rows(path, "1,000", states, environment, rounds)
    _remove(path)


def _rows(
    path: Path, size: str, states: Mapping[str, Callable[[Path], None]], environment: Mapping[str, str], rounds: int
) -> Iterator[str]:
    status = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all"]
    where = str(path)
    contestants = [
        Contestant("python", [sys.executable, "-c", "pass"], where, environment),
        Contestant("status", status, where, environment),
        *(
            Contestant(name, _launch(environment), where, environment, before=lambda act=act: act(path))  # type: ignore[misc]
            for name, act in states.items()
        ),
    ]
    python, status_timing, *timings = in_turns(contestants, rounds)
    for timing in timings:
        yield (
            f"| {size} | {timing.name} | {_ms(python)} | {_ms(status_timing)} | {_ms(timing)} "
            f"| {timing.ratio_to(python, status_timing):.2f} | {timing.ratio_to(status_timing):.2f} |"
        )


def _launch(environment: Mapping[str, str]) -> list[str]:
    """Return the command that `hooks status` shows."""
    from git_coderepo.git.process import Git, version
    from git_coderepo.hooks.install import launch

    return list(launch(version(Git(environment=environment))[0]))


def _keep(path: Path) -> None:
    """Do nothing: files of earlier runs are kept."""


def _forget(path: Path) -> None:
    """Remove all recorded runs."""
    shutil.rmtree(path / ".git" / "coderepo", ignore_errors=True)


def _large(path: Path, environment: Mapping[str, str]) -> None:
    for number in range(CHANGED):
        (path / f"weights{number}.bin").write_bytes(b"before")
    subprocess.run(["git", "add", "-A"], cwd=path, env=dict(environment), check=True)
    subprocess.run(["git", "commit", "-qm", "weights"], cwd=path, env=dict(environment), check=True)
    subprocess.run(["git", "push", "-q", "origin", "HEAD"], cwd=path, env=dict(environment), check=True)
    for number in range(CHANGED):
        (path / f"weights{number}.bin").write_bytes(os.urandom(LARGE))
    for number in range(UNTRACKED):
        folder = path / "outputs" / f"step {number // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"metric{number}.txt").write_text(f"loss {number}\n" * 20, encoding="utf-8")
    # Recently changed files are hashed again; outputs of a training are older.
    for file in [*path.glob("*.bin"), *path.glob("outputs/*/*")]:
        os.utime(file, ns=(1_700_000_000_123_456_789,) * 2)
    subprocess.run(["git", "update-index", "-q", "--refresh"], cwd=path, env=dict(environment), check=False)


def _remove(path: Path) -> None:
    shutil.rmtree(path)
    shutil.rmtree(path.with_suffix(".git"))


def _ms(timing: Timing) -> str:
    return f"{timing.median * 1000:.0f}"
