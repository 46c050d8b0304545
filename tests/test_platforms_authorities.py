"""Whom connections trust: a file of authorities is read once for all of them, and counts for nobody else."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from urllib3.util.ssl_ import create_urllib3_context

from git_coderepo.transport.http import Contexts
from tests.e2e.support import World, refused, world

ONE, OTHER = "the company's authority", "another authority"


@pytest.fixture
def contexts() -> Contexts:
    return Contexts(create_urllib3_context)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("authorities")
    for name in (ONE, OTHER):
        trustme.CA(organization_name=name).cert_pem.write_to_path(str(folder / f"-{name} \n.pem"))
    return {name: folder / f"-{name} \n.pem" for name in (ONE, OTHER)}


def _organization(subject: Any) -> str:
    return str(dict(pair for (pair,) in subject)["organizationName"])


def trusted(context: ssl.SSLContext | None) -> list[str]:
    """The names of the authorities that OpenSSL trusts there."""
    assert context is not None
    return [_organization(authority["subject"]) for authority in context.get_ca_certs()]


@pytest.mark.parametrize("ahead", [True, False])
def test_connections_to_several_hosts_share_what_was_read(
    contexts: Contexts, files: dict[str, Path], ahead: bool
) -> None:
    path = str(files[ONE])
    if ahead:
        contexts.begin(path)
    context = contexts.of(path)
    assert trusted(context) == [ONE]
    assert contexts.of(path) is context
    assert context is not None
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    context.load_verify_locations(path, None, None)  # as urllib3 does for each connection
    assert trusted(context) == [ONE]


def test_each_file_has_a_context_of_its_own(contexts: Contexts, files: dict[str, Path]) -> None:
    contexts.begin(str(files[OTHER]))
    assert trusted(contexts.of(str(files[ONE]))) == [ONE]
    assert trusted(contexts.of(str(files[OTHER]))) == [OTHER]
    assert trusted(contexts.of(str(files[ONE]))) == [ONE]


def test_what_else_a_connection_is_to_trust_is_still_read(contexts: Contexts, files: dict[str, Path]) -> None:
    context = contexts.of(str(files[ONE]))
    assert context is not None
    context.load_verify_locations(cafile=str(files[OTHER]))
    assert sorted(trusted(context)) == sorted((ONE, OTHER))


def test_a_file_that_was_replaced_is_read_again(contexts: Contexts, files: dict[str, Path], tmp_path: Path) -> None:
    """A pod's mounted authorities rotate; whoever is no longer in the file is no longer trusted."""
    path = tmp_path / "ca.pem"
    path.write_bytes(files[ONE].read_bytes())
    assert trusted(contexts.of(str(path))) == [ONE]
    (tmp_path / "next").write_bytes(files[OTHER].read_bytes())
    os.replace(tmp_path / "next", path)
    assert trusted(contexts.of(str(path))) == [OTHER]


def test_what_cannot_be_read_is_left_to_whoever_connects(contexts: Contexts, tmp_path: Path) -> None:
    (tmp_path / "no authorities.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    for path in (tmp_path, tmp_path / "not there", tmp_path / "no authorities.pem"):
        contexts.begin(str(path))
        assert contexts.of(str(path)) is None


def test_where_no_thread_can_be_had_the_file_is_read_when_it_is_needed(
    contexts: Contexts, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that may have no more of them."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    contexts.begin(str(files[ONE]))
    assert trusted(contexts.of(str(files[ONE]))) == [ONE]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("trust"), "github") as made:
        made.register()
        made.manifest()
        yield made


def test_one_hosts_authority_is_not_trusted_at_another(place: World, files: dict[str, Path]) -> None:
    """The archive's link leads to a host for which git's configuration names another authority than it has."""
    settings = {
        f"http.{place.forge.url}.sslCAInfo": str(place.forge.ca_file),
        f"http.{place.forge.codeload_url}.sslCAInfo": str(files[OTHER]),
    }
    env = {"GIT_SSL_CAINFO": "", "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    command = ("fetch", "--method", "archive", "run.json", "code")
    refused(place.runner, *command, status=128, says="certificate does not verify", hint="GIT_SSL_CAINFO", env=env)
    assert [entry.status for entry in place.forge.requests("link")] == [302], "the first host was trusted"
