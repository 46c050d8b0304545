"""Tokens and files of credentials as editors, secret stores and shells leave them; what is refused says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_coderepo.credentials.environment import EnvironmentCredentials
from git_coderepo.credentials.file import parse_file, read_token
from git_coderepo.credentials.secret import Secret
from git_coderepo.errors import CredentialError
from git_coderepo.git.url.remote import Origin
from git_coderepo.registration.users_credentials import token_variables
from git_coderepo.settings import Settings


def token_for(origin: str, **variables: str) -> str | None:
    found = EnvironmentCredentials(Settings([], variables), token_variables()).find(
        Origin.parse(origin), "/acme/widgets"
    )
    return None if found is None else found.secret.reveal()


ENDINGS = ["", "\n", "\r\n", "\n\n", "\r\n\r\n", "\n\r"]


@pytest.mark.parametrize("end", ENDINGS)
def test_final_line_breaks_of_a_variable_do_not_count(end: str) -> None:
    corp = {"CODEREPO_TOKEN_ORIGIN": "https://git.corp"}

    assert token_for("https://github.com", GITHUB_TOKEN=f"hunter2{end}") == "hunter2"
    assert token_for("https://gitlab.com", GITLAB_TOKEN=f"hunter2{end}") == "hunter2"
    assert token_for("https://git.corp", CODEREPO_TOKEN=f"hunter2{end}", **corp) == "hunter2"


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_final_line_breaks_and_a_bom_of_a_file_do_not_count(tmp_path: Path, start: str, end: str) -> None:
    (tmp_path / "token").write_bytes(f"{start}hunter2{end}".encode())

    assert read_token(str(tmp_path / "token"), what="'X'") == Secret("hunter2")


@pytest.mark.parametrize("text", ["two\nlines", "", "\n", "nul\0"])
def test_what_is_no_token_is_refused_with_its_place_and_cause_and_without_itself(text: str) -> None:
    with pytest.raises(CredentialError, match=r"invalid token in 'GITHUB_TOKEN': the secret") as failure:
        Secret.read(text, what="'GITHUB_TOKEN'")

    assert "lines" not in failure.value.message


def test_a_file_of_credentials_may_begin_with_a_bom(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_bytes(b"\xef\xbb\xbfhttps://u:hunter2@github.com\r\n")

    assert token_for("https://github.com", CODEREPO_CREDENTIALS_FILE=str(file)) == "hunter2"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_file_of_credentials_in_utf_16_is_named_as_such(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "credentials"
    file.write_bytes("\ufeff".encode(encoding) + "https://u:hunter2@github.com\n".encode(encoding))

    with pytest.raises(CredentialError, match="UTF-16 is not supported"):
        parse_file(str(file))


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("https://github.com", "must contain a user name and a password"),
        ("https://u:@github.com", "empty"),
        ("github.com u hunter2", "the URL is missing"),
        ("https://github.com u hunter2", "expected a URL"),
        ("{{a.b}}", "expected {{NAME.KEY}}"),
        ("{{a}} x", "expected {{NAME.KEY}}"),
    ],
)
def test_a_line_that_is_refused_says_why(tmp_path: Path, line: str, cause: str) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"# first\n{line}\n")

    with pytest.raises(CredentialError, match=r"invalid credential in line 2 of .*: ") as failure:
        parse_file(str(file))

    assert cause in failure.value.message
    assert "hunter2" not in failure.value.message


def test_a_new_line_takes_the_place_of_an_old_one_before_it(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    (tmp_path / "new").write_text("third\n")
    lines = ["https://u:first@github.com", "https://github.com/ x-access-token @" + str(tmp_path / "new")]
    file.write_text("\n".join(lines))

    assert token_for("https://github.com", CODEREPO_CREDENTIALS_FILE=str(file)) == "third"
