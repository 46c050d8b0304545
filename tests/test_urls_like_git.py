"""The parser held against git's own reading, on URLs that nobody thought of.

`git fetch-pack --diag-url` tells how git reads a URL for ssh, git, file and paths; `git credential fill` with
`credential.useHttpPath`, how it reads one for http. Where we refuse what git takes, git would go on with a host or
path that cannot be meant; the other way round never happens.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.git.url.remote import Origin, RemoteURL
from tests.support.environment import clean_environment
from tests.support.repo import Repo

examples = settings(max_examples=200, deadline=None, database=None)

_NAME = "abzAZ09"
hosts = st.one_of(
    st.text(_NAME + "-._", min_size=1, max_size=12).filter(lambda host: host[0] in _NAME),
    st.sampled_from(["github.com", "::1", "2001:db8::1", "GitHub.com", "m\u00fcnchen.example"]),
)
ports = st.one_of(st.none(), st.integers(1, 65535))
users = st.one_of(st.none(), st.text(_NAME + "-._@+", min_size=1, max_size=8).filter(lambda user: user[0] in _NAME))
segments = st.text(_NAME + "-_+~ .,'\u00e9%=&?#:@[]!", min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(segments, min_size=1, max_size=4).map("/".join)
# Pieces of URLs, stuck together without a plan: this is where readings part.
pieces = st.lists(
    st.one_of(
        st.sampled_from(
            ["/", "/", ":", "[", "]", "@", "@[", "[::1]", "22", ":22", "host", "~", "/~", "-", ".", "..", "?"]
        ),
        st.sampled_from(
            ["%2F", "%40", "%3A", "%5B", "%7E", "%41", "%2e", "%0a", "%00", "%", "#", "\\", "//", ".git", "::"]
        ),
        st.text(_NAME + " \\\u00e9", min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=7,
).map("".join)
puzzles = st.tuples(
    st.sampled_from(["", "/", "./", "ssh://", "ssh://host", "ssh://git@h/", "git+ssh://[", "git://", "git://h/"])
    | st.sampled_from(["file://", "file:///", "git@", "host:", "git@h:", "[", "git@[", "[::1]:", "65536:"]),
    pieces,
).map("".join)
web_puzzles = st.tuples(
    st.sampled_from(["https://", "https://host", "https://host/", "http://user:pw@", "https://[::1]/", "https://h:"]),
    pieces,
).map("".join)


class GitReader:
    """git, asked how it reads a URL, in an empty repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.repo = Repo.init(folder / "empty.git", clean_environment(folder / "home"), bare=True)

    def diagnosis(self, text: str) -> dict[str, str] | None:
        """The fields of `--diag-url`, None where git refuses."""
        lines = self._ask(["fetch-pack", "--diag-url", text], b"")
        return lines and dict(line.removeprefix("Diag: ").split("=", 1) for line in lines[1:])

    def asked(self, text: str) -> dict[str, str] | None:
        """What git would ask a credential helper for, None where git refuses."""
        helper = "!f() { echo username=nobody; echo password=x; }; f"
        options = ["-c", "credential.useHttpPath=true", "-c", f"credential.helper={helper}"]
        lines = self._ask([*options, "credential", "fill"], os.fsencode(f"url={text}\n\n"))
        return lines and dict(line.split("=", 1) for line in lines)

    def _ask(self, arguments: list[str], input: bytes) -> Any:
        done = subprocess.run(
            ["git", *map(os.fsencode, arguments)],
            env=self.repo.env, cwd=self.repo.path, input=input, capture_output=True,
        )  # fmt: skip
        return None if done.returncode else os.fsdecode(done.stdout).splitlines()


@pytest.fixture(scope="module")
def git_reader(tmp_path_factory: pytest.TempPathFactory) -> GitReader:
    return GitReader(tmp_path_factory.mktemp("reader"))


def assert_read_alike(url: RemoteURL, fields: Mapping[str, str] | None) -> None:
    assert fields is not None, "git refuses it"
    assert fields["protocol"] == ("file" if url.transport == "local" else url.transport)
    assert fields["path"] == url.path
    if url.transport == "ssh":
        userinfo, at, host = fields["userandhost"].rpartition("@")
        assert (userinfo.partition(":")[0] if at else None) == url.user
        assert host.lower() == url.host
        assert fields["port"] == ("NONE" if url.port is None else fields["port"])
        assert url.port is None or int(fields["port"]) == url.port
    elif url.transport == "git":
        ends = ("", ":") if url.port is None else (f":{url.port}",)
        assert fields["hostandport"].lower() in {
            host + end for host in (f"{url.host}", f"[{url.host}]") for end in ends
        }


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["ssh", "git", "file"])
def test_a_url_of_any_host_user_port_and_path_is_taken_and_read_as_git_reads_it(transport, git_reader):
    @examples
    @given(hosts, ports, users, paths, st.booleans())
    def holds(host, port, user, path, encode):
        host = f"[{host}]" if ":" in host else host
        authority = host if port is None else f"{host}:{port}"
        if transport == "file":
            authority = ""
        elif user is not None and transport == "ssh":
            authority = f"{user}@{authority}"
        text = f"{transport}://{authority}/{quote(path) if encode else path}"
        if "@[" in path:  # git looks for a host there; then it is no URL of this host
            return
        if "%" in path and not encode and any(char in "0123456789abAB" for char in path.partition("%")[2]):
            return  # maybe an escape
        assert_read_alike(RemoteURL.parse(text), git_reader.diagnosis(text))

    holds()


