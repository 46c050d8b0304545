"""What the remotes of a checkout come to: git's `insteadOf`, ssh's aliases, and where a push goes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import RemoteURL, push_differs, resolve_remote
from git_coderepo.git.url.ssh import renames
from git_coderepo.settings import Settings
from tests.support.repo import Repo

GITHUB_ALIASES: dict[tuple[str, int | None], str] = {("ssh.github.com", 443): "github.com"}


def remote_of(repo: Repo, name: str = "origin") -> RemoteURL | None:
    git = Git(os.fsencode(repo.path), environment=repo.env)
    return resolve_remote(git, Settings.read(git), name)


def settings_of(repo: Repo) -> Settings:
    return Settings.read(Git(os.fsencode(repo.path), environment=repo.env))


def test_a_remote_without_a_url_is_none_and_the_first_of_several_is_fetched_from(repo):
    assert remote_of(repo) is None
    repo.git("config", "--add", "remote.origin.url", "https://one.example/o/r")
    repo.git("config", "--add", "remote.origin.url", "https://two.example/o/r")
    assert str(remote_of(repo)) == "https://one.example/o/r"


def test_instead_of_is_resolved_for_a_remote_whose_name_looks_like_an_option(repo):
    repo.env["GIT_SSH_COMMAND"] = "ssh -F /dev/null"
    repo.git("config", "remote.--all.url", "gh:owner/repo")
    repo.git("config", "url.ssh://git@github.com/.insteadOf", "gh:")
    url = remote_of(repo, "--all")
    assert url is not None
    assert url.url() == "ssh://git@github.com/owner/repo"


@pytest.fixture
def ssh_config(tmp_path: Path, repo: Repo) -> Path:
    """A file that the checkout's `core.sshCommand` gives to ssh, since ssh does not look at HOME."""
    if shutil.which("ssh") is None:
        pytest.skip("no ssh here")
    path = tmp_path / "ssh_config"
    repo.git("config", "core.sshCommand", f"ssh -F {path}")
    return path


def test_an_ssh_alias_becomes_the_host_port_and_user_behind_it(repo, ssh_config):
    ssh_config.write_text("Host Work\n  HostName git.corp.example\n  User git\n  Port 2222\n")
    repo.git("config", "remote.origin.url", "Work:team/app.git")
    url = remote_of(repo)
    assert url is not None
    assert (url.host, url.port, url.user, url.path) == ("git.corp.example", 2222, "git", "team/app.git")
    assert (url.owner, url.repository) == ("team", "app")
    assert url.url() == "git@[git.corp.example:2222]:team/app.git"

    repo.git("config", "remote.origin.url", "ssh://jane@Work:29418/team/app.git")  # what the URL says wins
    url = remote_of(repo)
    assert url is not None
    assert (url.host, url.port, url.user, url.path) == ("git.corp.example", 29418, "jane", "/team/app.git")

    repo.git("config", "remote.origin.url", "work:team/app.git")  # ssh minds the case of an alias
    url = remote_of(repo)
    assert url is not None
    assert (url.host, url.port, url.user) == ("work", None, None)


def test_github_over_port_443_by_ssh_configuration_is_github(repo, ssh_config):
    """Z8."""
    ssh_config.write_text("Host github.com\n  HostName ssh.github.com\n  Port 443\n")
    repo.git("config", "remote.origin.url", "git@github.com:owner/repo.git")
    url = remote_of(repo)
    assert url is not None
    assert (url.host, url.port) == ("ssh.github.com", 443)
    assert url.same_place(RemoteURL.parse("https://github.com/owner/repo"), aliases=GITHUB_ALIASES)


def test_the_login_name_is_not_recorded_as_the_user(repo, ssh_config):
    ssh_config.write_text("Host work\n  HostName git.corp.example\n")
    repo.git("config", "remote.origin.url", "work:team/app.git")
    url = remote_of(repo)
    assert url is not None
    assert (url.host, url.user) == ("git.corp.example", None)


