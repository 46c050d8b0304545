"""Every secret option of a custom class, native or written for ZenML, reaches it: on launcher and runner alike."""

from __future__ import annotations

import importlib
import site
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.errors import KeyringUnavailable, ProtocolNotAllowed
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin, RemoteURL
from git_coderepo.registration.describe import credential_source
from git_coderepo.registration.from_manifest import from_manifest
from git_coderepo.registration.register import Registering, register_repository
from git_coderepo.registration.resolve import source_here
from git_coderepo.registration.secret_options import homes
from git_coderepo.registration.users_credentials import users_chain
from git_coderepo.settings import Settings
from git_coderepo.snapshots.manifest_document import write_record
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request
from tests.support.keyring_backend import file_keyring
from tests.support.program import Program
from tests.support.repo import Repo
from tests.test_registrations_build import Recorded, Remote

NATIVE = """
from git_coderepo import BaseCodeRepository, Option

class Mine(BaseCodeRepository):
    options = (
        Option("url", "where"), Option("base", "base", default="site.corp"), Option("name", "its name"),
        Option("api_key", "key", secret=True), Option("token", "token", secret=True),
    )
    def __init__(self, name, options):
        super().__init__(name, options)
        self.got = {key: options.get(key) for key in ("token", "api_key")}
        self.strict = options.get("url", "").endswith("strict") and options["token"]
    def login(self):
        if self.got != {"token": "hunter2", "api_key": "hunter3"}:
            raise RuntimeError(f"got {self.got}")
    def download_files(self, commit, directory, repo_sub_directory): ...
    def get_local_context(self, path): ...
"""
PORTED = """
from typing import Optional
from git_coderepo.compat import BaseCodeRepository, BaseCodeRepositoryConfig, SecretField

class Config(BaseCodeRepositoryConfig):
    url: Optional[str] = None
    base: Optional[str] = "site.corp"
    name: Optional[str] = None
    api_key: str = SecretField()
    token: Optional[str] = SecretField(default=None)

class Mine(BaseCodeRepository):
    @property
    def config(self) -> Config:
        return Config(**self._config)
    @property
    def got(self):
        return {"token": self.config.token, "api_key": self.config.api_key}
    def login(self):
        if self.got != {"token": "hunter2", "api_key": "hunter3"}:
            raise RuntimeError(f"got {self.got}")
    def download_files(self, commit, directory, repo_sub_directory): ...
    def get_local_context(self, path): ...
"""
BOTH = {"token": "hunter2", "api_key": "hunter3"}


@pytest.fixture
def keyring(home: Path, repo: Repo) -> Iterator[Path]:
    with file_keyring(home) as path:
        yield path


