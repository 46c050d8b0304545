"""The one door to git: processes, environments, words for what went wrong, secrets kept out of what is shown."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from git_coderepo.credentials.secret import Credential, NoCredentials, Secret
from git_coderepo.errors import CodeRepoError, CredentialError, GitFailed, GitNotFound, NoAnswer, NotACheckout
from git_coderepo.git.process import Git, check_version, read_blobs, shell_word, shown, version
from git_coderepo.settings import Settings, variable_of
from git_coderepo.trace import redact
from tests.support.repo import Repo


def test_the_output_of_a_command_is_its_bytes(repo: Repo) -> None:
    repo.write(b"\xff\n", "x")
    repo.commit()
    assert Git(str(repo.path), environment=repo.env).run("ls-tree", "-z", "--name-only", "HEAD") == b"\xff\n\0"


def test_more_output_than_a_pipe_holds_comes_whole_from_processes_side_by_side(repo: Repo) -> None:
    data = os.urandom(1 << 20)
    repo.write("a", data)
    repo.commit()
    git = Git(str(repo.path), environment=repo.env)
    running = [git.start("cat-file", "blob", "HEAD:a") for _ in range(4)]
    assert [process.checked() for process in running] == [data] * 4


def test_a_failure_says_what_git_said(repo: Repo) -> None:
    with pytest.raises(GitFailed, match="'git rev-parse' failed: Needed a single revision") as caught:
        Git(str(repo.path), environment=repo.env).run("rev-parse", "--verify", "nothing")
    assert caught.value.status == 128


def test_a_command_that_takes_too_long_is_ended(repo: Repo) -> None:
    git = Git(str(repo.path), environment=repo.env, settings=[("alias.wait", "!exec sleep 60")])
    process = git.within(0.2).with_environment(X="y").start("-c", "a.b=c", "wait")
    with pytest.raises(NoAnswer, match=r"no answer within 0\.2 s from 'git wait'"):
        process.finish()
    assert process.status == -15


def test_outside_of_a_repository_it_says_so(tmp_path: Path, env: dict[str, str]) -> None:
    with pytest.raises(NotACheckout, match="not a git repository"):
        Git(str(tmp_path), environment={**env, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}).run("status")


def test_without_git_it_says_what_is_missing(tmp_path: Path, env: dict[str, str]) -> None:
    env["PATH"] = str(tmp_path)
    with pytest.raises(GitNotFound, match="'git' was not found on PATH"):
        Git(environment=env).run("--version")


def test_a_hash_counts_as_present_only_when_its_object_is(repo: Repo) -> None:
    """P1: `git rev-parse` echoes any 40 hex digits."""
    repo.commit()
    git = Git(str(repo.path), environment=repo.env)
    absent = "1" * 40
    assert git.line("rev-parse", absent) == absent
    with pytest.raises(GitFailed, match=f"object {absent} not found"):
        list(read_blobs(git, [absent]))


def test_blobs_are_read_one_after_the_other(repo: Repo) -> None:
    repo.write("a", "first\n")
    repo.write("b", b"\0" * 70_000)
    repo.commit()
    git = Git(str(repo.path), environment=repo.env)
    ids = [git.line("rev-parse", f"HEAD:{name}") for name in ("a", "b", "a")]
    assert [source.read(size) for _, size, source in read_blobs(git, ids)] == [b"first\n", b"\0" * 70_000, b"first\n"]


def test_another_repository_is_asked_with_nothing_of_the_users_own(repo: Repo, tmp_path: Path) -> None:
    other = Repo.init(tmp_path / "other", repo.env)
    tied = {
        **repo.env,
        "GIT_DIR": str(repo.path / ".git"),
        "GIT_INDEX_FILE": "/nowhere",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "true",
    }
    foreign = Git(environment=tied).foreign(str(other.path))
    assert foreign.line("rev-parse", "--show-toplevel") == str(other.path)
    assert foreign.line("rev-parse", "--is-bare-repository") == "false"


def test_every_name_that_ties_git_to_a_repository_is_known(env: dict[str, str]) -> None:
    from git_coderepo.git.process import LOCAL_ENVIRONMENT

    assert set(Git(environment=env).run("rev-parse", "--local-env-vars").decode().split()) <= set(LOCAL_ENVIRONMENT)


def test_the_version_is_read_and_an_old_git_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    numbers, text = version(Git(environment=env))
    assert numbers >= (2, 34) and text.startswith(f"{numbers[0]}.{numbers[1]}")
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.25.1\n")
    old.chmod(0o755)
    env["PATH"] = str(tmp_path)
    with pytest.raises(CodeRepoError, match=r"git 2\.25\.1 is too old"):
        check_version(Git(environment=env))


def test_a_command_is_shown_quoted_and_without_secrets() -> None:
    words: list[str | bytes] = [
        "git",
        "clone",
        "https://user:hunter2@host/a?private_token=abc",
        "a b",
        "new\nline",
        b"\xff",
    ]
    text = shown(words)
    assert text == r"git clone 'https://****@host/a?****' 'a b' $'new\012line' $'\377'"


@pytest.mark.parametrize(
    "word",
    [
        b"",
        b"plain",
        b"it's",
        b"~",
        b"a*b",
        b"{a,b}",
        b"!x",
        b"$x `y`",
        b"line\nb",
        b"it's\t\\",
        b"\xff1",
        "é\x07".encode(),
    ],
)
def test_a_shell_takes_a_quoted_word_for_what_it_is(word: bytes) -> None:
    text = shell_word(word)
    assert text.isprintable()
    assert subprocess.run(["bash", "-c", f"printf %s {text}"], check=True, stdout=subprocess.PIPE).stdout == word


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("fatal: https://ghp_X:x-oauth-basic@host/r", "fatal: https://****@host/r"),
        ("'https://u@h/p' and ssh://git@h/p", "'https://****@h/p' and ssh://****@h/p"),
        ("no url, a@b.c", "no url, a@b.c"),
        ("https://ada:pa/ss@host/r", "https://****@host/r"),
        ("https://ada:pa'ss@host/r z", "https://****@host/r z"),
        ("'https://ada:p@'s\"s@host/r' and 'a@b'", "'https://****@host/r' and 'a@b'"),
        ("'https://ada:pa/s's@host/r'", "'https://****@host/r'"),
        ("'https://host/r' of 'a@b'", "'https://host/r' of 'a@b'"),
        ("'https://host','a@b'", "'https://****@b'"),
        ("'https://host/r','a@b'", "'https://host/r','a@b'"),
        ("https://host:8443/@scope/r and ssh://[::1]/a@b", "https://host:8443/@scope/r and ssh://[::1]/a@b"),
        ("https://h/p?token=x#y z", "https://h/p?**** z"),
    ],
)
def test_what_is_shown_holds_no_user_part_and_no_query(text: str, clean: str) -> None:
    """P3: a token stands in the user's place, or in the query."""
    assert redact(text) == clean


