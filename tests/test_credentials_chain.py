"""The chain: option, environment, host rule, keyring, git credential, none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.credentials import named_secrets
from git_coderepo.credentials.chain import Chain
from git_coderepo.credentials.keyring import login
from git_coderepo.credentials.secret import Credential, Secret
from git_coderepo.credentials.sources import OptionCredentials
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin
from git_coderepo.registration.users_credentials import users_chain
from git_coderepo.settings import Settings
from tests.support.keyring_backend import file_keyring
from tests.support.repo import Repo

CORP = Origin.parse("https://git.corp")


@pytest.fixture
def keyring(home: Path, repo: Repo) -> Iterator[Path]:
    with file_keyring(home) as path:
        yield path


def chain_of(repo: Repo, **variables: str) -> Chain:
    git = Git(str(repo.path), environment={**repo.env, **variables})
    return users_chain(Settings.read(git), git)


def given(chain: Chain, origin: Origin = CORP, path: str = "/acme/widgets") -> tuple[str, str] | None:
    credential = chain.find(origin, path)
    return None if credential is None else (credential.secret.reveal(), credential.source)


@pytest.mark.usefixtures("keyring")
def test_each_source_comes_before_the_next(repo: Repo, tmp_path: Path) -> None:
    git = Git(str(repo.path), environment=repo.env)
    assert given(chain_of(repo)) is None

    repo.git("config", "--global", "credential.helper", "!f() { echo username=u; echo password=helper; }; f")
    assert given(chain_of(repo)) == ("helper", "git credential")

    login(git, CORP, Secret("kept"))
    assert given(chain_of(repo)) == ("kept", "the keyring")

    named_secrets.set_secret(git, "corp", {"token": Secret("rule")})
    repo.git("config", "--global", "coderepo.https://git.corp/.token", "{{corp.token}}")
    assert given(chain_of(repo)) == ("rule", "the secret {{corp.token}}")

    in_job = {"CI_JOB_TOKEN": "job", "CI_SERVER_HOST": "git.corp"}
    assert given(chain_of(repo, **in_job)) == ("job", "CI_JOB_TOKEN")

    own = {**in_job, "CODEREPO_TOKEN": "own", "CODEREPO_TOKEN_ORIGIN": "https://git.corp"}
    assert given(chain_of(repo, **own)) == ("own", "CODEREPO_TOKEN")

    (tmp_path / "file").write_text("https://u:line@git.corp\n")
    all_of_them = {**own, "CODEREPO_CREDENTIALS_FILE": str(tmp_path / "file")}
    assert given(chain_of(repo, **all_of_them)) == ("line", "CODEREPO_CREDENTIALS_FILE")

    option = OptionCredentials(CORP, Secret("option"), source="the option 'token'")
    assert given(chain_of(repo, **all_of_them).preceded_by(option)) == ("option", "the option 'token'")


def test_an_option_is_for_its_own_origin_only() -> None:
    chain = Chain([OptionCredentials(CORP, Secret("t"), source="x")])

    assert given(chain) == ("t", "x")
    for text in ("http://git.corp", "https://git.corp:8443", "https://api.git.corp", "ssh://git.corp"):
        assert given(chain, Origin.parse(text)) is None


def test_a_secret_by_reference_is_read_when_it_is_needed_and_once() -> None:
    asked = []

    def read() -> Secret:
        asked.append(1)
        return Secret("t")

    chain = Chain([OptionCredentials(CORP, read, source="x")])
    assert given(chain, Origin.parse("https://evil.example")) is None and asked == []
    assert given(chain) == given(chain) == ("t", "x")
    assert asked == [1]


def test_a_rules_user_goes_with_a_token_that_has_none(repo: Repo) -> None:
    repo.git("config", "--global", "coderepo.https://git.corp/acme.user", "bot")
    chain = chain_of(repo, CODEREPO_TOKEN="t", CODEREPO_TOKEN_ORIGIN="https://git.corp")

    found, other = chain.find(CORP, "/acme/widgets"), chain.find(CORP, "/other/widgets")

    assert found is not None and other is not None
    assert (found.user, other.user) == ("bot", None)


def test_the_link_that_gave_a_credential_hears_how_it_was_taken() -> None:
    class Link:
        def __init__(self, secret: str) -> None:
            self.credential = Credential(Secret(secret), source=secret)
            self.heard: list[str] = []

        def find(self, origin: Origin, path: str) -> Credential | None:
            return self.credential if origin == CORP else None

        def refused(self, origin: Origin, path: str, credential: Credential) -> None:
            self.heard.append("refused")

        def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
            self.heard.append("accepted")

    first, second = Link("first"), Link("second")
    chain = Chain([first, second])
    credential = chain.find(CORP, "/")
    assert credential is not None

    chain.accepted(CORP, "/", credential)
    chain.refused(CORP, "/", Credential(Secret("first"), source="a stranger"))
    chain.refused(CORP, "/", second.credential)

    assert (first.heard, second.heard) == (["accepted"], [])


def test_a_confined_chain_asks_gits_helpers_about_named_origins_only(repo: Repo) -> None:
    repo.git("config", "--global", "credential.helper", "!f() { echo username=u; echo password=helper; }; f")
    evil = Origin.parse("https://evil.example")
    variables = {"CODEREPO_TOKEN": "own", "CODEREPO_TOKEN_ORIGIN": "https://evil.example"}
    assert given(chain_of(repo), evil) == ("helper", "git credential")

    assert given(chain_of(repo).confined(lambda origin: origin == CORP), evil) is None
    assert given(chain_of(repo).confined(lambda origin: origin == CORP)) == ("helper", "git credential")
    # The runner's own word for that origin counts.
    assert given(chain_of(repo, **variables).confined(lambda origin: False), evil) == ("own", "CODEREPO_TOKEN")
