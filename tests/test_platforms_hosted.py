"""GitHub and GitLab: where they are, what they are asked, and how their answers are told apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
    RegistrationError,
    RepositoryMissing,
    ScopeMissing,
    TokenRefused,
    UnexpectedAnswer,
    UnsafeTree,
)
from git_coderepo.git.objects import EXECUTABLE, FILE, SYMLINK, ObjectId
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.github import GitHub
from git_coderepo.platforms.gitlab import GitLab
from git_coderepo.platforms.hosted import HostedRepository, Site
from git_coderepo.platforms.registry import class_for_host, platform_class, platform_types, recognise
from git_coderepo.testing import check_files
from tests.platform_server import Answer, Server, Tokens, archive, archive_answer, json_answer, serving

TOKEN = "s3cr3t-t0ken"
COMMIT = ObjectId("5f3c1de2" * 5)
FILES = {
    "train.py": (FILE, b"lr = 0.1\n"),
    "run me.sh": (EXECUTABLE, b"#!/bin/sh\n"),
    "data/-x": (FILE, b"\0\1"),
    "data/latest": (SYMLINK, b"-x"),
    "naïve": (FILE, b""),
}


@pytest.fixture(autouse=True)
def user(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**env, "CODEREPO_ALLOW_PROTOCOL": "file:http"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty directory."""
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


@pytest.fixture
def storage() -> Iterator[Server]:
    with serving() as server:
        yield server


class Case:
    """One platform on the server: its repository object and the paths that it asks for."""

    def __init__(self, name: str, server: Server, tokens: Tokens) -> None:
        self.tokens = tokens
        self.server = server
        if name == "github":
            self.repository: HostedRepository = GitHub(
                "origin", {"owner": "acme", "repository": "widgets", "api_url": f"{server.url}/api/v3"}
            )
            self.repo = "/api/v3/repos/acme/widgets"
            self.commit = f"{self.repo}/git/commits/{COMMIT}"
            self.archive = f"{self.repo}/tarball/{COMMIT}"
        else:
            self.repository = GitLab(
                "origin", {"group": "acme/vision", "project": "widgets", "instance_url": f"{server.url}/gitlab/"}
            )
            self.repo = "/gitlab/api/v4/projects/acme%2Fvision%2Fwidgets"
            self.commit = f"{self.repo}/repository/commits/{COMMIT}"
            self.archive = f"{self.repo}/repository/archive.tar.gz"
        self.repository.credentials = tokens

    def exists(self) -> None:
        self.server.answers[self.repo] = json_answer('{"id": 1}')


@pytest.fixture(params=["github", "gitlab"])
def case(request: pytest.FixtureRequest, server: Server) -> Iterator[Case]:
    case = Case(request.param, server, Tokens({server.url: TOKEN}))
    yield case
    case.repository.close()


@pytest.fixture(params=["github", "gitlab"])
def anonymous(request: pytest.FixtureRequest, server: Server) -> Iterator[Case]:
    case = Case(request.param, server, Tokens())
    yield case
    case.repository.close()


# --- logging in --------------------------------------------------------------------------------------


def test_logging_in_asks_for_the_repository_once(case: Case) -> None:
    case.exists()
    case.repository.login()
    # GitHub shows a repository's metadata to any token: that it may read the contents is a question of its own.
    probe = [f"{case.repo}/commits/HEAD"] if case.repository.type == "github" else []
    assert case.server.paths() == [case.repo, *probe]
    assert {request.headers["authorization"] for request in case.server.requests} == {f"Bearer {TOKEN}"}
    assert len(case.tokens.acceptances) == 1 and case.tokens.refusals == []


def test_a_credentials_prefix_is_held_against_the_repositorys_path(case: Case) -> None:
    case.exists()
    case.repository.login()
    wanted = {"github": "/acme/widgets", "gitlab": "/gitlab/acme/vision/widgets"}[case.repository.type]
    assert set(case.tokens.asked) == {(case.server.url, wanted)}


def test_a_wrong_token_is_told(case: Case) -> None:
    case.server.answers[case.repo] = json_answer('{"message": "Bad credentials"}', 401)
    with pytest.raises(TokenRefused) as raised:
        case.repository.login()
    assert raised.value.message == f"'{case.server.url}' refused the token from the test"
    if case.repository.type == "gitlab":
        assert raised.value.hints[0] == f"git coderepo login --host {case.server.url}"
    assert len(case.tokens.refusals) == 1 and case.tokens.acceptances == []
    assert raised.value.exit_status == 4


