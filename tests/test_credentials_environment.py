"""Tokens from environment variables: each for one origin, none by a guessed name."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from git_coderepo.credentials.environment import EnvironmentCredentials
from git_coderepo.credentials.secret import Credential
from git_coderepo.errors import CredentialError
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin
from git_coderepo.registration.users_credentials import token_variables
from git_coderepo.settings import Settings
from tests.support.repo import Repo


def find(variables: dict[str, str], origin: str, path: str = "/acme/widgets") -> Credential | None:
    return EnvironmentCredentials(Settings([], variables), token_variables()).find(Origin.parse(origin), path)


def token(variables: dict[str, str], origin: str, path: str = "/acme/widgets") -> str | None:
    credential = find(variables, origin, path)
    return None if credential is None else credential.secret.reveal()


def test_our_own_token_goes_to_its_origin_and_nowhere_else() -> None:
    variables = {"CODEREPO_TOKEN": "t", "CODEREPO_TOKEN_ORIGIN": "https://git.corp:8443/acme"}

    assert token(variables, "https://git.corp:8443") == "t"
    assert token(variables, "https://GIT.corp:8443", "/acme") == "t"
    for origin, path in [
        ("https://git.corp", "/acme/x"),
        ("http://git.corp:8443", "/acme/x"),
        ("https://git.corp:8443", "/acmes/x"),
        ("https://git.corp.evil:8443", "/acme/x"),
    ]:
        assert token(variables, origin, path) is None


def test_a_token_without_an_origin_is_an_error_with_the_line_that_cures_it() -> None:
    for name in ("CODEREPO_TOKEN", "CODEREPO_TOKEN_FILE"):
        with pytest.raises(CredentialError, match=f"'{name}' requires 'CODEREPO_TOKEN_ORIGIN'") as failure:
            find({name: "hunter2"}, "https://github.com")
        assert failure.value.hints == ("export CODEREPO_TOKEN_ORIGIN=https://github.com",)
        assert failure.value.exit_status == 4


def test_a_token_file_is_read_again_at_each_use(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    variables = {"CODEREPO_TOKEN_FILE": str(file), "CODEREPO_TOKEN_ORIGIN": "https://github.com"}

    assert token(variables, "https://github.com") == "first"
    file.write_text("second\n")
    assert token(variables, "https://github.com") == "second"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CODEREPO_TOKEN": "t", "CODEREPO_TOKEN_FILE": "/x"}, "mutually exclusive"),
        ({"CODEREPO_TOKEN": "t", "CODEREPO_TOKEN_ORIGIN": "github.com"}, "invalid origin"),
        (
            {"CODEREPO_TOKEN": "hunter2\nx", "CODEREPO_TOKEN_ORIGIN": "https://github.com"},
            "invalid token in 'CODEREPO_TOKEN'",
        ),
        ({"CODEREPO_TOKEN": "t", "CODEREPO_TOKEN_ORIGIN": "https://u:hunter2@github.com"}, "invalid origin"),
        ({"GITHUB_TOKEN": "hunter2\rx"}, "invalid token in 'GITHUB_TOKEN'"),
    ],
)
def test_a_variable_that_cannot_be_meant_so_is_an_error_without_its_value(
    variables: dict[str, str], words: str
) -> None:
    with pytest.raises(CredentialError, match=words) as failure:
        find(variables, "https://github.com")

    assert "hunter2" not in str(failure.value) + "".join(failure.value.hints)


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "GH_TOKEN"])
def test_githubs_token_is_for_github_or_for_the_server_that_runs_the_job(name: str) -> None:
    assert token({name: "t"}, "https://github.com") == "t"
    enterprise = {name: "t", "GITHUB_SERVER_URL": "https://ghe.corp:8443"}
    assert token(enterprise, "https://ghe.corp:8443") == "t"
    assert token(enterprise, "https://github.com") is None
    assert token(enterprise, "https://ghe.corp") is None


def test_the_token_of_enterprise_is_for_the_host_of_gh_and_for_no_other() -> None:
    assert token({"GH_ENTERPRISE_TOKEN": "t"}, "https://github.com") is None
    variables = {"GH_ENTERPRISE_TOKEN": "t", "GH_HOST": "ghe.corp"}
    assert token(variables, "https://ghe.corp") == "t"
    assert token(variables, "https://github.com") is None


def test_gitlabs_token_is_for_gitlab_or_for_its_host() -> None:
    assert token({"GITLAB_TOKEN": "t"}, "https://gitlab.com") == "t"
    for host in ("git.corp", "https://git.corp"):
        assert token({"GITLAB_TOKEN": "t", "GITLAB_HOST": host}, "https://git.corp") == "t"
        assert token({"GITLAB_TOKEN": "t", "GITLAB_HOST": host}, "https://gitlab.com") is None


def test_a_jobs_token_is_for_the_jobs_server() -> None:
    assert token({"CI_JOB_TOKEN": "t"}, "https://gitlab.com") is None
    found = find({"CI_JOB_TOKEN": "t", "CI_SERVER_HOST": "git.corp"}, "https://git.corp")
    assert found is not None and (found.user, found.source) == ("gitlab-ci-token", "CI_JOB_TOKEN")


def test_a_host_that_is_none_gives_no_token() -> None:
    for host in ("not a host", "https://u:p@git.corp", ""):
        assert token({"GH_ENTERPRISE_TOKEN": "t", "GH_HOST": host}, "https://git.corp") is None


def test_no_variables_name_is_made_from_a_host() -> None:
    class Watched(dict[str, str]):
        asked: ClassVar[set[str]] = set()

        def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
            self.asked.add(key)
            return super().get(key, default)

    for host in ("evil.example", "github.com", "path", "home"):
        EnvironmentCredentials(Settings([], Watched({"PATH": "/bin"})), token_variables()).find(
            Origin.parse(f"https://{host}"), "/"
        )

    assert not [name for name in Watched.asked if "EVIL" in name.upper() or name in ("PATH", "HOME")]


def test_the_file_may_be_named_in_the_users_configuration_but_not_in_the_repositorys(
    repo: Repo, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("https://u:t@github.com\n")
    repo.git("config", "coderepo.credentialsFile", tmp_path / "credentials")
    git = Git(str(repo.path), environment=repo.env)
    assert (
        EnvironmentCredentials(Settings.read(git), token_variables()).find(Origin.parse("https://github.com"), "/a/b")
        is None
    )

    repo.git("config", "--global", "coderepo.credentialsFile", tmp_path / "credentials")
    assert (
        EnvironmentCredentials(Settings.read(git), token_variables()).find(Origin.parse("https://github.com"), "/a/b")
        is not None
    )
