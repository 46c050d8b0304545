"""The files that a developer's tools read: the lock of the environment, the hooks, the workflows."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import git_coderepo

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(git_coderepo.__file__).parents[1]
LOCK = PROJECT / "requirements-dev.lock"
WORKFLOWS = PROJECT / ".github" / "workflows"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SYSTEMS = ("linux", "darwin")


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def locked() -> Iterator[tuple[Requirement, list[str]]]:
    """Each requirement of the lock, and its hashes."""
    text = re.sub(r"(?m)^#.*\n", "", LOCK.read_text(encoding="utf-8")).replace("\\\n", " ")
    for line in text.splitlines():
        words, *hashes = re.split(r"\s+--hash=sha256:", line.strip())
        yield Requirement(words), hashes


def environment(python: str, system: str) -> dict[str, str]:
    return {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": system, "os_name": "posix",
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system], "platform_machine": "x86_64",
        "implementation_name": "cpython", "platform_python_implementation": "CPython", "extra": "",
    }  # fmt: skip


def applies(marker: Marker | None, values: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(values)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_lock_satisfies_the_project(python: str, system: str) -> None:
    """`make lock` writes it anew after a change of the dependencies."""
    values = environment(python, system)
    versions = {}
    for each, _ in locked():
        if applies(each.marker, values):
            assert canonicalize_name(each.name) not in versions, f"{each.name} is locked twice"
            (pin,) = each.specifier
            assert pin.operator == "==", each
            versions[canonicalize_name(each.name)] = pin.version
    extras = project()["optional-dependencies"]
    for text in [*project()["dependencies"], *extras["test"], *extras["lint"]]:
        wanted = Requirement(text)
        if applies(wanted.marker, values):
            version = versions.get(canonicalize_name(wanted.name))
            assert version is not None, f"{wanted.name} is not in {LOCK.name}: run make lock"
            assert wanted.specifier.contains(version, prereleases=True), f"{text} is locked as {version}: run make lock"


def test_the_lock_names_hashes_and_no_place() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    for each, hashes in locked():
        assert hashes and all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes), each


def test_the_project_says_which_pythons_the_workflow_tests() -> None:
    jobs = yaml.safe_load((WORKFLOWS / "tests.yml").read_text(encoding="utf-8"))["jobs"]
    assert tuple(jobs["python"]["strategy"]["matrix"]["python"]) == PYTHONS
    assert project()["requires-python"] == f">={PYTHONS[0]}"


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_a_workflow_calls_what_the_makefile_has(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}, "a job that needs more says so itself"
    targets = set(re.findall(r"(?m)^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8")))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = {word for step in steps for word in re.findall(r"(?m)(?:^|&& )make ([a-z-]+)", step.get("run", ""))}
    assert called and called <= targets


def test_the_hooks_of_a_commit_are_the_lint_of_the_makefile() -> None:
    config = PROJECT / ".pre-commit-config.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    hooks = yaml.safe_load(config.read_text(encoding="utf-8"))["repos"][0]["hooks"]
    recipe = (PROJECT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    programs = {tuple(re.sub(r"\$\(BIN\)/", "", line).split()[:3]) for line in recipe.splitlines()[1:]}
    for hook in hooks:
        words = tuple(hook["entry"].replace(".venv/bin/", "").split())
        assert any(words[:2] == program[:2] for program in programs), hook["entry"]
    assert len(hooks) == len(programs)
