"""Fixtures of the forge's own tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.forge import Forge, Repository
from tests.forge.client import Client
from tests.support.repo import Repo


@pytest.fixture
def client(forge: Forge) -> Iterator[Client]:
    client = Client(forge)
    with client.session:
        yield client


@pytest.fixture
def code(repo: Repo) -> Repo:
    """Two commits; the first without `added.txt`."""
    repo.write("train.py", "print('hello')\n" * 500)
    repo.write("lib/noise", os.urandom(40_000))
    repo.write("lib/run me.sh", "#!/bin/sh\n", 0o755)
    repo.symlink("latest", "lib/noise")
    repo.write(b"na\xefve", "latin-1")
    repo.commit("first")
    repo.write("added.txt", "later\n")
    repo.commit("second")
    return repo


@pytest.fixture
def github(forge: Forge, code: Repo) -> Repository:
    return forge.add_repository("acme/widgets", platform="github", source=code.path)


@pytest.fixture
def gitlab(forge: Forge, code: Repo) -> Repository:
    return forge.add_repository("group/sub group/project", platform="gitlab", source=code.path)
