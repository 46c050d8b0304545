"""Read the user's index without starting git, and write a small one of our own.

Format: https://git-scm.com/docs/gitformat-index.
"""

from __future__ import annotations

from git_coderepo.git.objects import GITLINK, SYMLINK, hasher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from git_coderepo.git.subtree import Row

_ASSUME_VALID = 0x80  # in the first byte of an entry's flags
_EXTENDED = 0x40
_STAGE = 0x30
_SKIP_WORKTREE = 0x40  # in the first byte of its extended flags
_STAT = 40  # bytes of an entry before its id: the file's lstat(2) and the mode
_MODE = slice(24, 28)
_HEADER = 12
# Endings of the names of files that are read themselves: attributes, and the files of DVC.
_READ_NAMES = (b".gitattributes\0", b".dvc\0", b"dvc.lock\0")
# If there are more, git lists them faster.
_FEW = 64
_FEW_LINKS = 512


class IndexFile:
    """The bytes of the user's index; for `has_marks` see `may_have_marks`."""

    __slots__ = ("_data", "_end", "_id_length", "has_marks")

    def __init__(self, data: bytes, id_length: int) -> None:
        self._data = data
        self._id_length = id_length
        self._end = _end_of_entries(data, id_length)
        self.has_marks = self._end is None

    def rows_of(self, tree: bytes) -> bytes | None:
        """Return the rows of `ls-tree -r -z` for attributes files, symbolic links and DVC files in a tree (raw id).

        A few other rows may be among them. Returns None if git is needed: the index is not that of this tree, has a
        submodule, or has many such files.
        """
        data, end = self._data, self._end
        if end is None or data[7] == 4 or self._tree(end) != tree:
            return None  # version 4 shortens names
        if _may_have_gitlinks(data, end):
            return None
        rows: dict[bytes, bytes] = {}
        for name in _READ_NAMES:
            for at in _offsets(data, name, end):
                row = self._row_that_ends(at + len(name) - 1)
                if row is None or len(rows) == _FEW:
                    return None
                rows[_path_of(row)] = row
        for number, at in enumerate(_with_mode(data, SYMLINK, end)):
            row = self._row_of(at - _MODE.start)
            if row is None or number == _FEW_LINKS:
                return None
            rows[_path_of(row)] = row
        return b"".join([rows[path] for path in sorted(rows)])

    def _tree(self, at: int) -> bytes | None:
        """Return the raw id of the entries' tree, from the extension `TREE` at `at`; None if it is not valid."""
        data = self._data
        while at + 8 <= len(data) - self._id_length:
            name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
            at += 8
            if name == b"TREE":
                # NUL, the count of entries (-1: it is not valid), SP, the count of subtrees, LF, the id.
                count, _, rest = data[at + 1 : at + size].partition(b" ")
                id = rest.partition(b"\n")[2][: self._id_length]
                return id if data[at] == 0 and count.isdigit() and len(id) == self._id_length else None
            at += size
        return None

    def _row_that_ends(self, end: int) -> bytes | None:
        """Return the row of the entry whose name ends at `end`; None if its beginning is ambiguous."""
        data, to_name = self._data, _STAT + self._id_length + 2
        candidates = []
        for start in range(data.rfind(b"\0", 0, end) + 1, end):
            entry = start - to_name
            length = (data[start - 2] & 0x0F) << 8 | data[start - 1]
            if length == end - start and entry >= _HEADER and (entry - _HEADER) % 8 == 0:
                candidates.append((entry, start))
        if len(candidates) != 1:
            return None
        ((entry, start),) = candidates
        return self._row(entry, start, end)

    def _row_of(self, entry: int) -> bytes | None:
        """Return the row of the entry at this offset; None if no entry can begin there."""
        data, start = self._data, entry + _STAT + self._id_length + 2
        end = data.find(b"\0", start)
        length = (data[start - 2] & 0x0F) << 8 | data[start - 1]
        return self._row(entry, start, end) if 0 < length == min(end - start, 0xFFF) else None

    def _row(self, entry: int, start: int, end: int) -> bytes:
        data = self._data
        mode = int.from_bytes(data[entry : entry + _STAT][_MODE], "big")
        id = data[entry + _STAT : start - 2]
        return b"%06o blob %s\t%s\0" % (mode, id.hex().encode(), data[start:end])


def _path_of(row: bytes) -> bytes:
    return row[row.index(b"\t") + 1 : -1]


