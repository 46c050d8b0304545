"""The forge is what its docstring says: real git and a real HTTP client against every route and each misbehaviour."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from tests.forge import (
    BrokenGzip,
    Cut,
    Delay,
    Forge,
    Gone,
    Hangup,
    Html,
    LimitReset,
    MissingEntry,
    OtherCommit,
    Redirect,
    Repository,
    RetryAfter,
    RewrittenTar,
    Slow,
    Stall,
    Status,
    WrongByte,
    closed_port,
)
from tests.forge.http import Request, Response
from tests.support.repo import Repo, tree_of


class Client:
    """A plain HTTP client that trusts the forge's authority and follows nothing."""

    def __init__(self, forge: Forge) -> None:
        self.forge = forge
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, url: str, token: str | None = None, scheme: str = "Bearer", **headers: str) -> requests.Response:
        if token is not None:
            headers["Authorization"] = f"{scheme} {token}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        ca_file = str(self.forge.ca_file)
        return self.session.get(url, headers=named, allow_redirects=False, verify=ca_file, timeout=20)

    def github(self, path: str, token: str | None = None, **headers: str) -> requests.Response:
        return self.get(self.forge.api_url("github") + path, token, **headers)

    def gitlab(self, path: str, token: str | None = None, **headers: str) -> requests.Response:
        return self.get(self.forge.api_url("gitlab") + path, token, **headers)


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


def git_env(env: dict[str, str], forge: Forge, user: str = "", password: str = "") -> dict[str, str]:
    """git with a user and password by askpass, as a credential that is typed."""
    home = Path(env["HOME"])
    home.mkdir(exist_ok=True)
    script = home / "askpass"
    script.write_text(f'#!/bin/sh\ncase "$1" in Username*) echo "{user}";; *) echo "{password}";; esac\n')
    script.chmod(0o755)
    return {**env, **forge.env, "GIT_ASKPASS": str(script)} if user else {**env, **forge.env}


