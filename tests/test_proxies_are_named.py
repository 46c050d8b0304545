"""A proxy that lets nobody through is named, with the cause: it is neither the platform nor a dead network."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from git_coderepo.transport.http_failures import proxy_shown
from tests.e2e.support import World, on_platforms, refused, world
from tests.support.proxy import Proxy

# Which road is meant: git alone, the API alone, and the git of a checkout.
ROADS = ["git", "archive", "register"]


@pytest.fixture(scope="module", params=on_platforms("github", "git"))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("proxies"), request.param) as made:
        made.register("mine", *(["--type", "github"] if made.platform == "github" else []))
        made.manifest()
        yield made


def ask(place: World, road: str, proxy: str, says: str, hint: str = "HTTPS_PROXY") -> None:
    if road == "archive" and place.platform == "git":
        pytest.skip("plain git has no archives")
    env = {"HTTPS_PROXY": proxy}
    if road == "register":
        kind = ["--type", place.platform] if place.platform == "github" else []
        refused(
            place.user, "register", "again", *kind, status=128, says=says, hint=hint, cwd=place.checkout.path, env=env
        )
        return
    refused(place.runner, "fetch", "--method", road, "run.json", "code", status=128, says=says, hint=hint, env=env)


@pytest.mark.parametrize("road", ROADS)
def test_a_proxy_that_wants_a_password(place: World, road: str) -> None:
    with Proxy(user="ada:secret") as proxy:
        name = proxy.address.removeprefix("http://")
        ask(
            place,
            road,
            proxy.address,
            f"through the proxy '{name}': it requires a user name",
            "write them into the proxy's URL",
        )


@pytest.mark.parametrize("road", ROADS)
def test_a_password_that_a_proxy_refuses_is_not_shown(place: World, road: str) -> None:
    with Proxy(user="ada:secret") as proxy:
        name = proxy.address.removeprefix("http://")
        wrong = proxy.address.replace("://", "://ada:hunter2@")
        ask(
            place,
            road,
            wrong,
            f"through the proxy '{name}': it requires a user name",
            "write them into the proxy's URL",
        )


@pytest.mark.slow
@pytest.mark.parametrize("road", ROADS)
def test_a_dead_proxy(place: World, road: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ask(place, road, f"http://127.0.0.1:{port}", f"through the proxy '127.0.0.1:{port}': connection refused")


@pytest.mark.slow
@pytest.mark.parametrize("road", ROADS)
def test_a_proxy_of_an_unknown_name(place: World, road: str) -> None:
    ask(place, road, "http://proxy.invalid:3128", "through the proxy 'proxy.invalid")


def test_a_dead_proxy_of_one_remote(place: World) -> None:
    if place.platform != "git":
        pytest.skip("an API knows no proxy of a remote")
    place.checkout.git("remote", "add", "proxied", place.url)
    place.checkout.git("config", "remote.proxied.proxy", "http://127.0.0.1:9")
    bare = {"CODEREPO_TOKEN": "", "CODEREPO_TOKEN_ORIGIN": ""}
    refused(
        place.user, "register", "--remote=proxied", status=128, says="through the proxy '127.0.0.1:9'",
        cwd=place.checkout.path, env=bare,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://ada:pass@proxy.corp:3128/", "proxy.corp:3128"),
        ("proxy.corp:3128", "proxy.corp:3128"),
        ("ada:p@ss@proxy.corp", "proxy.corp"),
        ("http://ada:pa/ss@proxy.corp:3128/", "proxy.corp:3128"),
        ("", None),
        (None, None),
    ],
)
def test_what_is_shown_of_a_proxy(url: str | None, shown: str | None) -> None:
    assert proxy_shown(url) == shown
