"""Create repositories of a given size, with files that look like code."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

_WORDS = (
    "alpha", "batch", "chunk", "delta", "epoch", "fetch", "graph", "hash", "index", "join", "key", "layer", "mask",
    "node", "optimizer", "path", "query",
)  # fmt: skip


def make_repository(path: Path, files: int, environment: Mapping[str, str], *, size: int = 2_000) -> None:
    """Commit `files` files of about `size` bytes each, and create a bare clone as the remote `origin`."""
    chance = random.Random(files)
    path.mkdir(parents=True)
    _git(path, environment, "init", "--quiet")
    for number in range(files):
        folder = path / f"package{number // 1000}" / f"module{number // 50 % 20}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}.py").write_text(_text(chance, size), encoding="utf-8")
    _git(path, environment, "add", "--all")
    _git(path, environment, "commit", "--quiet", "--message", "all of it")
    bare = path.with_suffix(".git")
    _git(path.parent, environment, "clone", "--quiet", "--bare", str(path), str(bare))
    _git(path, environment, "remote", "add", "origin", f"file://{bare}")
    _git(path, environment, "fetch", "--quiet", "origin")
    # `git status` reads files again that are as new as the index, so wait until they are older.
    for file in path.glob("package*/module*/*"):
        os.utime(file, (1_700_000_000, 1_700_000_000))
    _git(path, environment, "update-index", "--refresh")


def make_large_repository(path: Path, size: int, environment: Mapping[str, str]) -> None:
    """Write a file of `size` bytes: a repeated random KiB, which gzip compresses quickly to a hundredth."""
    make_repository(path, 1, environment)
    block = random.Random(size).randbytes(1024) * 1024
    with open(path / "large.bin", "wb") as file:
        for at in range(0, size, len(block)):
            file.write(block[: size - at])
    _git(path, environment, "add", "--all")
    _git(path, environment, "commit", "--quiet", "--message", "a large file")
    _git(path, environment, "push", "--quiet", "origin", "HEAD")


def make_dirty(path: Path) -> None:
    """Make ten small changes: five edits, three new files, a deletion and a mode."""
    files = sorted(path.glob("package*/module*/file*.py"))
    for file in files[:5]:
        file.write_text(file.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    for number in range(3):
        (path / f"new {number}.txt").write_text("untracked\n", encoding="utf-8")
    files[6].unlink()
    files[7].chmod(0o755)


def _text(chance: random.Random, size: int) -> str:
    lines = []
    length = 0
    while length < size:
        line = f"{chance.choice(_WORDS)}_{chance.randrange(10_000)} = {chance.choice(_WORDS)}({chance.random():.12f})\n"
        lines.append(line)
        length += len(line)
    return "".join(lines)


def _git(path: Path, environment: Mapping[str, str], *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=path, env=dict(environment), check=True, capture_output=True)