def test_a_secret_cannot_be_printed() -> None:
    secret = Secret("hunter2")
    credential = Credential(secret, user="me", source="a test")
    shown_forms = [str(secret), repr(secret), f"{secret}", f"{secret:>20}", repr(credential), str([secret])]
    assert not any("hunter2" in form for form in shown_forms)
    assert secret.reveal() == "hunter2" and secret == Secret("hunter2")
    import pickle

    with pytest.raises(CredentialError):
        pickle.dumps(secret)


@pytest.mark.parametrize("text", ["", "a\nb", "a\rb", "a\0b"])
def test_a_secret_that_would_break_a_header_or_the_credential_protocol_is_refused(text: str) -> None:
    with pytest.raises(CredentialError):
        Secret(text)


def test_the_source_of_no_credentials_has_none() -> None:
    assert NoCredentials().find(None, "/") is None  # type: ignore[arg-type]


def test_settings_are_read_as_git_reads_them(repo: Repo) -> None:
    for name, value in (
        ("coderepo.inlineLimit", "64k"), ("coderepo.exclude", "a"), ("coderepo.dirty", "refuse"),
        ("coderepo.my.Name.apiUrl", "x=y\nz"), ("coderepo.secretScan", "off"),
    ):  # fmt: skip
        repo.git("config", name, value)
    repo.git("config", "--add", "coderepo.exclude", "b")
    with open(repo.git_dir() / "config", "a") as file:
        file.write("[coderepo]\n\tcache\n")
    settings = Settings.read(Git(str(repo.path), environment=repo.env))
    assert settings.size("inlineLimit") == 64 << 10
    assert settings.texts("exclude") == ["a", "b"]
    assert settings.choice("dirty") == "refuse"
    assert settings.value("coderepo", "APIURL", "my.Name") == "x=y\nz"
    assert settings.flag("secretScan") is False and settings.flag("cache") is True
    assert list(settings.subsections("coderepo")) == ["my.Name"]


def test_the_environment_wins_over_the_configuration(repo: Repo) -> None:
    repo.git("config", "coderepo.maxWait", "5")
    settings = Settings.read(Git(str(repo.path), environment={**repo.env, "CODEREPO_MAX_WAIT": "7"}))
    assert variable_of("maxWait") == "CODEREPO_MAX_WAIT" and settings.text("maxWait") == "7"


@pytest.mark.parametrize(("name", "value"), [("inlineLimit", "many"), ("secretScan", "perhaps"), ("dirty", "maybe")])
def test_a_setting_that_makes_no_sense_is_an_error_that_names_it(repo: Repo, name: str, value: str) -> None:
    repo.git("config", f"coderepo.{name}", value)
    settings = Settings.read(Git(str(repo.path), environment=repo.env))
    read = {
        "inlineLimit": lambda: settings.size("inlineLimit"),
        "secretScan": lambda: settings.flag("secretScan"),
        "dirty": lambda: settings.choice("dirty"),
    }
    with pytest.raises(CodeRepoError, match=f"coderepo.{name}"):
        read[name]()
