"""Named secrets: `{{name.key}}`, in the keyring, listed by name."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.credentials import named_secrets
from git_coderepo.credentials.secret import Credential, Secret
from git_coderepo.credentials.sources import OptionCredentials
from git_coderepo.errors import CredentialError, KeyringUnavailable, UsageError
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin
from tests.support.keyring_backend import file_keyring
from tests.support.repo import Repo


@pytest.fixture
def keyring(home: Path, repo: Repo) -> Iterator[Path]:
    with file_keyring(home) as path:
        yield path


@pytest.fixture
def git(repo: Repo) -> Git:
    return Git(str(repo.path), environment=repo.env)


def config_of(repo: Repo) -> str:
    return Path(repo.env["GIT_CONFIG_GLOBAL"]).read_text() + (repo.git_dir() / "config").read_text()


def test_a_secret_is_kept_listed_resolved_and_taken_away(repo: Repo, git: Git, keyring: Path) -> None:
    before = config_of(repo)
    named_secrets.set_secret(git, "github_secret", {"pa_token": Secret("hunter2"), "other": Secret("hunter3")})

    assert named_secrets.list_secrets(git) == {"github_secret": ["pa_token", "other"]}
    assert named_secrets.resolve("{{github_secret.pa_token}}") == Secret("hunter2")
    assert named_secrets.resolve("{{ github_secret.other }}") == Secret("hunter3")
    assert "hunter" not in config_of(repo)

    assert named_secrets.remove_secret(git, "github_secret", ["other"]) == ["other"]
    assert named_secrets.remove_secret(git, "github_secret") == ["pa_token"]
    assert named_secrets.list_secrets(git) == {}
    assert config_of(repo).replace("[coderepo]\n", "") == before
    with pytest.raises(CredentialError, match=r"secret 'github_secret\.pa_token' not found"):
        named_secrets.resolve("{{github_secret.pa_token}}")


def test_a_second_value_takes_the_place_of_the_first(git: Git, keyring: Path) -> None:
    named_secrets.set_secret(git, "corp", {"token": Secret("first")})
    named_secrets.set_secret(git, "corp", {"token": Secret("second")})

    assert named_secrets.resolve("{{corp.token}}") == Secret("second")
    assert named_secrets.list_secrets(git) == {"corp": ["token"]}


@pytest.mark.parametrize(
    ("name", "key"), [("a.b", "c"), ("a", "b.c"), ("", "b"), ("a", ""), ("a b", "c"), ("a\n", "b")]
)
def test_a_name_that_no_reference_could_hold_is_refused(git: Git, keyring: Path, name: str, key: str) -> None:
    with pytest.raises(UsageError, match="invalid secret name"):
        named_secrets.set_secret(git, name, {key: Secret("hunter2")})

    assert not keyring.exists()


def test_a_secret_that_is_not_there_says_what_to_type(git: Git, keyring: Path) -> None:
    with pytest.raises(CredentialError) as failure:
        named_secrets.resolve("{{corp.token}}")
    assert failure.value.hints == ("git coderepo secret set corp --token=@FILE",)

    with pytest.raises(CredentialError, match="secret not found: 'corp'"):
        named_secrets.remove_secret(git, "corp")
    named_secrets.set_secret(git, "corp", {"token": Secret("t")})
    with pytest.raises(CredentialError, match=r"secret not found: 'corp\.other'"):
        named_secrets.remove_secret(git, "corp", ["token", "other"])
    assert named_secrets.list_secrets(git) == {"corp": ["token"]}
    with pytest.raises(UsageError, match="requires a value"):
        named_secrets.set_secret(git, "corp", {})
    with pytest.raises(CredentialError, match="invalid reference"):
        named_secrets.resolve("{{corp}}")


def test_without_a_usable_keyring_nothing_is_written_anywhere(repo: Repo, git: Git, keyring: Path, home: Path) -> None:
    named_secrets.set_secret(git, "kept", {"token": Secret("t")})
    before = config_of(repo)
    (home / "keyring.locked").touch()

    with pytest.raises(KeyringUnavailable):
        named_secrets.set_secret(git, "corp", {"token": Secret("hunter2")})
    with pytest.raises(KeyringUnavailable):
        named_secrets.set_secret(git, "kept", {"token": Secret("hunter2")})

    assert config_of(repo) == before


def test_a_secret_shows_nowhere() -> None:
    secret = Secret("hunter2")
    link = OptionCredentials(Origin.parse("https://git.corp"), secret, source="the option 'token'")
    credential = Credential(secret, source="x")

    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        repr(credential),
        repr(link),
        repr({"t": secret}),
    ]

    assert "hunter2" not in "".join(shown)
    with pytest.raises(CredentialError):
        pickle.dumps(secret)


@pytest.mark.parametrize("text", ["", "a\nb", "a\rb", "a\0b", "hunter2\n"])
def test_a_secret_holds_no_line_break_and_no_nul(text: str) -> None:
    with pytest.raises(CredentialError) as failure:
        Secret(text)

    assert "hunter2" not in str(failure.value)
