"""Git LFS: the tree holds pointers, the contents are kept elsewhere.

What comes is judged twice: with pointers in the place of contents it is the tree, and each file has the contents.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.support import World
from tests.fidelity.case import Stage, Wanted, case
from tests.forge import RewrittenTar
from tests.forge.archives import with_lfs_contents
from tests.forge.lfs import object_path, pointer, put
from tests.support.repo import Repo

GROUP = "Git LFS"
ATTRIBUTES = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"
WEIGHTS = bytes(range(256)) * 300
ODD = b"odd name\n" * 5000
PUSHED = {b"data/weights.bin": WEIGHTS, b"data/the same.bin": WEIGHTS, b"-odd \xe9\n.bin": ODD}
EDITED, NEW = b"edited " * 5000, b"new " * 5000


def with_lfs(stage: Stage) -> World:
    """Pointers that are pushed, and their contents on the LFS server of the platform."""
    pointers = {path: pointer(contents) for path, contents in PUSHED.items()}
    place = stage.world(files={".gitattributes": ATTRIBUTES, "train.py": b"lr = 0.1\n", **pointers})
    for contents in (WEIGHTS, ODD):
        put(place.repository, contents)
    return place


def checked_out(place: World) -> Repo:
    """A checkout that git-lfs itself made: its files hold the contents."""
    place.checkout.git("lfs", "install", "--skip-repo")
    repo = place.clone("with contents")
    assert repo.read("data/weights.bin") == WEIGHTS
    return repo


def recorded(place: World, repo: Repo, contents: Mapping[bytes, bytes], **options: Any) -> Wanted:
    """What git says of the checkout is the tree; the runner's files have these `contents`, else what the tree has."""
    tree = repo.tree()
    laid_out = Repo(place.scratch.home / "laid out", place.scratch.env)
    for folder, folders, names in os.walk(os.fsencode(repo.path)):
        folders[:] = [name for name in folders if name != b".git"]
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), os.fsencode(repo.path))
            laid_out.write(path, contents.get(path, repo.read(path)))
    files = place.scratch.tree(laid_out.path)

    def contents_and_pointers(code: Path) -> None:
        for path, expected in contents.items():
            with open(os.path.join(os.fsencode(code), path), "rb") as file:
                found = hashlib.sha256(file.read()).hexdigest()
            assert found == hashlib.sha256(expected).hexdigest(), path
        copy = Repo(code.with_name("pointers again"), place.runner.env)
        shutil.copytree(code, copy.path, symlinks=True)
        for path, expected in contents.items():
            copy.write(path, pointer(expected))
        assert place.runner.tree(copy.path.name) == tree

    return Wanted(place, repo, tree, files, got=contents_and_pointers, **options)


@case(GROUP, "contents on the server", needs="git-lfs")
def on_the_server(stage: Stage) -> Wanted:
    place = with_lfs(stage)
    wanted = recorded(place, checked_out(place), PUSHED)
    wanted.recorded = _nothing_travels
    return wanted


def _nothing_travels(document: Any) -> None:
    assert (document["code"]["overlay"], document["code"]["lfs"], document["code"]["dirty"]) == (None, None, False)


@case(GROUP, "contents on the server, pointers in the checkout")
def pointers_here(stage: Stage) -> Wanted:
    """A clone where git-lfs was not installed, or told to leave them."""
    place = with_lfs(stage)
    assert place.checkout.read("data/weights.bin") == pointer(WEIGHTS)
    wanted = recorded(place, place.checkout, PUSHED)
    wanted.recorded = _nothing_travels
    return wanted


@case(GROUP, "a changed file, its contents here alone", needs="git-lfs")
def changed(stage: Stage) -> Wanted:
    """One is edited, one new, one a copy of what the server has, and one edit is committed, and not pushed."""
    place = with_lfs(stage)
    repo = checked_out(place)
    repo.write(b"-odd \xe9\n.bin", EDITED * 2)
    repo.commit("never pushed")
    repo.write("data/weights.bin", EDITED)
    repo.write("new ones/-x\n.bin", NEW)
    repo.write("data/copy.bin", ODD)
    repo.git("add", "data/copy.bin")
    contents = {
        **PUSHED,
        b"-odd \xe9\n.bin": EDITED * 2,
        b"data/weights.bin": EDITED,
        b"new ones/-x\n.bin": NEW,
        b"data/copy.bin": ODD,
    }
    return recorded(place, repo, contents)


