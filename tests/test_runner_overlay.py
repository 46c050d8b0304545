"""The overlay: proved by both its digests before any of it is believed, and never unpacked on the way."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from git_coderepo.errors import DownloadDamaged, UnsafeTree
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.sources.overlay_tar import OverlayReader, read_overlay
from git_coderepo.git.objects import EXECUTABLE, FILE, SYMLINK
from tests.raw_tar import END, archive, directory, file, gzipped, header, link, pax, zeros_gzipped


def overlay(*members: bytes, **options: Limits) -> OverlayReader:
    tar = archive(*members)
    data = gzipped(tar)
    return read_overlay(
        data, tar_sha256=hashlib.sha256(tar).hexdigest(), sha256=hashlib.sha256(data).hexdigest(), **options
    )


def test_an_overlay_gives_its_paths_and_as_often_as_wanted_its_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    big = os.urandom(2 << 20)
    reader = overlay(
        file(b"-rf", b"1"),
        file(b"big", big),
        link(b"latest", b"v2"),
        pax({b"path": b"non-utf8-\xff\n" + b"n" * 200}),
        file(b"x", b"2", mode=0o755),
    )
    assert reader.paths == (b"-rf", b"big", b"latest", b"non-utf8-\xff\n" + b"n" * 200)
    for _ in range(2):
        assert [(entry.path, entry.mode, entry.read()) for entry in reader] == [
            (b"-rf", FILE, b"1"),
            (b"big", FILE, big),
            (b"latest", SYMLINK, b"v2"),
            (b"non-utf8-\xff\n" + b"n" * 200, EXECUTABLE, b"2"),
        ]
    assert os.listdir(tmp_path) == []


def test_an_empty_overlay_has_nothing():
    assert overlay().paths == ()
    assert list(overlay()) == []


def test_an_overlay_with_other_bytes_is_refused():
    tar = archive(file(b"a", b"1"))
    data = gzipped(tar)
    right = hashlib.sha256(data).hexdigest()
    tar_right = hashlib.sha256(tar).hexdigest()
    for digests in (("0" * 64, right), (tar_right, "0" * 64), (right, tar_right), ("", ""), (tar_right.upper(), right)):
        with pytest.raises(DownloadDamaged, match="not the recorded one"):
            read_overlay(data, tar_sha256=digests[0], sha256=digests[1])
    for position in range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(DownloadDamaged):
            read_overlay(flipped, tar_sha256=tar_right, sha256=right)


def test_the_same_tar_packed_otherwise_is_the_same_overlay():
    tar = archive(file(b"a", b"1"))
    data = gzip.compress(tar, 9, mtime=12345)
    found = read_overlay(data, tar_sha256=hashlib.sha256(tar).hexdigest(), sha256=hashlib.sha256(data).hexdigest())
    assert found.paths == (b"a",)


@pytest.mark.parametrize(
    "members",
    [
        [file(b"../evil")],
        [file(b"/evil")],
        [file(b".git/config")],
        [header(b"a", kind=b"1", link=b"b")],
        [header(b"a", kind=b"3")],
        [directory(b"d/")],
        [link(b".gitmodules", b"x")],
    ],
)
def test_an_overlay_that_tries_something_is_refused_whatever_its_digests(members: list[bytes]):
    with pytest.raises(UnsafeTree):
        overlay(*members)


def test_an_overlay_that_unpacks_without_measure_is_refused():
    data = zeros_gzipped(END, 64 << 20)
    with pytest.raises(UnsafeTree, match="more than"):
        read_overlay(data, tar_sha256="0" * 64, sha256=hashlib.sha256(data).hexdigest(), limits=Limits(bytes=1 << 20))
    with pytest.raises(UnsafeTree, match="more than 1 entries"):
        overlay(file(b"a"), file(b"b"), limits=Limits(entries=1))
