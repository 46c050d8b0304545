"""Tree objects of old histories, which git would write otherwise today: what git checks out is fetched too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.errors import UnsafeTree
from git_coderepo.fetching.listing import Listing
from git_coderepo.git.objects import TreeEntry, parse_tree, tree_id
from tests.e2e.support import World, load, on_platforms, problems, refused, world
from tests.support.marks import first_quick
from tests.support.old_trees import commit_old, group_writable, padded

FILES = {
    "t.py": b"print('old')\n",
    "lib/a.py": b"a\n",
    "lib/deep er/b.py": b"b\n",
    "lib/deep er/x/c.sh": b"c\n",
    "other/d.py": b"d\n",
}
# (the directories whose tree objects are old, how)
SHAPES = {
    "the root": ("", padded),
    "a nested directory": ("lib/deep er", padded),
    "modes of another time": ("lib", group_writable),
}


@pytest.fixture(params=on_platforms("github", "file"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, request.param, files=FILES) as made:
        if made.platform == "github":
            made.register("mine", "--type", "github")
        yield made


def make_old(place: World, shape: str) -> None:
    commit_old(place.checkout, *SHAPES[shape])
    place.push()
    place.checkout.git("update-ref", "refs/remotes/origin/main", "HEAD")


@pytest.mark.slow
@pytest.mark.parametrize("shape", first_quick(*SHAPES))
def test_a_clean_old_tree_comes_back(place: World, shape: str) -> None:
    make_old(place, shape)
    manifest = place.manifest()
    assert load(manifest)["code"]["snapshot"]["tree"] == place.checkout.line("rev-parse", "HEAD^{tree}")

    place.runner.run("fetch", "--receipt", "receipt.json", manifest, "code")

    receipt = load(place.runner.path("receipt.json"))
    assert receipt["tree"] == place.checkout.line("rev-parse", "HEAD^{tree}")
    assert receipt["storedTrees"] == [SHAPES[shape][0] or "."]
    assert problems(place.runner, place.runner.path("receipt.json")) == []
    assert place.runner.path("code/lib/deep er/b.py").read_bytes() == b"b\n"
    assert place.runner.run("verify", "--json", manifest, "code").json()["sameTree"] is True
    place.runner.path("code/lib/a.py").write_bytes(b"changed")
    answer = place.runner.run("verify", "--json", manifest, "code", check=False)
    assert answer.status == 1 and answer.json()["changed"] == ["lib/a.py"]


@pytest.mark.slow
@pytest.mark.parametrize("shape", first_quick(*SHAPES))
def test_an_edit_elsewhere_leaves_the_old_directory_as_it_is(place: World, shape: str) -> None:
    make_old(place, shape)
    place.checkout.write("other/d.py", b"edited\n")
    manifest = place.manifest()

    place.runner.run("fetch", "--receipt", "receipt.json", manifest, "code")

    receipt = load(place.runner.path("receipt.json"))
    assert receipt["tree"] == load(manifest)["code"]["snapshot"]["tree"]
    assert receipt.get("storedTrees", []) == ([SHAPES[shape][0]] if SHAPES[shape][0] else [])
    assert place.runner.path("code/other/d.py").read_bytes() == b"edited\n"
    assert place.runner.run("verify", "--json", manifest, "code").json()["sameTree"] is True


@pytest.mark.slow
@pytest.mark.parametrize("shape", first_quick(*SHAPES))
def test_the_cache_proves_it_by_the_objects_that_it_keeps(place: World, shape: str) -> None:
    make_old(place, shape)
    manifest = place.manifest()

    first = place.runner.run("exec", manifest, "--", "cat", "lib/a.py")
    place.forge.close() if place.platform == "github" else None
    again = place.runner.run("exec", manifest, "--", "cat", "lib/a.py")
    place.runner.run("fetch", "--receipt", "receipt.json", manifest, "code")

    assert first.stdout == again.stdout == b"a\n"
    assert load(place.runner.path("receipt.json"))["cacheHit"] is True


@pytest.mark.slow
def test_a_directory_of_it_alone(place: World) -> None:
    make_old(place, "a nested directory")
    manifest = place.manifest()

    place.runner.run("fetch", "--subdirectory", "lib", "--receipt", "receipt.json", manifest, "code")

    receipt = load(place.runner.path("receipt.json"))
    assert receipt["tree"] == place.checkout.line("rev-parse", "HEAD:lib")
    assert receipt["storedTrees"] == ["deep er"]


@pytest.mark.slow
def test_a_commit_by_its_name(place: World) -> None:
    make_old(place, "a nested directory")
    name = f"{place.url}@{place.checkout.head()}"

    place.runner.run("fetch", "--receipt", "receipt.json", name, "code")
    place.runner.run("fetch", "--receipt", "part.json", f"{name}:lib/deep er", "part")

    assert load(place.runner.path("receipt.json"))["storedTrees"] == ["lib/deep er"]
    assert load(place.runner.path("part.json"))["storedTrees"] == ["."]


def test_a_published_run_of_it(place: World) -> None:
    if place.platform != "file":
        pytest.skip("the same objects")
    make_old(place, "a nested directory")
    place.checkout.write("other/d.py", b"edited\n")
    place.user.run("run", "--", "true", cwd=place.checkout.path)
    id = place.user.run("publish", cwd=place.checkout.path).text.split()[1].rstrip(":")

    place.user.run("fetch", "--method", "published", id, place.user.path("code"), cwd=place.checkout.path)


@pytest.mark.slow
def test_without_git_the_error_names_the_directory(place: World) -> None:
    if place.platform != "github":
        pytest.skip("there is no other way than git")
    make_old(place, "a nested directory")
    manifest = place.manifest()
    (place.runner.home / "empty").mkdir()
    program = os.fsdecode(place.runner.program.executable())
    place.runner.program.env["PATH"] = str(place.runner.home / "empty")
    place.runner.program.executable = lambda: os.fsencode(program)  # type: ignore[method-assign]

    refused(place.runner, "fetch", manifest, "code", status=128, says="'lib/deep er'", hint="install git")


# --- what stands for a directory has to be it --------------------------------------------------------


def entries(*names: bytes) -> Listing:
    found = Listing()
    for name in names:
        found.put(name, b"100644" + b"\1" * 20)
    return found


def test_a_stored_tree_of_other_entries_does_not_count() -> None:
    listing = entries(b"d/a")
    today = listing.tree("sha1")
    listing.stored = {b"d": b"0100644 b\0" + b"\1" * 20}
    assert listing.tree("sha1") == today
    listing.stored = {b"d": b"0100755 a\0" + b"\1" * 20}
    assert listing.tree("sha1") == today
    listing.stored = {b"d": b"0100644 a\0" + b"\2" * 20}
    assert listing.tree("sha1") == today
    listing.stored = {b"d": b"0100644 a\0" + b"\1" * 20}
    assert listing.tree("sha1") != today
    assert listing.stored_directories("sha1") == (b"d",)


def test_git_agrees_on_what_a_tree_object_is() -> None:
    id = b"\1" * 20
    assert parse_tree(b"100664 a\0" + id, "sha1") == {b"a": (0o100644, id)}
    assert parse_tree(b"0100775 a\0" + id + b"40000 d\0" + id, "sha1") == {b"a": (0o100755, id), b"d": (0o40000, id)}
    assert tree_id([TreeEntry(b"a", 0o100644, id)], "sha1") != tree_id([TreeEntry(b"b", 0o100644, id)], "sha1")


@pytest.mark.parametrize(
    "contents", [b"100644 a\0short", b"100644 a", b"x a\0" + b"\1" * 20, b"100644 \0" + b"\1" * 20]
)
def test_what_is_no_tree_object_is_refused(contents: bytes) -> None:
    with pytest.raises(UnsafeTree):
        parse_tree(contents, "sha1")


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(UnsafeTree):
        parse_tree((b"100644 a\0" + b"\1" * 20) * 2, "sha1")
