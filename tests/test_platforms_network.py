"""The way to a server: one setting for the company's proxy and authorities, which git and the API both know."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.git.url.remote import Origin
from git_coderepo.transport.proxy import NetworkSettings, ca_bundle, system_authorities
from tests.e2e.support import World, refused, world
from tests.support.proxy import Proxy


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("the way"), "github") as made:
        made.register()
        made.manifest()
        yield made


@pytest.fixture(autouse=True)
def as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "place" in request.fixturenames:
        made: World = request.getfixturevalue("place")
        shutil.rmtree(made.runner.path("code"), ignore_errors=True)
        for name in (
            "http.proxy",
            "http.sslCAInfo",
            f"http.{made.forge.url}.proxy",
            f"http.{made.forge.url}.sslCAInfo",
        ):
            subprocess.run(["git", "config", "--global", "--unset-all", name], env=made.runner.env, check=False)


def configure(place: World, name: str, value: str) -> None:
    subprocess.run(["git", "config", "--global", name, value], env=place.runner.env, check=True)


def fetched(place: World, method: str, **env: str) -> None:
    """Both ways to the same code: the API's archive, and git itself."""
    place.runner.run("fetch", "--method", method, "run.json", "code", env=env)
    shutil.rmtree(place.runner.path("code"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["archive", "git"])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_environments_proxy_is_asked_by_both(place: World, method: str, name: str) -> None:
    with Proxy(user="ada:secret of mine") as proxy:
        address = proxy.address.replace("://", "://ada:secret%20of%20mine@")
        fetched(place, method, **{name: address})
        assert proxy.asked
        assert set(proxy.asked) <= {url.removeprefix("https://") for url in (place.forge.url, place.forge.codeload_url)}
        before = len(proxy.asked)
        fetched(place, method, **{name: address, "NO_PROXY": "127.0.0.1"})
        assert len(proxy.asked) == before


@pytest.mark.slow
@pytest.mark.parametrize("method", ["archive", "git"])
@pytest.mark.parametrize("for_all", [True, False], ids=["http.proxy", "http.URL.proxy"])
def test_gits_setting_for_the_proxy_holds_for_both(place: World, method: str, for_all: bool) -> None:
    with Proxy() as proxy, Proxy() as other:
        configure(place, "http.proxy", proxy.address if for_all else other.address)
        if not for_all:
            configure(place, f"http.{place.forge.url}.proxy", proxy.address)
        # It is more than what the environment says, as for git.
        fetched(place, method, HTTPS_PROXY=other.address)
        assert place.forge.url.removeprefix("https://") in proxy.asked
        assert place.forge.url.removeprefix("https://") not in other.asked
        asked = len(proxy.asked)
        configure(place, f"http.{place.forge.url}.proxy", "")  # none for this host
        fetched(place, method)
        assert place.forge.url.removeprefix("https://") not in proxy.asked[asked:]


@pytest.mark.parametrize("method", ["archive", "git"])
@pytest.mark.parametrize("for_all", [True, False], ids=["http.sslCAInfo", "http.URL.sslCAInfo"])
def test_gits_setting_for_the_authorities_holds_for_both(place: World, method: str, for_all: bool) -> None:
    authority = str(place.forge.ca_file)
    configure(place, "http.sslCAInfo" if for_all else f"http.{place.forge.url}.sslCAInfo", authority)
    if not for_all and method == "archive":
        configure(place, "http.sslCAInfo", authority)  # for the origin to which the archive's link leads
    # What only the API's libraries know comes after it, for both.
    fetched(place, method, GIT_SSL_CAINFO="", REQUESTS_CA_BUNDLE="/nonexistent/authorities.pem")


@pytest.mark.parametrize("method", ["archive", "git"])
def test_the_systems_authorities_are_trusted_where_none_is_named(place: World, method: str, tmp_path: Path) -> None:
    """OpenSSL's own variable stands in for what a Dockerfile puts into the system's store."""
    fetched(place, method, GIT_SSL_CAINFO="", SSL_CERT_FILE=str(place.forge.ca_file))
    if method == "archive":
        (tmp_path / "hashed").mkdir()
        name = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", place.forge.ca_file],
            capture_output=True, text=True, check=False,
        ).stdout.strip()  # fmt: skip
        if not name:
            pytest.skip("no openssl program here to name a certificate by")
        (tmp_path / "hashed" / f"{name}.0").write_bytes(place.forge.ca_file.read_bytes())
        fetched(place, method, GIT_SSL_CAINFO="", SSL_CERT_FILE="", SSL_CERT_DIR=str(tmp_path / "hashed"))


@pytest.mark.slow
def test_a_proxy_that_refuses_or_is_not_there_is_named(place: World) -> None:
    with Proxy(user="ada:right") as proxy:
        wrong = proxy.address.replace("://", "://ada:wrong@")
        said = refused(
            place.runner, "fetch", "run.json", "code", status=128, says="through the proxy", hint="HTTPS_PROXY",
            env={"HTTPS_PROXY": wrong},
        )  # fmt: skip
        assert proxy.refused and not proxy.asked
    assert "wrong" not in said.errors
    for address, says in ((proxy.address, "connection refused"), ("socks5h://127.0.0.1:9", "connection refused")):
        refused(
            place.runner, "fetch", "run.json", "code", status=128, says=says, hint="prox", env={"HTTPS_PROXY": address}
        )  # fmt: skip


def test_what_is_named_comes_first_and_the_systems_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    origin = Origin.parse("https://git.corp")
    env = {"PATH": "/nonexistent", "REQUESTS_CA_BUNDLE": "b"}
    assert NetworkSettings({**env, "GIT_SSL_CAINFO": "a"}).authorities(origin) == "a"
    assert NetworkSettings(env).authorities(origin) == ca_bundle(env) == "b"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))  # a directory with nothing that OpenSSL would find
    (tmp_path / "README").touch()
    assert system_authorities() != str(tmp_path)
    assert os.path.exists(NetworkSettings({"PATH": "/nonexistent"}).authorities(origin))
