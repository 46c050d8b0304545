"""Code imported from other checkouts is recorded and named: PYTHONPATH, editable installs, path dependencies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program
from tests.support.repo import Repo


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    platform = Repo.init(tmp_path / "platform.git", repo.env, bare=True)
    repo.git("remote", "add", "origin", f"file://{platform.path}")
    repo.write("train.py", "import lib\n")
    repo.write(".gitignore", "/.venv/\n/vendor/\n")
    repo.commit()
    repo.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    repo.git("fetch", "--quiet", "origin")
    return repo


@pytest.fixture
def lib(tmp_path: Path, env: dict[str, str]) -> Repo:
    """Another checkout, with a credential in its remote's URL, and a package in it."""
    lib = Repo.init(tmp_path / "lib", env)
    lib.write("src/lib/__init__.py", "x = 1\n")
    lib.commit()
    lib.git("remote", "add", "origin", "https://ada:hunter2@git.corp:8443/acme/lib.git")
    return lib


@pytest.fixture
def site(checkout: Repo) -> Path:
    """The site-packages of a virtual environment in the checkout, whose Python does not run."""
    prefix = checkout.path / ".venv"
    site = prefix / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "bin/python3.11").write_text("#!/bin/sh\nexit 1\n")
    (prefix / "bin/python3.11").chmod(0o755)
    (prefix / "bin/python").symlink_to("python3.11")
    # As pip writes the script of a package, since the path has a space.
    script = f"#!/bin/sh\n'''exec' \"{prefix}/bin/python\" \"$0\" \"$@\"\n' '''\n"
    (prefix / "bin/tool").write_text(script)
    (prefix / "bin/tool").chmod(0o755)
    (prefix / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    return site


def imported(program: Program, repo: Repo, *command: str, **env: str) -> list[dict[str, Any]]:
    """What a run records; the run, `snapshot` and `status` say the same."""
    command = command or ("true",)
    done = program.run("run", "--", *command, cwd=repo.path, env=env, check=False)
    recorded = json.loads((repo.git_dir() / "coderepo/current.json").read_bytes())
    found: list[dict[str, Any]] = recorded["environment"].get("imported", [])
    assert done.errors.count("warning: code is imported from ") == len(found), done.errors
    assert "hunter2" not in json.dumps(recorded) + done.errors
    if command == ("true",):
        snapshot = program.run("snapshot", cwd=repo.path, env=env)
        assert snapshot.json()["environment"].get("imported", []) == found
        assert program.run("status", "--json", cwd=repo.path, env=env).json()["imported"] == found
        shown = program.run("status", cwd=repo.path, env=env).text
        assert shown.count("code is imported from") == len(found)
        assert "imports" in program.run("show", cwd=repo.path).text or not found
    return found


def of(lib: Repo, via: str, *, dirty: bool = False) -> dict[str, Any]:
    remote = {"transport": "https", "host": "git.corp", "port": 8443, "user": None, "path": "/acme/lib.git"}
    return {
        "path": "../lib", "via": via, "remote": remote, "commit": lib.head(), "tree": lib.tree(), "dirty": dirty,
    }  # fmt: skip


@pytest.mark.slow
def test_nothing_is_named_where_all_is_in_the_checkout(checkout: Repo, program: Program, site: Path) -> None:
    (site / "own.pth").write_text(f"{checkout.path}\n")
    assert imported(program, checkout, VIRTUAL_ENV=str(site.parents[2]), PYTHONPATH=f".:{checkout.path}:/nowhere") == []


@pytest.mark.slow
def test_pythonpath(checkout: Repo, program: Program, lib: Repo) -> None:
    found = imported(program, checkout, PYTHONPATH="../lib/src")
    assert found == [of(lib, "PYTHONPATH")]
    lib.write("src/lib/__init__.py", "x = 2\n")
    lib.write("src/lib/new.py", "x = 3\n")
    before = sorted(path for path in (lib.path / ".git").rglob("*"))
    assert imported(program, checkout, PYTHONPATH="../lib/src") == [of(lib, "PYTHONPATH", dirty=True)]
    assert sorted(path for path in (lib.path / ".git").rglob("*")) == before


@pytest.mark.slow
def test_a_directory_that_is_in_no_checkout(checkout: Repo, program: Program, tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()
    checkout.write("vendor/x.py", "ignored\n")
    found = imported(program, checkout, PYTHONPATH=f"{tmp_path}/loose:vendor")
    nothing = {"via": "PYTHONPATH", "remote": None, "commit": None, "tree": None, "dirty": None}
    assert found == [{"path": "../loose", **nothing}, {"path": "vendor", **nothing}]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["path", "finder", "direct-url", "egg-link", "link"])
def test_what_site_packages_refer_to(checkout: Repo, program: Program, lib: Repo, site: Path, kind: str) -> None:
    source = lib.path / "src"
    via = {
        "path": "__editable__.lib-1.0.pth",
        "finder": "__editable__.lib-1.0.pth",
        "direct-url": "lib-1.0 is installed from it",
        "egg-link": "lib.egg-link",
        "link": "link 'lib' in site-packages",
    }[kind]
    if kind == "path":
        (site / via).write_text(f"# written by a build backend\n{source}\n")
    elif kind == "finder":
        (site / via).write_text("import __editable___lib_1_0_finder; __editable___lib_1_0_finder.install()\n")
        (site / "__editable___lib_1_0_finder.py").write_text(f"MAPPING: dict[str, str] = {{'lib': '{source}/lib'}}\n")
    elif kind == "direct-url":
        (site / "lib-1.0.dist-info").mkdir()
        (site / "lib-1.0.dist-info/direct_url.json").write_text(json.dumps({"url": lib.path.as_uri(), "dir_info": {}}))
    elif kind == "egg-link":
        (site / via).write_text(f"{source}\n../\n")
    else:
        (site / "lib").symlink_to(source / "lib")
    expected = [of(lib, via)]
    assert imported(program, checkout, VIRTUAL_ENV=str(site.parents[2])) == expected
    if kind == "path":
        assert imported(program, checkout, ".venv/bin/python", "train.py") == expected
        assert imported(program, checkout, ".venv/bin/tool", "train.py") == expected
        assert imported(program, checkout, "uv", "run", "train.py") == expected


@pytest.mark.slow
def test_a_checkout_that_cannot_be_recorded_is_named(checkout: Repo, program: Program, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/.git").write_text("gitdir: /nowhere\n")
    (found,) = imported(program, checkout, PYTHONPATH="../lib")
    assert (found["path"], found["commit"]) == ("../lib", None)


def test_the_python_api_looks_at_its_own_path(checkout: Repo, program: Program, lib: Repo) -> None:
    program_text = (
        "import git_coderepo as coderepo\n"
        "with coderepo.run() as run: pass\n"
        "print([(each.path, each.dirty) for each in run.manifest.environment.imported])\n"
        "print(len(coderepo.snapshot().environment.imported))\n"
    )
    checkout.write("job.py", program_text)
    done = subprocess.run(
        [sys.executable, "job.py"], cwd=checkout.path, capture_output=True, text=True, timeout=60, check=True,
        env={**program.env, "PYTHONPATH": os.fspath(lib.path / "src")},
    )  # fmt: skip
    assert done.stdout == "[(b'../lib', False)]\n1\n", done.stderr
    assert "code is imported from '../lib'" in done.stderr
