"""GitHub and GitLab on the forge: real repositories behind TLS, scopes, temporary links, and misbehaviour."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    CredentialMissing,
    DownloadDamaged,
    HostUnreachable,
    ProtocolNotAllowed,
    RateLimited,
    RepositoryMissing,
    ScopeMissing,
    TokenRefused,
    UnexpectedAnswer,
)
from git_coderepo.git.objects import EXECUTABLE, FILE, SYMLINK, ObjectId
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.github import GitHub
from git_coderepo.platforms.gitlab import GitLab
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.platforms.registry import recognise
from git_coderepo.testing import CodeRepositoryTests
from git_coderepo.transport.git_remote import check_access
from tests.forge import Cut, Forge, Hangup, Html, LimitReset, Misbehaviour, Redirect, Repository, RetryAfter, Status
from tests.platform_server import Tokens
from tests.support.repo import Repo

FILES: Mapping[bytes, tuple[int, bytes]] = {
    b"train.py": (FILE, b"lr = 0.1\n"),
    b"run me.sh": (EXECUTABLE, b"#!/bin/sh\n"),
    b"data/-x": (FILE, os.urandom(200_000)),
    b"data/latest": (SYMLINK, b"-x"),
    "naïve/ü".encode(): (FILE, b""),
}
NAMES = {"github": "acme/widgets", "gitlab": "acme/vision/widgets"}


@pytest.fixture(autouse=True)
def user(env: dict[str, str], forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**env, **forge.env}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def source(repo: Repo) -> Repo:
    for path, (mode, data) in FILES.items():
        if mode == SYMLINK:
            repo.symlink(path, data)
        else:
            repo.write(path, data, mode & 0o777)
    repo.commit()
    return repo


@pytest.fixture(params=["github", "gitlab"])
def platform(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def hosted(forge: Forge, source: Repo, platform: str) -> Repository:
    return forge.add_repository(NAMES[platform], platform=platform, source=source.path)


@pytest.fixture
def token(forge: Forge, platform: str) -> str:
    return forge.add_token(platform)


def client(hosted: Repository, tokens: Tokens) -> HostedRepository:
    """The repository as a runner has it: its remote, its type, its credentials; nothing else."""
    made: HostedRepository = (GitHub if hosted.platform == "github" else GitLab)("origin", {})
    made.remote = RemoteURL.parse(hosted.url)
    made.credentials = tokens
    return made


@pytest.fixture
def mine(forge: Forge, hosted: Repository, token: str) -> HostedRepository:
    return client(hosted, Tokens({forge.url: token}))


def head(hosted: Repository) -> ObjectId:
    return ObjectId(hosted.git("rev-parse", "main"))


class TestOnTheForge(CodeRepositoryTests):
    @pytest.fixture
    def code_repository(self, mine: HostedRepository) -> HostedRepository:
        return mine

    @pytest.fixture
    def commit(self, hosted: Repository) -> str:
        return head(hosted).hex

    @pytest.fixture
    def files(self) -> Mapping[bytes, tuple[int, bytes]]:
        return FILES


def test_one_request_brings_the_archive(
    forge: Forge, mine: HostedRepository, hosted: Repository, token: str, tmp_path: Path
) -> None:
    """Z1"""
    (tmp_path / "code").mkdir()
    mine.download_files(head(hosted).hex, str(tmp_path / "code"), None)
    assert len(forge.requests("archive")) == 1
    assert len(forge.requests()) == {"github": 2, "gitlab": 1}[hosted.platform]  # GitHub redirects to the archive
    assert forge.origins_that_saw(token) == {forge.url}


def test_git_takes_the_same_token(forge: Forge, mine: HostedRepository, token: str) -> None:
    check_access(mine)
    assert forge.requests("git/refs")[-1].carries(token)


def test_a_wrong_token(forge: Forge, hosted: Repository) -> None:
    tokens = Tokens({forge.url: "wrong"})
    with pytest.raises(TokenRefused):
        client(hosted, tokens).login()
    assert len(tokens.refusals) == 1


def test_a_token_without_the_scope(forge: Forge, hosted: Repository, platform: str) -> None:
    scopes = {"github": ["metadata:read"], "gitlab": ["read_user"]}[platform]
    poor = client(hosted, Tokens({forge.url: forge.add_token(platform, scopes=scopes)}))
    with pytest.raises((ScopeMissing, RepositoryMissing)):
        poor.open_archive(head(hosted), b"")


def test_a_token_for_another_repository(forge: Forge, hosted: Repository, platform: str) -> None:
    other = client(hosted, Tokens({forge.url: forge.add_token(platform, repositories=["acme/other"])}))
    with pytest.raises(RepositoryMissing, match="may not see it"):
        other.login()


def test_no_token(hosted: Repository) -> None:
    with pytest.raises((RepositoryMissing, CredentialMissing)) as raised:
        client(hosted, Tokens()).login()
    assert any("git coderepo login --host" in hint for hint in raised.value.hints)


def test_a_public_repository_needs_none(forge: Forge, source: Repo, platform: str) -> None:
    """Z9"""
    public = forge.add_repository("acme/public", platform=platform, private=False, source=source.path)
    anybody = client(public, Tokens())
    anybody.login()
    archive = anybody.open_archive(head(public), b"")
    assert archive is not None
    archive.stream.close()


def test_a_commit_that_the_platform_cleaned_away(hosted: Repository, mine: HostedRepository) -> None:
    gone = head(hosted)
    tree = hosted.git("rev-parse", "main^{tree}")
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    hosted.git("update-ref", "refs/heads/main", hosted.git(*who, "commit-tree", "-m", "rewritten", tree))
    hosted.prune()
    with pytest.raises(CommitMissing):
        mine.open_archive(gone, b"")
    assert mine.has_commit(gone) is False


def test_a_renamed_repository_is_found_where_the_platform_redirects(
    forge: Forge, hosted: Repository, mine: HostedRepository, platform: str
) -> None:
    forge.rename(hosted, "acme/gadgets")
    if platform == "gitlab":
        with pytest.raises(RepositoryMissing):
            mine.login()
    else:
        mine.login()


def test_some_fine_grained_tokens_want_another_word(forge: Forge, source: Repo) -> None:
    hosted = forge.add_repository("acme/widgets", platform="github", source=source.path)
    forge.tarball_refuses_bearer = True
    repository = client(hosted, Tokens({forge.url: forge.add_token("github")}))
    archive = repository.open_archive(head(hosted), b"")
    assert archive is not None
    archive.stream.close()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("job", "gitlab-ci-token"), ("deploy", "gitlab+deploy-token-7")])
def test_tokens_that_only_git_takes(forge: Forge, source: Repo, kind: str, name: str) -> None:
    hosted = forge.add_repository("acme/widgets", platform="gitlab", source=source.path)
    token = forge.add_token("gitlab", kind=kind, user=name)
    repository = client(hosted, Tokens({forge.url: (name, token)}))
    repository.login()
    assert repository.open_archive(head(hosted), b"") is None
    assert repository.has_commit(head(hosted)) is True
    assert forge.requests("archive") == [] and forge.requests("access") == []


@pytest.mark.slow
def test_an_instance_below_a_path(tmp_path: Path, source: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    with Forge(tmp_path / "below", gitlab_root="/gitlab") as forge:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(forge.ca_file))
        hosted = forge.add_repository("a/b/c", platform="gitlab", source=source.path)
        repository = GitLab("origin", {"group": "a/b", "project": "c", "instance_url": f"{forge.url}/gitlab/"})
        repository.credentials = Tokens({forge.url: forge.add_token("gitlab")})
        repository.login()
        check_access(repository)
        assert repository.serves(RemoteURL.parse(hosted.url))
        assert recognise(f"{forge.url}/gitlab") is GitLab


def test_an_unknown_host_is_recognised(forge: Forge, hosted: Repository, platform: str) -> None:
    found = recognise(forge.url)
    assert found is not None and found.type == platform
    assert all("authorization" not in request.headers for request in forge.requests())


@pytest.mark.slow
@pytest.mark.parametrize("limit", [RetryAfter(1), RetryAfter(1, status=403), LimitReset(1), LimitReset(1, status=429)])
@pytest.mark.parametrize("kind", ["access", "archive"])
def test_a_short_limit_is_waited_for(
    forge: Forge, hosted: Repository, mine: HostedRepository, kind: str, limit: Misbehaviour
) -> None:
    said: list[str] = []
    mine.notify = said.append
    forge.misbehave(kind, limit)
    mine.login()
    archive = mine.open_archive(head(hosted), b"")
    assert archive is not None
    archive.stream.close()
    assert len(said) == 1


def test_a_long_limit_is_told(forge: Forge, hosted: Repository, mine: HostedRepository) -> None:
    forge.misbehave("archive", RetryAfter(600), times=None)
    with pytest.raises(RateLimited, match="600 seconds"):
        mine.open_archive(head(hosted), b"")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (Html(), UnexpectedAnswer),
        (Html(status=203), UnexpectedAnswer),
        (Status(200, b"{}"), UnexpectedAnswer),
        (Status(500), UnexpectedAnswer),
        (Status(406), UnexpectedAnswer),
        (Hangup(), HostUnreachable),
        (Redirect("loop"), UnexpectedAnswer),
        (Redirect("http"), ProtocolNotAllowed),
        (Redirect("evil"), CodeRepoError),
    ],
)
def test_an_archive_that_is_none(
    forge: Forge,
    hosted: Repository,
    mine: HostedRepository,
    token: str,
    wrong: Misbehaviour,
    error: type[CodeRepoError],
) -> None:
    forge.misbehave("archive", wrong, times=None)
    with pytest.raises(error) as raised:
        mine.open_archive(head(hosted), b"")
    assert forge.origins_that_saw(token) == {forge.url}
    assert token not in f"{raised.value} {raised.value.hints}"


@pytest.mark.parametrize("kind", ["access", "commit"])
def test_a_redirect_of_the_api_to_another_host_brings_no_token_there(
    forge: Forge, hosted: Repository, mine: HostedRepository, token: str, kind: str
) -> None:
    """Z9"""
    forge.misbehave(kind, Redirect("evil"), times=None)
    with pytest.raises(CodeRepoError):
        mine.login()
        mine.has_commit(head(hosted))
    assert any(request.listener == "evil" for request in forge.requests())
    assert forge.origins_that_saw(token) == {forge.url}


@pytest.mark.parametrize("framing", ["length", "chunked", "terminated", "close"])
def test_an_archive_that_is_cut_off(
    forge: Forge, hosted: Repository, mine: HostedRepository, tmp_path: Path, framing: str
) -> None:
    (tmp_path / "code").mkdir()
    forge.misbehave("archive", Cut(after=100_000, framing=framing), times=None)
    with pytest.raises(DownloadDamaged):
        mine.download_files(head(hosted).hex, str(tmp_path / "code"), None)