def test_a_missing_scope_is_told_with_the_scopes_that_are_needed(case: Case) -> None:
    case.server.answers[case.repo] = json_answer('{"error": "insufficient_scope"}', 403)
    with pytest.raises(ScopeMissing) as raised:
        case.repository.login()
    assert case.repository.scopes in raised.value.hints[0]
    assert case.tokens.refusals == []


def test_single_sign_on_is_told(server: Server) -> None:
    case = Case("github", server, Tokens({server.url: TOKEN}))
    server.answers[case.repo] = json_answer("{}", 403, X_GitHub_SSO="required; url=https://github.com/orgs/x/sso")
    with pytest.raises(ScopeMissing) as raised:
        case.repository.login()
    assert "single sign-on" in raised.value.hints[0]
    case.repository.close()


def test_a_missing_repository_is_told(case: Case) -> None:
    with pytest.raises(RepositoryMissing, match="may not see it"):
        case.repository.login()


def test_a_hidden_repository_without_a_token_hints_at_logging_in(anonymous: Case) -> None:
    with pytest.raises(RepositoryMissing) as raised:
        anonymous.repository.login()
    assert any("git coderepo login --host" in hint for hint in raised.value.hints)


@pytest.mark.parametrize("status", [401, 403])
def test_a_wanted_credential_that_is_not_there_is_told(anonymous: Case, status: int) -> None:
    anonymous.server.answers[anonymous.repo] = json_answer("{}", status)
    with pytest.raises(CredentialMissing) as raised:
        anonymous.repository.login()
    assert raised.value.hints[0].startswith("git coderepo login --host")


@pytest.mark.slow
def test_an_unreachable_host_is_told(case: Case) -> None:
    case.server.close()
    with pytest.raises(HostUnreachable):
        case.repository.login()


def test_a_rate_limit_is_told(case: Case) -> None:
    case.server.answers[case.repo] = json_answer("{}", 429, Retry_After="3600")
    with pytest.raises(RateLimited):
        case.repository.login()


def test_a_login_page_is_no_answer(case: Case) -> None:
    case.server.answers[case.repo] = Answer(200, b"<html>", {"Content-Type": "text/html"})
    with pytest.raises(UnexpectedAnswer):
        case.repository.login()


def test_a_renamed_repository_is_followed_with_its_token(case: Case) -> None:
    case.server.answers[case.repo] = Answer(301, b"", {"Location": case.repo.rpartition("/")[0] + "/7"})
    case.server.answers[case.repo.rpartition("/")[0] + "/7"] = json_answer("{}")
    case.repository.login()
    assert [r.headers.get("authorization") for r in case.server.requests[:2]] == [f"Bearer {TOKEN}"] * 2


@pytest.mark.slow
def test_no_error_holds_the_token(case: Case) -> None:
    for status in (401, 403, 404, 406, 418, 500):
        case.server.answers[case.repo] = json_answer(f'{{"message": "{TOKEN}"}}', status)
        with pytest.raises(CodeRepoError) as raised:
            case.repository.login()
        assert TOKEN not in f"{raised.value} {raised.value.hints}"


# --- archives -----------------------------------------------------------------------------------------


def test_an_archive_is_one_request(case: Case, target: Path) -> None:
    case.server.answers[case.archive] = archive_answer(archive(FILES))
    case.repository.download_files(str(COMMIT), str(target), None)
    assert case.server.paths() == [case.archive]
    check_files(target, {path.encode(): entry for path, entry in FILES.items()})


def test_gitlab_is_asked_for_the_commit_without_lfs_objects(server: Server) -> None:
    case = Case("gitlab", server, Tokens({server.url: TOKEN}))
    server.answers[case.archive] = archive_answer(archive(FILES))
    opened = case.repository.open_archive(COMMIT, b"")
    assert opened is not None and opened.path == b"" and opened.top_directory
    opened.stream.close()
    assert server.requests[0].query == f"sha={COMMIT}&include_lfs_blobs=false"
    case.repository.close()