def unpack(data: bytes, directory: Path) -> Path:
    """Extracts an archive and gives its one top directory."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz", errors="surrogateescape") as archive:
        archive.extractall(directory, filter="fully_trusted")
    (top,) = directory.iterdir()
    return top


# --- git over http ---


@pytest.mark.parametrize(("platform", "user"), [("github", "x-access-token"), ("gitlab", "oauth2"), ("git", "ada")])
def test_git_clones_and_fetches_one_commit_by_its_id(forge, code, env, tmp_path, platform, user):
    repository = forge.add_repository("acme/widgets", platform=platform, source=code.path)
    with_token = git_env(env, forge, user, forge.add_token(platform))
    clone = Repo.clone(repository.url, tmp_path / "clone", with_token)
    assert clone.head() == code.head()
    first = code.line("rev-parse", "HEAD~1")
    bare = Repo.init(tmp_path / "bare", with_token, bare=True)
    bare.git("fetch", "--quiet", "--depth=1", "--filter=tree:0", repository.url, first)
    assert bare.line("rev-parse", "FETCH_HEAD") == first
    assert bare.line("rev-list", "--count", "FETCH_HEAD") == "1"
    packs = forge.requests("git/upload-pack")
    assert {entry.headers["git-protocol"] for entry in packs} == {"version=2"}
    assert {entry.status for entry in packs} == {200}


def test_git_pushes_only_with_a_token_that_may_write(forge, github, code, env, tmp_path):
    code.write("large", os.urandom(3_000_000))  # more than http.postBuffer: a chunked body
    code.commit("third")
    reader = git_env(env, forge, "x-access-token", forge.add_token("github"))
    refused = subprocess.run(
        ["git", "push", github.url, "main"], cwd=code.path, env=reader, capture_output=True, text=True, timeout=60
    )
    assert "403" in refused.stderr
    writer = git_env(env, forge, "x-access-token", forge.add_token("github", scopes=["contents:write"]))
    pushing = Repo(code.path, writer)
    pushing.git("push", "--quiet", github.url, "main", "HEAD:refs/coderepo/runs/1")
    assert github.resolve("main") == github.resolve("refs/coderepo/runs/1") == code.head()
    bodies = forge.requests("git/receive-pack", method="POST")
    assert bodies[-1].headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_git_is_refused_without_with_a_wrong_and_with_a_foreign_token(forge, code, env, platform):
    repository = forge.add_repository("acme/widgets", platform=platform, source=code.path)
    foreign = forge.add_token(platform, repositories=["acme/other"])
    scopeless = forge.add_token(platform, scopes=["metadata:read"])
    for password, words in {
        "": "could not read Username",
        "wrong": "Authentication failed",
        foreign: "not found",
        scopeless: "403" if platform == "github" else "Authentication failed",
    }.items():
        asked = subprocess.run(
            ["git", "ls-remote", repository.url],
            env=git_env(env, forge, "oauth2" if password else "", password),
            cwd=env["HOME"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert asked.returncode == 128
        assert words in asked.stderr


def test_anybody_clones_what_is_public_and_a_missing_repository_looks_private(forge, code, env, tmp_path, client):
    public = forge.add_repository("acme/public", private=False, source=code.path)
    assert Repo.clone(public.url, tmp_path / "clone", git_env(env, forge)).head() == code.head()
    assert Repo.clone(public.url.removesuffix(".git"), tmp_path / "too", git_env(env, forge)).head() == code.head()
    assert client.get(f"{forge.url}/acme/missing.git/info/refs?service=git-upload-pack").status_code == 401
    token = forge.add_token("github")
    asked = client.session.get(
        f"{forge.url}/acme/missing.git/info/refs?service=git-upload-pack",
        auth=("x-access-token", token),
        verify=str(forge.ca_file),
    )
    assert asked.status_code == 404


def test_a_job_token_is_for_git_only_with_its_user_name(forge, gitlab, env, tmp_path, client):
    job = forge.add_token("gitlab", kind="job")
    Repo.clone(gitlab.url, tmp_path / "clone", git_env(env, forge, "gitlab-ci-token", job))
    with pytest.raises(AssertionError, match="Authentication failed"):
        Repo.clone(gitlab.url, tmp_path / "no", git_env(env, forge, "oauth2", job))
    project = "/projects/" + quote(gitlab.name, safe="")
    assert client.gitlab(f"{project}/repository/archive.tar.gz", JOB_TOKEN=job).status_code == 404
    assert client.gitlab(f"{project}/repository/commits/main", JOB_TOKEN=job).status_code == 200
    assert client.gitlab(project, job).status_code == 401


def test_a_client_that_does_not_trust_the_authority_is_refused(forge, github, env):
    asked = subprocess.run(
        ["git", "ls-remote", github.url], cwd=env["HOME"], env=env, capture_output=True, text=True, timeout=60
    )
    assert "certificate" in asked.stderr
    assert forge.requests() == []


# --- GitHub's API ---


def test_github_describes_a_repository_to_those_who_may_see_it(forge, github, client):
    token = forge.add_token("github")
    answer = client.github("/repos/ACME/widgets", token)
    assert answer.status_code == 200
    described = answer.json()
    assert (described["full_name"], described["private"], described["default_branch"]) == ("acme/widgets", True, "main")
    assert described["permissions"]["pull"] is True
    assert described["clone_url"] == github.url
    assert answer.headers["x-ratelimit-limit"] == "5000"
    assert client.github("/repos/acme/widgets", token, scheme="token").status_code == 200
    wrong = client.github("/repos/acme/widgets", "ghp_wrong")
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Bad credentials")
    hidden = client.github("/repos/acme/widgets", forge.add_token("github", repositories=["acme/other"]))
    assert (hidden.status_code, hidden.json()["message"]) == (404, "Not Found")
    assert client.github("/repos/acme/widgets").status_code == 404
    assert client.github("/repos/acme/missing", token).status_code == 404
    assert [entry.status for entry in forge.requests("access")] == [200, 200, 401, 404, 404, 404]
    assert client.github("/meta").json()["installed_version"]
    assert client.github("/nothing/here", token).status_code == 404
    assert client.github("/user", forge.add_token("github", kind="installation")).status_code == 403


def test_github_tells_a_commit_with_its_tree(forge, github, code, client):
    token = forge.add_token("github")
    head = code.head()
    answer = client.github(f"/repos/acme/widgets/git/commits/{head}", token).json()
    assert answer["tree"]["sha"] == code.tree()
    assert client.github("/repos/acme/widgets/commits/main", token).json()["sha"] == head
    assert client.github(f"/repos/acme/widgets/git/commits/{'0' * 40}", token).status_code == 404
    assert client.github("/repos/acme/widgets/git/commits/main", token).status_code == 422
    assert client.github(f"/repos/acme/widgets/commits/{'0' * 40}", token).status_code == 422
    forge.add_repository("acme/empty")
    assert client.github(f"/repos/acme/empty/git/commits/{head}", token).status_code == 409
    scopeless = client.github(
        f"/repos/acme/widgets/git/commits/{head}", forge.add_token("github", scopes=["metadata:read"])
    )
    assert scopeless.status_code == 403
    assert scopeless.json()["message"] == "Resource not accessible by personal access token"


def test_githubs_archive_is_at_another_origin_behind_a_temporary_link(forge, github, code, env, tmp_path, client):
    token = forge.add_token("github")
    head = code.head()
    link = client.github(f"/repos/acme/widgets/tarball/{head}", token)
    assert link.status_code == 302
    assert link.headers["location"].startswith(forge.codeload_url + "/")
    archive = client.get(link.headers["location"])
    assert archive.headers["transfer-encoding"] == "chunked"
    assert archive.headers["content-type"] == "application/x-gzip"
    top = unpack(archive.content, tmp_path / "unpacked")
    assert top.name == f"acme-widgets-{head[:7]}"
    assert tree_of(top, env) == code.tree()
    assert client.get(link.headers["location"].partition("?")[0]).status_code == 404
    forge.link_lifetime = -1
    late = client.github(f"/repos/acme/widgets/tarball/{head}", token)
    assert client.get(late.headers["location"]).status_code == 404
    assert client.github(f"/repos/acme/widgets/tarball/{'0' * 40}", token).status_code == 404
    assert forge.origins_that_saw(token) == {forge.url}
    assert len(forge.requests("archive")) == 3


def test_a_renamed_repository_is_pointed_to_by_its_number(forge, github, code, env, tmp_path, client):
    token = forge.add_token("github")
    forge.rename(github, "acme/gadgets")
    moved = client.github(f"/repos/acme/widgets/git/commits/{code.head()}", token)
    assert moved.status_code == 301
    assert client.get(moved.headers["location"], token).json()["sha"] == code.head()
    old_url = github.url.replace("gadgets", "widgets")
    Repo.clone(old_url, tmp_path / "clone", git_env(env, forge, "x-access-token", token))
    github.private = False
    Repo.clone(old_url, tmp_path / "public", git_env(env, forge))
    assert [entry.status for entry in forge.requests("git/refs")] == [401, 200, 301, 200]


def test_a_tarball_that_refuses_bearer_comes_with_token(forge, github, client):
    token = forge.add_token("github")
    forge.tarball_refuses_bearer = True
    assert client.github("/repos/acme/widgets/tarball/main", token).status_code == 401
    assert client.github("/repos/acme/widgets/tarball/main", token, scheme="token").status_code == 302


def test_githubs_api_on_a_host_of_its_own(tmp_path, code):
    with Forge(tmp_path / "forge", api_prefix="") as forge:
        forge.add_repository("acme/widgets", private=False, source=code.path)
        client = Client(forge)
        with client.session:
            assert not forge.api_url("github").startswith(forge.url + "/")
            assert client.github("/repos/acme/widgets").status_code == 200
            assert client.get(f"{forge.url}/api/v3/repos/acme/widgets").status_code == 404
    assert [entry.listener for entry in forge.requests()] == ["api", "web"]


# --- GitLab's API ---


def test_gitlab_describes_a_project_to_those_who_may_see_it(forge, gitlab, client):
    token = forge.add_token("gitlab")
    project = "/projects/" + quote(gitlab.name, safe="")
    described = client.gitlab(project, token).json()
    assert (described["path_with_namespace"], described["visibility"]) == (gitlab.name, "private")
    assert client.gitlab(f"/projects/{described['id']}", PRIVATE_TOKEN=token).status_code == 200
    wrong = client.gitlab(project, "glpat-wrong")
    assert (wrong.status_code, wrong.json()) == (401, {"message": "401 Unauthorized"})
    scopeless = client.gitlab(project, forge.add_token("gitlab", scopes=["read_repository"]))
    assert (scopeless.status_code, scopeless.json()["error"]) == (403, "insufficient_scope")
    for unseen in (client.gitlab(project), client.gitlab("/projects/acme%2Fmissing", token)):
        assert (unseen.status_code, unseen.json()) == (404, {"message": "404 Project Not Found"})
    assert client.gitlab(project, forge.add_token("gitlab", repositories=[])).status_code == 404
    assert client.gitlab("/metadata").status_code == client.gitlab("/version").status_code == 401
    assert client.gitlab("/metadata", token).json()["version"]
    assert "x-gitlab-meta" in client.gitlab("/nothing").headers
    assert client.gitlab("/nothing").json() == {"error": "404 Not Found"}


def test_gitlab_tells_a_commit_without_its_tree(forge, gitlab, code, client):
    token = forge.add_token("gitlab")
    commits = f"/projects/{gitlab.id}/repository/commits"
    commit = client.gitlab(f"{commits}/{code.head()}", token).json()
    assert commit["id"] == code.head()
    assert not any("tree" in name for name in commit)
    assert client.gitlab(f"{commits}/{'0' * 40}", token).json() == {"message": "404 Commit Not Found"}


def test_gitlabs_archive_is_named_by_reference_commit_and_path(forge, gitlab, code, env, tmp_path, client):
    token = forge.add_token("gitlab")
    head = code.head()
    url = f"/projects/{gitlab.id}/repository/archive.tar.gz"
    whole = client.gitlab(f"{url}?sha={head}&include_lfs_blobs=false", token)
    top = unpack(whole.content, tmp_path / "whole")
    assert top.name == f"project-{head}-{head}"
    assert tree_of(top, env) == code.tree()
    part = unpack(client.gitlab(f"{url}?sha=main&path=lib", token).content, tmp_path / "part")
    assert part.name == f"project-main-{head}-lib"
    assert [entry.name for entry in part.iterdir()] == ["lib"]
    assert client.gitlab(f"{url}?sha={'0' * 40}", token).json() == {"message": "404 File Not Found"}
    assert client.gitlab(f"{url}?path=missing", token).json() == {"message": "404 File Not Found"}
    assert client.gitlab(url.replace("tar.gz", "zip"), token).status_code == 406


def test_gitlab_gives_five_archives_a_minute(forge, gitlab, client):
    forge.archive_limit = 5
    token = forge.add_token("gitlab")
    answers = [client.gitlab(f"/projects/{gitlab.id}/repository/archive.tar.gz", token) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


def test_gitlab_below_a_path_and_alone_on_its_host(tmp_path, code, env):
    with Forge(tmp_path / "forge", gitlab_root="/gitlab", tls=False) as forge:
        repository = forge.add_repository("a/b/c", platform="gitlab", private=False, source=code.path)
        assert Repo.clone(repository.url, tmp_path / "clone", env).head() == code.head()
        client = Client(forge)
        with client.session:
            assert client.gitlab("/projects/a%2Fb%2Fc").json()["http_url_to_repo"] == repository.url
            unknown = client.get(f"{forge.url}/api/v3/meta")
            assert (unknown.status_code, unknown.headers["content-type"]) == (404, "text/html; charset=utf-8")


# --- misbehaviour ---


@pytest.fixture
def archive_url(forge: Forge, gitlab: Repository, code: Repo) -> str:
    return f"{forge.api_url('gitlab')}/projects/{gitlab.id}/repository/archive.tar.gz?sha={code.head()}"


@pytest.fixture
def token(forge: Forge) -> str:
    return forge.add_token("gitlab")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_cut_is_noticed_by_http(forge, archive_url, token, client, framing):
    forge.misbehave("archive", Cut(after=10_000, framing=framing))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        client.get(archive_url, token)
    assert client.get(archive_url, token).status_code == 200


@pytest.mark.parametrize("framing", ["terminated", "close"])
def test_a_cut_that_http_does_not_tell(tmp_path, code, framing):
    with Forge(tmp_path / "forge", tls=False) as forge:
        repository = forge.add_repository("a/b", platform="gitlab", private=False, source=code.path)
        forge.misbehave("archive", Cut(after=10_000, framing=framing))
        client = Client(forge)
        with client.session:
            assert len(client.gitlab(f"/projects/{repository.id}/repository/archive.tar.gz").content) == 10_000


def test_wrong_archives(forge, gitlab, archive_url, token, client, code, env, tmp_path):
    first = code.line("rev-parse", "HEAD~1")
    proper = gzip.decompress(client.get(archive_url, token).content)

    def renamed(tar: bytes) -> bytes:
        return tar.replace(b"/train.py", b"/tra1n.py")

    trees = {}
    for number, wrong in enumerate(
        [WrongByte(), WrongByte("lib/run me.sh"), MissingEntry("added.txt"), OtherCommit(first), RewrittenTar(renamed)]
    ):
        forge.misbehave("archive", wrong)
        answer = client.get(archive_url, token)
        assert answer.status_code == 200
        assert len(gzip.decompress(answer.content)) % 512 == 0
        trees[wrong] = tree_of(unpack(answer.content, tmp_path / str(number)), env)
    assert len(set(trees.values()) | {code.tree()}) == 5  # all differ, but for the two that are the first commit
    assert trees[MissingEntry("added.txt")] == trees[OtherCommit(first)]
    for truncated in (True, False):
        forge.misbehave("archive", BrokenGzip(truncated))
        with pytest.raises((EOFError, OSError, gzip.zlib.error)):  # type: ignore[attr-defined]
            gzip.decompress(client.get(archive_url, token).content)
    assert gzip.decompress(client.get(archive_url, token).content) == proper


def test_limits_errors_and_pages(forge, archive_url, token, client):
    forge.misbehave("archive", RetryAfter(3))
    forge.misbehave("archive", RetryAfter(4, status=403))
    forge.misbehave("archive", LimitReset(100))
    forge.misbehave("archive", Status(503), times=2)
    forge.misbehave("archive", Html())
    forge.misbehave("archive", Gone())
    answers = [client.get(archive_url, token) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [429, 403, 403, 503, 503, 200, 404, 200]
    assert [answers[0].headers["retry-after"], answers[1].headers["retry-after"]] == ["3", "4"]
    assert answers[2].headers["x-ratelimit-remaining"] == "0"
    assert 90 < int(answers[2].headers["x-ratelimit-reset"]) - time.time() <= 101
    assert answers[5].headers["content-type"].startswith("text/html")
    assert answers[6].json() == {"message": "404 File Not Found"}
    assert answers[7].content.startswith(b"\x1f\x8b")


def test_redirects_to_a_foreign_host_are_recorded(forge, archive_url, token, client):
    locations = []
    for to in ("evil", "http", "loop", "https://other.example/x"):
        forge.misbehave("archive", Redirect(to))
        locations.append(client.get(archive_url, token).headers["location"])
    assert locations[0].startswith("https://localhost:")
    assert locations[1].startswith("http://127.0.0.1:")
    assert locations[2:] == [archive_url, "https://other.example/x"]
    assert forge.origins_that_saw(token) == {forge.url}
    assert client.get(locations[0]).status_code == 401
    assert client.get(locations[0], token).status_code == 200
    assert forge.origins_that_saw(token) == {forge.url, forge.evil_url}
    assert client.session.get(locations[1], auth=("oauth2", token)).status_code == 404
    assert forge.plain_url in forge.origins_that_saw(token)


def test_slow_stalled_and_dropped_answers(forge, archive_url, token, client):
    impatient = partial(
        client.session.get,
        archive_url,
        headers={"PRIVATE-TOKEN": token},
        verify=str(forge.ca_file),
        stream=True,
        timeout=(20, 0.3),
    )
    forge.misbehave("archive", Delay(3600))
    with pytest.raises(requests.exceptions.ReadTimeout):
        impatient()
    forge.misbehave("archive", Slow(200))
    with impatient() as answer:
        assert 0 < len(answer.raw.read1(1000)) <= 10  # a twentieth of a second's worth
    forge.misbehave("archive", Stall(after=1000))
    with impatient() as answer:
        assert len(answer.raw.read(1000)) == 1000
        with pytest.raises(Exception, match="timed out"):
            answer.raw.read(1)
    forge.misbehave("archive", Hangup(), skip=1)
    assert client.get(archive_url, token).status_code == 200
    with pytest.raises(requests.exceptions.ConnectionError):
        client.get(archive_url, token)
    with pytest.raises(requests.exceptions.ConnectionError):
        client.get(f"http://127.0.0.1:{closed_port()}/")


def test_a_commit_that_housekeeping_removed_is_gone(forge, github, code, client):
    token = forge.add_token("github")
    head = code.head()
    github.git("update-ref", "refs/heads/main", f"{head}~1")
    github.prune()
    assert client.github(f"/repos/acme/widgets/git/commits/{head}", token).status_code == 404
    assert client.github(f"/repos/acme/widgets/tarball/{head}", token).status_code == 404


# --- the forge itself ---


def test_archives_from_memory_are_the_same_bytes(tmp_path, code):
    with Forge(tmp_path / "forge", cache_archives=True) as forge:
        repository = forge.add_repository("a/b", platform="gitlab", private=False, source=code.path)
        client = Client(forge)
        with client.session:
            url = f"/projects/{repository.id}/repository/archive.tar.gz"
            assert client.gitlab(url).content == client.gitlab(url).content
        assert len(forge.archive_cache) == 1


def test_latency_is_paid_by_each_request(tmp_path):
    with Forge(tmp_path / "forge") as forge:
        client = Client(forge)
        with client.session:
            client.get(forge.url)
            forge.latency = 3
            with pytest.raises(requests.exceptions.ReadTimeout):
                client.session.get(forge.url, verify=str(forge.ca_file), timeout=(20, 0.2))
            forge.latency = 0
            assert client.get(forge.url).status_code == 200


def test_a_fault_of_the_forge_itself_fails_the_test(tmp_path):
    class Broken:
        def answer(self, forge: Forge, request: Request, proceed: Callable[[], Response]) -> Response:
            raise RuntimeError("a fault in an answer")

    with pytest.raises(AssertionError, match="a fault in an answer"), Forge(tmp_path / "forge") as forge:
        forge.misbehave("*", Broken())
        client = Client(forge)
        with client.session:
            assert client.get(forge.url).status_code == 500