@pytest.fixture(params=[NATIVE, PORTED], ids=["native", "compat"])
def module(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with a class `Mine`, in the directory of `pip install --user`."""
    name = f"mine_{abs(hash(str(tmp_path)))}"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{name}.py").write_text(request.param)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "USER_SITE", str(tmp_path / "modules"))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def place(repo: Repo, tmp_path: Path) -> Git:
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.git("remote", "add", "origin", "git@git.corp:acme/widgets.git")
    (tmp_path / "token").write_text("hunter2\n")
    (tmp_path / "key").write_text("hunter3\n")
    return Git(str(repo.path), environment=repo.env)


def register(git: Git, module: str, *pairs: tuple[str, str], verify: bool = True) -> None:
    wanted = Registering(name="mine", source=f"{module}.Mine", pairs=pairs, verify=verify)
    register_repository(git, wanted, standard_input=lambda: b"")


def got(repository: Any) -> Mapping[str, str | None]:
    found: Mapping[str, str | None] = repository.got
    return found


def with_file(git: Git, tmp_path: Path, *lines: str) -> Git:
    (tmp_path / "credentials").write_text("".join(f"{line}\n" for line in lines))
    return git.with_environment(CODEREPO_CREDENTIALS_FILE=str(tmp_path / "credentials"))


# --- on the launcher ---


@pytest.mark.usefixtures("keyring")
@pytest.mark.parametrize("url", [(), (("url", "https://mirror.corp/widgets"),)], ids=["remote", "url"])
def test_secrets_that_register_was_given_come_back(
    place: Git, repo: Repo, module: str, tmp_path: Path, url: tuple[tuple[str, str], ...]
) -> None:
    register(place, module, *url, ("token", f"@{tmp_path / 'token'}"), ("api-key", f"@{tmp_path / 'key'}"))

    source = source_here(place, "mine")
    assert got(source.platform()) == BOTH
    assert credential_source(source.platform()) == "the keyring"
    source.platform().login()
    # What was given for the class is for nobody else: not for the platform of the same host.
    chain = users_chain(Settings.read(place), place)
    for host in ("git.corp", "mirror.corp"):
        assert chain.find(Origin("https", host), "/acme/widgets") is None
    record = write_record(take_snapshot(place, Request(code_repository="mine")), now=0.0, git_version="2").data
    assert b"hunter" not in record and b'"custom"' in record
    assert "hunter" not in repo.git("config", "--list").decode()


def test_without_a_keyring_the_refusal_says_what_to_type(
    place: Git, module: str, tmp_path: Path, program: Program, repo: Repo
) -> None:
    with pytest.raises(KeyringUnavailable) as failure:
        register(place, module, ("token", f"@{tmp_path / 'token'}"), ("api-key", f"@{tmp_path / 'key'}"))

    assert failure.value.hints[1].startswith("echo 'https://git.corp/acme/widgets token @/path/to/secret' >>")


def test_a_file_of_credentials_fills_each_option(place: Git, module: str, tmp_path: Path) -> None:
    git = with_file(
        place,
        tmp_path,
        f"https://git.corp api_key @{tmp_path / 'key'}",
        f"https://git.corp/acme token @{tmp_path / 'token'}",
    )
    register(git, module)

    assert got(source_here(git, "mine").platform()) == BOTH


def test_the_token_of_the_host_is_for_the_first_secret_alone(place: Git, module: str) -> None:
    git = place.with_environment(CODEREPO_TOKEN="hunter2", CODEREPO_TOKEN_ORIGIN="https://git.corp")
    register(git, module, verify=False)

    repository = source_here(git, "mine").platform()

    assert {name: repository.option_values.get(name) for name in BOTH} == {"token": "hunter2", "api_key": None}


@pytest.mark.usefixtures("keyring")
def test_a_class_that_cannot_be_made_without_its_secrets_gets_them(place: Git, module: str, tmp_path: Path) -> None:
    git = with_file(
        place,
        tmp_path,
        f"https://git.corp api_key @{tmp_path / 'key'}",
        f"https://git.corp token @{tmp_path / 'token'}",
    )
    register(git, module, ("url", "https://git.corp/strict"))

    assert take_snapshot(git, Request(code_repository="mine")).tree is not None
    assert write_record(take_snapshot(git, Request(code_repository="mine")), now=0.0, git_version="2").data


# --- on a runner ---


def on_runner(git: Git, module: str, remote: Remote | None, **options: str) -> Mapping[str, str | None]:
    git = git.with_environment(CODEREPO_ALLOW_SOURCE=f"{module}.Mine")
    settings = Settings.read(git)
    recorded = Recorded(name="mine", type="custom", source=f"{module}.Mine", remote=remote, options=options)
    repository: Any = from_manifest(recorded, users_chain(settings, git), settings)
    return {name: repository.option_values.get(name) for name in ("token", "api_key")}


CORP = Remote(host="git.corp", path="/acme/widgets.git")


@pytest.mark.parametrize("options", [{"base": "git.corp"}, {"base": "main"}, {"base": "1.2"}, {"name": "site.io"}])
def test_options_that_name_no_other_host_keep_no_secret_back(
    place: Git, module: str, tmp_path: Path, options: dict[str, str]
) -> None:
    git = with_file(place, tmp_path, f"https://git.corp api_key @{tmp_path / 'key'}", "https://ada:hunter2@git.corp")
    assert on_runner(git, module, CORP, **options) == BOTH


def test_the_runners_own_credentials_fill_each_option(place: Git, module: str, tmp_path: Path) -> None:
    git = with_file(
        place,
        tmp_path,
        f"https://git.corp api_key @{tmp_path / 'key'}",
        "https://ada:hunter2@git.corp",
    )

    assert on_runner(git, module, CORP) == BOTH
    assert on_runner(git, module, Remote(transport="ssh", user="git", host="git.corp")) == BOTH
    assert on_runner(git, module, None, url="https://git.corp/acme/widgets") == BOTH


@pytest.mark.parametrize(
    ("remote", "options"),
    [
        (Remote(host="evil.example"), {}),
        (CORP, {"url": "https://evil.example/acme"}),
        (CORP, {"url": "https://git.corp:8443/acme"}),
        (CORP, {"url": "http://git.corp/acme"}),
        (Remote(host="evil.example"), {"url": "evil.example"}),
        (CORP, {"base": "evil.example"}),
        (CORP, {"base": "evil.example/git.corp"}),
        (CORP, {"base": "git.corp@evil.example"}),
        (CORP, {"base": "evil.example."}),
        (CORP, {"base": "evil\u3002example"}),
        (CORP, {"base": "203.7368"}),
        (CORP, {"base": "0xcb007109"}),
    ],
)
def test_a_manifest_that_points_elsewhere_gets_no_secret(
    place: Git, module: str, tmp_path: Path, remote: Remote, options: dict[str, str]
) -> None:
    git = with_file(
        place,
        tmp_path,
        f"https://git.corp api_key @{tmp_path / 'key'}",
        f"https://git.corp token @{tmp_path / 'token'}",
    ).with_environment(CODEREPO_ALLOW_PROTOCOL="http")

    try:
        found = on_runner(git, module, remote, **options)
    except ProtocolNotAllowed:
        return
    assert found == {"token": None, "api_key": None}


@pytest.mark.parametrize(
    ("public", "origins"),
    [
        ({}, ["https://git.corp"]),
        ({"owner": "acme", "depth": "1"}, ["https://git.corp"]),
        ({"host": "mirror.corp"}, ["https://mirror.corp"]),
        ({"api_url": "https://api.github.com", "host": "github.com"}, ["https://github.com"]),
        ({"url": "https://a.corp/x", "server": "b.corp:8443"}, ["https://a.corp", "https://b.corp:8443"]),
        ({"server": "user@evil.example"}, []),
        ({"server": "evil.example:99999"}, []),
        ({"bucket": "s3://evil/x"}, []),
        ({"base": "evil.example:8443"}, ["https://evil.example:8443"]),
        ({"base": "203.0.113.9/api"}, ["https://203.0.113.9"]),
        ({"base": "//evil.example"}, []),
        ({"base": "https:/evil.example"}, ["https://https"]),
        ({"base": "https:\\\\evil.example"}, []),
        ({"instance": "evil.example"}, ["https://evil.example"]),
        ({"proxy": "evil.example"}, ["https://evil.example"]),
        ({"base_branch": "main", "name": "site.github.io", "version": "1.2.3"}, ["https://git.corp"]),
    ],
)
def test_a_secret_belongs_to_every_place_that_the_options_name(public: dict[str, str], origins: list[str]) -> None:
    remote = RemoteURL.parse("git@git.corp:acme/widgets")

    assert [str(origin) for origin, _ in homes(public, remote)] == origins