@pytest.mark.parametrize(
    ("path", "query", "covers"),
    [
        (b"data/a b", "&path=data/a%20b", b"data/a b"),
        ("naïve&x=1".encode(), "&path=na%C3%AFve%26x%3D1", "naïve&x=1".encode()),
        (b"not-\xff-utf8", "", b""),
    ],
)
def test_gitlab_is_asked_for_one_directory(server: Server, path: bytes, query: str, covers: bytes) -> None:
    case = Case("gitlab", server, Tokens({server.url: TOKEN}))
    server.answers[case.archive] = archive_answer(archive(FILES))
    opened = case.repository.open_archive(COMMIT, path)
    assert opened is not None and opened.path == covers
    opened.stream.close()
    assert server.requests[0].query == f"sha={COMMIT}&include_lfs_blobs=false{query}"
    case.repository.close()


def test_one_directory_of_an_archive_is_unpacked(case: Case, target: Path) -> None:
    case.server.answers[case.archive] = archive_answer(archive(FILES))
    case.repository.download_files(str(COMMIT), str(target), "data")
    check_files(target, {b"-x": FILES["data/-x"], b"latest": FILES["data/latest"]})


def test_the_storage_behind_a_redirect_sees_no_token(case: Case, storage: Server) -> None:
    case.server.answers[case.archive] = Answer(302, b"", {"Location": f"{storage.url}/acme/legacy.tar.gz/x?token=AAAA"})
    storage.answers["/acme/legacy.tar.gz/x"] = archive_answer(archive(FILES))
    opened = case.repository.open_archive(COMMIT, b"")
    assert opened is not None
    opened.stream.close()
    assert TOKEN in str(case.server.requests) and TOKEN not in str(storage.requests)
    assert (storage.url, "/acme/legacy.tar.gz/x") not in case.tokens.asked


def test_an_archive_refused_as_bearer_is_asked_for_once_more_as_token(server: Server) -> None:
    case = Case("github", server, Tokens({server.url: TOKEN}))
    server.answers[case.archive] = lambda request: (
        archive_answer(archive(FILES))
        if request.headers["authorization"] == f"token {TOKEN}"
        else json_answer('{"message": "Bad credentials"}', 401)
    )
    opened = case.repository.open_archive(COMMIT, b"")
    assert opened is not None
    opened.stream.close()
    assert len(server.requests) == 2 and case.tokens.refusals == []
    case.repository.close()


def test_an_archive_refused_both_ways_is_a_refused_token(server: Server) -> None:
    case = Case("github", server, Tokens({server.url: TOKEN}))
    server.answers[case.archive] = json_answer("{}", 401)
    with pytest.raises(TokenRefused):
        case.repository.open_archive(COMMIT, b"")
    assert len(server.requests) == 2 and len(case.tokens.refusals) == 1
    case.repository.close()


def test_a_missing_commit_and_a_missing_repository_are_told_apart(case: Case) -> None:
    with pytest.raises(RepositoryMissing):
        case.repository.open_archive(COMMIT, b"")
    case.exists()
    with pytest.raises(CommitMissing, match=str(COMMIT)):
        case.repository.open_archive(COMMIT, b"")


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_instead_of_an_archive_is_refused(case: Case, kind: str) -> None:
    case.server.answers[case.archive] = Answer(200, b"<html>no such commit</html>", {"Content-Type": kind})
    with pytest.raises(UnexpectedAnswer):
        case.repository.open_archive(COMMIT, b"")


@pytest.mark.parametrize("chunked", [False, True])
def test_an_archive_that_is_cut_off_is_damaged(case: Case, target: Path, chunked: bool) -> None:
    body = archive({**FILES, "big": (FILE, os.urandom(100_000))})
    case.server.answers[case.archive] = archive_answer(body, cut=50_000, chunked=chunked)
    with pytest.raises(DownloadDamaged):
        case.repository.download_files(str(COMMIT), str(target), None)


def test_an_archive_that_is_cut_short_before_it_is_packed_is_damaged(case: Case, target: Path) -> None:
    body = archive({**FILES, "big": (FILE, os.urandom(100_000))})
    case.server.answers[case.archive] = archive_answer(body[:50_000])
    with pytest.raises(DownloadDamaged):
        case.repository.download_files(str(COMMIT), str(target), None)


def test_a_member_that_would_leave_the_directory_is_refused(case: Case, tmp_path: Path) -> None:
    case.server.answers[case.archive] = archive_answer(archive({"../../evil": (FILE, b"")}))
    (tmp_path / "in").mkdir()
    with pytest.raises(UnsafeTree):
        case.repository.download_files(str(COMMIT), str(tmp_path / "in"), None)
    assert not (tmp_path / "evil").exists()


