"""What is installed: a wheel made from the sdist, in an environment of its own, used as people use it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

import git_coderepo
from git_coderepo.cli.help import manual
from git_coderepo.cli.help.help import plain

pytestmark = pytest.mark.slow


ROOT = Path(git_coderepo.__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel that was built from it and not from the checkout."""
    directory = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment into which pip put the wheel, and nothing else; dependencies are lent from ours."""
    place = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", place])
    site = next((place / "lib").glob("python*/site-packages"))
    # A directory in a .pth file is a place to import from; what .pth files in it say (our own package's) is not read.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = built.glob("*.whl")
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        place / "bin" / "python",
    ]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel])
    return place / "bin"


def run(argv: list[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, env=env, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def user(installed: Path, env: dict[str, str]) -> dict[str, str]:
    """The environment of somebody who has it on PATH; no test's interpreter is in front of it."""
    rest = [place for place in env["PATH"].split(os.pathsep) if place != os.path.dirname(sys.executable)]
    return {**env, "PATH": os.pathsep.join([str(installed), *rest]), "MANPAGER": "cat", "MANWIDTH": "100"}


def test_the_wheel_holds_the_page_the_schemas_and_the_marker_for_types(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        page = archive.read("git_coderepo/man/git-coderepo.1").decode()
        (licence,) = (archive.read(name) for name in names if name.endswith("/LICENSE"))
    shared = f"git_coderepo-{git_coderepo.__version__}.data/data/share/man/man1"
    assert {f"{shared}/{name}" for name in manual.pages()} <= names
    assert page == manual.make()
    assert licence == (ROOT / "LICENSE").read_bytes()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "git_coderepo").rglob("*.py")}
    data = {
        "git_coderepo/py.typed",
        "git_coderepo/manifest/schema/run-manifest-1.json",
        "git_coderepo/manifest/schema/receipt-1.json",
        *(f"git_coderepo/hooks/texts/{path.name}" for path in (ROOT / "hooks").iterdir()),
    }
    assert modules | data <= names
    assert not any(name.startswith(("tests/", "bench/")) for name in names)


def test_the_sdist_holds_what_is_needed_to_test_it(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "man/git-coderepo.1")
    assert {*wanted, "tests/conftest.py", "tests/remote-urls.json"} <= names
    assert not any(name.startswith((".venv", ".git/", "dist")) for name in names)


def test_a_package_index_shows_a_readme_without_broken_links(built: Path) -> None:
    """The project has no canonical address, so that only absolute links lead anywhere there."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    headers, _, shown = metadata.partition("\n\n")
    assert "Description-Content-Type: text/markdown" in headers
    assert shown.startswith("# git coderepo\n\nKnow exactly which code")
    assert not re.findall(r"\]\((?!https://)", shown) and "<picture" not in shown


def test_the_versions_agree(built: Path, user: dict[str, str]) -> None:
    (wheel,) = built.glob("*.whl")
    version = git_coderepo.__version__
    assert wheel.name == f"git_coderepo-{version}-py3-none-any.whl"
    assert run(["git", "coderepo", "--version"], user) == f"git-coderepo {version}\n"
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_git_finds_the_program(user: dict[str, str], home: Path) -> None:
    shown = run(["git", "coderepo", "-h"], user, home)
    assert shown.startswith("Usage: git coderepo [OPTIONS] COMMAND")
    assert "  snapshot    " in shown
    assert run(["git", "coderepo", "register", "--help"], user, home).startswith("NAME\n    git-coderepo-register ")


def test_it_is_the_installed_package_that_runs(installed: Path, user: dict[str, str], home: Path) -> None:
    where = run([installed / "python", "-c", "import git_coderepo; print(git_coderepo.__file__)"], user, home)
    assert Path(where.strip()).is_relative_to(installed.parent)


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_git_help_shows_the_page(user: dict[str, str], home: Path) -> None:
    """man finds it beside the `bin` that is on PATH: `share/man` of the environment."""
    shown = re.sub(r".\x08", "", run(["git", "help", "coderepo"], user, home))
    assert "know exactly which code made a run" in " ".join(shown.split())
    assert "EXIT STATUS" in shown
    assert re.sub(r".\x08", "", run(["git", "coderepo", "--help"], user, home)) == shown
    shown = re.sub(r".\x08", "", run(["git", "help", "coderepo-run"], user, home))
    assert "git-coderepo-run - record a run and start its command" in " ".join(shown.split())


def test_the_program_has_the_page_where_man_cannot_find_it(user: dict[str, str], home: Path) -> None:
    assert run(["git", "coderepo", "help"], user, home) == plain(manual.make())


def test_the_whole_way_with_what_is_installed(user: dict[str, str], home: Path) -> None:
    shown = run(["git", "coderepo", "demo"], user, home)
    assert "error: 'code' does not match the recorded tree" in shown
    assert len(shown.splitlines()) <= 40, "the demo fits one screen"
