"""From a registration or a manifest to the platform: what a runner trusts, and what not."""

from __future__ import annotations

import site
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from git_coderepo.credentials import named_secrets
from git_coderepo.credentials.secret import NoCredentials, Secret
from git_coderepo.errors import (
    CodeRepoError,
    InvalidManifest,
    InvalidRemoteURL,
    ProtocolNotAllowed,
    RegistrationError,
    SourceNotAllowed,
)
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin, RemoteURL
from git_coderepo.registration.config import Registration
from git_coderepo.registration.describe import credential_source, described
from git_coderepo.registration.from_manifest import from_manifest, helpers_know_hosts
from git_coderepo.registration.platform_object import build
from git_coderepo.registration.secret_options import credential_home
from git_coderepo.registration.trusted_classes import is_installed
from git_coderepo.registration.users_credentials import users_chain
from git_coderepo.settings import Settings
from tests.support.keyring_backend import file_keyring
from tests.support.repo import Repo


@dataclass(frozen=True)
class Remote:
    transport: str = "https"
    host: str | None = "github.com"
    port: int | None = None
    user: str | None = None
    path: str = "/acme/widgets.git"


@dataclass(frozen=True)
class Recorded:
    name: str = "origin"
    type: str = "github"
    source: str | None = None
    remote: Remote | None = field(default_factory=Remote)
    options: Mapping[str, str] = field(default_factory=dict)


CORP = Remote(host="git.corp")
EVIL = Origin.parse("https://evil.example")


@pytest.fixture
def keyring(home: Path, repo: Repo) -> Iterator[Path]:
    with file_keyring(home) as path:
        yield path


def settings_of(repo: Repo, **variables: str) -> tuple[Settings, Git]:
    git = Git(str(repo.path), environment={**repo.env, **variables})
    return Settings.read(git), git


def run(repo: Repo, recorded: Recorded, **variables: str):
    settings, git = settings_of(repo, **variables)
    return from_manifest(recorded, users_chain(settings, git), settings)


def revealed(repository, origin: str | Origin, path: str = "/acme/widgets") -> str | None:
    credential = repository.credentials.find(Origin.parse(origin) if isinstance(origin, str) else origin, path)
    return None if credential is None else credential.secret.reveal()


# --- a user's own registration ---


def test_a_token_just_given_is_for_this_code_repository_and_its_origin(repo: Repo) -> None:
    settings, git = settings_of(repo)
    given = Registration("hub", "github", options={"owner": "acme", "repository": "widgets"})

    repository = build(given, None, users_chain(settings, git), secrets={"token": Secret("hunter2")})

    assert revealed(repository, "https://github.com") == "hunter2"
    assert revealed(repository, EVIL) is None
    assert "hunter2" not in repr(vars(repository)) + repr(given)
    assert credential_source(repository) == "the option 'token'"
    assert credential_home(repository) == (Origin.parse("https://github.com"), "/acme/widgets")


@pytest.mark.usefixtures("keyring")
def test_a_reference_is_resolved_when_the_token_is_needed(repo: Repo) -> None:
    settings, git = settings_of(repo)
    named_secrets.set_secret(git, "corp", {"pat": Secret("hunter2")})
    given = Registration("lab", "gitlab", remote="origin", options={"host": "git.corp", "token": "{{corp.pat}}"})
    remote = RemoteURL.parse("git@git.corp:a/b/c.git")

    repository = build(given, remote, users_chain(settings, git))

    assert revealed(repository, "https://git.corp") == "hunter2"
    assert credential_source(repository) == "the secret {{corp.pat}}"
    assert credential_home(repository) == (Origin.parse("https://git.corp"), "/a/b/c")
    assert isinstance(build(given, remote, NoCredentials()).credentials, NoCredentials)


def test_a_plain_git_remote_keeps_its_token_under_its_own_origin(repo: Repo) -> None:
    settings, git = settings_of(repo)
    chain = users_chain(settings, git)
    given = Registration("box", "git", remote="origin")

    over_https = build(given, RemoteURL.parse("https://git.corp:8443/a/b.git"), chain, secrets={"token": Secret("t")})
    over_ssh = build(given, RemoteURL.parse("git@git.corp:a/b.git"), chain, secrets={"token": Secret("t")})

    assert credential_home(over_https) == (Origin.parse("https://git.corp:8443"), "/a/b")
    assert revealed(over_https, "https://git.corp:8443") == "t"
    assert credential_home(over_ssh) is None and credential_source(over_ssh) is None


