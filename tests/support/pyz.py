"""`git-coderepo.pyz` as `make runner` builds it, once for all who test it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def built(factory: pytest.TempPathFactory) -> Path:
    """The file, built anew in this run of the tests; whichever worker comes first builds it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "the runner's one file"
    folder.mkdir(exist_ok=True)
    path = folder / "git-coderepo.pyz"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            build(path)
    return path


def build(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyz", path], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
