"""`.gitmodules` as git reads it, and the URLs in it as git resolves them."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.fetching.commit import absolute_url, submodule_urls
from tests.support.repo import Repo

FILES = [
    b'[submodule "lib"]\n\tpath = lib\n\turl = ../lib.git\n',
    b'[submodule "a"]\npath=x\nurl=u1\n[submodule "b"]\n  path = deep/y \n  url = "https://h/a b.git" ; why\n',
    b'[SubModule "lib"] path = lib\n\tURL = ../lib.git # comment\n',
    b'[submodule "q\\"uote\\\\d"]\n\tpath = "sp ace/ \\t"\n\turl = x\n',
    b'[submodule "lib"]\n\tpath = one\n\tpath = two\n\turl = a\n\turl = b\n',
    b'[submodule "lib"]\n\tpath = li\\\nb\n\turl = x#y\n',
    b'[submodule "caf\xe9"]\r\n\tpath = caf\xe9\r\n\turl = ../\xe9\r\n',
    b"; nothing\n[core]\n\tpath = no\n\turl = no\n",
    b'[submodule "semi"]\n\tpath = "a;b#c"\n\turl = "x;y"z\n',
]


@pytest.mark.parametrize("contents", FILES)
def test_it_is_read_as_git_reads_it(repo: Repo, contents: bytes, tmp_path: Path) -> None:
    file = tmp_path / "modules"
    file.write_bytes(contents)
    listed = repo.git("config", "--null", "--file", str(file), "--list").split(b"\0")
    values: dict[bytes, dict[bytes, bytes]] = {}
    for row in filter(None, listed):
        name, _, value = row.partition(b"\n")
        section, _, key = name.rpartition(b".")
        if section.startswith(b"submodule."):
            values.setdefault(section, {})[key] = value
    expected = {each[b"path"]: each[b"url"] for each in values.values() if {b"path", b"url"} <= each.keys()}
    found = submodule_urls(contents)
    assert {path: url.encode("utf-8", "surrogateescape") for path, url in found.items()} == expected


@pytest.mark.parametrize(
    "contents",
    [
        b'[submodule "../../x"]\n\tpath = x\n\turl = y\n',
        b'[submodule "x"]\n\tpath = x\n\turl = --upload-pack=evil\n',
        b'[submodule "x"]\n\tpath = x\n',
        b'[submodule "x"]\n\turl = x\n',
        b"[submodule]\n\tpath = x\n\turl = x\n",
        b'[submodule "x"',
        b'"',
        b"[",
    ],
)
def test_what_git_would_not_use_is_left_out(contents: bytes) -> None:
    assert submodule_urls(contents) == {}


@pytest.mark.parametrize(
    ("remote", "url", "expected"),
    [
        ("https://h/acme/widgets.git", "../lib.git", "https://h/acme/lib.git"),
        ("https://h/acme/widgets", "../../other/lib", "https://h/other/lib"),
        ("https://h/acme/widgets/", "./lib", "https://h/acme/widgets/lib"),
        ("git@h:acme/widgets.git", "../lib.git", "git@h:acme/lib.git"),
        ("git@h:acme/widgets.git", "../../lib.git", "git@h:lib.git"),
        ("ssh://git@h:22/acme/widgets.git", "../.././x/y", "ssh://git@h:22/x/y"),
        ("/srv/a/b", "../c", "/srv/a/c"),
        ("https://h/a/b", "https://other/x.git", "https://other/x.git"),
    ],
)
def test_a_relative_url_is_seen_from_the_superproject(remote: str, url: str, expected: str) -> None:
    assert absolute_url(url, remote) == expected


@pytest.mark.parametrize("url", ["../../../evil.example/x", "../../../../x", "../../../../../x"])
def test_a_url_that_leads_above_the_host_is_refused(url: str) -> None:
    with pytest.raises(InvalidRemoteURL):
        absolute_url(url, "https://h/acme/widgets.git")


def test_a_url_without_measure_is_refused() -> None:
    with pytest.raises(InvalidRemoteURL, match="8192"):
        absolute_url("./" * (1 << 19), "https://h/a/b")
