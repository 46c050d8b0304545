"""How much the cache takes: it makes room on a full file system, and keeps to a limit; and a mount without programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, world
from tests.hints import cures

FILES: dict[str | bytes, bytes] = {"train.py": b"print('recorded')\n", "run.sh": b"#!/bin/sh\necho ran\n"}
SIZE = 2 << 20


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A runner with the manifests of five commits, each with 2 MiB of its own."""
    with world(tmp_path_factory.mktemp("room"), "file", files=FILES) as made:
        made.register()
        for number in range(5):
            made.checkout.write("weights", os.urandom(SIZE))
            made.checkout.commit(f"weights {number}")
            made.push()
            made.manifest(name=f"{number}.json")
        yield made


@pytest.fixture
def place(hosted: World, tmp_path: Path) -> World:
    hosted.runner.program.env["CODEREPO_CACHE_DIR"] = str(tmp_path / "cache")
    return hosted


def kept(place: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(place.runner.run("cache", "list", "--json").stdout)
    return found


def trees(place: World, *numbers: int) -> list[str]:
    """The trees of some of the manifests."""
    found = (json.loads(place.runner.path(f"{number}.json").read_bytes()) for number in numbers)
    return sorted(each["code"]["snapshot"]["tree"] for each in found)


def run_all(place: World, *numbers: int, env: dict[str, str] | None = None) -> None:
    for number in numbers:
        place.runner.run("exec", "--quiet", f"{number}.json", "--", "true", env=env or {})


@pytest.mark.slow
def test_a_limit_is_kept_whenever_a_tree_comes(place: World) -> None:
    limit = {"CODEREPO_CACHE_LIMIT": "5m"}
    run_all(place, 0, 1, 0, 2, env=limit)
    assert sorted(each["key"] for each in kept(place)) == trees(place, 0, 2), "1 was unused for longest"
    run_all(place, 3, env={"CODEREPO_CACHE_LIMIT": "1"})
    assert [each["key"] for each in kept(place)] == trees(place, 3), "what is in use stays, whatever the limit"
    # What a job wrote is not given up for it.
    (Path(kept(place)[0]["directory"]) / "tree/output").write_bytes(b"o")
    run_all(place, 3, 4, env={"CODEREPO_CACHE_LIMIT": "1"})
    assert sorted(each["kind"] for each in kept(place)) == ["modified", "tree"]
    assert place.runner.run("cache", "prune", env={"CODEREPO_CACHE_LIMIT": "1"}).text.startswith("removed 2 trees")


@pytest.mark.slow
def test_prune_keeps_to_the_limit_where_nothing_else_is_asked_for(place: World) -> None:
    run_all(place, 0, 1)
    assert place.runner.run("cache", "prune").text == "nothing to remove\n"
    assert place.runner.run("cache", "prune", env={"CODEREPO_CACHE_LIMIT": "3m"}).text.startswith("removed 1 tree")
    assert [each["key"] for each in kept(place)] == trees(place, 1)
    assert place.runner.run("cache", "list", env={"CODEREPO_CACHE_LIMIT": "much"}, check=False).status == 129


def mounted(place: World, options: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script where the cache is a file system of its own, which is gone afterwards."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can mount")
    disk = Path(place.runner.program.env["CODEREPO_CACHE_DIR"])
    disk.mkdir()
    mount = f"mount -t tmpfs -o {options} tmpfs '{disk}' || exit 99\n"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount + script],
        cwd=place.runner.home, env=place.runner.program.env, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    return done


@pytest.mark.slow
def test_a_full_file_system_makes_room_by_itself(place: World) -> None:
    done = mounted(
        place,
        "size=5m",
        """
        set -e
        for n in 0 1 0; do git-coderepo exec --quiet $n.json -- true; done
        git-coderepo exec 2.json -- git-coderepo cache list --json
        """,
    )
    assert done.returncode == 0, done.stderr
    assert "the least recently used trees were removed" in done.stderr
    assert sorted(each["key"] for each in json.loads(done.stdout))[0:1] != []
    assert trees(place, 2)[0] in {each["key"] for each in json.loads(done.stdout)}
    assert trees(place, 1)[0] not in {each["key"] for each in json.loads(done.stdout)}


@pytest.mark.slow
def test_without_an_inode_left_it_makes_room_as_well(place: World) -> None:
    done = mounted(
        place,
        "size=50m,nr_inodes=28",
        "set -e; for n in 0 1 2 3; do git-coderepo exec --quiet $n.json -- python3 train.py; done",
    )
    assert (done.returncode, done.stdout) == (0, "recorded\n" * 4), done.stderr


