"""What is said where a credential is missing or refused cures that, on this machine and for this token."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from git_coderepo.credentials.environment import EnvironmentCredentials
from git_coderepo.credentials.secret import Credential, Secret, log_in_hint
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin
from git_coderepo.registration.users_credentials import token_variables, users_chain
from git_coderepo.settings import Settings
from tests.forge import Forge
from tests.forge.misbehaviour import LimitReset
from tests.hints import cures
from tests.hints.support import stopped, typed
from tests.support.environment import clean_environment
from tests.support.keyring_backend import file_keyring
from tests.support.marks import first_quick
from tests.support.program import Program
from tests.support.repo import Repo

CORP = Origin.parse("https://git.corp:8443")


def hint_for(repo: Repo, source: str | None = None) -> str:
    git = Git(str(repo.path), environment=repo.env)
    credential = Credential(Secret("t"), source=source) if source is not None else None
    return log_in_hint(users_chain(Settings.read(git), git), CORP, credential)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("GITHUB_TOKEN", "renew the token in GITHUB_TOKEN, or unset GITHUB_TOKEN"),
        ("CODEREPO_TOKEN", "renew the token in CODEREPO_TOKEN, or unset CODEREPO_TOKEN"),
        ("CODEREPO_TOKEN_FILE", "renew the token in the file that CODEREPO_TOKEN_FILE names"),
        ("CODEREPO_CREDENTIALS_FILE", "renew the token in the file that CODEREPO_CREDENTIALS_FILE names"),
        ("the secret {{corp.pat}}", "git coderepo secret set corp --pat=@FILE"),
        ("the keyring", "git coderepo login --host git.corp:8443"),
        ("git credential", "git coderepo login --host git.corp:8443"),
        (None, "git coderepo login --host git.corp:8443"),
    ],
)
def test_a_token_is_renewed_where_it_comes_from(repo: Repo, home: Path, source: str | None, hint: str) -> None:
    with file_keyring(home):
        assert hint_for(repo, source) == hint


def test_without_a_keyring_login_is_not_the_answer(repo: Repo) -> None:
    assert hint_for(repo) == ("export CODEREPO_TOKEN_ORIGIN=https://git.corp:8443 CODEREPO_TOKEN_FILE=/path/to/token")


@pytest.mark.slow
@cures("export CODEREPO_TOKEN_ORIGIN={origin} CODEREPO_TOKEN_FILE=/path/to/token")
@pytest.mark.parametrize("type", first_quick("github", "gitlab", "git"))
def test_what_a_runner_without_a_keyring_is_told_works_when_it_is_typed(
    type: str, forge: Forge, tmp_path: Path, repo: Repo
) -> None:
    repo.write("train.py", "lr = 0.1\n")
    commit = repo.commit()
    private = forge.add_repository("acme/widgets", platform=type, source=repo.path)
    (tmp_path / "token").write_text(forge.add_token(type) + "\n")
    runner = Program({**clean_environment(tmp_path / "runner"), **forge.env})
    runner.run("--version")
    rule = f"coderepo.{forge.url}/.type"
    words = ("fetch", f"{private.url}@{commit or repo.line('rev-parse', 'HEAD')}", "code")
    subprocess.run(["git", "config", "--global", rule, type], env=runner.env, check=True)

    refused = runner.run(*words, check=False)

    assert refused.status in (4, 128)
    assert "ModuleNotFoundError" not in refused.errors
    hint = next(line for line in refused.errors.splitlines() if "export CODEREPO_TOKEN_ORIGIN" in line)
    variables = dict(pair.split("=", 1) for pair in hint.partition("export ")[2].split())
    variables["CODEREPO_TOKEN_FILE"] = str(tmp_path / "token")
    assert runner.run(*words, env=variables).status == 0


@pytest.mark.slow
@cures(
    "renew the token in {source}, or unset {source}",
    "renew the token in the file that {source} names",
    "git coderepo login --host {str(origin).removeprefix('https://')}",
)
@pytest.mark.parametrize("way", first_quick("login", "renewed", "unset", "file"))
def test_what_is_said_of_a_token_that_is_refused_or_missing(
    way: str, forge: Forge, tmp_path: Path, repo: Repo, program: Program
) -> None:
    repo.write("train.py", "lr = 0.1\n")
    commit = repo.commit()
    hosted = forge.add_repository("acme/widgets", platform="github", private=way != "unset", source=repo.path)
    subprocess.run(["git", "config", "--global", f"coderepo.{forge.url}/.type", "github"], env=program.env, check=True)
    program.env.update(
        forge.env,
        CODEREPO_TOKEN_ORIGIN=forge.url,
        PYTHON_KEYRING_BACKEND="tests.support.keyring_backend.FileKeyring",
        PYTHONPATH=str(Path(__file__).parents[1]),
    )
    token = tmp_path / "token"
    token.write_text("wrong\n")
    if way == "file":
        program.env["CODEREPO_TOKEN_FILE"] = str(token)
    elif way != "login":
        program.env["CODEREPO_TOKEN"] = "wrong"
    words = ("fetch", "--method", "archive", f"{hosted.url}@{commit}", "code")
    hints = stopped(program, *words, cwd=tmp_path, says="fatal: ")
    right = forge.add_token("github")
    if way == "renewed":
        assert "renew the token in CODEREPO_TOKEN, or unset CODEREPO_TOKEN" in hints
        program.env["CODEREPO_TOKEN"] = right
    elif way == "unset":
        assert "renew the token in CODEREPO_TOKEN, or unset CODEREPO_TOKEN" in hints
        del program.env["CODEREPO_TOKEN"]
    elif way == "file":
        assert "renew the token in the file that CODEREPO_TOKEN_FILE names" in hints
        token.write_text(f"{right}\n")
    else:
        (hint,) = [each for each in hints if "git coderepo login" in each]
        typed(f"{hint.rpartition(': ')[2]} --token -", tmp_path, program.env, input=f"{right}\n".encode())
    program.run(*words, cwd=tmp_path)


def test_login_without_a_keyring_says_which_lines_do_the_same(program: Program, home: Path) -> None:
    (home / "a token").write_text("hunter2\n")
    refused = program.run("login", "--host", "git.corp:8443/acme", "--token", f"@{home / 'a token'}", check=False)
    assert refused.status == 4
    for line in refused.errors.splitlines():
        if line.startswith("hint: "):
            subprocess.run(["sh", "-c", line.removeprefix("hint: ")], env=program.env, cwd=home, check=True)

    git = Git(str(home), environment=program.env)
    found = users_chain(Settings.read(git), git).find(CORP, "/acme/widgets")
    assert found is not None and found.secret == Secret("hunter2")


@pytest.mark.slow
def test_login_says_when_another_token_comes_first(program: Program, home: Path) -> None:
    keyring = {
        "PYTHON_KEYRING_BACKEND": "tests.support.keyring_backend.FileKeyring",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    words = ("login", "--host", "github.com", "--token", "-")

    done = program.run(*words, input=b"hunter2\n", env={**keyring, "GITHUB_TOKEN": "hunter3"})
    assert "warning: the token from GITHUB_TOKEN takes precedence" in done.errors
    assert "hunter" not in done.errors + done.text
    assert "warning: the token from" not in program.run(*words, input=b"hunter2\n", env=keyring).errors


@pytest.mark.parametrize("url", ["http://gitlab:8080", "https://git.corp:8443", "https://git.corp/gitlab"])
def test_a_jobs_token_is_for_the_server_at_its_port_and_by_its_protocol(url: str) -> None:
    job = {"CI_JOB_TOKEN": "hunter2", "CI_SERVER_URL": url, "CI_SERVER_HOST": Origin.parse(url).host}
    credentials = EnvironmentCredentials(Settings([], job), token_variables())
    own = Origin.parse(url)

    found = credentials.find(own, "/acme/widgets")
    assert found is not None and (found.user, found.secret) == ("gitlab-ci-token", Secret("hunter2"))
    for scheme in ("https", "http"):
        for port in (None, 8080, 8443, 9000):
            other = Origin(scheme, own.host, port)
            if other != own:
                assert credentials.find(other, "/acme/widgets") is None


def test_a_limit_names_what_can_keep_a_token_here(forge: Forge, tmp_path: Path, repo: Repo) -> None:
    repo.write("train.py", "lr = 0.1\n")
    commit = repo.commit()
    public = forge.add_repository("acme/widgets", platform="github", source=repo.path, private=False)
    forge.misbehave("archive", LimitReset(seconds=3000), times=None)
    forge.misbehave("commit", LimitReset(seconds=3000), times=None)
    runner = Program({**clean_environment(tmp_path / "runner"), **forge.env, "CODEREPO_MAX_WAIT": "0"})
    runner.run("--version")
    subprocess.run(["git", "config", "--global", f"coderepo.{forge.url}/.type", "github"], env=runner.env, check=True)

    limited = runner.run("fetch", f"{public.url}@{commit}", "code", "--method", "archive", check=False)

    origin = limited.errors.partition("fatal: '")[2].partition("'")[0]
    assert f"raise the limit with a token: export CODEREPO_TOKEN_ORIGIN={origin} " in limited.errors


def test_a_refused_push_names_what_can_keep_a_token_here(forge: Forge, tmp_path: Path, repo: Repo) -> None:
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    private = forge.add_repository("acme/widgets", platform="git", source=repo.path)
    repo.git("remote", "add", "origin", private.url)
    repo.write("train.py", "lr = 0.2\n")
    user = Program({**clean_environment(tmp_path / "user"), **forge.env, "GIT_TERMINAL_PROMPT": "0"})
    user.run("run", "--allow-unreproducible", "--", "true", cwd=repo.path)

    refused = user.run("publish", "--delete", "--force", "@{-1}", cwd=repo.path, check=False)

    assert f"export CODEREPO_TOKEN_ORIGIN={forge.url} " in refused.errors
    assert "coderepo login" not in refused.errors