def test_a_job_token_goes_in_its_own_header_and_never_asks_for_an_archive(server: Server) -> None:
    case = Case("gitlab", server, Tokens({server.url: ("gitlab-ci-token", TOKEN)}))
    assert case.repository.open_archive(COMMIT, b"") is None
    assert server.requests == []
    server.answers[case.commit] = json_answer("{}")
    case.repository.commit_answer(COMMIT)
    assert server.requests[0].headers["job-token"] == TOKEN
    assert "authorization" not in server.requests[0].headers
    case.repository.close()


# --- commits --------------------------------------------------------------------------------------------


def test_github_tells_the_tree_of_a_commit(server: Server) -> None:
    case = Case("github", server, Tokens({server.url: TOKEN}))
    server.answers[case.commit] = json_answer(f'{{"sha": "{COMMIT}", "tree": {{"sha": "{"ab" * 20}"}}}}')
    assert case.repository.commit_tree(COMMIT) == ObjectId("ab" * 20)
    server.answers[case.commit] = json_answer('{"tree": null}')
    with pytest.raises(UnexpectedAnswer):
        case.repository.commit_tree(COMMIT)
    case.repository.close()


def test_gitlab_does_not_tell_trees(server: Server) -> None:
    assert Case("gitlab", server, Tokens()).repository.commit_tree(COMMIT) is None


@pytest.mark.parametrize("status", [404, 409, 422])
def test_whether_a_commit_is_there_is_asked(case: Case, status: int) -> None:
    case.exists()
    case.server.answers[case.commit] = json_answer("{}")
    assert case.repository.has_commit(COMMIT) is True
    if status in case.repository.commit_missing:
        case.server.answers[case.commit] = json_answer("{}", status)
        assert case.repository.has_commit(COMMIT) is False


# --- where it is ----------------------------------------------------------------------------------------


def github(remote: str | None = None, **options: str) -> GitHub:
    repository = GitHub("origin", options)
    repository.remote = RemoteURL.parse(remote) if remote is not None else None
    return repository


def gitlab(remote: str | None = None, **options: str) -> GitLab:
    repository = GitLab("origin", options)
    repository.remote = RemoteURL.parse(remote) if remote is not None else None
    return repository


@pytest.mark.parametrize(
    ("repository", "api"),
    [
        (github("https://github.com/acme/widgets.git"), "https://api.github.com/repos/acme/widgets"),
        (github("git@github.com:acme/widgets"), "https://api.github.com/repos/acme/widgets"),
        (github("ssh://git@ssh.github.com:443/acme/widgets.git"), "https://api.github.com/repos/acme/widgets"),
        (github(owner="acme", repository="widgets"), "https://api.github.com/repos/acme/widgets"),
        (
            github("https://github.com/me/fork", owner="acme", repository="widgets"),
            "https://api.github.com/repos/acme/widgets",
        ),
        (github("https://git.corp/acme/widgets"), "https://git.corp/api/v3/repos/acme/widgets"),
        (github("https://git.corp:8443/acme/widgets"), "https://git.corp:8443/api/v3/repos/acme/widgets"),
        (github("ssh://git@git.corp:2222/acme/widgets"), "https://git.corp/api/v3/repos/acme/widgets"),
        (github("git@git.corp:acme/widgets", host="git.corp:8443"), "https://git.corp:8443/api/v3/repos/acme/widgets"),
        (github("https://acme.ghe.com/a/b"), "https://api.acme.ghe.com/repos/a/b"),
        *[
            (github(owner="a", repository="b", api_url=api_url), "https://git.corp/api/v3/repos/a/b")
            for api_url in (
                "https://git.corp/api/v3",
                "https://git.corp/api/v3/",
                "https://git.corp",
                "git.corp",
                "git.corp/",
            )
        ],
        *[
            (github(owner="a", repository="b", api_url=api_url), "https://api.github.com/repos/a/b")
            for api_url in ("https://api.github.com/", "api.github.com", "https://github.com")
        ],
        (github(owner="a", repository="b", api_url="acme.ghe.com"), "https://api.acme.ghe.com/repos/a/b"),
        (github(owner="a", repository="b.git", host="git.corp"), "https://git.corp/api/v3/repos/a/b"),
        (gitlab("git@gitlab.com:a/b/c/widgets.git"), "https://gitlab.com/api/v4/projects/a%2Fb%2Fc%2Fwidgets"),
        (gitlab("ssh://git@altssh.gitlab.com:443/a/b.git"), "https://gitlab.com/api/v4/projects/a%2Fb"),
        (gitlab(group="a/b/c", project="d"), "https://gitlab.com/api/v4/projects/a%2Fb%2Fc%2Fd"),
        (gitlab(group="/a/b/", project="d", host="git.corp"), "https://git.corp/api/v4/projects/a%2Fb%2Fd"),
        (
            gitlab("https://corp/gitlab/a/b.git", instance_url="https://corp/gitlab/"),
            "https://corp/gitlab/api/v4/projects/a%2Fb",
        ),
        (gitlab("git@corp:a/b.git", instance_url="https://corp/gitlab"), "https://corp/gitlab/api/v4/projects/a%2Fb"),
        (
            gitlab(group="a", project="b", instance_url="https://corp:8443/x/y/"),
            "https://corp:8443/x/y/api/v4/projects/a%2Fb",
        ),
        (gitlab("https://corp:8443/a/b.git", host="corp"), "https://corp:8443/api/v4/projects/a%2Fb"),
        (gitlab("https://[::1]:8443/a/b.git"), "https://[::1]:8443/api/v4/projects/a%2Fb"),
        (gitlab("https://gitlab.com/a/dot.name.git.git"), "https://gitlab.com/api/v4/projects/a%2Fdot.name.git"),
    ],
)
def test_the_api_follows_from_options_and_remote(repository: HostedRepository, api: str) -> None:
    assert repository.access_url() == api