@pytest.mark.slow
@examples
@given(hosts, ports, users, paths, st.booleans())
def test_an_scp_like_url_is_taken_and_read_as_git_reads_it(git_reader, host, port, user, path, inside):
    at = "" if user is None else f"{user}@"
    if port is not None and ":" in host:
        return  # the scp-like form has no way to say this
    if port is not None or ":" in host:
        named = host if port is None else f"{host}:{port}"
        text = f"[{at}{named}]:{path}" if inside else f"{at}[{named}]:{path}"
    else:
        text = f"{at}{host}:{path}"
    if "@[" in path or "://" in text or path.startswith((":", "/", "-")) or path[1:2] == "~":
        return
    url = RemoteURL.parse(text)
    assert (url.transport, url.user, url.host, url.port, url.path) == ("ssh", user, host.lower(), port, path)
    assert_read_alike(url, git_reader.diagnosis(text))


@pytest.mark.slow
@examples
@given(st.sampled_from(["/", "./", "../", "a/", ""]), paths)
def test_a_path_is_taken_and_read_as_git_reads_it(git_reader, start, path):
    text = start + path
    if "@[" in text or "://" in text or text.startswith(("[", "-")) or ":" in text.partition("/")[0]:
        return
    url = RemoteURL.parse(text)
    assert (url.transport, url.path) == ("local", text)
    assert_read_alike(url, git_reader.diagnosis(text))


@pytest.mark.slow
@settings(examples, max_examples=200)
@given(puzzles)
@example("h:pa@[th]:y")
@example("host:a~b/c")
@example("host:é~b/c")
@example("[git@host:22]:x")
@example("[a@b:22]x:y")
@example("ssh://[::1]:/x")
@example("ssh://u@[h:22]:23/x")
@example("ssh://h/a@[b]/c")
@example("file://h@[x]/y")
@example("[x]/repo")
@example("x@[y@h:p")
@example("ssh://fe80::1/x")
def test_whatever_we_take_is_read_as_git_reads_it(git_reader, text):
    try:
        url = RemoteURL.parse(text)
    except InvalidRemoteURL:
        return
    if url.transport in ("ssh", "git", "file", "local"):
        assert_read_alike(url, git_reader.diagnosis(text))


# --- http, through git credential --------------------------------------------------------------


def assert_asked_alike(url: RemoteURL, fields: Mapping[str, str] | None) -> None:
    assert fields is not None, "git refuses it"
    host = f"[{url.host}]" if ":" in (url.host or "") else url.host
    assert fields["protocol"] == url.transport
    assert fields["host"].lower().removesuffix(":") == (f"{host}:{url.port}" if url.port else host)
    assert fields["path"].strip("/") == (url.path or "").strip("/")


@pytest.mark.slow
@examples
@given(st.sampled_from(["https", "http"]), hosts, ports, users, st.one_of(st.none(), st.text(_NAME, max_size=5)), paths)
def test_a_web_url_is_taken_and_read_as_git_reads_it(git_reader, scheme, host, port, user, password, path):
    host = f"[{host}]" if ":" in host else host
    authority = host if port is None else f"{host}:{port}"
    if user is not None:
        secret = "" if password is None else f":{password}"
        authority = f"{quote(user)}{secret}@{authority}"
    text = f"{scheme}://{authority}/{quote(path)}"
    url = RemoteURL.parse(text)
    fields = git_reader.asked(text)
    assert_asked_alike(url, fields)
    assert fields is not None
    assert url.user == user
    if user is not None and password:
        assert fields["username"] == user
        assert url.has_secret


@pytest.mark.slow
@settings(examples, max_examples=200)
@given(web_puzzles)
@example("https://a@b@c/x")
@example("https://h/a:b/c")
def test_whatever_web_url_we_take_is_read_as_git_reads_it(git_reader, text):
    try:
        url = RemoteURL.parse(text)
    except InvalidRemoteURL:
        return
    if "?" in text or "#" in text:
        return  # git keeps both in the path; we never do (P3)
    if ":" in text.partition("://")[2].partition("/")[2] and "%" in text:
        return  # git's url_decode takes what stands before a colon for a scheme and leaves it encoded
    assert_asked_alike(url, git_reader.asked(text))


