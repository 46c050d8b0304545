"""Git's index as a file: what can be told of the user's without asking git, and a small one of our own.

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
_STAT = 40  # bytes of what lstat(2) told, and the mode, before an entry's id
_MODE = slice(24, 28)
_HEADER = 12
# How the names of files end that say what becomes of others: attributes, and what DVC keeps outside Git.
_TELLING_NAMES = (b".gitattributes\0", b".dvc\0", b"dvc.lock\0")
# More of them are better listed by git.
_FEW = 64
_FEW_LINKS = 512


class IndexFile:
    """What the bytes of the user's index tell; `has_marks` as `may_have_marks` says."""

    __slots__ = ("_data", "_end", "_id_length", "has_marks")

    def __init__(self, data: bytes, id_length: int) -> None:
        self._data = data
        self._id_length = id_length
        self._end = _end_of_entries(data, id_length)
        self.has_marks = self._end is None

    def rows_of(self, tree: bytes) -> bytes | None:
        """Return the rows of `ls-tree -r -z` for attributes files, symbolic links and DVC files in a tree (raw id).

        A few other rows may be among them. None where only git can tell: the index does not hold this tree, or it has
        a submodule, or there are many of them.
        """
        data, end = self._data, self._end
        if end is None or data[7] == 4 or self._tree(end) != tree:
            return None  # version 4 shortens names
        if _may_have_gitlinks(data, end):
            return None
        rows: dict[bytes, bytes] = {}
        for name in _TELLING_NAMES:
            for at in _found(data, name, end):
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
        """The raw id of the tree that the entries make, as the extension `TREE` says where nothing is staged."""
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
        """The row of the entry whose name ends at `end`: the one place before it that fits; None where several do."""
        data, to_name = self._data, _STAT + self._id_length + 2
        fitting = []
        for start in range(data.rfind(b"\0", 0, end) + 1, end):
            entry = start - to_name
            length = (data[start - 2] & 0x0F) << 8 | data[start - 1]
            if length == end - start and entry >= _HEADER and (entry - _HEADER) % 8 == 0:
                fitting.append((entry, start))
        if len(fitting) != 1:
            return None
        ((entry, start),) = fitting
        return self._row(entry, start, end)

    def _row_of(self, entry: int) -> bytes | None:
        """Return the row of the entry at this offset; None where no entry can begin there."""
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
    """Whether an entry of the index `data` is marked as one that git is not to look at.

    True, too, for what only git can tell (a split index).
    """
    return _end_of_entries(data, id_length) is None


def small_index(entries: Mapping[bytes, bytes], object_format: str) -> bytes:
    """The bytes of an index that holds these: by raw path, see `entry_of` and `entries_of`."""
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
    """An entry of `small_index`, of a file that git has not looked at yet: it will."""
    return bytes(24) + mode.to_bytes(4, "big") + bytes(_STAT - 28) + id


def row_of(entry: bytes) -> Row:
    """The mode and the raw id of an entry."""
    return int.from_bytes(entry[_MODE], "big"), entry[_STAT:]


def entries_of(data: bytes, id_length: int) -> dict[bytes, bytes] | None:
    """The entries of an index that was small, by their raw paths; None for one in another format, or with conflicts."""
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
    """Return whether the mode of a submodule stands where that of an entry may."""
    return next(_with_mode(data, GITLINK, end), None) is not None


def _with_mode(data: bytes, mode: int, end: int) -> Iterator[int]:
    """Yield where a mode stands that has one byte other than NUL, at offsets where an entry may have its mode.

    That byte is found twice as fast as all four, where names do not consist of such bytes.
    """
    wanted, offset = mode.to_bytes(4, "big"), _HEADER + _MODE.start
    at, number = data.find(wanted[2:3], _HEADER, end), 0
    while at >= 0:
        if (at - 2 - offset) % 8 == 0 and data[at - 2 : at + 2] == wanted:
            yield at - 2
        if number > end >> 7:
            yield from (at for at in _found(data, wanted, end, at - 1) if (at - offset) % 8 == 0)
            return
        at, number = data.find(wanted[2:3], at + 1, end), number + 1


def _found(data: bytes, wanted: bytes, end: int, begin: int = _HEADER) -> Iterator[int]:
    at = data.find(wanted, begin, end)
    while at >= 0:
        yield at
        at = data.find(wanted, at + 1, end)


def _end_of_entries(data: bytes, id_length: int) -> int | None:
    """Where the entries of an index end; None where one of them has a mark, and for what only git can read."""
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