_CUSTOM = """
from git_coderepo.platforms.base import BaseCodeRepository

class Mine(BaseCodeRepository):
    def __init__(self, name, options):
        if options.get("mode") == "broken":
            raise ValueError(f"cannot use {options}")
        super().__init__(name, options)
    def login(self): ...
    def download_files(self, commit, directory, repo_sub_directory): ...
    def get_local_context(self, path): ...
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's own, on PYTHONPATH, with a class `Mine`."""
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{name}.py").write_text(_CUSTOM)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    yield name
    sys.modules.pop(name, None)


@pytest.mark.usefixtures("keyring")
def test_the_options_of_a_custom_class_reach_its_constructor_secrets_resolved(repo: Repo, module: str) -> None:
    settings, git = settings_of(repo)
    named_secrets.set_secret(git, "corp", {"pat": Secret("hunter2")})
    options = {"base_path": "/srv", "api_token": "{{corp.pat}}"}

    repository = build(
        Registration("mine", "custom", source=f"{module}.Mine", options=options), None, users_chain(settings, git)
    )

    assert repository.option_values == {"base_path": "/srv", "api_token": "hunter2"}


def test_what_a_custom_class_says_against_its_options_is_told_without_the_secrets(repo: Repo, module: str) -> None:
    settings, git = settings_of(repo)
    given = Registration("mine", "custom", source=f"{module}.Mine", options={"mode": "broken"})

    with pytest.raises(RegistrationError, match="does not accept these options: ValueError: cannot use") as failure:
        build(given, None, users_chain(settings, git), secrets={"api_token": Secret("hunter2")})

    assert "hunter2" not in str(failure.value) and failure.value.__context__ is None


def test_what_is_shown_of_a_registration_holds_no_secret() -> None:
    given = Registration(
        "hub",
        "github",
        remote="origin",
        options={"owner": "acme", "api_url": "https://x", "token": "{{a.b}}"},
        description="d",
    )

    assert described(given, RemoteURL.parse("https://u:hunter2@github.com/acme/widgets")) == {
        "name": "hub",
        "type": "github",
        "registered": True,
        "remote": "origin",
        "url": "https://github.com/acme/widgets",
        "source": None,
        "description": "d",
        "logoUrl": None,
        "options": {"owner": "acme", "apiUrl": "https://x", "token": "{{a.b}}"},
    }
    for type, source, name in (("github", None, "token"), ("custom", "m.C", "db_password")):
        shown = described(Registration("x", type, source=source, options={name: "hunter2"}))
        assert list(shown["options"].values()) == ["****"]  # type: ignore[attr-defined]


# --- a manifest on a runner ---

TOKEN = {"CODEREPO_TOKEN": "hunter2", "CODEREPO_TOKEN_ORIGIN": "https://github.com"}
HELPER = "!f() { echo username=u; echo password=helper; }; f"


def test_the_recorded_place_gets_its_credential(repo: Repo) -> None:
    repository = run(
        repo, Recorded(options={"owner": "acme", "repository": "widgets", "apiUrl": "https://api.github.com"}), **TOKEN
    )

    assert str(repository.api_origin()) == "https://api.github.com"
    assert repository.credential().secret.reveal() == "hunter2"
    assert repository.protocols == {"https", "ssh"}


@pytest.mark.parametrize(
    "recorded",
    [
        Recorded(remote=Remote(host="evil.example"), options={"owner": "acme", "repository": "widgets"}),
        Recorded(options={"apiUrl": "https://evil.example/api/v3"}),
        Recorded(options={"host": "evil.example"}),
        Recorded(options={"apiUrl": "https://github.com.evil.example"}),
        Recorded(type="gitlab", options={"instanceUrl": "https://evil.example", "group": "a", "project": "b"}),
        Recorded(type="git", options={"url": "https://evil.example/a/b"}),
        Recorded(remote=Remote(port=8443)),
    ],
)
def test_a_manifest_that_points_elsewhere_gets_no_token_there(repo: Repo, recorded: Recorded) -> None:
    repository = run(repo, recorded, **TOKEN)

    for origin in (repository.api_origin(), RemoteURL.parse(repository.git_url()).origin()):
        if origin is not None and str(origin) not in ("https://api.github.com", "https://github.com"):
            assert revealed(repository, origin) is None


