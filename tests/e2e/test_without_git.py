"""A runner that has no git: archives are enough, submodules and Git LFS too; what needs git says for what."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, load, on_platforms, refused, remove, world
from tests.e2e.test_submodules import add, files, library
from tests.forge.lfs import pointer, put
from tests.hints import cures

WEIGHTS = bytes(range(256)) * 700


@pytest.fixture(scope="module", params=on_platforms("github", "gitlab"))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A checkout with everything at once, on a platform that serves archives."""
    root = tmp_path_factory.mktemp(f"without git {request.param}")
    first = {".gitattributes": b"*.bin filter=lfs -text\n", "train.py": b"import lib\n", "w.bin": pointer(WEIGHTS)}
    with world(root, request.param, files=first) as made:
        made.register()
        put(made.repository, WEIGHTS)
        source = library(root, made, "library")
        inner = made.forge.add_repository("acme/library", platform=request.param, private=True, source=source.path)
        lib = add(made.checkout, source, "lib", url=inner.url)
        lib.git("update-ref", "refs/remotes/origin/main", "HEAD")
        made.user.run("register", cwd=lib.path)
        made.checkout.commit("with a library")
        made.push()
        lib.write("lib.py", "x = 2\n")
        made.checkout.write(b"odd \xff\n.txt", "never committed\n")
        made.checkout.remove("train.py")
        yield made


@pytest.fixture
def bare(place: World, tmp_path: Path) -> Iterator[World]:
    """The same, and the runner's PATH has our program alone."""
    program = place.runner.program
    os.symlink(program.executable(), tmp_path / "git-coderepo")
    path, program.env["PATH"] = program.env["PATH"], str(tmp_path)
    yield place
    program.env["PATH"] = path
    place.forge.forget_requests()
    for name in ("code", "run.json"):
        remove(place.runner.path(name))


@pytest.mark.slow
def test_archives_overlays_submodules_and_lfs(bare: World) -> None:
    bare.manifest()
    bare.runner.run("fetch", "--receipt", "receipt.json", "run.json", "code")
    code = bare.runner.path("code")
    assert (code / "w.bin").read_bytes() == WEIGHTS
    expected = {path: contents for path, (_, contents) in files(bare.checkout.path).items()}
    assert {path: contents for path, (_, contents) in files(code).items()} == {**expected, b"w.bin": WEIGHTS}
    receipt = load(bare.runner.path("receipt.json"))
    assert (receipt["method"], receipt["producer"]["git"], receipt["fallbacks"]) == ("archive", None, [])
    assert [(each["path"], each["method"]) for each in receipt["submodules"]] == [("lib", "archive")]
    assert receipt["lfs"]["state"] == "fetched"
    assert bare.forge.requests("git") == []
    assert bare.runner.run("verify", "--strict", "run.json", "code").text.count("unchanged") == 2
    (code / "lib/lib.py").write_text("x = 3\n")
    changed = bare.runner.run("verify", "run.json", "code", check=False)
    assert (changed.status, changed.text) == (1, "changed: lib/lib.py\n"), changed.errors


@pytest.mark.slow
def test_it_is_cached_and_executed(bare: World, tmp_path: Path) -> None:
    bare.manifest()
    words = ("exec", "run.json", "--", "/bin/cat", "lib/lib.py")
    for _ in range(2):
        assert bare.runner.run(*words, env={"CODEREPO_CACHE_DIR": str(tmp_path / "cache")}).text == "x = 2\n"
    assert len(bare.forge.requests("archive")) == 2  # one of each repository
    assert bare.runner.run("validate", "run.json").text == "'run.json' is valid\n"


def test_a_refused_token_is_what_is_told(bare: World) -> None:
    """Not that git, which could not do better, is missing."""
    bare.manifest()
    wrong = {"CODEREPO_TOKEN": "expired"}
    refused(bare.runner, "fetch", "run.json", "code", status=4, says="refused the token", env=wrong)


@pytest.mark.slow
@cures("or remove these attributes and record the run again", "--method auto")
def test_an_altered_archive_needs_git_and_says_so(bare: World) -> None:
    bare.checkout.write(".gitattributes", "*.bin filter=lfs -text\nsecret.py export-ignore\n")
    bare.checkout.write("secret.py", "x\n")
    bare.checkout.commit("with a file that archives leave out")
    bare.push()
    bare.manifest()
    refused(
        bare.runner, "fetch", "run.json", "code", status=128, says="attributes of this tree (export-ignore",
        hint="remove these attributes",
    )  # fmt: skip
    refused(
        bare.runner, "fetch", "--method", "git", "run.json", "code", status=128,
        says="--method git requires git, and 'git' was not found on PATH", hint="--method auto",
    )  # fmt: skip
    bare.checkout.write(".gitattributes", "*.bin filter=lfs -text\n")
    bare.checkout.commit("without the attribute")
    bare.push()
    bare.manifest()
    bare.runner.run("fetch", "--method", "auto", "run.json", "code")


@pytest.mark.slow
@cures("install git 2.34 or newer, or add it to PATH")
def test_a_plain_remote_needs_git_and_says_what_does_not(tmp_path: Path) -> None:
    with world(tmp_path, "git") as plain:
        plain.manifest()
        nothing: dict[str, Any] = {"env": {"PATH": str(tmp_path / "nothing")}}
        refused(
            plain.runner, "fetch", "run.json", "code", status=128, says="git is required: the platform 'git'",
            hint="as github or gitlab", **nothing,
        )  # fmt: skip
        refused(
            plain.runner,
            "exec",
            "run.json",
            "--",
            "true",
            status=125,
            says="git is required",
            watched=tmp_path / "x",
            **nothing,
        )
        plain.runner.run("fetch", "run.json", "code")  # with git on PATH


@pytest.mark.slow
@cures("or register the checkout as github or gitlab, whose archives need no git, and record the run again")
def test_a_checkout_that_is_registered_by_its_platform_needs_no_git(tmp_path: Path) -> None:
    with world(tmp_path, "github") as place:
        place.manifest()
        program = os.fsdecode(place.runner.program.executable())
        nothing: dict[str, Any] = {"env": {"PATH": os.path.dirname(program)}}
        if shutil.which("git", path=os.path.dirname(program)):
            pytest.skip("git is installed where this program is")
        place.register("--type", "git", "--no-verify")
        place.manifest()
        refused(
            place.runner, "fetch", "run.json", "code", status=128, says="git is required: the platform 'git'",
            hint="register the checkout as github", **nothing,
        )  # fmt: skip
        place.user.run("remove", "-y", "origin", cwd=place.checkout.path)
        place.register("--type", "github")
        place.manifest()
        place.runner.run("fetch", "run.json", "code", **nothing)
