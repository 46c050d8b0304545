"""Tokens in the user's keyring: encrypted or not at all, listed by name only."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import git_coderepo
from git_coderepo.credentials import keyring as vault
from git_coderepo.credentials.keyring import KeyringCredentials, login, logins, logout
from git_coderepo.credentials.secret import Secret
from git_coderepo.errors import CredentialError, KeyringUnavailable
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin
from git_coderepo.settings import Settings
from tests.support.keyring_backend import file_keyring
from tests.support.repo import Repo

CORP = Origin.parse("https://git.corp:8443")


@pytest.fixture
def keyring(home: Path, repo: Repo) -> Iterator[Path]:
    with file_keyring(home) as path:
        yield path


def git_of(repo: Repo) -> Git:
    return Git(str(repo.path), environment=repo.env)


def found(repo: Repo, origin: Origin = CORP, path: str = "/acme/widgets") -> tuple[str | None, str] | None:
    credential = KeyringCredentials(Settings.read(git_of(repo))).find(origin, path)
    return None if credential is None else (credential.user, credential.secret.reveal())


def test_a_login_is_found_by_origin_and_forgotten_by_logout(repo: Repo, keyring: Path) -> None:
    before = Path(repo.env["GIT_CONFIG_GLOBAL"]).read_text()
    login(git_of(repo), CORP, Secret("hunter2"), user="ada")

    assert json.loads(keyring.read_text()) == {"git-coderepo:https://git.corp:8443\n/": "hunter2"}
    assert found(repo) == ("ada", "hunter2")
    for other in ("https://git.corp", "http://git.corp:8443", "https://x.git.corp:8443"):
        assert found(repo, Origin.parse(other)) is None
    config = Path(repo.env["GIT_CONFIG_GLOBAL"]).read_text()
    assert "keyringEntry = https://git.corp:8443 ada" in config and "hunter2" not in config

    assert logout(git_of(repo), CORP)
    assert found(repo) is None and json.loads(keyring.read_text()) == {}
    assert not logout(git_of(repo), CORP)
    assert Path(repo.env["GIT_CONFIG_GLOBAL"]).read_text().replace("[coderepo]\n", "") == before


def test_the_longest_prefix_comes_first(repo: Repo, keyring: Path) -> None:
    for prefix, token in (("/", "host"), ("acme", "org"), ("/acme/widgets", "repository")):
        login(git_of(repo), CORP, Secret(token), prefix=prefix)

    assert found(repo) == (None, "repository")
    assert found(repo, path="/acme/other") == (None, "org")
    assert found(repo, path="/acmes/other") == (None, "host")
    logout(git_of(repo), CORP, prefix="/acme/widgets")
    assert found(repo) == (None, "org")


def test_a_second_login_takes_the_place_of_the_first(repo: Repo, keyring: Path) -> None:
    login(git_of(repo), CORP, Secret("first"), user="ada")
    login(git_of(repo), CORP, Secret("second"), user="bob")

    assert found(repo) == ("bob", "second")
    assert [str(entry) for entry in logins(git_of(repo))] == ["https://git.corp:8443 bob"]


def test_no_keyring_is_loaded_for_an_origin_that_has_no_login(repo: Repo, keyring: Path, home: Path) -> None:
    (home / "keyring.locked").touch()

    assert found(repo) is None


def test_a_locked_keyring_is_passed_over_when_reading_and_an_error_when_storing(
    repo: Repo, keyring: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    login(git_of(repo), CORP, Secret("hunter2"))
    config = Path(repo.env["GIT_CONFIG_GLOBAL"]).read_text()
    (home / "keyring.locked").touch()
    monkeypatch.setenv("GIT_TRACE", "1")

    assert found(repo) is None
    assert "the keyring is ignored: the keyring is locked" in capsys.readouterr().err
    with pytest.raises(KeyringUnavailable, match="locked") as failure:
        login(git_of(repo), Origin.parse("https://other.corp"), Secret("hunter2"))

    assert failure.value.exit_status == 4
    assert "unlock the keyring" in failure.value.hints  # the verbs name the file for credentials as well
    assert Path(repo.env["GIT_CONFIG_GLOBAL"]).read_text() == config


@pytest.mark.parametrize("name", ["keyring.backends.null", "keyring.backends.fail"])
def test_a_backend_that_keeps_nothing_is_refused_with_a_word_about_what_to_use(
    repo: Repo, name: str, request: pytest.FixtureRequest
) -> None:
    import importlib

    import keyring
    from keyring.backends.null import Keyring

    keyring.set_keyring(importlib.import_module(name).Keyring())
    request.addfinalizer(lambda: keyring.set_keyring(Keyring()))

    with pytest.raises(KeyringUnavailable, match="encrypts secrets") as failure:
        login(git_of(repo), CORP, Secret("hunter2"))

    assert "PYTHON_KEYRING_BACKEND" in failure.value.hints[0]  # the verbs name the file for credentials as well
    assert "hunter2" not in Path(repo.env["GIT_CONFIG_GLOBAL"]).read_text()


def _named(module: str, name: str, base: type) -> type:
    return type(name, (base,), {"__module__": module, "priority": 1.0})


@pytest.mark.parametrize(
    ("module", "name"), [row for row in vault.REFUSED_BACKENDS if row[0].startswith("keyrings.alt")]
)
def test_a_backend_that_keeps_plain_text_is_refused_whoever_derives_from_it(module: str, name: str) -> None:
    import keyring
    from keyring.backends.null import Keyring

    from tests.support.keyring_backend import FileKeyring

    plain = _named(module, name, FileKeyring)
    try:
        for backend in (plain, _named("elsewhere", "Better", plain)):
            keyring.set_keyring(backend())
            with pytest.raises(KeyringUnavailable, match="encrypts secrets"):
                vault.backends()
    finally:
        keyring.set_keyring(Keyring())


@pytest.mark.parametrize(("prefix", "user"), [("/a b", None), ("/a\nb", None), ("/", "a b"), ("/", "a\0")])
def test_what_cannot_be_listed_is_refused(repo: Repo, keyring: Path, prefix: str, user: str | None) -> None:
    with pytest.raises(CredentialError, match="cannot contain spaces"):
        login(git_of(repo), CORP, Secret("hunter2"), prefix=prefix, user=user)

    assert not keyring.exists()


# --- a real one ---

_SCRIPT = """
import json, sys
from git_coderepo.credentials.secret import Secret
from git_coderepo.errors import KeyringUnavailable
from git_coderepo.git.process import Git
from git_coderepo.credentials import named_secrets
from git_coderepo.credentials.keyring import KeyringCredentials, login, logout
from git_coderepo.settings import Settings
from git_coderepo.git.url.remote import Origin