@pytest.mark.parametrize(
    "repository", [github(), github(owner="a"), gitlab("https://gitlab.com/b.git"), gitlab(project="b")]
)
def test_nothing_says_which_repository_it_is(repository: HostedRepository) -> None:
    with pytest.raises(RegistrationError, match="cannot tell which repository"):
        repository.access_url()


@pytest.mark.parametrize("text", ["ftp://x", "https://ada:pw@git.corp", "https://git.corp?x=1", "https://", "", "a b"])
def test_a_host_that_is_none_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(RegistrationError) as raised:
        Site.parse(text)
    assert "pw" not in raised.value.message


def test_an_api_elsewhere_than_the_remote_is_another_origin() -> None:
    """A manifest that points `apiUrl` elsewhere gets no credential there."""
    repository = github("https://github.com/acme/widgets", api_url="https://evil.example/api/v3")
    repository.credentials = tokens = Tokens({"https://github.com": TOKEN})
    assert str(repository.api_origin()) == "https://evil.example"
    assert repository.credential_origin(repository.api_origin()) is None  # type: ignore[arg-type]
    assert repository.site.host == "github.com" and tokens.asked == []


@pytest.mark.parametrize(
    ("api", "other"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
        ("https://api.github.com:8443", None),
        ("http://api.github.com", None),
        ("https://api.github.com.evil.example", None),
        ("https://api.git.corp", None),
    ],
)
def test_one_credential_serves_two_origins_by_a_constant_table(api: str, other: str | None) -> None:
    from git_coderepo.git.url.remote import Origin

    found = github().credential_origin(Origin.parse(api))
    assert (str(found) if found is not None else None) == other


MATCHES = [
    "git@gitlab.com:example/test.git",
    "git@gitlab.com:/example/test.git",
    "ssh://git@gitlab.com:/example/test.git",
    "ssh://git@gitlab.com:22/example/test.git",
    "ssh://git@gitlab.com/example/test.git",
    "ssh://git@altssh.gitlab.com:443/example/test.git",
    "https://gitlab.com/example/test",
    "https://gitlab.com/example/test/",
    "https://oauth2:AAAA@gitlab.com/example/test.git",
    "https://GitLab.com/Example/test.git",
]


@pytest.mark.parametrize("remote", MATCHES)
def test_every_form_of_the_remote_matches(remote: str) -> None:
    """Z8"""
    assert gitlab(group="example", project="test").serves(RemoteURL.parse(remote))


@pytest.mark.parametrize(
    "remote",
    [
        "https://gitlabXcom/example/test.git",
        "git@gitlab.com.evil.example:example/test.git",
        "https://gitlab.com:8443/example/test.git",
        "https://gitlab.com/example/test2.git",
        "https://gitlab.com/example2/test.git",
        "https://gitlab.com/x/example/test.git",
        "https://github.com/example/test.git",
        "gl:example/test",
    ],
)
def test_another_place_does_not_match(remote: str) -> None:
    """Z8"""
    assert not gitlab(group="example", project="test").serves(RemoteURL.parse(remote))