@pytest.mark.parametrize("key", ["apiUrl", "host"])
def test_gits_helpers_are_not_asked_about_a_host_that_only_an_option_names(repo: Repo, key: str) -> None:
    repo.git("config", "--global", "credential.https://git.corp.helper", HELPER)
    repo.git("config", "--global", "credential.https://evil.example.helper", HELPER)
    recorded = Recorded(remote=CORP, options={key: "https://evil.example"})

    assert revealed(run(repo, recorded), EVIL) is None
    assert revealed(run(repo, recorded), "https://git.corp") == "helper"

    repo.git("config", "--global", "coderepo.https://evil.example/.user", "u")
    assert revealed(run(repo, recorded), EVIL) == "helper"


def test_a_helper_that_may_answer_for_any_host_is_not_asked_about_one_that_only_a_manifest_names(repo: Repo) -> None:
    repo.git("config", "--global", "credential.helper", HELPER)
    recorded = Recorded(remote=CORP)

    assert revealed(run(repo, recorded), "https://git.corp") is None

    repo.git("config", "--global", "coderepo.https://git.corp/.type", "git")
    assert revealed(run(repo, recorded), "https://git.corp") == "helper"


@pytest.mark.parametrize(("helpers", "know"), [
    ([], True), (["store"], True), (["/usr/bin/git-credential-libsecret"], True), (["cache --timeout 9"], True),
    (["mine"], False), (["store", "!gh auth git-credential"], False), (["mine", "", "store"], True),
])  # fmt: skip
def test_helpers_that_keep_credentials_by_host_are_known(repo: Repo, helpers: list[str], know: bool) -> None:
    for helper in helpers:
        repo.git("config", "--add", "credential.helper", helper)
    repo.git("config", "credential.https://git.corp.helper", "mine")

    assert helpers_know_hosts(Settings.read(Git(str(repo.path), environment=repo.env))) is know


def test_the_runners_own_rule_stands_above_the_manifests_options(repo: Repo) -> None:
    repo.git("config", "--global", "coderepo.https://git.corp/.type", "github")
    repo.git("config", "--global", "coderepo.https://git.corp/.apiUrl", "https://inside.corp/api/v3")

    repository = run(repo, Recorded(remote=CORP, options={"apiUrl": "https://evil.example"}))

    assert str(repository.api_origin()) == "https://inside.corp"


@pytest.mark.parametrize(
    "recorded",
    [
        Recorded(name="{{a.b}}"),
        Recorded(options={"owner": "x{{a.b}}"}),
        Recorded(options={"owner": "{{ a.b }}"}),
        Recorded(options={"futureOption": "{{a.b}}"}),
        Recorded(remote=Remote(path="/{{a.b}}")),
        Recorded(remote=Remote(transport="ssh", user="{{a.b}}")),
    ],
)
def test_a_reference_to_a_secret_is_refused(repo: Repo, recorded: Recorded) -> None:
    with pytest.raises(InvalidManifest, match="a reference to a secret"):
        run(repo, recorded)


def test_a_secret_option_is_refused_and_an_option_of_a_later_version_passed_over(repo: Repo) -> None:
    with pytest.raises(InvalidManifest, match="secret option 'token'") as failure:
        run(repo, Recorded(options={"token": "hunter2"}))
    assert "hunter2" not in str(failure.value)

    repository = run(repo, Recorded(options={"futureOption": "x", "owner": "acme"}))
    assert repository.option_values == {"owner": "acme"}


@pytest.mark.parametrize(
    ("remote", "cure"),
    [
        (Remote(transport="file", host=None, path="/srv/x.git"), "file"),
        (Remote(transport="local", host=None, path="/srv/x.git"), "file"),
        (Remote(transport="http", host="127.0.0.1", port=8080), "http"),
        (Remote(transport="http", host="git.corp"), None),
        (Remote(transport="git", host="git.corp"), "git"),
    ],
)
def test_only_https_and_ssh_are_spoken_unless_the_runner_says_so(repo: Repo, remote: Remote, cure: str | None) -> None:
    with pytest.raises(ProtocolNotAllowed):
        run(repo, Recorded(type="git", remote=remote))

    if cure is not None:
        assert cure in run(repo, Recorded(type="git", remote=remote), CODEREPO_ALLOW_PROTOCOL=f"x:{cure}").protocols
    else:
        with pytest.raises(ProtocolNotAllowed):
            run(repo, Recorded(type="git", remote=remote), CODEREPO_ALLOW_PROTOCOL="http:git:file")