@case(GROUP, "--no-lfs")
def no_lfs(stage: Stage) -> Wanted:
    """Pointers are left as they are: the files are the tree to the byte."""
    place = with_lfs(stage)
    place.checkout.write("train.py", "lr = 0.2\n")

    def nothing_was_asked(code: Path) -> None:
        assert (code / "data/weights.bin").read_bytes() == pointer(WEIGHTS)
        assert place.forge.lfs.asked == []

    return Wanted(place, place.checkout, fetch=("--no-lfs",), got=nothing_was_asked)


@case(GROUP, "an archive that holds the contents")
def archive_with_contents(stage: Stage) -> Wanted:
    """GitLab's do, and GitHub's where it is set so; `git` has no archive, and sends pointers as ever."""
    place = with_lfs(stage)
    place.checkout.write("train.py", "lr = 0.2\n")
    archived = place.platform != "git"
    if archived:
        given = {pointer(contents): contents for contents in PUSHED.values()}
        place.forge.misbehave("archive", RewrittenTar(lambda tar: with_lfs_contents(tar, given)), times=None)
    wanted = recorded(place, place.checkout, PUSHED)
    judge = wanted.got
    assert judge is not None

    def from_the_archive(code: Path) -> None:
        judge(code)
        assert bool(place.forge.lfs.asked) != archived, "contents that are here are not asked for again"

    wanted.got = from_the_archive
    return wanted


@case(GROUP, "a missing object: neither here nor pushed")
def missing(stage: Stage) -> Wanted:
    """A pointer is all that is known of it."""
    place = with_lfs(stage)
    place.checkout.write("data/lost \xe9.bin", pointer(NEW))
    return Wanted(place, place.checkout, refused=lambda _: None)


@case(GROUP, "a missing object: removed from the server, here (--check)", needs="git-lfs")
def removed_and_here(stage: Stage) -> Wanted:
    """It travels, as what was never pushed."""
    place = with_lfs(stage)
    repo = checked_out(place)
    _object(place, WEIGHTS).unlink()
    return recorded(place, repo, PUSHED, arguments=("--check",))


@case(GROUP, "a missing object: removed from the server, not here (--check)")
def removed(stage: Stage) -> Wanted:
    place = with_lfs(stage)
    _object(place, WEIGHTS).unlink()
    return Wanted(place, place.checkout, arguments=("--check",), refused=lambda _: None)


@case(GROUP, "a locked-out object (--check)")
def locked_out(stage: Stage) -> Wanted:
    place = with_lfs(stage)
    place.forge.lfs.refused[_object(place, ODD).name] = (403, "under legal hold")
    return Wanted(place, place.checkout, arguments=("--check",), refused=lambda _: None)


def _object(place: World, contents: bytes) -> Path:
    return object_path(place.repository, hashlib.sha256(contents).hexdigest())


@case(GROUP, "git-lfs is not set up here")
def not_set_up(stage: Stage) -> Wanted:
    """As `git add` then does, the snapshot takes the contents themselves into the tree, and says so."""
    place = with_lfs(stage)
    repo = place.checkout
    repo.write("data/weights.bin", EDITED)
    repo.write("new.bin", NEW)
    expected = repo.tree()
    unchanged = {path: contents for path, contents in PUSHED.items() if path != b"data/weights.bin"}
    said = place.user.run("status", cwd=repo.path).errors
    assert "warning: Git LFS is configured for 'data/weights.bin' and 1 more, but git-lfs is not set up here" in said, (
        said
    )
    wanted = recorded(place, repo, unchanged)
    judge = wanted.got
    assert judge is not None and wanted.tree == expected

    def to_the_byte(code: Path) -> None:
        judge(code)
        assert (code / "data/weights.bin").read_bytes() == EDITED and (code / "new.bin").read_bytes() == NEW

    wanted.got = to_the_byte
    return wanted


@case(GROUP, "git-lfs is set up, and its program is missing")
def program_missing(stage: Stage) -> Wanted:
    place = stage.world(files={".gitattributes": ATTRIBUTES})
    for name, value in (("clean", "no-such-git-lfs clean -- %f"), ("required", "true")):
        place.checkout.git("config", f"filter.lfs.{name}", value)
    place.checkout.write("new \n-x.bin", NEW)
    return Wanted(place, place.checkout, refused=lambda _: None)


@case(GROUP, "attributes of Git LFS, no pointer")
def no_pointer(stage: Stage) -> Wanted:
    """Files that were never given to it: what the tree holds is what they are."""
    place = stage.world(files={".gitattributes": ATTRIBUTES, "weights.bin": bytes(range(256)) * 8})
    place.checkout.write("more.bin", b"\0" * 3000)
    return Wanted(place, place.checkout)
