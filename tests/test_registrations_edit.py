"""Registrations in `.git/config`: exactly the announced lines, and nothing half-done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_coderepo.errors import CodeRepoError, RegistrationError
from git_coderepo.git.process import Git
from git_coderepo.registration import write
from git_coderepo.registration.config import Registration, registrations
from git_coderepo.settings import Settings
from tests.hints import cures
from tests.support.repo import Repo

WIDGETS = Registration(
    "widgets", "github", remote="origin", options={"owner": "acme", "api_url": "https://ghe.corp/api/v3"}
)


def git_in(repo: Repo) -> Git:
    return Git(str(repo.path), environment=repo.env)


def config_of(repo: Repo) -> bytes:
    return Path(write.config_file(git_in(repo))).read_bytes()


def test_exactly_the_announced_lines_are_written_and_taken_out_again(repo: Repo) -> None:
    with open(repo.git_dir() / "config", "ab") as file:
        file.write(b"# a comment of mine\n[alias]\n    st = status ; odd   spacing\n")
    before = config_of(repo)

    lines = write.add(git_in(repo), WIDGETS)

    section = b'[coderepo "widgets"]\n' + b"".join(f"\t{key} = {value}\n".encode() for key, value in lines)
    assert config_of(repo) == before + section
    assert dict(lines) == {"type": "github", "remote": "origin", "owner": "acme", "apiUrl": "https://ghe.corp/api/v3"}
    write.remove(git_in(repo), "widgets")
    assert config_of(repo) == before


def test_what_was_written_is_read_again(repo: Repo) -> None:
    written = Registration(
        'odd "name" \\ [x].y ü',
        "custom",
        source="my_module.MyRepository",
        remote="my remote",
        options={"base_path": '# "x" ; \\ ü ', "api_token": "{{a.b}}"},
        description=" spaces ",
        logo_url="https://x/y#z",
    )

    write.add(git_in(repo), written)

    (read,) = registrations(Settings.read(git_in(repo)))
    assert all(getattr(read, name) == getattr(written, name) for name in Registration.__slots__)


@pytest.mark.parametrize("name", ["", "https://git.corp/", "two\nlines", "nul\0", "-x", "tab\t"])
def test_what_cannot_be_a_name_is_refused(repo: Repo, name: str) -> None:
    before = config_of(repo)

    with pytest.raises(RegistrationError, match="invalid name"):
        write.add(git_in(repo), Registration(name, "git"))

    assert config_of(repo) == before


def test_a_name_that_is_taken_is_refused_with_the_next_command(repo: Repo) -> None:
    write.add(git_in(repo), WIDGETS)

    with pytest.raises(RegistrationError, match="already registered") as failure:
        write.add(git_in(repo), WIDGETS)

    assert failure.value.hints[0] == "git coderepo update widgets"


@cures("use '{{NAME.{key}}}' instead of the secret")
def test_a_secret_in_plain_text_is_never_written(repo: Repo) -> None:
    before = config_of(repo)
    bad = Registration("widgets", "github", options={"token": "ghp_plain"})

    with pytest.raises(RegistrationError, match="plain text"):
        write.add(git_in(repo), bad)
    write.add(git_in(repo), Registration("other", "github"))
    with pytest.raises(RegistrationError, match="plain text"):
        write.update(git_in(repo), "other", options={"token": "ghp_plain"})
    with pytest.raises(RegistrationError, match="plain text") as failure:
        write.add(git_in(repo), bad)
    reference = failure.value.hints[-1].split("'")[1].replace("NAME", "corp")
    write.add(git_in(repo), Registration("hub", "github", options={"token": reference}))

    assert b"ghp_plain" not in config_of(repo) and config_of(repo).startswith(before)


@pytest.mark.parametrize("value", ["two\nlines", "cr\r", "nul\0"])
def test_a_line_break_in_a_value_is_refused(repo: Repo, value: str) -> None:
    with pytest.raises(RegistrationError, match="line break"):
        write.add(git_in(repo), Registration("widgets", "github", options={"owner": value}))


def test_an_update_renames_merges_and_takes_away_and_leaves_the_rest(repo: Repo) -> None:
    write.add(git_in(repo), WIDGETS)

    changed = write.update(
        git_in(repo),
        "widgets",
        new_name="gadgets",
        options={"repository": "gadgets"},
        unset=["api_url"],
        description="d",
    )

    assert changed.name == "gadgets"
    assert changed.options == {"owner": "acme", "repository": "gadgets"}
    assert (changed.type, changed.remote, changed.description) == ("github", "origin", "d")
    assert [each.name for each in registrations(Settings.read(git_in(repo)))] == ["gadgets"]
    # Taking away what is not there, and a rename to its own name, change nothing.
    before = config_of(repo)
    write.update(git_in(repo), "gadgets", new_name="gadgets", unset=["api_url", "logo_url"])
    assert config_of(repo) == before


def test_an_update_to_a_name_that_is_taken_changes_nothing(repo: Repo) -> None:
    write.add(git_in(repo), WIDGETS)
    write.add(git_in(repo), Registration("gadgets", "git"))
    before = config_of(repo)

    with pytest.raises(RegistrationError, match="already registered"):
        write.update(git_in(repo), "widgets", new_name="gadgets", options={"owner": "x"})

    assert config_of(repo) == before


def test_a_name_that_is_not_registered_is_answered_with_the_near_miss(repo: Repo) -> None:
    write.add(git_in(repo), WIDGETS)

    for change in (write.remove, write.update):
        with pytest.raises(RegistrationError, match="'wigdets'") as failure:
            change(git_in(repo), "wigdets")
        assert failure.value.hints == ("did you mean 'widgets'?",)


def test_one_that_is_registered_elsewhere_is_not_changed_here(repo: Repo) -> None:
    repo.git("config", "--global", "coderepo.mine.type", "git")

    with pytest.raises(RegistrationError, match="outside of this checkout"):
        write.remove(git_in(repo), "mine")
    with pytest.raises(RegistrationError, match="already registered"):
        write.add(git_in(repo), Registration("mine", "git"))


def test_a_linked_worktree_shares_the_registrations_of_its_main_one(repo: Repo, tmp_path: Path) -> None:
    repo.commit()
    repo.git("worktree", "add", "-q", tmp_path / "linked")
    linked = Repo(tmp_path / "linked", repo.env)

    write.add(git_in(linked), WIDGETS)

    assert [each.name for each in registrations(Settings.read(git_in(repo)))] == ["widgets"]
    assert config_of(linked) == config_of(repo)


def test_it_waits_for_nobody_and_breaks_no_lock(repo: Repo) -> None:
    before = config_of(repo)
    lock = repo.git_dir() / "config.lock"
    lock.write_bytes(b"git is at work")

    with pytest.raises(RegistrationError, match="another git process") as failure:
        write.add(git_in(repo), WIDGETS)

    assert str(lock) in failure.value.hints[0]
    assert (config_of(repo), lock.read_bytes()) == (before, b"git is at work")


def test_a_failure_in_the_middle_leaves_the_old_file_and_no_lock(repo: Repo) -> None:
    write.add(git_in(repo), WIDGETS)
    before = config_of(repo)

    with pytest.raises(CodeRepoError):
        write.update(git_in(repo), "widgets", options={"owner": "other"}, unset=["no/such key"])

    assert config_of(repo) == before
    assert not (repo.git_dir() / "config.lock").exists()


def test_a_line_that_another_process_writes_meanwhile_is_not_lost(repo: Repo) -> None:
    def slowly(copy: Git) -> None:
        if b"theirs" not in config_of(repo):
            repo.git("config", "alias.theirs", "status")
        copy.run("config", "--file", "config", "alias.ours", "status")

    write._edit(git_in(repo), slowly)

    assert repo.line("config", "alias.theirs") == repo.line("config", "alias.ours") == "status"


def test_mode_and_place_of_the_file_stay(repo: Repo, tmp_path: Path) -> None:
    path = repo.git_dir() / "config"
    path.rename(tmp_path / "kept elsewhere")
    path.symlink_to(tmp_path / "kept elsewhere")
    os.chmod(tmp_path / "kept elsewhere", 0o600)

    write.add(git_in(repo), WIDGETS)

    assert path.is_symlink()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert b"widgets" in path.read_bytes()
