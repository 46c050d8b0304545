"""Fixtures that every test may use; each test has its own HOME, and its own forge where it asks for one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import remove_templates
from tests.forge import Forge
from tests.support.environment import clean_environment
from tests.support.program import Program
from tests.support.repo import Repo


def pytest_configure(config: pytest.Config) -> None:
    """Restore the signals that a shell's background or nohup ignores: the tests' programs would inherit that."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_unconfigure() -> None:
    remove_templates()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty HOME, but for a `.gitconfig` with a user."""
    return tmp_path / "home"


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    """The environment of a user on a clean machine."""
    return clean_environment(home)


@pytest.fixture
def program(env: dict[str, str]) -> Program:
    """The installed `git-coderepo`, run in `env`."""
    return Program(env)


@pytest.fixture
def repo(tmp_path: Path, env: dict[str, str]) -> Repo:
    """A new repository, without a commit, in a folder with a space in its name."""
    return Repo.init(tmp_path / "my checkout", env)


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A platform over https, without repositories yet; ends with an assertion that it did not break itself."""
    with Forge(tmp_path / "forge") as forge:
        yield forge
