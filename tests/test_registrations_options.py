"""Options as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_coderepo.credentials.secret import Secret, parse_reference
from git_coderepo.errors import CredentialError, UnknownOption, UsageError
from git_coderepo.platforms.base import BaseCodeRepository, Option
from git_coderepo.platforms.github import GitHub
from git_coderepo.registration.options import is_on_command_line, parse_options


class Registry(BaseCodeRepository):
    """A custom class that declares nothing."""

    def login(self) -> None: ...

    def download_files(self, commit: str, directory: str, repo_sub_directory: str | None) -> None: ...

    def get_local_context(self, path: str) -> None: ...


class Strict(Registry):
    options = (Option("project_name", "the project", required=True), Option("pass_phrase", "its key", secret=True))


def parsed(
    *pairs: tuple[str, str], platform: type[BaseCodeRepository] = GitHub, input: bytes = b""
) -> dict[str, str | Secret]:
    return parse_options(platform, pairs, standard_input=lambda: input)


@pytest.mark.parametrize("name", ["api_url", "api-url", "--api_url", "--api-url", "apiUrl"])
def test_a_pasted_line_works_in_either_spelling(name: str) -> None:
    assert parsed((name, "https://ghe.corp")) == {"api_url": "https://ghe.corp"}


def test_a_misspelt_option_is_refused_and_the_near_miss_named_z9() -> None:
    with pytest.raises(UnknownOption, match="unknown option '--hosst'") as failure:
        parsed(("hosst", "github.com"))

    assert failure.value.hints == ("did you mean '--host'?",)
    assert failure.value.exit_status == 129


def test_an_option_unlike_any_other_is_answered_with_all_of_them() -> None:
    with pytest.raises(UnknownOption) as failure:
        parsed(("zzz", "1"))

    assert "--owner, --repository, --api-url, --host, --token" in failure.value.hints[0]


def test_a_required_option_that_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="--project-name"):
        parsed(platform=Strict)

    assert parse_options(Strict, [], standard_input=bytes, partial=True) == {}


@pytest.mark.parametrize(
    ("contents", "value"),
    [(b"ghp_x\n", "ghp_x"), (b"ghp_x\r\n", "ghp_x"), (b"ghp_x", "ghp_x"), (b"  ghp_x \n", "  ghp_x ")],
)
def test_a_value_is_read_from_a_file_without_its_final_newline_z9(tmp_path: Path, contents: bytes, value: str) -> None:
    (tmp_path / "a token").write_bytes(contents)

    assert parsed(("token", f"@{tmp_path}/a token")) == {"token": Secret(value)}
    assert parsed(("owner", "-"), input=contents) == {"owner": value}


@pytest.mark.parametrize("contents", [b"two\nlines", b"cr\rlf", b"nul\0", b"", b"\n"])
def test_a_value_with_a_line_break_or_nul_within_is_refused_z9(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "token").write_bytes(contents)

    for name in ("token", "owner"):
        with pytest.raises((UsageError, CredentialError), match=f"'--{name}'"):
            parsed((name, f"@{tmp_path}/token"))


def test_a_doubled_at_sign_is_a_literal_one() -> None:
    assert parsed(("owner", "@@acme"), ("token", "@@t")) == {"owner": "@acme", "token": Secret("@t")}


def test_standard_input_gives_one_value_only() -> None:
    with pytest.raises(UsageError, match="one option only"):
        parsed(("owner", "-"), ("repository", "-"), input=b"x")


def test_a_file_that_is_not_there_or_not_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        parsed(("token", f"@{tmp_path}/none"))
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(UsageError, match="not UTF-8"):
        parsed(("owner", f"@{tmp_path}/latin"))


def test_a_secret_cannot_be_printed_and_a_reference_stays_one() -> None:
    values = parsed(("token", "ghp_plain"))

    assert "ghp_plain" not in f"{values!r} {values['token']} {values['token']!r}"
    assert parsed(("token", "{{ github_secret.pa_token }}")) == {"token": "{{ github_secret.pa_token }}"}


def test_a_class_that_declares_nothing_takes_any_option_and_hides_what_sounds_secret() -> None:
    assert parsed(("base-path", "/srv"), ("api_token", "t"), platform=Registry) == {
        "base_path": "/srv",
        "api_token": Secret("t"),
    }
    with pytest.raises(UnknownOption):
        parsed(("base-path", "/srv"), platform=Strict)


def test_of_one_option_given_twice_the_last_one_counts() -> None:
    assert parsed(("owner", "a"), ("owner", "b")) == {"owner": "b"}


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("{{a.b}}", ("a", "b")),
        ("{{ github_secret.pa-token }}", ("github_secret", "pa-token")),
        ("{{a}}", None),
        ("{{a.b.c}}", None),
        ("{{.b}}", None),
        ("x{{a.b}}", None),
        ("{{a.b}}x", None),
        ("a.b", None),
    ],
)
def test_a_reference_names_a_secret_and_a_key(text: str, reference: tuple[str, str] | None) -> None:
    assert parse_reference(text) == reference


def test_only_a_value_that_others_can_see_in_the_process_list_is_on_the_command_line() -> None:
    assert is_on_command_line("ghp_x") and is_on_command_line("@@x")
    assert not any(is_on_command_line(given) for given in ("-", "@file", "{{a.b}}"))
