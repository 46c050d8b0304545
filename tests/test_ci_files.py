"""The files for CI and for package managers: the GitHub action, the template for GitLab CI, the recipes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.repo import Repo
from tests.test_development import project

PROJECT = Path(__file__).parents[1]


def loaded(name: str) -> Any:
    return yaml.safe_load((PROJECT / name).read_text(encoding="utf-8"))


def bash(script: str, repo: Repo, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What GitHub does with `shell: bash`."""
    path = os.pathsep.join([os.path.dirname(sys.executable), repo.env["PATH"]])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=repo.path, env={**repo.env, "PATH": path, **env}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "status"),
    [("python train.py && touch 'a file'", 0), ("exit 7", 7), ("", 0)],
    ids=["run", "fails", "none"],
)
def test_the_action_records_the_code_and_names_the_manifest(
    repo: Repo, tmp_path: Path, command: str, status: int
) -> None:
    repo.write("train.py", "print('trained')\n")
    repo.commit()
    (record,) = (step for step in loaded("action.yml")["runs"]["steps"] if step.get("id") == "record")
    output = tmp_path / "output"
    env = {"COMMAND": command, "NAME": "a run", "RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output)}
    done = bash(record["run"], repo, env)
    assert done.returncode == status, done.stderr
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert Path(outputs["manifest"]).parent == Path(outputs["directory"])
    assert outputs["tree"] == repo.git("rev-parse", "HEAD^{tree}").decode().strip()
    assert ("trained" in done.stdout) == command.startswith("python")


def test_the_action_has_what_it_names() -> None:
    action = loaded("action.yml")
    text = (PROJECT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{\{ inputs\.(\w+) \}\}", text)) == set(action["inputs"])
    written = set(re.findall(r'"(\w+)=\$', text))
    assert set(re.findall(r"steps\.record\.outputs\.(\w+)", text)) <= written
    guide = (PROJECT / "docs/guides/ci.md").read_text(encoding="utf-8")
    for name in (*action["inputs"], *action["outputs"]):
        assert f"| `{name}` |" in guide


def test_the_template_for_gitlab_can_be_extended_as_shown() -> None:
    guide = (PROJECT / "docs/guides/ci.md").read_text(encoding="utf-8")
    shown = [yaml.safe_load(each) for each in re.findall(r"(?ms)^```yaml\n(.*?)^```", guide)]
    template = loaded("templates/coderepo.yml")
    job = next(each["train"] for each in shown if "include" in each)
    assert job["extends"] in template
    assert template[".coderepo"]["artifacts"] == {"when": "always", "paths": ["coderepo/"]}
    assert any("coderepo/run.json" in line for line in job["script"])


def test_every_block_of_yaml_in_the_guides_is_valid() -> None:
    for page in sorted((PROJECT / "docs/guides").glob("*.md")):
        for block in re.findall(r"(?ms)^```yaml\n(.*?)^```", page.read_text(encoding="utf-8")):
            assert yaml.safe_load(block), page


def test_the_conda_recipe_has_the_dependencies_of_the_project() -> None:
    text = (PROJECT / "packaging/conda/recipe.yaml").read_text(encoding="utf-8")
    ranges = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in yaml.safe_load(text)["requirements"]["run"]}
    for dependency in project()["dependencies"]:
        name, wanted = re.fullmatch(r"([\w-]+)([^;]*)(?:;.*)?", dependency).groups()  # type: ignore[union-attr]
        assert ranges.pop(name.lower()) == wanted.strip()
    assert set(ranges) == {"python", "git"}


def test_nothing_claims_to_be_published() -> None:
    for name in ("conda/recipe.yaml", "homebrew/git-coderepo.rb", "Dockerfile"):
        assert "Not published" in (PROJECT / "packaging" / name).read_text(encoding="utf-8")
    assert "**not published yet**" in (PROJECT / "README.md").read_text(encoding="utf-8")
    assert "urls" not in project()
