"""Fixtures of the hooks' tests."""

from __future__ import annotations

import pytest

from tests.hooks.support import Hooks
from tests.support.repo import Repo


@pytest.fixture(autouse=True)
def git_on_path(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> None:
    """What runs in the tests' own process finds the git of TEST_GIT too."""
    monkeypatch.setenv("PATH", env["PATH"])


@pytest.fixture
def hooks(repo: Repo) -> Hooks:
    """The hooks of a checkout with one commit, none installed."""
    repo.write("train.py", "lr = 0.1\n")
    repo.commit("first")
    return Hooks(repo)
