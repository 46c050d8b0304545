"""An earlier job of the same user changed a tree in the cache: it is found at the next use, whatever was changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from git_coderepo.git.objects import blob_id
from tests.e2e.support import World, load, problems, remove, until, world
from tests.forge.lfs import pointer, put
from tests.support.repo import Repo

WEIGHTS = b"weights" * 9000
FILES: dict[str | bytes, bytes] = {
    ".gitattributes": b"*.bat eol=crlf\n*.id.py ident\n*.u16 working-tree-encoding=UTF-16LE\n*.bin filter=lfs -text\n",
    "train.py": b"import helper\nprint(helper.NAME)\n",
    "helper.py": b"NAME = 'recorded'\n",
    "version.id.py": b"VERSION = '$Id$'\n",
    "start.bat": b"echo 1\n",
    "text.u16": "caf\u00e9\n".encode("utf-16-le"),
    "weights.bin": pointer(WEIGHTS),
    "raw in spite of it.bin": b"not in LFS\n",
    "tool.sh": b"#!/bin/sh\n",
    b"-odd \xff\nname": b"odd",
    "pkg/__init__.py": b"",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("poisoned"), "file", files=FILES) as made:
        put(made.repository, WEIGHTS)
        os.symlink("helper.py", made.checkout.path / "link.py")
        library = Repo.init(made.root / "library", made.scratch.env)
        library.write("lib.py", "x = 1\n")
        library.commit("library")
        for name in ("lib", "absent"):
            add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{library.path}", name)
            made.checkout.git(*add)
        made.checkout.commit("with submodules")
        made.push()
        made.checkout.git("submodule", "--quiet", "deinit", "--force", "absent")
        made.register()
        made.manifest()
        yield made


@pytest.fixture
def tree(place: World, tmp_path: Path) -> Path:
    """The tree in the cache, of which a job has left everything as it was."""
    place.runner.program.env["CODEREPO_CACHE_DIR"] = str(tmp_path / "cache")
    place.runner.run("exec", "--receipt", "first.json", "run.json", "--", "true")
    return Path(kept(place, "tree")[0]["directory"]) / "tree"


def kept(place: World, kind: str) -> list[dict[str, Any]]:
    found = json.loads(place.runner.run("cache", "list", "--json").stdout)
    return [each for each in found if each["kind"] == kind]


def overwrite(path: Path, contents: bytes) -> None:
    """As somebody who hides it: mode, size and times stay."""
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(contents)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 40 << 30)


def no_listing(tree: Path) -> None:
    overwrite(tree / "helper.py", b"NAME = 'forged__'\n")
    (tree.parent / "listing").unlink()


def linked_folder(tree: Path) -> None:
    shutil.copytree(tree / "pkg", tree.parent / "pkg")
    shutil.rmtree(tree / "pkg")
    (tree / "pkg").symlink_to(tree.parent / "pkg")


def bytecode(tree: Path) -> None:
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__/helper.cpython-311.pyc").touch()


def large_output(tree: Path) -> None:
    (tree / "outputs").mkdir()
    sparse(tree / "outputs/model.pt")


def forged_listing(tree: Path) -> None:
    """The file is another one, and what lies beside the tree says that it was always so."""
    overwrite(tree / "helper.py", b"NAME = 'forged__'\n")
    listing = tree.parent / "listing"
    contents = (FILES["helper.py"], b"NAME = 'forged__'\n")
    recorded, forged = (blob_id(each, "sha1").hex().encode() for each in contents)
    before = listing.read_bytes()
    assert recorded in before
    listing.write_bytes(before.replace(recorded, forged))


ATTACKS: dict[str, Callable[[Path], object]] = {
    "a file with the same size and times": lambda tree: overwrite(tree / "helper.py", b"NAME = 'forged__'\n"),
    "a file and the listing": forged_listing,
    "no listing": no_listing,
    "a file is gone": lambda tree: (tree / "pkg/__init__.py").unlink(),
    "an executable bit": lambda tree: (tree / "train.py").chmod(0o755),
    "a link that leads elsewhere": lambda tree: replaced(tree / "link.py", lambda path: path.symlink_to("/etc/passwd")),
    "a file that is a pipe": lambda tree: replaced(tree / "helper.py", os.mkfifo),
    "a file that is a directory": lambda tree: replaced(tree / "helper.py", Path.mkdir),
    "a file without an end": lambda tree: replaced(tree / "helper.py", sparse),
    "a folder that is a link": linked_folder,
    "a file of a submodule": lambda tree: overwrite(tree / "lib/lib.py", b"x = 2\n"),
    "what Git LFS keeps": lambda tree: overwrite(tree / "weights.bin", WEIGHTS[::-1]),
    "a pointer for its file": lambda tree: overwrite(tree / "weights.bin", pointer(WEIGHTS)),
    "code between the dollars of an ident": lambda tree: overwrite(
        tree / "version.id.py", b"VERSION = '$Id: ' + print('forged') or '$'\n"
    ),
    "the ends of lines": lambda tree: overwrite(tree / "start.bat", b"echo 1\n"),
    "the encoding": lambda tree: overwrite(tree / "text.u16", "caf\u00e9\n".encode()),
    "the attributes": lambda tree: overwrite(tree / ".gitattributes", b"*.py ident\n"),
    "an odd name": lambda tree: overwrite(Path(os.fsdecode(os.fsencode(tree) + b"/-odd \xff\nname")), b"edd"),
}  # fmt: skip

ADDED: dict[str, Callable[[Path], object]] = {
    "a module": lambda tree: (tree / "json.py").touch(),
    "bytecode": bytecode,
    "a pipe": lambda tree: os.mkfifo(tree / "pipe"),
    "a large output": large_output,
    "something in an absent submodule": lambda tree: (tree / "absent/setup.py").touch(),
    "something in a submodule": lambda tree: (tree / "lib/os.py").touch(),
}


def slow(name: str) -> ParameterSet:
    return pytest.param(name, marks=pytest.mark.slow)


def proved(place: World, tree: Path) -> None:
    """`exec` and `fetch` have the recorded tree, and the one that was changed is kept and never served."""
    shown = place.runner.run("exec", "--receipt", "second.json", "run.json", "--", "python3", "train.py")
    assert shown.text == "recorded\n"
    assert "was modified" in shown.errors
    second = load(place.runner.path("second.json"))
    assert (second["cacheHit"], second["verified"]) == (False, True)
    assert second["proof"]["hashed"] == "download"
    [aside] = kept(place, "modified")
    assert os.path.basename(aside["directory"]) == f"modified-{tree.parent.name}"


FIRST = ("a file and the listing", "a file that is a pipe", "a pointer for its file", "a module")


@pytest.mark.slow
@pytest.mark.parametrize("attack", [name if name in FIRST else slow(name) for name in (*ATTACKS, *ADDED)])
def test_exec_does_not_run_in_a_tree_that_was_changed(place: World, tree: Path, attack: str) -> None:
    {**ATTACKS, **ADDED}[attack](tree)
    proved(place, tree)


@pytest.mark.slow
@pytest.mark.parametrize("attack", [name if name in FIRST else slow(name) for name in ATTACKS])
def test_fetch_copies_nothing_that_was_changed(place: World, tree: Path, attack: str) -> None:
    ATTACKS[attack](tree)
    remove(place.runner.path("code"))
    place.runner.run("fetch", "--receipt", "second.json", "run.json", "code")
    assert place.runner.run("verify", "--strict", "run.json", "code").status == 0
    second = load(place.runner.path("second.json"))
    assert (second["cacheHit"], second["verified"]) == (False, True)
    assert place.runner.path("code/weights.bin").read_bytes() == WEIGHTS
    assert place.runner.path("code/start.bat").read_bytes() == b"echo 1\r\n"
    assert [os.path.basename(each["directory"]) for each in kept(place, "modified")] == [f"modified-{tree.parent.name}"]


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["a module", *map(slow, [*ADDED][1:])])
def test_fetch_leaves_behind_what_was_added(place: World, tree: Path, attack: str) -> None:
    ADDED[attack](tree)
    remove(place.runner.path("code"))
    place.runner.run("fetch", "run.json", "code")
    assert place.runner.run("verify", "--strict", "run.json", "code").status == 0


def test_a_hit_says_what_was_proved_as_the_first_receipt_does(place: World, tree: Path) -> None:
    place.runner.run("exec", "--receipt", "second.json", "run.json", "--", "true")
    remove(place.runner.path("code"))
    place.runner.run("fetch", "--cache", "--receipt", "third.json", "run.json", "code")
    first, *hits = (load(place.runner.path(name)) for name in ("first.json", "second.json", "third.json"))
    for name in ("first.json", "second.json", "third.json"):
        assert problems(place.runner, place.runner.path(name)) == []
    for hit, hashed in zip(hits, ("cache", "copy"), strict=True):
        assert (hit["cacheHit"], hit["method"], hit["proof"]["hashed"]) == (True, "cache", hashed)
        for field in ("tree", "commit", "treeBy", "files", "overlay", "outsideLinks", "conversions", "manifest"):
            assert hit[field] == first[field], field
        for field in ("state", "files", "objects"):
            assert hit["lfs"][field] == first["lfs"][field], field
        assert len(hit["submodules"]) == 2
        for inner, before in zip(hit["submodules"], first["submodules"], strict=True):
            for field in ("path", "commit", "state", "tree", "files", "overlay"):
                assert inner[field] == before[field], field
            assert inner["method"] == (None if inner["state"] == "absent" else "cache")
        assert hit["proof"]["files"] == first["proof"]["files"] == hit["files"] + hit["submodules"][1]["files"]
        assert hit["proof"]["bytes"] > len(WEIGHTS)
    assert hits[0]["proof"]["afterCommand"] == first["proof"]["afterCommand"] == "unchanged"
    assert "afterCommand" not in hits[1]["proof"]


def test_an_empty_directory_is_nothing_to_git_and_nothing_here(place: World, tree: Path) -> None:
    (tree / "outputs/today").mkdir(parents=True)
    place.runner.run("exec", "--receipt", "second.json", "run.json", "--", "true")
    assert load(place.runner.path("second.json"))["cacheHit"] is True


@pytest.mark.slow
def test_a_command_that_changes_the_tree_meanwhile_is_told_in_the_receipt(place: World, tree: Path) -> None:
    """Another process does, which is not kept from it by a mount of the command's own."""
    started, go_on = place.runner.path("started"), place.runner.path("go on")
    for path in (started, go_on):
        remove(path)
    script = 'touch "$0"; while ! test -e "$1"; do sleep 0.05; done; exit 3'
    process = place.runner.program.start(
        "exec", "--receipt", "second.json", "run.json", "--", "sh", "-c", script, str(started), str(go_on)
    )
    until(started.exists)
    assert "afterCommand" not in load(place.runner.path("second.json"))["proof"]
    overwrite(tree / "helper.py", b"NAME = 'forged__'\n")
    go_on.touch()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"warning: the code changed while the command ran ('helper.py')" in errors
    receipt = load(place.runner.path("second.json"))
    assert receipt["proof"]["afterCommand"] == "changed"
    assert problems(place.runner, place.runner.path("second.json")) == []