# --- rebuilt from parts ------------------------------------------------------------------------


@pytest.mark.slow
@settings(examples, max_examples=200)
@given(st.sampled_from(["ssh", "git", "https", "http", "file"]), hosts, ports, users, paths, st.booleans())
def test_a_url_rebuilt_from_parts_is_read_by_git_as_these_parts(
    git_reader, transport, host, port, user, path, absolute
):
    path = "/" + path if absolute or transport != "ssh" else path
    if transport == "file":
        host, port, user = None, None, None
    try:
        url = RemoteURL.from_parts(transport, host, port, user, path)
    except InvalidRemoteURL:
        # Only what git cannot be told in any form.
        relative = not path.startswith(("/", "~"))
        assert (
            ("@[" in path and transport not in ("https", "http"))
            or path.startswith("-")
            or (transport in ("ssh", "git") and path[1:2] == "~")
            or (relative and ("://" in f":{path}" or (port is not None and ":" in host)))
        )
        return
    text = url.url()
    assert (url.host, url.port, url.path) == (host and host.lower(), port, path)
    assert url.user == (user if transport == "ssh" else None)
    if transport in ("https", "http"):
        assert_asked_alike(url, git_reader.asked(text))
    else:
        assert_read_alike(url, git_reader.diagnosis(text))


# --- any text ----------------------------------------------------------------------------------

anything = st.one_of(
    st.text(),
    st.text(st.characters(codec=None, categories=None), max_size=20),
    st.tuples(
        st.sampled_from(
            ["https://", "ssh://git@", "git@h:", "git+https://", "hg::", "file://", "codecommit::", "x://"]
        ),
        st.one_of(st.text(), puzzles),
    ).map("".join),
    puzzles,
    web_puzzles,
)


@pytest.mark.slow
@settings(examples, max_examples=600)
@given(anything, st.booleans())
def test_any_text_is_a_url_or_refused_and_a_rebuilt_one_stays_as_it_is(text, windows):
    try:
        url = RemoteURL.parse(text, windows=windows)
    except InvalidRemoteURL:
        return
    assert url.same_place(url) or url.path is None
    assert f"{url} {url!r}"
    assert url.hint() is None or url.hint()
    try:
        rebuilt = url.url()
    except InvalidRemoteURL:
        assert url.transport.startswith("helper:")
        return
    again = RemoteURL.parse(rebuilt, windows=windows)
    user = url.user if url.transport == "ssh" else None
    assert (again.transport, again.user, again.host, again.port, again.path) == (
        (url.transport, user, url.host, url.port, url.path)
    )
    assert (again.owner, again.repository) == (url.owner, url.repository)
    assert again.url() == rebuilt
    if not windows:
        assert RemoteURL.from_parts(url.transport, url.host, url.port, url.user, url.path) == again


@examples
@given(anything)
def test_any_text_is_an_origin_or_refused(text):
    try:
        origin = Origin.parse(text)
    except InvalidRemoteURL:
        return
    assert Origin.parse(str(origin)) == origin


@pytest.mark.slow
@settings(examples, max_examples=300)
@given(
    st.sampled_from(["https", "http", "ssh", "ftp", "git", "HTTPS", "git+https", "hg", "x::https"]),
    st.text("QZ7-", min_size=6, max_size=12),
    st.one_of(st.none(), st.text("VW8/?#@:%", max_size=12).map(lambda text: "VWVWVW" + text)),
    st.sampled_from(["host", "host:8443", "[::1]", "ho st", "host:x", ""]),
    st.sampled_from(["/owner/repo", "", "/..", "/a/b?c=d", "/a b"]),
)
def test_neither_user_nor_password_is_ever_shown(scheme, user, password, place, path):
    secret = "" if password is None else f":{password}"
    try:
        url = RemoteURL.parse(f"{scheme}://{user}{secret}@{place}{path}")
    except InvalidRemoteURL as error:
        shown = f"{error} {error!r} {error.hints}"
    else:
        shown = f"{url} {url!r} {url.origin()} {url.hint()}"
        if password is not None and "/" not in password and "?" not in password and "#" not in password:
            assert url.has_secret
            try:
                shown += url.url() if url.transport != "ssh" else ""
            except InvalidRemoteURL as error:
                shown += str(error)
    if password is None or not set(password) & set("/?#"):  # with one of these, the rest is a path by RFC 3986
        assert user not in shown
        assert "VWVWVW" not in shown
