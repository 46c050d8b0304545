"""Servers that are merely old: they cannot leave out what is not wanted, so they send all of it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from git_coderepo.credentials.secret import NoCredentials
from git_coderepo.errors import CodeRepoError, CommitMissing, GitFailed, ServerTooOld
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.transport.git_failures import explain
from tests.e2e.support import World, load, refused, world
from tests.forge.http import Request, Response
from tests.forge.misbehaviour import Proceed
from tests.forge.server import Forge
from tests.support.marks import first_quick


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "git") as made:
        yield made


# --- dumb http -------------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def dumb(place: World, tmp_path: Path) -> Iterator[str]:
    """The same repository as files behind a plain web server."""
    place.repository.git("update-server-info")
    handler = partial(_Quiet, directory=str(place.repository.path.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{place.repository.path.name}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_dumb_http_server(place: World, dumb: str) -> None:
    place.checkout.write("more.txt", b"of the second commit\n")
    place.checkout.commit("second")
    place.push()
    place.repository.git("update-server-info")
    place.checkout.git("remote", "set-url", "origin", dumb)
    allowed = {"CODEREPO_ALLOW_PROTOCOL": "http"}
    place.register(env=allowed)
    assert "reproducible  yes" in place.user.run("status", "--check", cwd=place.checkout.path, env=allowed).text
    manifest = place.manifest()

    place.runner.run("fetch", "--receipt", "receipt.json", manifest, "code", env=allowed)
    place.runner.run("fetch", f"{dumb}@{place.checkout.head()}", "again", env=allowed)
    place.runner.run("fetch", f"{dumb}@{place.base}:docs", "part", env=allowed)

    assert load(place.runner.path("receipt.json"))["method"] == "git"
    assert place.runner.path("again/more.txt").read_bytes() == b"of the second commit\n"
    assert sorted(path.name for path in place.runner.path("part").iterdir()) == ["read me.txt"]


@pytest.mark.slow
def test_a_commit_that_a_dumb_server_does_not_have(place: World, dumb: str) -> None:
    refused(
        place.runner, "fetch", f"{dumb}@{'12ab' * 10}", "code", status=128, says="has no such commit",
        env={"CODEREPO_ALLOW_PROTOCOL": "http"},
    )  # fmt: skip


# --- no depth, no filter ---------------------------------------------------------------------------


@dataclass(frozen=True)
class WithoutShallow:
    """Whoever asks for a depth is answered `words`, whatever the protocol expects next."""

    words: bytes

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        body = request.body.read()
        if b"deepen " in body:
            line = b"%04x%b" % (len(self.words) + 4, self.words)
            return Response(200, {"Content-Type": "application/x-git-upload-pack-result"}, line + b"0000")
        object.__setattr__(request, "body", io.BytesIO(body))
        return proceed()


@pytest.mark.slow
@pytest.mark.parametrize("version", first_quick("2", "0"))
@pytest.mark.parametrize("words", [b"NAK\n", b"ERR upload-pack: shallow is not supported\n"])
def test_a_server_that_knows_no_depth(place: World, words: bytes, version: str) -> None:
    place.register()
    manifest = place.manifest()
    place.repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    place.forge.git_env.update(GIT_PROTOCOL=f"version={version}")
    place.forge.misbehave("git/upload-pack", WithoutShallow(words), times=None)

    place.runner.run("fetch", manifest, "code")

    assert place.runner.tree("code") == place.checkout.line("rev-parse", "HEAD^{tree}")
    assert "reproducible  yes" in place.user.run("status", "--check", cwd=place.checkout.path).text


@pytest.mark.slow
@pytest.mark.parametrize("filter", first_quick("blob:none", "tree"))
def test_a_server_that_refuses_a_filter(place: World, filter: str) -> None:
    """git-config(1), uploadpackfilter: a large host allows some filters only."""
    place.repository.git("config", f"uploadpackfilter.{filter}.allow", "false")

    place.register()
    assert "reproducible  yes" in place.user.run("status", "--check", cwd=place.checkout.path).text
    name = f"{place.url}@{place.base}"
    place.runner.run("fetch", name, "code")
    place.runner.run("fetch", f"{name}:docs", "part")

    assert sorted(path.name for path in place.runner.path("part").iterdir()) == ["read me.txt"]


def test_a_server_without_filters(place: World) -> None:
    place.repository.git("config", "uploadpack.allowFilter", "false")
    place.runner.run("fetch", f"{place.url}@{place.base}:docs", "part")


# --- what is no matter of age --------------------------------------------------------------------------


@dataclass(frozen=True)
class Broken:
    """Whatever is asked, the answer makes no sense."""

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        request.body.read()
        return Response(200, {"Content-Type": "application/x-git-upload-pack-result"}, b"0015ERR out of order\n0000")


@pytest.mark.slow
def test_what_the_plain_fetch_says_is_said(place: World) -> None:
    place.register()
    manifest = place.manifest()
    place.forge.misbehave("git/upload-pack", Broken(), times=None)
    refused(place.runner, "fetch", manifest, "code", status=128, says="out of order", hint=None)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("fatal: dumb http transport does not support shallow capabilities", ServerTooOld),
        ("fatal: Server does not support shallow requests", ServerTooOld),
        ("fatal: Server does not support shallow clients", ServerTooOld),
        ("fatal: git fetch-pack: expected shallow list", ServerTooOld),
        ("fatal: expected shallow/unshallow, got NAK", ServerTooOld),
        ("fatal: git fetch-pack: expected ACK/NAK, got '?'", ServerTooOld),
        ("fatal: remote error: filter 'tree' not supported", ServerTooOld),
        (f"fatal: git fetch-pack: expected ACK/NAK, got 'ERR upload-pack: not our ref {'12ab' * 10}'", CommitMissing),
        (
            f"error: Unable to find {'12ab' * 10}\nCannot obtain needed object {'12ab' * 10}",
            CommitMissing,
        ),
    ],
)
def test_what_git_says_of_old_servers_is_understood(words: str, error: type[CodeRepoError]) -> None:
    failure = GitFailed("'git fetch' failed", status=128, stderr=words.encode())
    assert type(explain(failure, RemoteURL.parse("https://git.corp/x.git"), None, NoCredentials())) is error
