"""Releases of real projects, put under git, each dirtied at random twenty times: each time they come back."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.fidelity.packages import unpack_debian_source, unpack_sdist
from tests.fidelity.random_trees import Bench, bench
from tests.support.repo import Repo

ROUNDS = 20
NEW: list[str | bytes] = ["new.py", "a b/\u00e9.txt", b"\xff\xfe", "-rf", "two\nlines", "deep/er/deeper.bin", "x" * 200]


def spoil(repo: Repo, paths: list[bytes], chance: random.Random) -> None:
    """Some edits of each kind, some of them staged, some committed here alone."""
    for path in chance.sample(paths, chance.randint(1, min(40, len(paths)))):
        full = repo.file(path)
        if not os.path.lexists(full):
            continue  # below something that was replaced
        match chance.randrange(8):
            case 0 | 1 if not os.path.islink(full):
                data = bytearray(repo.read(path))
                at = chance.randrange(len(data) + 1)
                data[at : at + chance.randrange(20)] = chance.randbytes(chance.randrange(30))
                repo.write(path, bytes(data))
            case 2:
                repo.remove(path)
            case 3 if not os.path.islink(full):
                os.chmod(full, os.stat(full).st_mode ^ 0o111)
            case 4:
                repo.symlink(path, chance.choice(paths))
            case 5:
                repo.remove(path)
                repo.write(path + b"/inside", chance.randbytes(10))
            case 6:
                os.rename(full, full[:200] + b".moved")
            case _:
                repo.git("add", "--", b":(literal)" + path)
    for name in chance.sample(NEW, chance.randrange(len(NEW))):
        repo.write(name, chance.randbytes(chance.choice((0, 1, 100, 70_000))))
    what = chance.randrange(4)
    if what == 0:
        repo.git("add", "-A")
    elif what == 1:
        repo.commit("only here")
        repo.write(chance.choice(paths) + b".after", b"after the commit\n")


def rounds(made: Bench, source: Path, seed: int) -> int:
    """How many of the rounds gave the same tree; the first one that does not is an AssertionError with its number."""
    made.env["CODEREPO_SECRET_SCAN"] = "false"  # their tests hold keys, and some get another name here
    repo = made.start()
    shutil.copytree(source, repo.path, symlinks=True, dirs_exist_ok=True)
    base = repo.commit("a release")
    repo.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    paths = [path for path in repo.git("ls-files", "-z").split(b"\0") if path]
    same = 0
    for number in range(ROUNDS):
        spoil(repo, paths, random.Random(f"{seed} {number}"))
        try:
            made.check(repo)
        except AssertionError as error:
            raise AssertionError(f"round {number} of seed {seed}: {error}") from error
        same += 1
        repo.git("reset", "--quiet", "--hard", base)
        repo.git("clean", "-ffdxq")
    return same


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("project", ["thousands of files", "links and executables", "names that are not ASCII"])
def test_twenty_times_dirty(tmp_path: Path, project: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    match project:
        case "thousands of files":
            unpack_sdist("mercurial", source, tmp_path)
        case "links and executables":
            unpack_debian_source("systemd", source, tmp_path)
        case _:
            unpack_sdist("meson-python", source, tmp_path)
    found = [path for path in source.rglob("*") if path.is_symlink() or path.is_file()]
    if project == "thousands of files":
        assert len(found) > 2000
    elif project == "links and executables":
        assert any(path.is_symlink() for path in found)
        assert any(os.access(path, os.X_OK) for path in found if not path.is_symlink())
    else:
        assert any(not str(path).isascii() for path in found)
    with bench() as made:
        assert rounds(made, source, seed=20261125) == ROUNDS
