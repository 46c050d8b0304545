"""A token counts as verified only where the platform answered the question that proves its permission."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.credentials.secret import Credential, Secret
from git_coderepo.errors import CodeRepoError, ServerFailed
from git_coderepo.git.url.remote import Origin
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.platforms.registry import platform_class
from tests.forge import Forge, Status
from tests.support.repo import Repo


@pytest.fixture
def hosted(
    request: pytest.FixtureRequest, forge: Forge, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HostedRepository]:
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    type = request.param
    forge.add_repository("acme/widgets", platform=type, source=repo.path)
    token = forge.add_token(type)
    for name, value in forge.env.items():
        monkeypatch.setenv(name, value)
    names = {"github": ("owner", "repository"), "gitlab": ("group", "project")}[type]
    made = platform_class(type)("x", {**dict(zip(names, ("acme", "widgets"), strict=True)), "host": forge.url})
    assert isinstance(made, HostedRepository)
    made.credentials = Given(token, forge.url)
    made.max_wait = 0
    yield made
    made.close()


class Given:
    def __init__(self, token: str, origin: str) -> None:
        self.token, self.origin = token, Origin.parse(origin)

    def find(self, origin: Origin, path: str) -> Credential | None:
        return Credential(Secret(self.token), source="the test") if origin == self.origin else None

    def refused(self, *_: object) -> None: ...

    def accepted(self, *_: object) -> None: ...


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("hosted", "kind"), [("github", "commit"), ("github", "access"), ("gitlab", "access")], indirect=["hosted"]
)
def test_a_server_that_fails_verifies_nothing(hosted: HostedRepository, forge: Forge, kind: str, status: int) -> None:
    hosted.login()
    forge.misbehave(kind, Status(status), times=None)

    with pytest.raises(ServerFailed, match=str(status)):
        hosted.login()


@pytest.mark.parametrize("status", [400, 406, 410, 418, 451])
@pytest.mark.parametrize(("hosted", "kind"), [("github", "commit"), ("gitlab", "access")], indirect=["hosted"])
def test_an_answer_that_says_nothing_of_the_permission_verifies_nothing(
    hosted: HostedRepository, forge: Forge, kind: str, status: int
) -> None:
    forge.misbehave(kind, Status(status), times=None)

    with pytest.raises(CodeRepoError):
        hosted.login()


@pytest.mark.parametrize("hosted", ["github"], indirect=True)
def test_an_empty_repository_is_verified_all_the_same(hosted: HostedRepository, forge: Forge, tmp_path: Path) -> None:
    forge.add_repository("acme/empty", platform="github")
    empty = platform_class("github")("x", {"owner": "acme", "repository": "empty", "host": forge.url})
    empty.credentials = hosted.credentials

    empty.login()
    empty.close()