def test_an_ssh_that_cannot_be_asked_leaves_the_url_as_it_is(repo, ssh_config):
    repo.git("config", "remote.origin.url", "git@work:team/app.git")
    for command in ("plink -batch", "ssh -F 'quoted path'", f"ssh -F {ssh_config}/missing", "ssh-wrapper"):
        repo.env["GIT_SSH_COMMAND"] = command
        assert remote_of(repo) == RemoteURL.parse("git@work:team/app.git"), command


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        (b"Host work\n\tHostName git.corp\n", True),
        (b"host *\n  USER=git\n", True),
        (b'"Port" 2222\n', True),
        (b"Include conf.d/*\n", True),
        (b"Include /etc/ssh/ssh_config.d/*.conf\nHost *\n#   Port 22\n    SendEnv LANG LC_*\n", False),
        (b"Host *\r\n  UserKnownHostsFile x\r\n\xff\n", False),
        (b"", False),
    ],
)
def test_ssh_is_asked_only_where_its_configuration_could_rename_a_host(configuration, expected):
    assert renames(configuration) is expected


@pytest.mark.parametrize(
    ("config", "differs"),
    [
        ([("remote.origin.url", "https://h/o/r")], False),
        ([("remote.origin.url", "https://h/o/r"), ("remote.origin.pushurl", "git@h:o/r.git")], False),
        ([("remote.origin.url", "https://h/o/r"), ("remote.origin.pushurl", "git@h:me/r.git")], True),
        ([("remote.origin.url", "https://h/o/r"), ("remote.origin.url", "https://mirror/o/r")], True),
        ([("remote.origin.url", "https://h/o/r"), ("url.git@h:.pushInsteadOf", "https://h/")], False),
        ([("remote.origin.url", "https://h/o/r"), ("url.git@other:.pushInsteadOf", "https://h/")], True),
        ([("remote.origin.url", "https://h/o/r"), ("url.git@other:.pushInsteadOf", "https://x/")], False),
        (
            [
                ("remote.origin.url", "https://h/o/r"),
                ("url.https://mirror/.insteadOf", "https://h/"),
                ("url.git@h:.pushInsteadOf", "https://h/"),
            ],
            True,
        ),
        (
            [
                ("remote.origin.url", "gh:o/r"),
                ("remote.origin.pushurl", "git@github.com:o/r"),
                ("url.https://github.com/.insteadOf", "gh:"),
            ],
            False,
        ),
        ([("remote.origin.url", "https://h/o/r"), ("remote.origin.pushurl", "DISABLED")], True),
        ([("remote.origin.url", "https://h/o/r"), ("remote.origin.pushurl", "no-pushing://")], True),
        ([("remote.origin.pushurl", "https://h/o/r")], True),
    ],
)
def test_a_remote_that_is_pushed_to_elsewhere_is_told_from_one_that_is_not(repo, config, differs):
    for name, value in config:
        repo.git("config", "--add", name, value)
    assert push_differs(settings_of(repo), "origin") is differs
    if any(name == "remote.origin.url" for name, _ in config):  # and git itself would push there
        fetched = RemoteURL.parse(repo.line("remote", "get-url", "origin"))
        same_place = []
        for text in repo.line("remote", "get-url", "--push", "--all", "origin").splitlines():
            try:
                same_place.append(RemoteURL.parse(text).same_place(fetched))
            except InvalidRemoteURL:
                same_place.append(False)
        assert all(same_place) is not differs


def test_a_refused_remote_is_named_and_its_url_is_not(repo):
    repo.git("config", "remote.up stream.url", "https://x:SECRET@host:99999/o/r")
    with pytest.raises(InvalidRemoteURL, match="'up stream'") as caught:
        remote_of(repo, "up stream")
    assert "SECRET" not in f"{caught.value} {caught.value.hints}"
