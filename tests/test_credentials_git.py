"""git's own credential helpers: asked without questions, told only about what they gave."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_coderepo.credentials.chain import Chain
from git_coderepo.credentials.git_helper import GitCredentials
from git_coderepo.credentials.secret import Credential, Secret
from git_coderepo.errors import CredentialError
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin
from git_coderepo.registration.infer import HostRule
from tests.support.repo import Repo

CORP = Origin.parse("https://git.corp:8443")


class Helper:
    """A credential helper of the user's, which answers for any host and writes down what it is told."""

    def __init__(self, repo: Repo, folder: Path, *, answer: str = "username=ada\npassword=hunter2\n") -> None:
        self.log = folder / "helper.log"
        self.log.touch()
        script = folder / "a helper"
        script.write_text(
            f'#!/bin/sh\n{{ echo "== $1"; cat; }} >>"{self.log}"\ntest "$1" != get || printf "{answer}"\n'
        )
        script.chmod(0o755)
        repo.git("config", "--global", "--add", "credential.helper", f"!'{script}'")

    def verbs(self) -> list[str]:
        return [line[3:] for line in self.log.read_text().splitlines() if line.startswith("== ")]


@pytest.fixture
def helper(repo: Repo, tmp_path: Path) -> Helper:
    return Helper(repo, tmp_path)


def source(repo: Repo, *rules: HostRule) -> GitCredentials:
    return GitCredentials(Git(str(repo.path), environment=repo.env), rules)


def test_a_helper_is_asked_once_by_origin(repo: Repo, helper: Helper) -> None:
    link = source(repo)

    first = link.find(CORP, "/acme/widgets")

    assert first is not None
    assert (first.user, first.secret.reveal(), first.source) == ("ada", "hunter2", "git credential")
    assert link.find(CORP, "/acme/widgets") is first
    assert helper.verbs() == ["get"]
    assert "protocol=https\nhost=git.corp:8443\n" in helper.log.read_text()
    # As git has it, the path is told only where the user wants that.
    assert "path=" not in helper.log.read_text()


def test_the_path_is_told_where_the_user_wants_that(repo: Repo, helper: Helper) -> None:
    repo.git("config", "--global", "credential.useHttpPath", "true")

    source(repo).find(CORP, "/acme/widgets")

    assert "path=acme/widgets\n" in helper.log.read_text()


def test_without_a_helper_there_is_no_credential_and_no_question(repo: Repo, tmp_path: Path) -> None:
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\ntouch '{tmp_path}/asked'\necho x\n")
    askpass.chmod(0o755)
    repo.env.update(GIT_ASKPASS=str(askpass), SSH_ASKPASS=str(askpass))
    repo.git("config", "--global", "core.askPass", askpass)

    assert source(repo).find(CORP, "/acme/widgets") is None
    assert not (tmp_path / "asked").exists()

    interactive = GitCredentials(Git(str(repo.path), environment=repo.env), interactive=True)
    assert interactive.find(CORP, "/acme/widgets") is not None


def test_an_accepted_credential_is_approved_once(repo: Repo, helper: Helper) -> None:
    link = source(repo)
    credential = link.find(CORP, "/acme/widgets")
    assert credential is not None

    link.accepted(CORP, "/acme/widgets", credential)
    link.accepted(CORP, "/acme/widgets", credential)

    assert helper.verbs() == ["get", "store"]


def test_a_refused_credential_is_rejected_and_not_given_again(repo: Repo, helper: Helper) -> None:
    link = source(repo)
    credential = link.find(CORP, "/acme/widgets")
    assert credential is not None

    link.refused(CORP, "/acme/widgets", credential)

    assert helper.verbs() == ["get", "erase"]
    assert link.find(CORP, "/acme/widgets") is None
    assert helper.verbs() == ["get", "erase"]


def test_helpers_hear_nothing_about_what_they_did_not_give(repo: Repo, helper: Helper) -> None:
    link = source(repo)
    given = link.find(CORP, "/acme/widgets")
    assert given is not None
    other = Credential(Secret("another"), source="the option 'token'")

    link.refused(CORP, "/acme/widgets", other)
    link.accepted(CORP, "/acme/widgets", other)
    link.refused(Origin.parse("https://git.corp"), "/acme/widgets", given)
    link.accepted(CORP, "/somewhere/else", given)

    assert helper.verbs() == ["get"]


def test_only_the_401_of_the_origin_itself_rejects(repo: Repo, helper: Helper) -> None:
    chain = Chain([source(repo)])
    credential = chain.find(CORP, "/acme/widgets")
    assert credential is not None

    chain.refused(Origin.parse("https://api.git.corp"), "/acme/widgets", credential)
    assert helper.verbs() == ["get"]
    chain.refused(CORP, "/acme/widgets", credential)
    assert helper.verbs() == ["get", "erase"]


@pytest.mark.parametrize("path", ["/a\nhost=evil.example", "/a\r", "/a\0"])
def test_a_line_break_in_a_path_does_not_choose_another_host(repo: Repo, helper: Helper, path: str) -> None:
    with pytest.raises(CredentialError, match="line break"):
        source(repo).find(CORP, path)

    assert helper.verbs() == []


def test_a_helper_that_answers_for_another_host_is_passed_over(repo: Repo, tmp_path: Path) -> None:
    Helper(repo, tmp_path, answer="protocol=https\nhost=evil.example\nusername=a\npassword=b\n")

    assert source(repo).find(CORP, "/acme/widgets") is None


def test_ssh_has_no_password(repo: Repo, helper: Helper) -> None:
    assert source(repo).find(Origin.parse("ssh://git.corp"), "/acme/widgets") is None
    assert helper.verbs() == []


def test_a_rules_user_is_asked_for(repo: Repo, helper: Helper) -> None:
    source(repo, HostRule(CORP, "/acme", user="bot")).find(CORP, "/acme/widgets")

    assert "username=bot\n" in helper.log.read_text()


def test_nothing_of_the_password_is_shown_or_traced(
    repo: Repo, helper: Helper, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TRACE", "1")
    chain = Chain([source(repo)])
    credential = chain.find(CORP, "/acme/widgets")
    assert credential is not None
    chain.accepted(CORP, "/acme/widgets", credential)

    shown = capsys.readouterr()

    assert "git credential" in shown.err
    assert "hunter2" not in f"{shown.out}{shown.err}{credential!r}{chain!r}{chain.links!r}"
