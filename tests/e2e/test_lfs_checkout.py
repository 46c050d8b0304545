"""A checkout in which git-lfs itself is at work: what it cleans is recorded, and nothing of the user's is touched."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, contents, load, refused, world
from tests.forge.lfs import object_path, pointer
from tests.hints import cures
from tests.hints.support import stopped, tail, typed

ATTRIBUTES = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"
OLD, EDITED, UNTRACKED = b"old " * 5000, b"edited " * 5000, b"untracked " * 5000
needs_git_lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """Two files in LFS, pushed by git-lfs itself."""
    with world(tmp_path, "file", files={".gitattributes": ATTRIBUTES, "train.py": b"lr = 0.1\n"}) as made:
        if shutil.which("git-lfs") is not None:
            made.checkout.git("lfs", "install", "--skip-repo")
            made.checkout.write("weights.bin", OLD)
            made.checkout.write("other \xe9.bin", OLD * 2)
            made.checkout.commit("weights")
            made.push()
        yield made


@pytest.mark.slow
@needs_git_lfs
def test_edits_and_new_files_travel_and_the_rest_comes_from_the_platform(place: World) -> None:
    repo = place.checkout
    oid = pointer(OLD).split(b"sha256:")[1][:64].decode()
    assert object_path(place.repository, oid).is_file(), "git-lfs pushed it"
    repo.write("weights.bin", EDITED)
    repo.write("new ones/-x\n.bin", UNTRACKED)
    repo.write("staged.bin", OLD)  # the base has this object under another name
    repo.git("add", "staged.bin")
    expected = repo.tree()
    before = contents(repo.path, without=(".git/coderepo", ".git/lfs/tmp"))
    manifest = place.manifest()
    assert contents(repo.path, without=(".git/coderepo", ".git/lfs/tmp")) == before, "something of the user's changed"
    code = load(manifest)["code"]
    assert code["snapshot"]["tree"] == expected
    assert sorted(each["size"] for each in code["lfs"]["objects"]) == sorted((len(EDITED), len(UNTRACKED)))
    receipt = place.runner.run("fetch", "--json", manifest, "code").json()
    assert (receipt["lfs"]["files"], receipt["lfs"]["objects"], receipt["lfs"]["travelled"]) == (4, 4, 2)
    for path, data in (
        ("weights.bin", EDITED),
        ("other \xe9.bin", OLD * 2),
        ("new ones/-x\n.bin", UNTRACKED),
        ("staged.bin", OLD),
    ):
        assert (place.runner.home / "code" / path).read_bytes() == data
    place.runner.run("verify", "--strict", manifest, "code")


@pytest.mark.slow
@needs_git_lfs
def test_large_objects_are_never_whole_in_memory(place: World) -> None:
    large = random.Random(1).randbytes(100 << 20)
    place.checkout.write("weights.bin", large)
    measured = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    place.checkout.git("add", "weights.bin")  # git-lfs reads it here, and what it needs is not ours
    del large
    program = os.fsdecode(place.user.program.executable())
    done = subprocess.run(
        [sys.executable, "-c", measured, program, "snapshot", "-o", str(place.user.home / "run.json")],
        cwd=place.checkout.path, env={**place.user.program.env, "CODEREPO_OVERLAY_LIMIT": "200m"},
        capture_output=True, check=True,
    )  # fmt: skip
    [packed] = place.user.home.glob("*.tar.gz")
    assert packed.stat().st_size > 100 << 20
    assert int(done.stdout) < 100 << 10, "KiB"


@pytest.mark.slow
@needs_git_lfs
def test_a_clone_that_left_the_pointers_is_as_good(place: World) -> None:
    place.user.env["GIT_LFS_SKIP_SMUDGE"] = "1"
    bare = place.clone("without contents")
    assert bare.read("weights.bin") == pointer(OLD)
    manifest = place.manifest(checkout=bare)
    assert load(manifest)["code"]["lfs"] is None and not load(manifest)["code"]["dirty"]
    place.runner.run("fetch", manifest, "code")
    assert (place.runner.home / "code" / "weights.bin").read_bytes() == OLD


@pytest.mark.slow
@needs_git_lfs
def test_looking_at_a_checkout_installs_no_hooks_and_keeps_no_objects_of_the_users(place: World) -> None:
    repo = place.checkout
    shutil.rmtree(repo.git_dir() / "hooks", ignore_errors=True)
    objects = contents(repo.git_dir() / "lfs")
    repo.write("weights.bin", EDITED)
    repo.write("new.bin", UNTRACKED)
    place.user.run("status", cwd=repo.path)
    place.user.run("run", "--", "true", cwd=repo.path)
    assert not (repo.git_dir() / "hooks").exists()
    assert contents(repo.git_dir() / "lfs") == objects


@pytest.mark.slow
@needs_git_lfs
def test_a_linked_worktree(place: World) -> None:
    place.checkout.git("worktree", "add", "--quiet", "-b", "aside", "../aside")
    aside = type(place.checkout)(place.user.home / "aside", place.user.env)
    aside.write("weights.bin", EDITED)
    manifest = place.manifest(checkout=aside)
    place.runner.run("fetch", manifest, "code")
    assert (place.runner.home / "code" / "weights.bin").read_bytes() == EDITED


def test_a_filter_whose_program_is_missing_is_named(place: World) -> None:
    repo = place.checkout
    repo.git("config", "filter.lfs.clean", "no-such-git-lfs clean -- %f")
    repo.git("config", "filter.lfs.process", "no-such-git-lfs filter-process")
    repo.git("config", "filter.lfs.required", "true")
    repo.write("new.bin", UNTRACKED)
    # Git's own words are chance: it may know the path, or only that nobody is there to talk to.
    refused(place.user, "snapshot", status=128, says="cannot be recorded: its ", hint="install", cwd=repo.path)


# --- what the hints cure ---


def new_file(place: World, *, pushed: bool) -> Path:
    """A commit that was not pushed; its object. With `pushed` the platform has that, and the file is a pointer."""
    repo = place.checkout
    repo.write("it's new.bin", UNTRACKED)
    os.utime(repo.file("it's new.bin"), (1_700_000_000, 1_700_000_000))  # so that git need not look at it again
    repo.commit("new")
    if pushed:
        typed("git lfs push --all origin", repo.path, place.user.env)
        repo.write("it's new.bin", pointer(UNTRACKED))
        os.utime(repo.file("it's new.bin"), (1_700_000_000, 1_700_000_000))
        repo.git("add", "it's new.bin")
    oid = pointer(UNTRACKED).split(b"sha256:")[1][:64].decode()
    return repo.git_dir() / "lfs" / "objects" / oid[:2] / oid[2:4] / oid


@pytest.mark.slow
@needs_git_lfs
@cures(
    "git lfs fsck; git lfs pull",
    "or, if the file itself is whole: {git} lfs fsck; {git} add --renormalize -- {word}",
)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("below", [".", "it's below"])
def test_a_damaged_object_is_brought_back(place: World, which: int, below: str) -> None:
    kept = new_file(place, pushed=which == 0)
    kept.unlink()  # the platform's may be a link to it
    kept.write_bytes(UNTRACKED[:-1] + b"?")
    cwd = place.checkout.path / below
    cwd.mkdir(exist_ok=True)
    hints = stopped(place.user.program, "snapshot", cwd=cwd, says="is damaged here")
    typed(tail(hints[which]), cwd, place.user.env)
    place.user.run("snapshot", cwd=cwd)
    assert kept.read_bytes() == UNTRACKED


@pytest.mark.slow
@needs_git_lfs
@cures("git lfs pull", "or, if it was pushed meanwhile: git fetch")
@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_object_is_brought_or_known_to_be_there(place: World, which: int) -> None:
    kept = new_file(place, pushed=True)
    repo = place.checkout
    if which == 1:
        place.push()
        repo.git("update-ref", "refs/remotes/origin/main", "HEAD~1")
    kept.unlink()
    hints = stopped(place.user.program, "snapshot", cwd=repo.path, says="are not here, and may not be on the platform")
    typed(tail(hints[which]), repo.path, place.user.env)
    assert kept.exists() is (which == 0)
    place.user.run("snapshot", cwd=repo.path)


@pytest.mark.slow
@needs_git_lfs
@cures("in a clone that has them: git lfs push --all REMOTE")
def test_an_object_that_the_platform_lost_is_pushed_again(place: World) -> None:
    kept = new_file(place, pushed=True)
    place.push()
    other = place.clone("that has them")
    assert other.read("it's new.bin") == UNTRACKED
    kept.unlink()
    object_path(place.repository, kept.name).unlink()
    cwd = place.checkout.path
    hints = stopped(place.user.program, "snapshot", "--check", cwd=cwd, says="the platform does not serve it")
    typed(tail(hints[0]).replace("REMOTE", "origin"), other.path, place.user.env)
    place.user.run("snapshot", "--check", cwd=cwd)


@pytest.mark.slow
@needs_git_lfs
@cures("{git} lfs checkout {word} && {git} add --renormalize -- {word}")
@pytest.mark.parametrize("below", [".", "it's below"])
def test_a_pointer_that_git_lfs_would_write_otherwise(place: World, below: str) -> None:
    repo = place.checkout
    here = repo.path / below
    here.mkdir(exist_ok=True)
    repo.write("odd one.bin", pointer(OLD).replace(b"size ", b"size 0"))
    plain = ["-c", "filter.lfs.process=", "-c", "filter.lfs.clean=", "-c", "filter.lfs.required=false"]
    repo.git(*plain, "add", "odd one.bin")
    repo.git(*plain, "commit", "--quiet", "-m", "odd")
    hints = stopped(place.user.program, "snapshot", cwd=here, says="not as git-lfs writes it")
    assert not any("--no-lfs" in hint for hint in hints), "that is an option of fetch"
    typed(hints[0], here, place.user.env)
    place.user.run("snapshot", cwd=repo.path)


@pytest.mark.slow
@needs_git_lfs
@cures("fetch the pointers as they are: --no-lfs")
def test_a_pointer_with_extensions_is_fetched_as_it_is(place: World) -> None:
    repo = place.checkout
    oid = pointer(OLD).split(b"sha256:")[1][:64]
    text = pointer(OLD).replace(b"oid ", b"ext-0-foo sha256:" + oid + b"\noid ")
    repo.write("odd one.bin", text)
    plain = ["-c", "filter.lfs.process=", "-c", "filter.lfs.clean=", "-c", "filter.lfs.required=false"]
    repo.git(*plain, "add", "odd one.bin")
    repo.git(*plain, "commit", "--quiet", "-m", "odd")
    place.push()
    manifest = place.runner.path("run.json")
    place.user.run("run", "--allow-unreproducible", "--manifest", manifest, "--", "true", cwd=repo.path)
    (hint,) = stopped(place.runner.program, "fetch", manifest, "code", cwd=place.runner.home, says="with extensions")
    place.runner.run("fetch", tail(hint), manifest, "code")
    assert (place.runner.home / "code" / "odd one.bin").read_bytes() == text


@pytest.mark.slow
@needs_git_lfs
@cures(
    "'{sources.sha256}.tar.gz' travels with the run: copy it into the manifest's folder",
    "git lfs push --all REMOTE, in a clone that has the files",
)
def test_contents_that_are_missing_on_a_runner(place: World) -> None:
    repo = place.checkout
    repo.git("config", "coderepo.inlineLimit", "0")
    repo.write("weights.bin", EDITED)
    manifest = place.manifest()
    tar = place.runner.home / f"{load(manifest)['code']['lfs']['sha256']}.tar.gz"
    away = place.runner.home / "away"
    tar.rename(away)
    hints = stopped(place.runner.program, "fetch", manifest, "code", cwd=place.runner.home, says="")
    assert f"'{tar.name}' travels with the run: copy it into the manifest's folder" in hints
    away.rename(tar)
    place.runner.run("fetch", manifest, "code")
    assert (place.runner.home / "code/weights.bin").read_bytes() == EDITED

    repo.git("checkout", "--quiet", "weights.bin")
    manifest = place.manifest(name="clean.json")
    object_path(place.repository, pointer(OLD).split(b"sha256:")[1][:64].decode()).unlink()
    (hint, _) = stopped(
        place.runner.program, "fetch", manifest, "clean", cwd=place.runner.home, says="cannot get Git LFS objects from"
    )
    typed(hint.removesuffix(", in a clone that has the files").replace("REMOTE", "origin"), repo.path, repo.env)
    place.runner.run("fetch", manifest, "clean")
    assert (place.runner.home / "clean/weights.bin").read_bytes() == OLD
