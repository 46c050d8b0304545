"""The forge's git over http and the forge itself, with real git and a real HTTP client."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from tests.forge import Forge, Stall
from tests.forge.client import Client
from tests.forge.http import Request, Response
from tests.support.repo import Repo


def git_env(env: dict[str, str], forge: Forge, user: str = "", password: str = "") -> dict[str, str]:
    """git with a user and password by askpass, as a credential that is typed."""
    home = Path(env["HOME"])
    home.mkdir(exist_ok=True)
    script = home / "askpass"
    script.write_text(f'#!/bin/sh\ncase "$1" in Username*) echo "{user}";; *) echo "{password}";; esac\n')
    script.chmod(0o755)
    return {**env, **forge.env, "GIT_ASKPASS": str(script)} if user else {**env, **forge.env}


# --- git over http ---


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_closing_ends_idle_stalled_and_half_open_connections(tmp_path):
    before = set(threading.enumerate())
    forge = Forge(tmp_path / "forge")
    client = Client(forge)
    with client.session, socket.create_connection(("127.0.0.1", forge.port)) as silent:
        client.get(forge.url)  # stays open
        forge.misbehave("*", Stall())
        stalled = threading.Thread(target=_ask_in_vain, args=(client, forge.url))
        stalled.start()
        while len(forge.requests()) < 2:
            stalled.join(0.01)
        forge.close()
        stalled.join()
        assert silent.recv(1) == b""
        assert set(threading.enumerate()) == before
        with pytest.raises(requests.ConnectionError):
            client.get(forge.url)
        forge.close()


def _ask_in_vain(client: Client, url: str) -> None:
    with pytest.raises(requests.RequestException):
        client.get(url)
