"""The runner's one file: what is in it, what is not, and that any Python since 3.10 starts it with nothing else."""

from __future__ import annotations

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


def test_it_holds_no_compiled_file_and_no_word_of_this_machine(pyz: Path) -> None:
    words = [str(PROJECT), sys.prefix, sys.base_prefix, str(Path.home()) + "/", tempfile.gettempdir() + "/pytest-of"]
    words += [os.uname().nodename] if len(os.uname().nodename) > 8 else []
    assert pyz.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert os.access(pyz, os.X_OK)
    with zipfile.ZipFile(pyz) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            assert entry.filename.endswith((".py", ".json", ".pem", ".txt", ".md", ".1", ".js")) or re.search(
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


def test_every_module_of_ours_can_be_loaded_from_it_and_nothing_from_elsewhere(pyz: Path) -> None:
    done = bare(sys.executable, "-c", IMPORT_ALL, str(pyz))
    assert done.returncode == 0, done.stderr
    names, files = json.loads(done.stdout)
    package = Path(git_coderepo.__file__).parent
    assert len(names) == len(list(package.rglob("*.py"))) - 1
    standard = os.path.dirname(os.__file__)
    assert [file for file in files if not file.startswith((str(pyz), standard))] == []


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


def test_git_finds_it_under_the_name_that_an_image_gives_it(pyz: Path, tmp_path: Path) -> None:
    """Copied as the README's Dockerfile does, without its suffix."""
    shutil.copy(pyz, tmp_path / "git-coderepo")
    env = {"PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["git", "coderepo", "--version"], env=env, cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"git-coderepo {git_coderepo.__version__}\n", "")


def test_what_starts_the_program_again_starts_the_file(pyz: Path, tmp_path: Path) -> None:
    """The demo calls itself: the whole way out of one file, from a directory of its own and by a relative name."""
    shown = subprocess.run(
        [sys.executable, "-I", "-S", os.path.relpath(pyz, tmp_path), "demo"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "error: 'code' does not match the recorded tree" in shown.stdout
