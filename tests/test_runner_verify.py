"""Verifying later: what stands on the disk now, as git would name it, against what was recorded."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from git_coderepo.errors import TargetUnusable
from git_coderepo.fetching.verify import SPECIAL, compare, rehash
from git_coderepo.git.objects import EXECUTABLE, FILE, GITLINK, SYMLINK
from tests.support.repo import Repo, tree_of


@pytest.fixture
def code(repo: Repo) -> Path:
    """A work tree without `.git`, as a runner has it."""
    repo.write("README.md", "hello\n")
    repo.write("bin/run.sh", "#!/bin/sh\n", mode=0o755)
    repo.write(b"src/non-utf8-\xff\n.py", "x = 1\n")
    repo.write(b"-rf", "3")
    repo.write("big.bin", bytes(range(256)) * 9000)
    repo.write(b"n" * 250, "")
    repo.symlink("latest", "src")
    repo.symlink("dangling", "/no/such/file")
    shutil.rmtree(repo.path / ".git")
    return repo.path


def test_a_directory_is_named_as_git_names_it(code: Path, env: dict[str, str]):
    for object_format in ("sha1", "sha256"):
        assert rehash(code, object_format).tree(object_format).hex == tree_of(code, env, object_format)
    found = rehash(code, "sha1")
    assert {path: mode for path, (mode, _) in found.items()} == {
        b"README.md": FILE,
        b"bin/run.sh": EXECUTABLE,
        b"src/non-utf8-\xff\n.py": FILE,
        b"-rf": FILE,
        b"big.bin": FILE,
        b"n" * 250: FILE,
        b"latest": SYMLINK,
        b"dangling": SYMLINK,
    }


def test_every_kind_of_difference_is_named(code: Path):
    expected = rehash(code, "sha1")
    assert not compare(expected, rehash(code, "sha1"))
    (code / "README.md").write_text("hellO\n")
    (code / "bin" / "run.sh").chmod(0o644)
    os.unlink(code / "latest")
    os.symlink("bin", code / "latest")
    os.unlink(code / "-rf")
    (code / "new").mkdir()
    (code / "new" / "file").touch()
    (code / "empty directory").mkdir()
    with (code / "big.bin").open("r+b") as stream:
        stream.seek(2_000_000)
        stream.write(b"\0")
    differences = compare(expected, rehash(code, "sha1"))
    assert differences.changed == (b"README.md", b"big.bin", b"bin/run.sh", b"latest")
    assert differences.missing == (b"-rf",)
    assert differences.added == (b"new/file",)


def test_files_links_and_directories_that_changed_places(code: Path):
    expected = rehash(code, "sha1")
    os.unlink(code / "README.md")
    (code / "README.md").mkdir()
    (code / "README.md" / "x").touch()
    shutil.rmtree(code / "bin")
    (code / "bin").symlink_to("src")
    os.unlink(code / "latest")
    shutil.copy(code / "big.bin", code / "latest")
    differences = compare(expected, rehash(code, "sha1"))
    assert differences.changed == (b"latest",)
    assert differences.missing == (b"README.md", b"bin/run.sh")
    assert differences.added == (b"README.md/x", b"bin")


def test_no_link_is_followed(code: Path, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    (code / "out").symlink_to(tmp_path / "outside")
    assert rehash(code, "sha1")[b"out"][0] == SYMLINK
    (tmp_path / "link").symlink_to(code)
    with pytest.raises(TargetUnusable):
        rehash(tmp_path / "link", "sha1")


def test_special_files_are_never_opened(code: Path):
    """A reader that opens a pipe waits for ever."""
    expected = rehash(code, "sha1")
    os.mkfifo(code / "pipe")
    os.unlink(code / "README.md")
    os.mkfifo(code / "README.md")
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(code)  # the name of a socket may have 100 bytes
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        found = rehash(code, "sha1")
    assert found[b"pipe"] == found[b"socket"] == (SPECIAL, b"")
    differences = compare(expected, found)
    assert differences.changed == (b"README.md",)
    assert differences.added == (b"pipe", b"socket")
    assert found.tree("sha1") != expected.tree("sha1")


def test_a_submodule_is_any_directory_in_its_place(code: Path):
    commit = bytes.fromhex("12" * 20)
    gitlinks = {b"vendor/lib": commit}
    expected = {**rehash(code, "sha1"), b"vendor/lib": (GITLINK, commit)}
    assert compare(expected, rehash(code, "sha1", gitlinks)).missing == (b"vendor/lib",)
    (code / "vendor" / "lib").mkdir(parents=True)
    assert not compare(expected, rehash(code, "sha1", gitlinks))
    (code / "vendor" / "lib" / "populated").touch()
    assert not compare(expected, rehash(code, "sha1", gitlinks))
    shutil.rmtree(code / "vendor" / "lib")
    (code / "vendor" / "lib").touch()
    assert compare(expected, rehash(code, "sha1", gitlinks)).changed == (b"vendor/lib",)


def test_directories_deeper_than_any_path_are_read(tmp_path: Path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(700):
        os.mkdir("deeper-and", dir_fd=here)
        below = os.open("deeper-and", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert list(rehash(tmp_path, "sha1")) == [b"/".join([b"deeper-and"] * 700) + b"/file"]
    shutil.move(tmp_path / "deeper-and", tmp_path / "x")
    os.system(f"rm -rf '{tmp_path}/x'")


def test_what_cannot_be_read_is_said(tmp_path: Path):
    with pytest.raises(TargetUnusable, match=r"cannot read '.*nothing here': no such file or directory"):
        rehash(tmp_path / "nothing here", "sha1")
    (tmp_path / "file").touch()
    with pytest.raises(TargetUnusable, match="not a directory"):
        rehash(tmp_path / "file", "sha1")
    if os.geteuid() != 0:
        (tmp_path / "file").chmod(0)
        with pytest.raises(TargetUnusable, match="cannot read 'file': permission denied"):
            rehash(tmp_path, "sha1")


def test_an_empty_directory_is_the_empty_tree(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert rehash(tmp_path, "sha1").tree("sha1").hex == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert stat.S_ISDIR((tmp_path / "a" / "b").stat().st_mode)
