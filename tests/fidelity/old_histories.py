"""Old histories: tree objects that git would write otherwise today, and checks out all the same."""

from __future__ import annotations

from collections.abc import Callable

from tests.fidelity.case import Stage, Wanted, case
from tests.support.old_trees import commit_old, group_writable, padded
from tests.support.repo import Repo

GROUP = "Old histories"
FILES = {
    "train.py": b"lr = 0.1\n",
    "lib/model.py": b"layers = 2\n",
    "lib/deep er/x/run.sh": b"#!/bin/sh\n",
    b"lib/deep er/caf\xe9": b"not UTF-8\n",
    "other/data.bin": bytes(range(256)),
}


def old(stage: Stage, path: str, how: Callable[[Repo, str], str], *, edit: bool = False) -> Wanted:
    place = stage.world(files=FILES)
    repo = place.checkout
    commit_old(repo, path, how)
    place.push()
    repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
    if edit:
        repo.write("other/data.bin", b"edited")
        repo.git("add", "other/data.bin")  # of a directory that is as it was git keeps the tree object
        return Wanted(place, repo, repo.line("write-tree"), files=today(repo))
    return Wanted(place, repo, repo.line("rev-parse", "HEAD^{tree}"), files=today(repo))


def today(repo: Repo) -> str:
    """What git makes today of the files on the disk."""
    scratch = Repo.init(repo.path.with_name("today"), repo.env)
    for path in repo.git("ls-files", "-z").split(b"\0")[:-1]:
        scratch.write(path, repo.read(path), 0o755 if path.endswith(b".sh") else None)
    scratch.git("add", "--all")
    return scratch.line("write-tree")


@case(GROUP, "zero-padded modes in the root")
def padded_root(stage: Stage) -> Wanted:
    return old(stage, "", padded)


@case(GROUP, "zero-padded modes in a nested directory")
def padded_directory(stage: Stage) -> Wanted:
    return old(stage, "lib/deep er", padded)


@case(GROUP, "zero-padded modes in a directory that nobody changed, an edit elsewhere")
def padded_and_edited(stage: Stage) -> Wanted:
    return old(stage, "lib/deep er", padded, edit=True)


@case(GROUP, "files with the mode 100664")
def modes_of_another_time(stage: Stage) -> Wanted:
    return old(stage, "lib", group_writable)
