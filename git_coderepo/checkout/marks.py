"""Paths that the user told git not to look at: `assume-unchanged` and `skip-worktree` hide edits from `git status`.

Format of the index: https://git-scm.com/docs/gitformat-index.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.checkout.layout import Layout
    from git_coderepo.git import Git

_ASSUME_VALID = 0x80  # in the first byte of an entry's flags
_EXTENDED = 0x40
_SKIP_WORKTREE = 0x40  # in the first byte of its extended flags


def marked_paths(git: Git, layout: Layout) -> list[bytes]:
    """The paths marked assume-unchanged, and those marked skip-worktree that are on the disk all the same; raw.

    git is asked only where the index has such a mark, or is none that can be read here. Raises GitFailed.
    """
    try:
        with open(layout.index, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    if not may_have_marks(data, 20 if layout.object_format == "sha1" else 32):
        return []
    marked = []
    absent: set[bytes] = set()
    for row in git.at(layout.toplevel).run("ls-files", "-v", "-z").split(b"\0"):
        tag, path = row[:1], row[2:]
        if tag == b"S" or tag == b"s":
            if _is_there(layout.toplevel, path, absent):
                marked.append(path)
        elif tag.islower():
            marked.append(path)
    return marked


def _is_there(toplevel: bytes, path: bytes, absent: set[bytes]) -> bool:
    """Whether a path is on the disk; a sparse checkout lacks whole directories, each of which is looked for once."""
    folder = path.rpartition(b"/")[0]
    if folder in absent:
        return False
    if os.path.lexists(toplevel + b"/" + path):
        return True
    if not os.path.isdir(toplevel + b"/" + folder):
        absent.add(folder)
    return False


def may_have_marks(data: bytes, id_length: int) -> bool:
    """Whether an entry of the index `data` has a mark; True, too, for what only git can tell (a split index)."""
    version, count = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
    if data[:4] != b"DIRC" or version not in (2, 3, 4):
        return True
    walk = _end_of_compressed if version == 4 else _end_of_plain
    try:
        end = walk(data, count, 40 + id_length)
    except (IndexError, ValueError):
        return True
    return end is None or end > len(data) - id_length or b"link" in data[end:-id_length]


def _end_of_plain(data: bytes, count: int, to_flags: int) -> int | None:
    """Where the entries of an index of version 2 or 3 end; None at a mark.

    An entry is as long as its flags say, and begins at an even offset: one look-up of its two bytes of flags tells how
    far the next one is, which is ten times faster than to take them apart each time.
    """
    flags = memoryview(data)[: len(data) & ~1].cast("H")
    steps: dict[int, int] = {}
    at = (12 + to_flags) // 2
    entries = iter(range(count))
    while True:
        try:
            for _ in entries:
                at += steps[flags[at]]
            break
        except KeyError:
            length = _plain_length(data, at * 2, to_flags)
            if length is None:
                return None
            if not data[at * 2] & _EXTENDED and (data[at * 2] & 0x0F, data[at * 2 + 1]) != (0x0F, 0xFF):
                steps[flags[at]] = length // 2  # its flags alone say how long it is
            at += length // 2
    return at * 2 - to_flags


def _plain_length(data: bytes, flags: int, to_flags: int) -> int | None:
    """The length of the entry whose flags stand at `flags`; None for one with a mark."""
    first = data[flags]
    name = flags + 2
    if first & _ASSUME_VALID:
        return None
    if first & _EXTENDED:
        if data[name] & _SKIP_WORKTREE:
            return None
        name += 2
    length = (first & 0x0F) << 8 | data[flags + 1]
    end = name + length if length < 0xFFF else data.index(0, name)
    return (end - (flags - to_flags) + 8) & ~7


def _end_of_compressed(data: bytes, count: int, to_flags: int) -> int | None:
    """Where the entries of an index of version 4 end, whose names share their beginnings; None at a mark."""
    at = 12
    for _ in range(count):
        first = data[at + to_flags]
        name = at + to_flags + 2
        if first & (_ASSUME_VALID | _EXTENDED):
            if first & _ASSUME_VALID or data[name] & _SKIP_WORKTREE:
                return None
            name += 2
        while data[name] & 0x80:
            name += 1
        at = data.index(0, name + 1) + 1
    return at
