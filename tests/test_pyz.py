"""The runner's one file: what is in it, what is not, and that any Python since 3.10 starts it with nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import git_coderepo
from git_coderepo.manifest.writer import encode
from tests.support.manifests import example_document
from tests.support.pyz import PROJECT, build, built

# Every module of ours but those for authors of classes and of their tests.
IMPORT_ALL = """
import importlib, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import git_coderepo, requests, urllib3, typer, platformdirs, tomli

names = [each.name for each in pkgutil.walk_packages(git_coderepo.__path__, "git_coderepo.")]
for name in names:
    if name not in ("git_coderepo.testing", "git_coderepo.__main__"):
        importlib.import_module(name)
files = {getattr(module, "__file__", None) for module in sys.modules.values()}
print(json.dumps([names, sorted(files - {None})]))
"""


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory)


def pythons() -> list[Any]:
    """The interpreters of this machine: the one that tests, and what pyenv has beside it.

    Those between the oldest that may run it and the one that tests are tried by `make test-all`.
    """
    ours = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    found = {ours, *(os.path.realpath(path) for path in Path.home().glob(".pyenv/versions/*/bin/python"))}
    return [
        pytest.param(
            path,
            id=os.path.basename(path),
            marks=[] if path == ours or _is_old(path) or path.endswith("3.10") else [pytest.mark.slow],
        )
        for path in sorted(found)
    ]


def bare(python: str, *words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A Python without site-packages, environment and user."""
    return subprocess.run(
        [python, "-I", "-S", *words] if not _is_old(python) else [python, *words],
        input=stdin, env={}, cwd="/", capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def _is_old(python: str) -> bool:
    return re.search(r"python(2|3[.]([0-9]|$)(?![0-9]))", os.path.basename(python)) is not None


@pytest.mark.slow
def test_it_holds_no_compiled_file_and_no_word_of_this_machine(pyz: Path) -> None:
    words = [str(PROJECT), sys.prefix, sys.base_prefix, str(Path.home()) + "/", tempfile.gettempdir() + "/pytest-of"]
    words += [os.uname().nodename] if len(os.uname().nodename) > 8 else []
    assert pyz.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert os.access(pyz, os.X_OK)
    with zipfile.ZipFile(pyz) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            assert entry.filename.endswith((".py", ".json", ".css", ".js", ".pem", ".txt", ".md", ".1")) or re.search(
                r"/(METADATA|LICENSE|NOTICE|licenses/.*|hooks/texts/.*|py[.]typed)$", entry.filename
            ), entry.filename
            data = archive.read(entry)
            assert not data.startswith((b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe")), entry.filename
            if len(sys.base_prefix) > 5:  # `/usr` stands in every other line
                assert not [word for word in words if word.encode() in data], entry.filename
            assert (entry.date_time, entry.external_attr >> 16) == ((1980, 1, 1, 0, 0, 0), 0o100644)
        names = archive.namelist()
    assert names == sorted(names)
    # Whose code it is, and on what terms, stands beside each.
    packages = {name.split("/")[0] for name in names if "/" in name}
    licensed = {name.split("-")[0] for name in names if re.search(r"[.]dist-info/.*LICEN[CS]E", name)}
    assert {name for name in packages if not name.endswith(".dist-info")} == licensed
    assert {"git_coderepo", "requests", "urllib3", "certifi", "typer"} <= licensed


@pytest.mark.slow
def test_the_same_sources_give_the_same_bytes(pyz: Path, tmp_path: Path) -> None:
    build(tmp_path / "again.pyz")
    assert (tmp_path / "again.pyz").read_bytes() == pyz.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.pyz"]


@pytest.mark.slow
def test_every_module_of_ours_can_be_loaded_from_it_and_nothing_from_elsewhere(pyz: Path) -> None:
    done = bare(sys.executable, "-c", IMPORT_ALL, str(pyz))
    assert done.returncode == 0, done.stderr
    names, files = json.loads(done.stdout)
    package = Path(git_coderepo.__file__).parent
    assert len(names) == len(list(package.rglob("*.py"))) - 1
    standard = os.path.dirname(os.__file__)
    assert [file for file in files if not file.startswith((str(pyz), standard))] == []


@pytest.mark.slow
@pytest.mark.parametrize("python", pythons())
def test_it_starts_with_any_python_since_3_10(pyz: Path, python: str) -> None:
    shown = bare(python, pyz, "--version")
    if shown.returncode == 128:
        assert re.fullmatch(r"fatal: git coderepo needs Python 3\.10 or later, this is [0-9.]+\n", shown.stderr)
        assert _is_old(python)
        return
    assert (shown.stdout, shown.stderr) == (f"git-coderepo {git_coderepo.__version__}\n", "")
    valid = bare(python, pyz, "validate", "-", stdin=encode(example_document()).decode())
    assert (valid.stdout, valid.stderr) == ("'-' is valid\n", "")
    assert "EXIT STATUS" in bare(python, pyz, "help").stdout
    # Up to the first request: requests and what it needs are loaded, and nobody is there to ask.
    fetched = bare(python, pyz, "fetch", f"https://127.0.0.1:9/acme/widgets.git@{'a' * 40}", "/proc/code")
    assert fetched.returncode == 128
    assert "unexpected" not in fetched.stderr


# --- the unpacked copy that it starts from ---


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "a home"
    folder.mkdir()
    return folder


WHERE_FROM = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(sys.modules["git_coderepo.errors"].__file__.rpartition("/git_coderepo/")[0])
"""


def started(pyz: Path, home: Path, **environment: str) -> str:
    """Start the file with this HOME; gives the directory, or the archive, that the program's modules came from."""
    told = {"PATH": os.environ["PATH"], "HOME": str(home), **environment}
    words = [sys.executable, "-I", "-S", "-c", WHERE_FROM, str(pyz), "--version"]
    done = subprocess.run(words, env=told, cwd="/", capture_output=True, text=True, check=False, timeout=120)
    said = done.stdout.splitlines()
    assert (done.returncode, said[:1]) == (0, [f"git-coderepo {git_coderepo.__version__}"]), done.stderr
    return said[1]


def copies(home: Path) -> list[Path]:
    return sorted((home / ".cache" / "git-coderepo" / "pyz").glob("*"))


def test_it_unpacks_itself_once_into_the_users_own_cache(pyz: Path, home: Path) -> None:
    started(pyz, home)
    (copy,) = copies(home)
    assert copy.name == hashlib.blake2b(pyz.read_bytes(), digest_size=16).hexdigest()
    for folder in (copy, copy.parent, copy.parent.parent, copy.parent.parent.parent):
        assert (folder.stat().st_mode & 0o7777, folder.stat().st_uid) == (0o700, os.geteuid())
    bytecode = sorted(copy.rglob("errors.*.pyc"))
    assert bytecode
    made = copy.stat().st_ino, bytecode[0].stat().st_mtime_ns
    assert started(pyz, home) == str(copy)
    assert copies(home) == [copy]
    assert (copy.stat().st_ino, bytecode[0].stat().st_mtime_ns) == made, "nothing is written again"


def test_another_file_has_another_copy(pyz: Path, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pyz"
    shutil.copy(pyz, other)
    with zipfile.ZipFile(other, "a") as archive:
        archive.writestr("note.txt", "changed by somebody")
    started(pyz, home)
    (copy,) = copies(home)
    found = started(other, home)
    assert found != str(copy) and (Path(found) / "note.txt").exists()


@pytest.mark.slow
def test_a_copy_that_lost_files_is_made_again(pyz: Path, home: Path) -> None:
    started(pyz, home)
    (copy,) = copies(home)
    for lose in (lambda path: path.unlink(), lambda path: path.write_bytes(b"")):
        for name in ("git_coderepo/settings.py", "contents.txt"):
            lose(copy / name)
            assert started(pyz, home) == str(copy)
            assert (copy / name).stat().st_size > 0
            assert copies(home) == [copy]


@pytest.mark.parametrize("which", ["the copy", "the folder", "the cache", "a link", "a file"])
def test_a_place_that_others_can_write_to_is_not_used(pyz: Path, home: Path, tmp_path: Path, which: str) -> None:
    """What lies there may have been written by anybody: it is neither run nor replaced."""
    started(pyz, home)
    (copy,) = copies(home)
    (copy / "git_coderepo" / "errors.py").write_text("raise SystemExit('planted')\n")
    if which == "the copy":
        copy.chmod(0o755)
    elif which == "the folder":
        copy.parent.chmod(0o770)
    elif which == "the cache":
        (home / ".cache").chmod(0o777)
    elif which == "a link":
        copy.rename(tmp_path / "elsewhere")
        copy.symlink_to(tmp_path / "elsewhere")
    else:
        copy.rename(tmp_path / "elsewhere")
        copy.write_text("in the way")
    assert started(pyz, home) == str(pyz)
    assert copies(home) == [copy]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_copy_of_another_user_is_not_used(pyz: Path, home: Path) -> None:
    started(pyz, home)
    (copy,) = copies(home)
    os.chown(copy, 12345, 12345)
    assert started(pyz, home) == str(pyz)


def test_it_starts_without_a_copy_where_none_can_be_kept(pyz: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    environment: dict[str, str]
    for environment in ({"HOME": "relative"}, {"HOME": ""}, {"XDG_CACHE_HOME": str(tmp_path / "a file")}):
        assert started(pyz, home, **environment) == str(pyz)
    assert copies(home) == []


def test_the_users_word_for_where_caches_are_counts(pyz: Path, home: Path, tmp_path: Path) -> None:
    if sys.platform == "darwin":
        pytest.skip("macOS has ~/Library/Caches alone")
    started(pyz, home, XDG_CACHE_HOME=str(tmp_path / "my caches"))
    assert copies(home) == []
    assert len(list((tmp_path / "my caches" / "git-coderepo" / "pyz").iterdir())) == 1


def test_git_finds_it_under_the_name_that_an_image_gives_it(pyz: Path, tmp_path: Path) -> None:
    """Copied as the Dockerfile of the guide does, without its suffix."""
    shutil.copy(pyz, tmp_path / "git-coderepo")
    env = {"PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["git", "coderepo", "--version"], env=env, cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"git-coderepo {git_coderepo.__version__}\n", "")


@pytest.mark.slow
def test_what_starts_the_program_again_starts_the_file(pyz: Path, tmp_path: Path) -> None:
    """The demo calls itself: the whole way out of one file, from a directory of its own and by a relative name."""
    shown = subprocess.run(
        [sys.executable, "-I", "-S", os.path.relpath(pyz, tmp_path), "demo"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "error: 'code' does not match the recorded tree" in shown.stdout