@pytest.mark.parametrize(
    "recorded",
    [
        Recorded(type="git", options={"url": "file:///etc"}),
        Recorded(type="git", options={"url": "/etc"}),
        Recorded(type="git", options={"url": "ext::sh -c touch% /tmp/x"}),
        Recorded(options={"apiUrl": "http://evil.example"}),
        Recorded(options={"apiUrl": "http://127.0.0.1:1"}),
        Recorded(type="gitlab", options={"instanceUrl": "http://evil.example"}),
        Recorded(type="gitlab", options={"instanceUrl": "file:///etc"}),
        Recorded(remote=Remote(transport="helper:ext", host=None, path="sh -c x")),
        Recorded(remote=Remote(transport="ssh", host="-oProxyCommand=x")),
        Recorded(remote=Remote(host="evil.example\n")),
        Recorded(type="nonsense"),
        Recorded(type="custom"),
    ],
)
def test_a_place_that_a_runner_must_not_reach_is_refused(repo: Repo, recorded: Recorded) -> None:
    with pytest.raises((ProtocolNotAllowed, InvalidRemoteURL, RegistrationError, SourceNotAllowed)):
        run(repo, recorded)


# --- custom classes on a runner ---


def custom(source: str) -> Recorded:
    return Recorded(type="custom", source=source)


def test_a_class_that_is_not_allowed_is_not_imported(repo: Repo, module: str) -> None:
    for variables in ({}, {"CODEREPO_ALLOW_SOURCE": "other.Mine"}, {"CODEREPO_ALLOW_SOURCE": module[:-1]}):
        with pytest.raises(SourceNotAllowed, match="not allowed here") as failure:
            run(repo, custom(f"{module}.Mine"), **variables)
        assert failure.value.hints == (f"if you trust it: export CODEREPO_ALLOW_SOURCE={module}.Mine",)
    assert module not in sys.modules


def test_a_class_from_the_working_directory_or_pythonpath_is_not_imported(
    repo: Repo, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("evil.py", _CUSTOM)
    monkeypatch.chdir(repo.path)
    monkeypatch.syspath_prepend("")

    for name in ("evil", module):
        with pytest.raises(SourceNotAllowed, match="not an installed package"):
            run(repo, custom(f"{name}.Mine"), CODEREPO_ALLOW_SOURCE=f"{name}.Mine")
        assert name not in sys.modules


@pytest.mark.parametrize("separator", [":", ","])
def test_an_allowed_class_of_an_installed_package_is_used(
    repo: Repo, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separator: str
) -> None:
    # The directory of `pip install --user`.
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "USER_SITE", str(tmp_path / "modules"))

    for allowed in (f"{module}.Mine", module):
        repository = run(repo, custom(f"{module}.Mine"), CODEREPO_ALLOW_SOURCE=f"x.Y{separator}{allowed}")
        assert type(repository).__name__ == "Mine"


def test_the_allowance_may_stand_in_the_users_configuration_but_not_in_the_repositorys(repo: Repo, module: str) -> None:
    repo.git("config", "coderepo.allowSource", f"{module}.Mine")
    with pytest.raises(SourceNotAllowed, match="not allowed here"):
        run(repo, custom(f"{module}.Mine"))

    repo.git("config", "--global", "coderepo.allowSource", f"{module}.Mine")
    with pytest.raises(SourceNotAllowed, match="not an installed package"):
        run(repo, custom(f"{module}.Mine"))


def test_installed_is_what_pip_installs() -> None:
    assert is_installed("requests") and is_installed("requests.sessions")
    assert not any(is_installed(name) for name in ("json", "sys", "no_such_module", "requests.no_such", "sys.path"))


def test_each_refusal_is_one_of_our_own_errors(repo: Repo) -> None:
    for recorded in (
        custom("not a class"),
        custom(""),
        custom("os.path"),
        Recorded(options={"apiUrl": "https://u:hunter2@x/"}),
    ):
        with pytest.raises(CodeRepoError) as failure:
            run(repo, recorded, CODEREPO_ALLOW_SOURCE="os.path:os")
        assert "hunter2" not in str(failure.value)
