"""Every kind of runner: public or private code, with or without git, with or without a token."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.support import World, lines, load, on_platforms, refused, remove, world
from tests.e2e.test_submodules import add, library
from tests.forge.lfs import pointer, put
from tests.support.pyz import built

WEIGHTS = b"weights" * 1000
NO_TOKEN: Mapping[str, str] = {"CODEREPO_TOKEN": "", "CODEREPO_TOKEN_ORIGIN": ""}


MATRIX = on_platforms(("github", True), ("gitlab", True), ("github", False), ("gitlab", False))


@pytest.fixture(scope="module", params=MATRIX,
                ids=lambda each: f"{each[0]} {'private' if each[1] else 'public'}")  # fmt: skip
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A changed checkout with a submodule and a file of Git LFS, all of them public or all private."""
    platform, private = request.param
    root = tmp_path_factory.mktemp(f"{platform} {private}")
    files = {
        ".gitattributes": b"*.bin filter=lfs -text\n",
        "train.py": b"print('trained')\n",
        "w.bin": pointer(WEIGHTS),
    }
    with world(root, platform, files=files, private=private) as made:
        made.register()
        put(made.repository, WEIGHTS)
        source = library(root, made, "library")
        inner = made.forge.add_repository("acme/library", platform=platform, private=private, source=source.path)
        lib = add(made.checkout, source, "lib", url=inner.url)
        lib.git("update-ref", "refs/remotes/origin/main", "HEAD")
        made.user.run("register", cwd=lib.path)
        made.checkout.commit("with a library")
        made.push()
        made.checkout.write("train.py", "print('changed')\n")
        made.manifest()
        yield made


@pytest.fixture
def without_git(place: World, tmp_path: Path) -> Mapping[str, str]:
    """An environment whose PATH has our program and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    os.symlink(place.runner.program.executable(), folder / "git-coderepo")
    return {"PATH": str(folder)}


def is_private(place: World) -> bool:
    return place.repository.private


@pytest.mark.slow
@pytest.mark.parametrize("git", [True, False], ids=["git", "no git"])
@pytest.mark.parametrize("token", [True, False], ids=["token", "no token"])
def test_fetch_and_exec(place: World, without_git: Mapping[str, str], tmp_path: Path, git: bool, token: bool) -> None:
    """What may be seen comes; what may not is refused for want of a credential, and never for want of git."""
    env = {**({} if git else without_git), **({} if token else NO_TOKEN), "CODEREPO_CACHE_DIR": str(tmp_path / "cache")}
    asked = [
        ("fetch", "run.json", "code"),
        ("fetch", "--method", "archive", "run.json", "code"),
        ("fetch", "--cache", "run.json", "code"),
    ]
    for words in asked:
        if is_private(place) and not token:
            done = place.runner.run(*words, env=env, check=False)
            assert done.status in (4, 128), done.errors
            assert "no 'git'" not in done.errors, done.errors
            assert any("CODEREPO_TOKEN_ORIGIN" in hint for hint in lines(done, "hint")), done.errors
            assert not place.runner.path("code").exists()
            continue
        receipt = tmp_path / "receipt.json"
        place.runner.run(*words, "--receipt", receipt, env=env)
        code = place.runner.path("code")
        assert (code / "train.py").read_text() == "print('changed')\n"
        assert (code / "w.bin").read_bytes() == WEIGHTS
        assert (code / "lib/lib.py").exists()
        assert (load(receipt)["method"], load(receipt)["fallbacks"]) in (("archive", []), ("cache", []))
        assert "unchanged" in place.runner.run("verify", "run.json", "code", env=env).text
        remove(code)
    words = ("exec", "run.json", "--", "/bin/cat", "train.py")
    done = place.runner.run(*words, env=env, check=False)
    if is_private(place) and not token:
        assert done.status == 125, done.errors
        assert "no 'git'" not in done.errors
    else:
        assert (done.status, done.text) == (0, "print('changed')\n"), done.errors


@pytest.mark.slow
@pytest.mark.parametrize("git", [True, False], ids=["git", "no git"])
@pytest.mark.parametrize("token", [True, False], ids=["token", "no token"])
def test_the_rehearsal_says_so_before(place: World, tmp_path: Path, git: bool, token: bool) -> None:
    credentials = tmp_path / "tokens"
    credentials.write_text(f"{place.forge.url.replace('://', f'://x:{place.token}@')}\n")
    words = [*(["--credentials", str(credentials)] if token else []), *([] if git else ["--no-git"])]
    done = place.user.run("status", "--as-runner", *words, "--exit-code", cwd=place.checkout.path, check=False)
    expected = (1, 4) if is_private(place) and not token else (0,)
    assert done.status in expected, done.text + done.errors
    assert "no 'git'" not in done.text + done.errors


@pytest.mark.slow
def test_the_one_file(place: World, without_git: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    import subprocess
    import sys

    pyz = built(tmp_path_factory)
    env = {**place.runner.program.env, **without_git, **NO_TOKEN}
    words = [sys.executable, "-I", "-S", str(pyz), "fetch", "run.json", "code"]
    done = subprocess.run(words, cwd=place.runner.home, env=env, capture_output=True, text=True, timeout=120)
    if is_private(place):
        assert done.returncode in (4, 128)
        assert "no 'git'" not in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert (place.runner.path("code") / "lib/lib.py").exists()
    remove(place.runner.path("code"))


# --- a git that is there and cannot be started ---


@pytest.mark.parametrize("kind", ["not executable", "a directory", "a folder that is a file", "another system's"])
def test_a_git_that_cannot_be_started_counts_as_none(
    place: World, without_git: Mapping[str, str], tmp_path: Path, kind: str
) -> None:
    if is_private(place):
        pytest.skip("it is the same for private code, with a token")
    folder = tmp_path / "other bin"
    folder.mkdir()
    path = f"{folder}:{without_git['PATH']}"
    if kind == "not executable":
        (folder / "git").write_bytes(b"#!/bin/sh\n")
    elif kind == "a directory":
        (folder / "git").mkdir()
    elif kind == "a folder that is a file":
        (tmp_path / "file").touch()
        path = f"{tmp_path / 'file'}:{without_git['PATH']}"
    else:
        (folder / "git").write_bytes(b"\x7fELF nothing of ours")
        (folder / "git").chmod(0o755)
    place.runner.run("fetch", "run.json", "code", env={**NO_TOKEN, "PATH": path})
    remove(place.runner.path("code"))
    refused(
        place.runner, "fetch", "--method", "git", "run.json", "code", env={**NO_TOKEN, "PATH": path}, status=128,
        says="--method git requires git", hint="--method auto",
    )  # fmt: skip