@pytest.mark.slow
@cures(
    "git coderepo cache list shows what the cache takes, git coderepo cache prune removes it",
    "or set CODEREPO_CACHE_DIR to a directory on another file system",
)
def test_where_nothing_can_go_the_hint_names_what_helps(place: World) -> None:
    """What is in use, and what a job wrote, is not removed; a user who says so may."""
    done = mounted(
        place,
        "size=5m",
        """
        exec="git-coderepo exec --quiet"
        $exec 0.json -- $exec "$PWD/1.json" -- $exec "$PWD/2.json" -- true; echo "in use: $?"
        for tree in "$CODEREPO_CACHE_DIR"/*/*/*/tree; do echo out > "$tree/out"; done
        $exec 0.json -- true; echo "modified: $?"
        CODEREPO_CACHE_DIR="$PWD/elsewhere" $exec 3.json -- python3 train.py
        git-coderepo cache list
        git-coderepo cache prune
        $exec 3.json -- python3 train.py
        """,
    )
    assert done.stdout.splitlines()[:2] == ["in use: 125", "modified: 125"], done.stderr
    assert done.stderr.count("fatal: cannot write") == 2
    assert done.stderr.count("there is no space left on the device") == 2
    cure = "hint: git coderepo cache list shows what the cache takes, git coderepo cache prune removes it"
    assert done.stderr.count(cure) == 2
    _, _, elsewhere, listed, *_, last = done.stdout.splitlines()
    assert (elsewhere, last) == ("recorded", "recorded") and "modified" in listed, done.stdout


@pytest.mark.slow
@cures(
    "start its interpreter instead, for example: sh {shell_word(program)}",
    "or put the cache on another file system: export CODEREPO_CACHE_DIR=/path/to/directory",
    "or run in a copy on another file system: git coderepo exec --copy DIR",
)
def test_a_mount_without_programs_is_named(place: World) -> None:
    done = mounted(
        place,
        "size=20m,noexec",
        """
        git-coderepo exec --quiet 0.json -- ./run.sh; echo "status $?"
        git-coderepo exec --quiet 0.json -- sh ./run.sh
        git-coderepo exec --quiet 0.json -- ./train.py; echo "status $?"
        elsewhere=$(mktemp -d)
        git-coderepo exec --quiet --copy "$elsewhere/copy" 0.json -- ./run.sh
        export CODEREPO_CACHE_DIR=$elsewhere/cache
        git-coderepo exec --quiet 0.json -- ./run.sh
        """,
    )
    assert done.stdout.splitlines() == ["status 126", "ran", "status 126", "ran", "ran"]
    assert "error: cannot execute './run.sh': its file system is mounted noexec" in done.stderr
    assert "hint: start its interpreter instead, for example: sh ./run.sh" in done.stderr
    assert "error: command './train.py' is not executable" in done.stderr


@pytest.mark.slow
def test_a_copy_for_root_makes_room_as_well(place: World) -> None:
    """Root without the capability to mount runs in a copy: each run takes the tree twice."""
    if shutil.which("setpriv") is None:
        pytest.skip("only root can drop a capability")
    done = mounted(
        place,
        "size=5m",
        """
        set -e
        git-coderepo exec --quiet 0.json -- true
        setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin -- git-coderepo exec 1.json -- python3 train.py
        """,
    )
    assert (done.returncode, done.stdout) == (0, "recorded\n"), done.stderr
    assert "the least recently used trees were removed" in done.stderr
    assert ", a copy in the cache: " in done.stderr


@pytest.mark.slow
def test_the_cache_of_an_older_release_is_listed_and_pruned(place: World, tmp_path: Path) -> None:
    old = tmp_path / "cache" / f"trees-1-{os.geteuid()}"
    tree = old / "key" / "1" / "tree"
    tree.mkdir(parents=True)
    for folder in (tmp_path / "cache", old):
        folder.chmod(0o700)
    (tree / "weights").write_bytes(os.urandom(SIZE))
    tree.chmod(0o500)
    [found] = place.runner.run("cache", "list", "--json").json()
    assert (found["kind"], found["directory"], found["good"]) == ("old", str(old), False)
    assert found["size"] >= SIZE
    assert (
        f"cache of an older release, 2.0 MiB: {old} (cache prune removes it)" in place.runner.run("cache", "list").text
    )
    assert "nothing to remove" in place.runner.run("cache", "prune", "--older-than", "1d").text
    assert "would remove the cache of an older release" in place.runner.run("cache", "prune", "--dry-run").text
    assert old.is_dir()
    done = place.runner.run("cache", "prune")
    assert done.text == f"removed the cache of an older release, 2.0 MiB: {old}\n"
    assert not old.exists()
    assert place.runner.run("cache", "prune").text == "nothing to remove\n"
