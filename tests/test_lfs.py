"""Pointers of Git LFS read as the specification has them, and where a repository's LFS server is looked for."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_coderepo.errors import InvalidRemoteURL, LfsObjectMissing, LfsPointerUnusable, ProtocolNotAllowed
from git_coderepo.git.lfs_pointer import Pointer, read_pointer
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.git import GitRemote
from git_coderepo.platforms.lfs import Endpoint, configured_url, find_endpoint

OID = hashlib.sha256(b"x").hexdigest()
V1 = b"version https://git-lfs.github.com/spec/v1\n"
PROPER = V1 + b"oid sha256:%b\nsize 12345\n" % OID.encode()


@given(st.binary(min_size=32, max_size=32), st.integers(0, (1 << 53) - 1))
def test_what_is_written_is_read_again(digest: bytes, size: int) -> None:
    found = read_pointer(Pointer(digest.hex(), size).encode(), b"x")
    assert found is not None and (found.oid, found.size) == (digest.hex(), size)


def test_an_empty_file_is_its_own_pointer() -> None:
    assert Pointer(hashlib.sha256(b"").hexdigest(), 0).encode() == b""
    assert read_pointer(b"", b"x") is None


@pytest.mark.parametrize(
    "contents",
    [b"", b"x", b"version 2\n", b"\x00" * 200, PROPER + b" " * 1024, b"version https://example.org/spec/v1\n" * 3],
)
def test_what_is_no_pointer_stays_what_it_is(contents: bytes) -> None:
    assert read_pointer(contents, b"x") is None


@pytest.mark.parametrize(
    "contents",
    [
        PROPER.replace(b"\n", b"\r\n"),
        PROPER[:-1],
        PROPER + b"\n",
        PROPER.replace(b"sha256", b"sha512"),
        PROPER.replace(b"12345", b"012345"),
        PROPER.replace(b"12345", b"-1"),
        PROPER.replace(b"12345", b"9" * 40),
        PROPER.replace(OID.encode(), OID.upper().encode()),
        PROPER.replace(b"spec/v1", b"spec/v2"),
        PROPER.replace(b"https://git-lfs.github.com", b"https://hawser.github.com"),
        V1 + b"size 12345\noid sha256:%b\n" % OID.encode(),
        V1,
    ],
)
def test_a_pointer_that_is_not_as_git_lfs_writes_it_is_refused(contents: bytes) -> None:
    with pytest.raises(LfsPointerUnusable, match="'a b' is a Git LFS pointer that is not as git-lfs writes it"):
        read_pointer(contents, b"a b")


def test_a_pointer_with_extensions_is_refused() -> None:
    with pytest.raises(LfsPointerUnusable, match="with extensions"):
        read_pointer(V1 + b"ext-0-case sha256:%b\n" % OID.encode() + PROPER.removeprefix(V1), b"x")


@pytest.mark.parametrize(
    ("contents", "url"),
    [
        (b"", None),
        (b"[lfs]\n\turl = https://lfs.corp/x\n", "https://lfs.corp/x"),
        (b'[LFS] URL="https://lfs.corp/x" ; why\n', "https://lfs.corp/x"),
        (b"[lfs]\nurl=https://one\nurl=https://two # the last one counts\n", "https://two"),
        (b'[remote "origin"]\n\tlfsurl = https://lfs.corp/y\n', "https://lfs.corp/y"),
        (b'[remote "up"]\nlfsurl=https://up\n[remote "origin"]\nlfsurl=https://origin\n', "https://up"),
        (b'[remote "up"]\nlfsurl=https://up\n[lfs]\nurl=https://all\n', "https://all"),
        (b'[lfs "https://x"]\n\turl = https://no\n# [lfs]\n;url=https://no\n', None),
        (b"[include]\n\tpath = /etc/passwd\n[lfs]\n\tfetchexclude = *\n", None),
        (b"\xff\xfe[lfs\nurl\n[", None),
    ],
)
def test_the_server_that_a_tracked_lfsconfig_names(contents: bytes, url: str | None) -> None:
    assert configured_url(contents, "up") == url


def endpoint(remote: str, lfsconfig: bytes | None = None, *protocols: str) -> Endpoint:
    platform = GitRemote("origin", {})
    platform.remote = RemoteURL.parse(remote)
    platform.protocols = frozenset(("https", "ssh", *protocols))
    return find_endpoint(platform, lfsconfig, {"PATH": "/nonexistent"})


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://git.corp/acme/widgets.git", "https://git.corp/acme/widgets.git/info/lfs"),
        ("https://git.corp:8443/acme/widgets/", "https://git.corp:8443/acme/widgets.git/info/lfs"),
        ("https://ada:secret@git.corp/a%20b.git", "https://git.corp/a%20b.git/info/lfs"),
    ],
)
def test_the_server_that_follows_from_the_remote(remote: str, url: str) -> None:
    found = endpoint(remote)
    assert (found.url, found.trusted, found.folder) == (url, True, None)


@pytest.mark.parametrize(
    ("remote", "url", "trusted"),
    [
        ("https://git.corp/a.git", "https://git.corp/other", True),
        ("https://git.corp/a.git", "https://git.corp:444/other", False),
        ("https://git.corp/a.git", "http://git.corp/other", False),
        ("https://git.corp/a.git", "https://lfs.git.corp/", False),
        ("git@git.corp:a.git", "https://git.corp/other", True),
        ("git@git.corp:a.git", "https://git.corp.evil/other", False),
        ("file:///srv/a.git", "https://git.corp/other", False),
    ],
)
def test_a_server_that_is_named_is_sent_credentials_on_the_remotes_own_host_alone(
    remote: str, url: str, trusted: bool
) -> None:
    found = endpoint(remote, b"[lfs]\nurl=" + url.encode())
    assert (found.url, found.trusted, found.headers) == (url.rstrip("/"), trusted, {})


def test_what_a_tracked_lfsconfig_may_not_name() -> None:
    for url in ("ssh://elsewhere/a.git", "git@elsewhere:a.git"):
        with pytest.raises(LfsObjectMissing, match="which is not used"):
            endpoint("https://git.corp/a.git", b"[lfs]\nurl=" + url.encode())
    with pytest.raises(ProtocolNotAllowed):
        endpoint("https://git.corp/a.git", b"[lfs]\nurl=file:///etc")
    with pytest.raises(InvalidRemoteURL):
        endpoint("https://git.corp/a.git", b"[lfs]\nurl=ssh://-oProxyCommand=x/a.git")


def test_a_repository_on_this_machine() -> None:
    assert endpoint("file:///srv/a.git", None, "file").folder == b"/srv/a.git/lfs/objects"
    with pytest.raises(ProtocolNotAllowed):
        endpoint("file:///srv/a.git")
