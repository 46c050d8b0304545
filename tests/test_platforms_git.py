"""Any Git remote, with real git: over files and over https, with a credential that nothing shows."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trustme

from git_coderepo.credentials.secret import Credential, NoCredentials, Secret
from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    CredentialError,
    CredentialMissing,
    DownloadDamaged,
    GitFailed,
    HostUnreachable,
    ProtocolNotAllowed,
    RateLimited,
    RegistrationError,
    RepositoryMissing,
    ScopeMissing,
    ServerFailed,
    TokenRefused,
    UnexpectedAnswer,
)
from git_coderepo.git.objects import EXECUTABLE, FILE, SYMLINK, ObjectId
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.git import GitRemote
from git_coderepo.platforms.github import GitHub
from git_coderepo.platforms.gitlab import GitLab
from git_coderepo.testing import CodeRepositoryTests
from git_coderepo.transport.git_failures import explain
from git_coderepo.transport.git_remote import allowed_protocols, transport
from tests.platform_server import Answer, Server, Tokens, serving
from tests.support.repo import Repo

TOKEN = "s3cr3t-t0ken"
NOBODYS = ObjectId("12ab" * 10)
FILES: Mapping[bytes, tuple[int, bytes]] = {
    b"train.py": (FILE, b"lr = 0.1\r\n"),
    b"run me.sh": (EXECUTABLE, b"#!/bin/sh\n"),
    b"data/-x": (FILE, b"\0\1"),
    b"data/latest": (SYMLINK, b"-x"),
    b"data/away": (SYMLINK, b"/etc/passwd"),
    b"not-\xff-utf8": (FILE, b""),
    b"new\nline": (FILE, b"x"),
    b"n" * 250: (FILE, b"long"),
    b".gitattributes": (FILE, b"* text eol=crlf\ntrain.py export-ignore\n"),
}


@pytest.fixture(autouse=True)
def user(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**env, "CODEREPO_ALLOW_PROTOCOL": "file:http"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bare(tmp_path: Path, env: dict[str, str], repo: Repo) -> Repo:
    """What a server has: `acme/widgets.git` with FILES in its second commit."""
    (tmp_path / "served" / "acme").mkdir(parents=True)
    repo.write("old", "gone")
    repo.commit()
    repo.remove("old")
    for path, (mode, data) in FILES.items():
        if mode == SYMLINK:
            repo.symlink(path, data)
        else:
            repo.write(path, data, 0o755 if mode == EXECUTABLE else 0o644)
    # The blobs are what FILES says, whatever .gitattributes would make of them.
    repo.write(b".git/info/attributes", b"* -text\n")
    repo.commit()
    return Repo.clone(repo.path, tmp_path / "served" / "acme" / "widgets.git", env, "--bare")


@pytest.fixture
def server(tmp_path: Path, bare: Repo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The same over https, for `ada` with TOKEN only."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "ca.pem"))
    with serving(tls=context, git_root=str(tmp_path / "served")) as server:
        server.git_password = f"ada:{TOKEN}"
        yield server


def remote(url: str, tokens: Tokens | None = None) -> GitRemote:
    repository = GitRemote("origin", {})
    repository.remote = RemoteURL.parse(url)
    repository.credentials = tokens or Tokens()
    return repository


# --- the published tests, on ourselves -----------------------------------------------------------------


class TestOverFiles(CodeRepositoryTests):
    @pytest.fixture
    def code_repository(self, bare: Repo) -> GitRemote:
        return remote(f"file://{bare.path}")

    @pytest.fixture
    def commit(self, bare: Repo) -> str:
        return bare.head()

    @pytest.fixture
    def files(self) -> Mapping[bytes, tuple[int, bytes]]:
        return FILES


class TestOverHttps(TestOverFiles):
    @pytest.fixture
    def code_repository(self, server: Server) -> GitRemote:
        return remote(f"{server.url}/git/acme/widgets.git", Tokens({server.url: ("ada", TOKEN)}))


# --- told apart ------------------------------------------------------------------------------------------


def test_a_missing_directory_is_a_missing_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing, match="no repository"):
        remote(str(tmp_path / "gone")).login()


def test_the_right_token_is_taken(server: Server) -> None:
    tokens = Tokens({server.url: ("ada", TOKEN)})
    remote(f"{server.url}/git/acme/widgets.git", tokens).login()
    assert set(tokens.asked) == {(server.url, "/git/acme/widgets")}
    assert len(tokens.acceptances) == 1


def test_a_wrong_token_is_told_and_its_source_hears_of_it(server: Server) -> None:
    tokens = Tokens({server.url: ("ada", "wrong")})
    with pytest.raises(TokenRefused) as raised:
        remote(f"{server.url}/git/acme/widgets.git", tokens).login()
    assert raised.value.message == f"'{server.url}' refused the token from the test"
    assert tokens.refusals == [(server.url, "/git/acme/widgets")] and tokens.acceptances == []
    assert "wrong" not in f"{raised.value} {raised.value.hints}"


def test_no_token_is_told(server: Server) -> None:
    with pytest.raises(CredentialMissing) as raised:
        remote(f"{server.url}/git/acme/widgets.git").login()
    assert raised.value.hints == (f"git coderepo login --host {server.url.removeprefix('https://')}",)


def test_a_missing_repository_is_told(server: Server) -> None:
    with pytest.raises(RepositoryMissing, match="acme/gadgets"):
        remote(f"{server.url}/git/acme/gadgets.git", Tokens({server.url: ("ada", TOKEN)})).login()


def test_a_server_that_is_not_there_is_told(server: Server) -> None:
    url = f"{server.url}/git/acme/widgets.git"
    server.close()
    with pytest.raises(HostUnreachable, match="connection refused"):
        remote(url).login()


def test_an_unknown_host_is_told() -> None:
    with pytest.raises(HostUnreachable, match="unknown host name"):
        remote("https://nowhere.invalid/x.git").login()


def test_a_certificate_that_nobody_vouches_for_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_SSL_CAINFO")
    with pytest.raises(HostUnreachable, match="certificate does not verify"):
        remote(f"{server.url}/git/acme/widgets.git", Tokens({server.url: ("ada", TOKEN)})).login()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_one_setting_for_authorities_serves_git_too(server: Server, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, os.environ["GIT_SSL_CAINFO"])
    monkeypatch.delenv("GIT_SSL_CAINFO")
    remote(f"{server.url}/git/acme/widgets.git", Tokens({server.url: ("ada", TOKEN)})).login()


def test_a_commit_that_is_not_there_is_told(bare: Repo, tmp_path: Path) -> None:
    repository = remote(f"file://{bare.path}")
    with pytest.raises(CommitMissing):
        repository.commit_tree(NOBODYS)
    assert repository.has_commit(NOBODYS) is False
    assert repository.has_commit(ObjectId(bare.head())) is True


def test_a_commit_that_no_branch_has_any_more_is_served_by_its_id(bare: Repo, repo: Repo) -> None:
    """Z4: what counts is whether the platform can serve the commit."""
    commit = bare.head()
    bare.git("update-ref", "refs/heads/main", f"{commit}^")
    bare.git("update-ref", "refs/heads/other-name", commit)
    assert remote(f"file://{bare.path}").has_commit(ObjectId(commit)) is True


def test_a_sha256_repository(tmp_path: Path, env: dict[str, str]) -> None:
    repo = Repo.init(tmp_path / "sha256", env, object_format="sha256")
    repo.write("a", "b")
    commit = ObjectId(repo.commit())
    assert remote(f"file://{repo.path}").commit_tree(commit) == ObjectId(repo.tree())
    assert remote(f"file://{repo.path}").has_commit(ObjectId("ab" * 32)) is False


def test_nothing_says_where_it_is() -> None:
    with pytest.raises(RegistrationError):
        GitRemote("origin", {}).login()


def test_a_given_url_stands_above_the_remote(bare: Repo) -> None:
    repository = GitRemote("origin", {"url": f"file://{bare.path}"})
    repository.remote = RemoteURL.parse("https://nowhere.invalid/x")
    repository.login()
    assert repository.recorded_options() == {"url": f"file://{bare.path}"}


# --- what the token meets ----------------------------------------------------------------------------------


def test_the_token_stands_in_no_argument_and_no_setting(server: Server) -> None:
    url = RemoteURL.parse(f"{server.url}/git/acme/widgets.git")
    git = transport(Git(), url, Tokens({server.url: ("ada", TOKEN)}), user=None, allowed=None)
    assert TOKEN not in str(git.command("fetch", url.url())) + str(git.settings)
    assert TOKEN in git.environment.values()


def test_no_trace_of_git_shows_the_token(server: Server, tmp_path: Path) -> None:
    url = RemoteURL.parse(f"{server.url}/git/acme/widgets.git")
    base = Git().with_environment(
        GIT_TRACE="1", GIT_TRACE_CURL="1", GIT_CURL_VERBOSE="1", GIT_TRACE_REDACT="0", GIT_TRACE_PACKET="1",
        GIT_TRACE2_EVENT=str(tmp_path / "events"), GIT_TRACE2_CONFIG_PARAMS="*",
    )  # fmt: skip
    git = transport(base, url, Tokens({server.url: ("ada", TOKEN)}), user=None, allowed=None)
    process = git.start("ls-remote", url.url()).finish()
    assert process.status == 0
    import base64

    shown = process.stderr + (tmp_path / "events").read_bytes()
    assert b"info/refs" in shown
    assert TOKEN.encode() not in shown
    assert base64.b64encode(f"ada:{TOKEN}".encode()) not in shown


def test_the_token_is_for_its_origin_alone(server: Server, tmp_path: Path) -> None:
    """A redirect to another server is not followed, and named."""
    with serving() as stranger:
        stranger.answers["/git/acme/widgets.git/info/refs"] = Answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
        server.git_root = None
        server.answers["/git/acme/widgets.git/info/refs"] = Answer(
            302, b"", {"Location": f"{stranger.url}/git/acme/widgets.git/info/refs?service=git-upload-pack"}
        )
        with pytest.raises(UnexpectedAnswer, match=f"redirects git to '{stranger.url}'; the redirect is not followed"):
            remote(f"{server.url}/git/acme/widgets.git", Tokens({server.url: ("ada", TOKEN)})).login()
        assert stranger.requests == []


@pytest.mark.parametrize("place", ["//[::1", "https://[x]y/", "http://", "https://a\xbd/x"])
def test_a_redirect_to_no_server_is_an_answer_like_others(server: Server, place: str) -> None:
    server.git_root = None
    server.answers["/git/acme/widgets.git/info/refs"] = Answer(302, b"", {"Location": place})
    with pytest.raises(UnexpectedAnswer, match="redirects git"):
        remote(f"{server.url}/git/acme/widgets.git").login()


def test_the_users_own_helper_is_not_asked_when_there_is_a_token(server: Server, tmp_path: Path) -> None:
    Git().run("config", "--global", "credential.helper", f"!touch '{tmp_path}/asked'; false")
    remote(f"{server.url}/git/acme/widgets.git", Tokens({server.url: ("ada", TOKEN)})).login()
    assert not (tmp_path / "asked").exists()


@pytest.mark.slow
def test_the_users_own_helper_is_asked_when_there_is_none(server: Server) -> None:
    """A laptop where `git fetch` works needs nothing else."""
    Git().run("config", "--global", "credential.helper", f"!f() {{ echo username=ada; echo password={TOKEN}; }}; f")
    remote(f"{server.url}/git/acme/widgets.git").login()
    Git().run("config", "--global", "credential.helper", "!f() { echo username=ada; echo password=old; }; f")
    with pytest.raises(TokenRefused, match="git's credential helper"):
        remote(f"{server.url}/git/acme/widgets.git").login()


def test_on_a_runner_a_helper_that_answers_every_host_is_not_asked(server: Server, tmp_path: Path) -> None:
    words = f"!f() {{ touch '{tmp_path}/asked'; echo username=ada; echo password={TOKEN}; }}; f"
    Git().run("config", "--global", "credential.helper", words)
    Git().run("config", "--global", f"credential.{server.url}.helper", words)
    repository = remote(f"{server.url}/git/acme/widgets.git")
    repository.protocols = allowed_protocols({})
    with pytest.raises(CredentialMissing):
        repository.login()
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("user", ["ada\nhost=evil.example", "ada\r", "ada\0"])
def test_a_user_name_with_a_line_break_is_refused(server: Server, user: str) -> None:
    with pytest.raises(CredentialError, match="line break"):
        remote(f"{server.url}/git/acme/widgets.git", Tokens({server.url: (user, TOKEN)})).login()


def test_a_token_with_every_odd_character_arrives(server: Server) -> None:
    odd = "p%40 '\"$x`\\n%s;&|<>()é"
    server.git_password = f"a'd\"a:{odd}"
    remote(f"{server.url}/git/acme/widgets.git", Tokens({server.url: ("a'd\"a", odd)})).login()


@pytest.mark.slow
def test_the_platforms_user_name_goes_with_a_bare_token(server: Server) -> None:
    server.git_password = f"x-access-token:{TOKEN}"
    tokens = Tokens({server.url: TOKEN})
    repository = GitHub("origin", {"owner": "git/acme", "repository": "widgets", "host": server.url})
    repository.credentials = tokens
    from git_coderepo.transport.git_remote import check_access

    check_access(repository)
    server.git_password = f"gitlab-ci-token:{TOKEN}"
    job = GitLab("origin", {"group": "git/acme", "project": "widgets", "instance_url": server.url})
    job.credentials = Tokens({server.url: ("gitlab-ci-token", TOKEN)})
    job.login()
    assert job.has_commit(NOBODYS) is False


def test_the_users_checkout_is_left_out_of_it(bare: Repo, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(repo.git_dir()))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent/index")
    before = sorted(path.relative_to(repo.path) for path in repo.path.rglob("*"))
    assert remote(f"file://{bare.path}").has_commit(ObjectId(bare.head())) is True
    assert sorted(path.relative_to(repo.path) for path in repo.path.rglob("*")) == before


# --- what a runner may speak ---------------------------------------------------------------------------------


def test_protocols_on_a_runner() -> None:
    assert allowed_protocols({}) == {"https", "ssh"}
    assert allowed_protocols({"CODEREPO_ALLOW_PROTOCOL": "file:http:"}) == {"https", "ssh", "file", "http"}


@pytest.mark.parametrize(
    "url", ["file:///srv/x.git", "/srv/x.git", "git://git.corp/x.git", "hg::https://h/x", "http://127.0.0.1/x"]
)
def test_a_runner_refuses_other_protocols(url: str) -> None:
    repository = remote(url)
    repository.protocols = allowed_protocols({})
    with pytest.raises(ProtocolNotAllowed):
        repository.login()


def test_http_to_another_machine_is_refused_even_where_http_is_allowed() -> None:
    repository = remote("http://git.corp/x.git")
    repository.protocols = allowed_protocols({"CODEREPO_ALLOW_PROTOCOL": "http"})
    with pytest.raises(ProtocolNotAllowed, match="not encrypted"):
        repository.login()


def test_a_runner_allows_files_where_it_is_told_to(bare: Repo) -> None:
    repository = remote(f"file://{bare.path}")
    repository.protocols = allowed_protocols(os.environ)
    repository.login()


def test_git_itself_is_held_to_the_protocols(bare: Repo) -> None:
    url = RemoteURL.parse("https://git.corp/x")
    git = transport(Git(), url, Tokens(), user=None, allowed=allowed_protocols({}))
    process = git.start("ls-remote", f"file://{bare.path}").finish()
    assert process.status != 0 and b"not allowed" in process.stderr


# --- ssh --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "setting", "becomes"),
    [
        (None, None, "ssh -oBatchMode=yes"),
        ("ssh -i key", None, "ssh -i key -oBatchMode=yes"),
        (None, "/usr/bin/ssh -4", "/usr/bin/ssh -4 -oBatchMode=yes"),
        ("plink -batch", None, "plink -batch"),
    ],
)
def test_ssh_asks_nothing_where_nobody_can_answer(
    monkeypatch: pytest.MonkeyPatch, command: str | None, setting: str | None, becomes: str
) -> None:
    if os.path.exists("/dev/tty"):
        try:
            os.close(os.open("/dev/tty", os.O_RDWR))
            pytest.skip("there is a terminal")
        except OSError:
            pass
    if command is not None:
        monkeypatch.setenv("GIT_SSH_COMMAND", command)
    if setting is not None:
        Git().run("config", "--global", "core.sshCommand", setting)
    git = transport(Git(), RemoteURL.parse("git@git.corp:a/b"), Tokens(), user=None, allowed=None)
    assert git.environment["GIT_SSH_COMMAND"] == becomes


# --- git's words ---------------------------------------------------------------------------------------------------

HTTPS = "https://git.corp/acme/widgets.git"
SSH = "git@git.corp:acme/widgets.git"
UNABLE = f"fatal: unable to access '{HTTPS}/': "
UNREAD = "\nfatal: Could not read from remote repository."


@pytest.mark.parametrize(
    ("words", "url", "with_token", "error"),
    [
        (f"{UNABLE}Could not resolve host: git.corp", HTTPS, False, HostUnreachable),
        (f"{UNABLE}Failed to connect: Connection refused", HTTPS, False, HostUnreachable),
        (f"{UNABLE}Connection timed out after 300 ms", HTTPS, False, HostUnreachable),
        (f"{UNABLE}SSL certificate problem: self-signed certificate", HTTPS, True, HostUnreachable),
        (f"{UNABLE}server verification failed", HTTPS, True, HostUnreachable),
        (f"fatal: Authentication failed for '{HTTPS}/'", HTTPS, True, TokenRefused),
        (f"remote: HTTP Basic: Access denied\nfatal: Authentication failed for '{HTTPS}/'", HTTPS, True, TokenRefused),
        ("fatal: could not read Username for 'x': terminal prompts disabled", HTTPS, False, CredentialMissing),
        (f"{UNABLE}The requested URL returned error: 403", HTTPS, True, ScopeMissing),
        (f"{UNABLE}The requested URL returned error: 403", HTTPS, False, CredentialMissing),
        (f"{UNABLE}The requested URL returned error: 429", HTTPS, True, RateLimited),
        (f"{UNABLE}The requested URL returned error: 502", HTTPS, True, ServerFailed),
        (f"remote: Repository not found.\nfatal: repository '{HTTPS}/' not found", HTTPS, True, RepositoryMissing),
        ("ERROR: Repository not found." + UNREAD, SSH, False, RepositoryMissing),
        ("remote: The project you were looking for could not be found or you", HTTPS, True, RepositoryMissing),
        ("git@git.corp: Permission denied (publickey)." + UNREAD, SSH, False, CredentialMissing),
        ("Host key verification failed." + UNREAD, SSH, False, HostUnreachable),
        ("ssh: Could not resolve hostname git.corp: Name or service not known", SSH, False, HostUnreachable),
        ("ssh: connect to host git.corp port 22: Connection refused", SSH, False, HostUnreachable),
        (f"fatal: remote error: upload-pack: not our ref {NOBODYS}", HTTPS, True, CommitMissing),
        (f"fatal: couldn't find remote ref {NOBODYS}", HTTPS, True, CommitMissing),
        (f"error: Server does not allow request for unadvertised object {NOBODYS}", SSH, False, CommitMissing),
        ("error: RPC failed; curl 18 transfer closed\nfatal: early EOF", HTTPS, True, DownloadDamaged),
        ("fatal: fetch-pack: invalid index-pack output", HTTPS, True, DownloadDamaged),
        ("fatal: transport 'ext' not allowed", HTTPS, False, ProtocolNotAllowed),
        ("fatal: something that git has not said before", HTTPS, True, GitFailed),
    ],
)  # fmt: skip
def test_what_git_says_is_understood(words: str, url: str, with_token: bool, error: type[CodeRepoError]) -> None:
    credential = Credential(Secret(TOKEN), source="the test") if with_token else None
    failure = GitFailed("'git fetch' failed", status=128, stderr=words.encode())
    explained = explain(failure, RemoteURL.parse(url), credential, NoCredentials())
    assert type(explained) is error
    assert explained.hints or explained is failure
    assert TOKEN not in f"{explained} {explained.hints}"
