"""The walk through the index that looks for marks, beside what git itself lists."""

from __future__ import annotations

import os

import pytest

from git_coderepo.git.index import may_have_marks
from tests.support.repo import Repo

# An entry's length is in its flags up to 4,094 bytes of name; the last of these is the first that git has to count.
LONG = [b"/".join([b"d" * 200] * 20) + b"/" + b"f" * (length - 4020) for length in (4093, 4094, 4095, 4096, 4100)]


@pytest.mark.parametrize("version", ["2", "4"])
@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_every_entry_is_walked_over_and_a_mark_on_any_is_found(
    repo: Repo, env: dict[str, str], version: str, object_format: str
) -> None:
    other = Repo.init(repo.path.parent / object_format, env, object_format=object_format)
    blob = other.git("hash-object", "-w", "--stdin", input=b"x").strip()
    names = [b"a" * length for length in range(1, 40)] + LONG + [b"-dash", b"sp ace", b"new\nline", b"\xff\xfe", b"z"]
    rows = b"".join(b"100644 %s\t%s\0" % (blob, name) for name in names)
    other.git("update-index", "-z", "--index-info", input=rows)
    other.git("update-index", "--index-version", version)
    index, length = other.git_dir() / "index", 20 if object_format == "sha1" else 32
    assert other.git("ls-files", "-z").count(b"\0") == len(names)
    assert not may_have_marks(index.read_bytes(), length)

    other.write("later", "x")
    other.git("add", "--intent-to-add", "later")  # an extended entry, without a mark
    assert not may_have_marks(index.read_bytes(), length)

    for name in (b"a", b"a" * 39, LONG[2], b"later", b"z"):
        other.git("update-index", "-z", "--assume-unchanged", "--stdin", input=name)
        assert may_have_marks(index.read_bytes(), length), os.fsdecode(name[:40])
        other.git("update-index", "-z", "--no-assume-unchanged", "--stdin", input=name)
        other.git("update-index", "-z", "--skip-worktree", "--stdin", input=name)
        assert may_have_marks(index.read_bytes(), length), os.fsdecode(name[:40])
        other.git("update-index", "-z", "--no-skip-worktree", "--stdin", input=name)
        assert not may_have_marks(index.read_bytes(), length)