git, corp, token = Git(), Origin.parse("https://git.corp"), sys.stdin.read()
def found():
    credential = KeyringCredentials(Settings.read(git)).find(corp, "/acme/widgets")
    return None if credential is None else credential.secret.reveal() == token
try:
    login(git, corp, Secret(token))
    named_secrets.set_secret(git, "corp", {"pa_token": Secret(token)})
    print(json.dumps({"found": found(), "resolved": named_secrets.resolve("{{corp.pa_token}}").reveal() == token,
                      "out": logout(git, corp), "after": found(), "removed": named_secrets.remove_secret(git, "corp")}))
except KeyringUnavailable as error:
    print(json.dumps({"unavailable": error.message, "found": found()}))
"""

_NEEDED = ("dbus-run-session", "gnome-keyring-daemon")


@pytest.mark.skipif(
    any(shutil.which(name) is None for name in _NEEDED), reason=f"this machine lacks one of {', '.join(_NEEDED)}"
)
@pytest.mark.parametrize("unlocked", [True, False], ids=["unlocked", "locked"])
def test_a_real_secret_service(env: dict[str, str], home: Path, unlocked: bool) -> None:
    """GNOME's keyring, without a screen: what it keeps is found again; locked, it is an error that says so."""
    pytest.importorskip("secretstorage")
    options = "--unlock --components=secrets --daemonize" if unlocked else "--start --components=secrets --daemonize"
    start = f"printf pw | gnome-keyring-daemon {options} >/dev/null 2>&1"
    environment = {
        **env,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring",
        "PYTHONPATH": str(Path(git_coderepo.__file__).parent.parent),
    }
    done = subprocess.run(
        ["dbus-run-session", "--", "bash", "-c", f'{start}; exec "$0" -W ignore -c "$1"', sys.executable, _SCRIPT],
        cwd=home,
        env=environment,
        input=b"hunter2-from-stdin",
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)

    if unlocked:
        assert answer == {"found": True, "resolved": True, "out": True, "after": None, "removed": ["pa_token"]}
    else:
        assert "unavailable" in answer and answer["found"] is None
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"hunter2-from-stdin" not in kept