def test_a_self_hosted_instance_matches_on_any_ssh_port_and_below_its_path() -> None:
    """Z8"""
    corp = gitlab(group="example", project="test", instance_url="https://private-gitlab.example.com/")
    assert corp.serves(RemoteURL.parse("ssh://git@private-gitlab.example.com:2222/example/test.git"))
    assert corp.serves(RemoteURL.parse("https://private-gitlab.example.com/example/test.git"))
    below = gitlab(group="example", project="test", instance_url="https://corp/gitlab/")
    assert below.serves(RemoteURL.parse("https://corp/gitlab/example/test.git"))
    assert below.serves(RemoteURL.parse("git@corp:example/test.git"))


def test_git_goes_over_https_unless_only_the_users_key_can_help() -> None:
    assert github("https://github.com/acme/widgets").git_url() == "https://github.com/acme/widgets.git"
    ssh = github("git@github.com:acme/widgets.git")
    assert ssh.git_url() == "git@github.com:acme/widgets.git"
    ssh.credentials = Tokens({"https://github.com": TOKEN})
    assert ssh.git_url() == "https://github.com/acme/widgets.git"
    assert ssh.git_credential_user() == "x-access-token"
    below = gitlab(group="a/b", project="c", instance_url="https://corp/gitlab/")
    assert below.git_url() == "https://corp/gitlab/a/b/c.git"
    assert below.git_credential_user() == "oauth2"


def test_the_page_of_a_commit() -> None:
    assert github("git@github.com:a/b").web_url(COMMIT) == f"https://github.com/a/b/commit/{COMMIT}"
    assert gitlab("git@gitlab.com:a/b/c").web_url(COMMIT) == f"https://gitlab.com/a/b/c/-/commit/{COMMIT}"
    assert (
        gitlab("https://corp:8443/g/a/b", instance_url="https://corp:8443/g").web_url(COMMIT)
        == f"https://corp:8443/g/a/b/-/commit/{COMMIT}"
    )


def test_what_is_recorded_is_complete_and_holds_no_token() -> None:
    assert github("git@github.com:acme/widgets", token="{{x.y}}").recorded_options() == {
        "owner": "acme",
        "repository": "widgets",
        "api_url": "https://api.github.com",
    }
    assert gitlab("git@gitlab.com:a/b/c").recorded_options() == {
        "group": "a/b",
        "project": "c",
        "instance_url": "https://gitlab.com",
    }


def test_http_to_another_machine_is_refused() -> None:
    repository = github(owner="a", repository="b", api_url="http://git.corp/api/v3")
    with pytest.raises(ProtocolNotAllowed):
        repository.login()


# --- the table of platforms -----------------------------------------------------------------------------


def test_types_and_hosts() -> None:
    assert platform_types() == ("github", "gitlab", "git", "custom")
    assert platform_class("github") is GitHub and platform_class("gitlab") is GitLab
    assert class_for_host("GitHub.com") is GitHub and class_for_host("ssh.github.com") is GitHub
    assert class_for_host("acme.ghe.com") is GitHub and class_for_host("altssh.gitlab.com") is GitLab
    assert class_for_host("git.corp") is None and class_for_host("github.com.evil.example") is None


def test_an_unknown_type_names_the_near_one() -> None:
    with pytest.raises(RegistrationError) as raised:
        platform_class("githb")
    assert raised.value.hints == ("did you mean 'github'?",)


@pytest.mark.parametrize(
    ("path", "answer", "found"),
    [
        ("/api/v4/version", json_answer('{"message": "401 Unauthorized"}', 401), GitLab),
        ("/api/v4/version", json_answer('{"version": "17.5.0"}'), GitLab),
        ("/api/v3/meta", json_answer("{}", 200, X_GitHub_Enterprise_Version="3.14.0"), GitHub),
        ("/api/v3/meta", json_answer("{}", 401, X_GitHub_Request_Id="1"), GitHub),
        ("/api/v4/version", Answer(200, b"<html>", {"Content-Type": "text/html"}), None),
        ("/api/v4/version", json_answer("[]"), None),
        ("/nothing", json_answer("{}"), None),
    ],
)
def test_an_unknown_host_is_recognised_by_its_answer(
    server: Server, path: str, answer: Answer, found: type | None
) -> None:
    server.answers[path] = answer
    assert recognise(server.url) is found
    assert all("authorization" not in request.headers for request in server.requests)


@pytest.mark.slow
def test_a_host_that_cannot_be_reached_is_not_recognised() -> None:
    assert recognise("nowhere.invalid") is None
