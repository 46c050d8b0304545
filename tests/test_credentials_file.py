"""CODEREPO_CREDENTIALS_FILE, line by line."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_coderepo.credentials.environment import EnvironmentCredentials
from git_coderepo.credentials.file import FileEntry, matching, parse_file, parse_line, read_token
from git_coderepo.credentials.secret import Credential
from git_coderepo.errors import CodeRepoError, CredentialError, InvalidRemoteURL
from git_coderepo.git.url.remote import Origin
from git_coderepo.settings import Settings
from tests.support.repo import run_git

GITHUB = Origin.parse("https://github.com")


def from_file(file: Path, origin: str, path: str = "/acme/widgets") -> Credential | None:
    source = EnvironmentCredentials(Settings([], {"CODEREPO_CREDENTIALS_FILE": str(file)}), ())
    return source.find(Origin.parse(origin), path)


def revealed(credential: Credential | None) -> tuple[str | None, str] | None:
    return None if credential is None else (credential.user, credential.secret.reveal())


def test_lines_of_both_kinds_serve_their_own_origin_only(tmp_path: Path) -> None:
    (tmp_path / "a token").write_text("glpat-1\n")
    file = tmp_path / "credentials"
    file.write_text(
        "# mounted by the operator\n"
        "\n"
        "https://ada:p%40ss%2Fword%3A@git.corp:8443\n"
        f"https://gitlab.com/acme/ml oauth2 @{tmp_path}/a token\r\n"
        "smtp://ada:pw@mail.corp:587\n"
    )

    assert revealed(from_file(file, "https://git.corp:8443")) == ("ada", "p@ss/word:")
    assert revealed(from_file(file, "https://gitlab.com", "/acme/ml/train")) == ("oauth2", "glpat-1")
    for origin, path in [
        ("https://git.corp", "/acme/widgets"),
        ("http://git.corp:8443", "/acme/widgets"),
        ("https://sub.git.corp:8443", "/acme/widgets"),
        ("https://gitlab.com", "/acme/mlx"),
        ("https://gitlab.com", "/acme"),
        ("https://mail.corp:587", "/"),
    ]:
        assert from_file(file, origin, path) is None


def test_the_longest_prefix_comes_first_wherever_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "https://a:all@github.com\n"
        "https://b:repo@github.com/acme/widgets.git\n"
        "https://c:org@github.com/acme\n"
        "https://d:all2@github.com/\n"
    )

    assert revealed(from_file(file, "https://github.com", "/acme/widgets")) == ("b", "repo")
    assert revealed(from_file(file, "https://github.com", "/acme/other")) == ("c", "org")
    assert revealed(from_file(file, "https://github.com", "/acme.org/other")) == ("d", "all2")


def test_a_rotated_token_is_seen_at_the_next_use(tmp_path: Path) -> None:
    token, file = tmp_path / "token", tmp_path / "credentials"
    token.write_text("first")
    file.write_text(f"https://github.com x-access-token @{token}\n")
    source = EnvironmentCredentials(Settings([], {"CODEREPO_CREDENTIALS_FILE": str(file)}), ())

    assert revealed(source.find(GITHUB, "/a/b")) == ("x-access-token", "first")
    token.write_text("second\n")
    assert revealed(source.find(GITHUB, "/a/b")) == ("x-access-token", "second")
    file.write_text("https://u:third@github.com\n")
    assert revealed(source.find(GITHUB, "/a/b")) == ("u", "third")


@pytest.mark.parametrize(
    "line",
    [
        "ghp_hunter2",
        "https://github.com",
        "https://ghp_hunter2@github.com",
        "https://ada:@github.com",
        "https://ada:hunter2@",
        "https://ada:hunter2%0a@github.com",
        "https://ada:hunter2@github.com%0a.evil",
        "https://ada:hunter2@github.com%2f.evil",
        "https://ada:hunter2%00@github.com",
        "https://ada:hunter2%ff@github.com",
        "https://github.com ada hunter2",
        "https://github.com @/hunter2",
        "https://github.com ada @hunter2/relative",
        "https://ada:hunter2@github.com ada @/x",
        "https://github.com ada @/x\0",
        "https://git corp/x ada @/x/hunter2",
        "https://git.corp:port ada @/x/hunter2",
    ],
)
def test_a_line_that_is_no_credential_is_named_by_its_number_and_never_shown(tmp_path: Path, line: str) -> None:
    file = tmp_path / "credentials"
    file.write_bytes(b"# first\n" + line.encode() + b"\n")
    with pytest.raises(CredentialError, match="line 2 of") as failure:
        parse_file(str(file))

    assert "hunter2" not in str(failure.value) + "".join(failure.value.hints)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"cannot read '.*gone'.*No such file"):
        from_file(tmp_path / "gone", "https://github.com")
    file = tmp_path / "credentials"
    file.write_text(f"https://github.com u @{tmp_path}/none\n")
    with pytest.raises(CredentialError, match=r"cannot read '.*none'"):
        from_file(file, "https://github.com")
    assert from_file(file, "https://gitlab.com") is None


@pytest.mark.parametrize("contents", [b"", b"\n", b"\r\n\n", b"two\nlines", b"nul\0", b"caf\xe9"])
def test_a_file_that_holds_no_token_is_named(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "token").write_bytes(contents)

    with pytest.raises(CredentialError, match="invalid token in"):
        read_token(str(tmp_path / "token"), what="'X'")


# --- properties ---

_SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=20)
_HOSTS = st.from_regex(r"[a-z][a-z0-9-]{0,8}(\.[a-z]{2,4})?(:[1-9][0-9]{0,3})?", fullmatch=True)
_PREFIXES = st.lists(st.from_regex(r"[A-Za-z0-9_.-]{1,6}", fullmatch=True), max_size=3).map("/".join)


@pytest.mark.slow
@given(user=_SECRETS, secret=_SECRETS, host=_HOSTS, prefix=_PREFIXES)
def test_whatever_can_be_encoded_is_read_again(user: str, secret: str, host: str, prefix: str) -> None:
    line = f"https://{quote(user, safe='')}:{quote(secret, safe='')}@{host}/{prefix}"

    entry = parse_line(line.encode())

    assert isinstance(entry, FileEntry) and entry.secret is not None
    assert (entry.user, entry.secret.reveal()) == (user, secret)
    assert entry.origin == Origin.parse(f"https://{host}")
    assert entry.prefix.strip("/") == prefix.strip("/")


@given(line=st.binary(max_size=60) | st.text("https:/@ %#a\0\n\r?[]", max_size=40).map(str.encode))
def test_any_line_is_an_entry_or_nothing_or_one_clear_error(line: bytes) -> None:
    try:
        entry = parse_line(line)
    except (CredentialError, InvalidRemoteURL):
        return
    except CodeRepoError as error:
        raise AssertionError("another error") from error
    if isinstance(entry, FileEntry):
        assert entry.origin.host and (entry.secret is None) != (entry.token_file is None)
        assert not set(entry.user + entry.prefix) & set("\r\n\0")


@settings(max_examples=25, deadline=None)
@given(user=_SECRETS, secret=_SECRETS)
def test_what_git_credential_store_writes_is_read_as_git_reads_it(
    tmp_path_factory: pytest.TempPathFactory, user: str, secret: str
) -> None:
    folder = tmp_path_factory.mktemp("store")
    env = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1"}
    file = folder / "credentials"
    described = f"protocol=https\nhost=git.corp\nusername={user}\npassword={secret}\n\n".encode()
    run_git("credential-store", "--file", file, "store", cwd=folder, env=env, input=described)
    if not file.exists():
        return  # git keeps none with an odd user

    found = matching(parse_file(str(file)), Origin.parse("https://git.corp"), "/a/b")

    assert found is not None and found.secret is not None
    assert (found.user, found.secret.reveal()) == (user, secret)


def test_a_file_that_everybody_can_read_is_taken_and_traced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TRACE", "1")
    file = tmp_path / "credentials"
    file.write_text("https://u:hunter2@github.com\n")
    file.chmod(0o644)

    assert revealed(from_file(file, "https://github.com")) == ("u", "hunter2")

    shown = capsys.readouterr().err
    assert "can be read by every user" in shown and "hunter2" not in shown


def test_reading_waits_for_nobody(tmp_path: Path) -> None:
    """A descriptor as the shell's `<(command)` gives is a file as well."""
    reader = "\n".join(
        [
            "from git_coderepo.credentials.file import parse_file; import sys",
            "sys.stdout.write(str(len(parse_file(sys.argv[1]))))",
        ]
    )
    import sys

    command = f'exec "{sys.executable}" -c "$1" <(printf "https://u:t@h\\n")'
    done = subprocess.run(["bash", "-c", command, "-", reader], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout == b"1"
