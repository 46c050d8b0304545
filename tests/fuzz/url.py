"""Remote URLs: any text is read or refused, and what is rebuilt from the parts is read as the same parts again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.git.url.remote import Origin, RemoteURL
from git_coderepo.platforms.lfs import configured_url

_TABLE = Path(__file__).parents[1] / "remote-urls.json"


def one(data: bytes) -> None:
    """Read the text after the first byte, as git does here or for Windows, as an origin, and as a `.lfsconfig`."""
    text = data[1:].decode("utf-8", "surrogateescape")
    _url(text, windows=bool(data[:1] and data[0] & 1))
    _origin(text)
    configured = configured_url(data[1:], "origin")
    if configured is not None:
        _url(configured, windows=False)


def _url(text: str, *, windows: bool) -> None:
    try:
        url = RemoteURL.parse(text, windows=windows)
    except InvalidRemoteURL as error:
        assert len(text) < 12 or text not in f"{error} {error.hints}", "the text may hold a secret"
        return
    assert url.path is None or url.same_place(url)
    shown = f"{url} {url!r} {url.hint()} {url.origin()}"
    assert "\n" not in shown and "\x1b" not in shown
    try:
        rebuilt = url.url()
    except InvalidRemoteURL:
        assert url.transport.startswith("helper:")
        return
    assert not rebuilt.startswith("-") and rebuilt.splitlines() == [rebuilt]
    again = RemoteURL.parse(rebuilt, windows=windows)
    user = url.user if url.transport == "ssh" else None
    parts = (again.transport, again.user, again.host, again.port, again.path, again.owner, again.repository)
    assert parts == (url.transport, user, url.host, url.port, url.path, url.owner, url.repository)
    assert again.url() == rebuilt
    assert again.host is None or not again.host.startswith("-")
    if not windows:
        assert RemoteURL.from_parts(url.transport, url.host, url.port, url.user, url.path) == again


def _origin(text: str) -> None:
    try:
        origin = Origin.parse(text)
    except InvalidRemoteURL:
        return
    assert Origin.parse(str(origin)) == origin


def seeds() -> Iterator[bytes]:
    """The table of known URLs, and what was tried against git."""
    for entry in json.loads(_TABLE.read_text("utf-8")):
        yield b"\0" + str(entry["url"]).encode()
    for text in (
        b"ext::sh -c evil% >&2",
        b"--upload-pack=evil",
        b"ssh://-oProxyCommand=evil/x",
        b"-oProxyCommand=evil:x",
        b"host:-x",
        b"file://host/../x",
        b"https://user:secret@host/x?token=1#f",
        b"https://host%0a/x",
        b"git@[::1]:22/x",
        b"[git@host:22]:x",
        b"ssh://[fe80::1%25eth0]:22/~user/x",
        b"https://a@b@c/x",
        b"https://host\\@evil/x",
        b"C:\\x",
        b"file:///C:/x",
        b"codecommit::eu://profile@x",
        b"git+https://host/x@v1#egg",
        b"rsync:x",
        b"rsYnc:x",
        b"[s]:x",
        b"http::http://host/x",
        b"u@[m:3]:~x@[m:3]:0",
        b"u@[m]:/x@[y]:0",
        b"u@[m]:y~~x@[m]:0",
        b"git+https::git+https://host/x",
        b'[lfs]\n\turl = https://host/x # no\n[remote "origin"]\n lfsurl = "https://a;b"',
    ):
        yield b"\0" + text
        yield b"\1" + text