def may_have_marks(data: bytes, id_length: int) -> bool:
    """Return whether the index has entries with assume-unchanged or skip-worktree.

    Also returns True if git is needed to find out (a split index).
    """
    return _end_of_entries(data, id_length) is None


def small_index(entries: Mapping[bytes, bytes], object_format: str) -> bytes:
    """Return the bytes of an index with these entries, by raw path; see `entry_of` and `entries_of`."""
    pieces = [b"DIRC\0\0\0\2%b" % len(entries).to_bytes(4, "big")]
    for path in sorted(entries):
        flags = min(len(path), 0xFFF).to_bytes(2, "big")
        length = len(entries[path]) + 2 + len(path)
        pieces += [entries[path], flags, path, bytes(8 - length % 8)]
    index = b"".join(pieces)
    digest = hasher(object_format)
    digest.update(index)
    return index + digest.digest()


def entry_of(mode: int, id: bytes) -> bytes:
    """Return an entry of `small_index` without lstat data, so that git reads the file; `id` is raw."""
    return bytes(24) + mode.to_bytes(4, "big") + bytes(_STAT - 28) + id


def row_of(entry: bytes) -> Row:
    """Return the mode and the raw id of an entry."""
    return int.from_bytes(entry[_MODE], "big"), entry[_STAT:]


def entries_of(data: bytes, id_length: int) -> dict[bytes, bytes] | None:
    """Return the entries of an index by raw path; None if it has another format, extended flags or conflicts."""
    count, at, to_flags = int.from_bytes(data[8:12], "big"), _HEADER, _STAT + id_length
    if data[:8] != b"DIRC\0\0\0\2":
        return None
    entries = {}
    for _ in range(count):
        name = at + to_flags + 2
        if data[name - 2] & (_STAGE | _EXTENDED):
            return None
        end = data.index(0, name)
        entries[data[name:end]] = data[at : name - 2]
        at += (end - at + 8) & ~7
    return entries


def _may_have_gitlinks(data: bytes, end: int) -> bool:
    """Return whether there is the mode of a submodule at an offset where an entry may have its mode."""
    return next(_with_mode(data, GITLINK, end), None) is not None


def _with_mode(data: bytes, mode: int, end: int) -> Iterator[int]:
    """Yield the offsets of a mode with a single non-zero byte, where an entry may have its mode.

    Searching for that byte is twice as fast as for all four, unless names contain many of them.
    """
    pattern, offset = mode.to_bytes(4, "big"), _HEADER + _MODE.start
    at, number = data.find(pattern[2:3], _HEADER, end), 0
    while at >= 0:
        if (at - 2 - offset) % 8 == 0 and data[at - 2 : at + 2] == pattern:
            yield at - 2
        if number > end >> 7:
            yield from (at for at in _offsets(data, pattern, end, at - 1) if (at - offset) % 8 == 0)
            return
        at, number = data.find(pattern[2:3], at + 1, end), number + 1


def _offsets(data: bytes, pattern: bytes, end: int, begin: int = _HEADER) -> Iterator[int]:
    at = data.find(pattern, begin, end)
    while at >= 0:
        yield at
        at = data.find(pattern, at + 1, end)


def _end_of_entries(data: bytes, id_length: int) -> int | None:
    """Return the offset after the entries of an index; None if an entry has a mark, or git is needed to read it."""
    version, count = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
    if data[:4] != b"DIRC" or version not in (2, 3, 4):
        return None
    walk = _end_of_compressed if version == 4 else _end_of_plain
    try:
        end = walk(data, count, _STAT + id_length)
    except (IndexError, ValueError):
        return None
    if end is None or end > len(data) - id_length or b"link" in data[end:-id_length]:
        return None
    return end


def _end_of_plain(data: bytes, count: int, to_flags: int) -> int | None:
    """Return the offset after the entries of an index of version 2 or 3; None at a mark.

    The length of an entry depends on its two bytes of flags. Looking it up in a table of flags is ten times faster than
    computing it each time.
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
                steps[flags[at]] = length // 2  # the length depends on the flags alone
            at += length // 2
    return at * 2 - to_flags


def _plain_length(data: bytes, flags: int, to_flags: int) -> int | None:
    """Return the length of the entry with its flags at `flags`; None if it has a mark."""
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
    """Return the offset after the entries of an index of version 4 (compressed names); None at a mark."""
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
