"""What a server might read as `.` or `..` in a URL's path, however it is written."""

from __future__ import annotations

import pytest

from git_coderepo.git.url.parse import has_dot_segment
from git_coderepo.git.url.remote import below

SPELLINGS = [
    "/a/../b", "/a/./b", "..", "/a/%2e%2e", "/a/%2E%2e/", "/a/.%2e", "/a%2f..%2fb", "/a%5c..%5cb", "\\..\\",
    "/a/..;jsessionid=1/b", "/a/%252e%252e/b", "/a/..%00/b", "/a/..%20/b", "/a/.%09./b", "/a/%c0%ae%c0%ae/b",
    "/a/..%c0%afb", "/a/%EF%BC%8E%EF%BC%8E/b", "/a/\u2025/b", "/a/%" + "25" * 9 + "2e%" + "25" * 9 + "2e",
]  # fmt: skip
ORDINARY = [
    "", "/", "/acme/.github", "/a/...", "/a/..b", "/a/b..", "/a/v1.2.3", "/a/%2e%2eb", "/caf\xe9/x.git", "/a/100%",
    "/a/%zz", "/a//b", "/a/\udcff.bin",
]  # fmt: skip


@pytest.mark.parametrize("path", SPELLINGS)
def test_a_dot_segment_in_any_spelling_lies_below_no_prefix(path: str) -> None:
    assert has_dot_segment(path)
    assert not below("/a", path)
    assert below("/", path)


@pytest.mark.parametrize("path", ORDINARY)
def test_other_paths_have_none(path: str) -> None:
    assert not has_dot_segment(path)
