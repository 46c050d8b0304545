"""A snapshot holds files as they were together: whatever changes while it is taken, it is taken again or refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_coderepo.errors import ChangedMeanwhile
from tests.support.program import Program
from tests.support.repo import Repo
from tests.test_reuse import check, settle, snapshot

# A clean filter that changes another file while git reads this one: `$1` is how often.
_FILTER = """#!/bin/sh
count=$(cat '{scratch}/count' 2>/dev/null || echo 0)
if [ "$count" -lt {times} ]; then
    echo $((count + 1)) >'{scratch}/count'
    {act}
fi
exec cat
"""
ACTS = {
    "contents": "printf '%s, of another size' $count >>'{other}'",
    "same size and mtime": "cp -p '{other}' '{scratch}/times'; printf '5%02d' $count >'{other}';"
    " touch -r '{scratch}/times' '{other}'",
    "mode": "chmod +x '{other}'",
    "gone": "rm -f '{other}'",
    "another inode": "printf '5%02d' $count >'{scratch}/new'; mv '{scratch}/new' '{other}'",
    "a link": "ln -sf nowhere '{other}'",
}


@pytest.fixture
def pair(repo: Repo, tmp_path: Path) -> Repo:
    """Two tracked files that are edited and two new ones, the second of each behind a filter."""
    for name in ("t a", "t b"):
        repo.write(name, "000")
    repo.write(".gitattributes", "?\\ b filter=meddling\n".replace("?\\ b", "*b"))
    repo.commit()
    for name in ("t a", "t b", "u a", "u b"):
        repo.write(name, "111")
    settle(repo)
    return repo


def meddle(repo: Repo, scratch: Path, other: str, act: str, times: int) -> None:
    names = {"scratch": scratch, "other": os.fsdecode(repo.file(other)), "times": times}
    script = scratch / "meddling"
    script.write_text(_FILTER.format(act=ACTS[act].format(**names), **names))
    script.chmod(0o755)
    repo.git("config", "filter.meddling.clean", f"'{script}'")


@pytest.mark.parametrize("other", ["t a", "u a"])
@pytest.mark.parametrize("act", ACTS)
def test_a_file_that_changes_while_another_is_read_is_taken_again(
    pair: Repo, tmp_path: Path, other: str, act: str
) -> None:
    meddle(pair, tmp_path, other, act, 2)
    taken = snapshot(pair)
    assert (tmp_path / "count").read_text() == "2\n"
    assert taken.tree is not None and taken.tree.hex == pair.tree()


@pytest.mark.parametrize("road", ["usual", "scope", "marked"])
def test_on_every_road_to_the_tree(pair: Repo, tmp_path: Path, road: str) -> None:
    if road == "scope":
        pair.git("config", "--add", "coderepo.scope", "t a")
        pair.git("config", "--add", "coderepo.scope", "t b")
    elif road == "marked":
        pair.git("update-index", "--assume-unchanged", "t a")
    meddle(pair, tmp_path, "t a", "same size and mtime", 2)
    taken = snapshot(pair)
    assert taken.tree is not None
    blob = taken.git_with_store.run("cat-file", "blob", f"{taken.tree.hex}:t a")
    assert blob == Path(os.fsdecode(pair.file("t a"))).read_bytes()


@pytest.mark.slow
def test_what_never_stops_changing_is_named_and_nothing_is_recorded(
    pair: Repo, tmp_path: Path, program: Program
) -> None:
    meddle(pair, tmp_path, "t a", "contents", 1_000_000)
    with pytest.raises(ChangedMeanwhile, match="'t a'"):
        snapshot(pair)
    done = program.run("hook", "pre-run", cwd=pair.path, check=False)
    assert done.status == 1
    assert "fatal: a file changed while it was read: 't a'" in done.errors
    assert not (pair.git_dir() / "coderepo" / "current.json").exists()
    pair.write(".gitattributes", "")  # nothing writes any more
    check(pair)


_WRITER = """
import mmap, os, sys, time
files = [open(name, "r+b") for name in sys.argv[2:]]
maps = [mmap.mmap(file.fileno(), 0) for file in files]
number = 0
while True:
    number += 1
    text = b"%08d" % number
    for file, mapping in zip(files, maps):
        if sys.argv[1] == "mapped":
            mapping[:8] = text
        else:
            os.pwrite(file.fileno(), text, 0)
    time.sleep(0.02)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["mapped", "written"])
@pytest.mark.parametrize("clean_at_first", [False, True], ids=["both dirty", "both clean at first"])
def test_two_files_that_are_written_one_after_the_other(repo: Repo, way: str, clean_at_first: bool) -> None:
    """The first may be one ahead of the second and never anything else."""
    names = ["a", "b"]
    for name in names:
        repo.write(name, "00000000")
    if clean_at_first:
        repo.commit()
    paths = [os.fsdecode(repo.file(name)) for name in names]
    seen = refused = 0
    for _ in range(6):
        if clean_at_first:
            repo.git("checkout", "-f", "--", ".")
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, way, *paths])
        try:
            for _ in range(8):
                try:
                    taken = snapshot(repo)
                except ChangedMeanwhile:
                    refused += 1
                    continue
                assert taken.tree is not None
                first, second = (
                    int(taken.git_with_store.run("cat-file", "blob", f"{taken.tree.hex}:{name}")) for name in names
                )
                assert first - second in (0, 1), (first, second)
                seen += 1
        finally:
            writer.kill()
            writer.wait()
    assert seen > 0
