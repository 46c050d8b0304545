"""Compare many pairs of trees with one git process, and cut what is too long to look at.

Formats: https://git-scm.com/docs/git-diff-tree#Documentation/git-diff-tree.txt---stdin and, for patches,
https://git-scm.com/docs/diff-generate-patch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from git_coderepo.errors import CodeRepoError
from git_coderepo.git.process import Git

# Lines of one file, of all files of a comparison, and of all comparisons that are kept.
MOST_FILE_LINES = 500
MOST_LINES = 2_000
MOST_LINES_OF_ALL = 50_000
_MOST_FILES = 200
# Bytes of a line that a page shows.
MOST_WIDTH = 500

_PAIR = re.compile(rb"([0-9a-f]{40,64}) ([0-9a-f]{40,64})\n")
_ESCAPED = re.compile(rb'\\([0-3][0-7]{2}|[abtnvfr"\\])')
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}
_OPTIONS = (
    "--stdin", "-r", "-p", "-M", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/",
    "--submodule=short", "--ignore-submodules=none", "--unified=3",
)  # fmt: skip

# How a line after the first `@@` begins.
_CONTENT = (b" ", b"+", b"-", b"@", b"\\")

Pair = tuple[str, str]


class FilePatch(NamedTuple):
    """The changes of one file: raw `path`, the `old_path` of a renamed one, and a `change` such as `added`.

    `lines` are raw lines of the patch from the first `@@` on, without line ends; `omitted` is the number of further
    ones. `notes` are the lines before, such as a change of the mode, for people.
    """

    path: bytes
    old_path: bytes | None
    change: str
    added: int
    removed: int
    lines: tuple[bytes, ...]
    omitted: int
    notes: tuple[str, ...]


class Patch(NamedTuple):
    """The differences between two trees; `omitted` is the number of changed files that are not in `files`."""

    files: tuple[FilePatch, ...]
    omitted: int

    @property
    def total(self) -> int:
        return len(self.files) + self.omitted


def compare(git: Git, pairs: Iterable[Pair]) -> dict[Pair, Patch | None]:
    """Return the patch from the first to the second of each pair of trees (hex); None if objects are not here.

    `git` must find the objects; no remote is asked. The first pairs get the lines, if there are too many.
    """
    found: dict[Pair, Patch | None] = dict.fromkeys(pairs)
    left, room = list(found), MOST_LINES_OF_ALL
    git = git.with_settings(("core.quotePath", "false"))
    while left:
        seen: list[Pair] = []
        try:
            with git.stream("diff-tree", *_OPTIONS, stdin="".join(f"{a} {b}\n" for a, b in left).encode()) as output:
                found.update(_read(output, seen, room))
            break
        except CodeRepoError:
            # git ends at the first object that is missing: nothing is known of that pair, and the others are asked for.
            broken = seen[-1] if seen else left[0]
            found[broken] = None
            left = left[left.index(broken) + 1 :]
            room -= sum(len(file.lines) for pair in seen for file in _files(found[pair]))
    return found


def _files(patch: Patch | None) -> tuple[FilePatch, ...]:
    return patch.files if patch is not None else ()


def _read(output: BinaryIO, seen: list[Pair], room: int) -> Iterator[tuple[Pair, Patch]]:
    """Yield the pairs of git's output; `seen` receives each when it begins. At most `room` lines are kept."""
    reader = _PatchReader(0)
    for line in output:
        if line[:1] in _CONTENT:
            reader.feed_content(line)
            continue
        match = _PAIR.fullmatch(line)
        if match is None:
            reader.feed_header(line)
            continue
        if seen:
            yield seen[-1], reader.patch()
            room -= reader.kept
        seen.append((match[1].decode(), match[2].decode()))
        reader = _PatchReader(min(room, MOST_LINES))
    if seen:
        yield seen[-1], reader.patch()


class _PatchReader:
    """Reads the patch of one pair, line by line, and keeps at most `room` lines."""

    def __init__(self, room: int) -> None:
        self.kept = 0
        self._room = room
        self._files: list[FilePatch] = []
        self._omitted = 0
        self._header: list[bytes] = []
        self._body: list[bytes] = []
        self._counts = dict.fromkeys(_CONTENT, 0)
        self._free = self._cut = 0

    def feed_header(self, line: bytes) -> None:
        if line.startswith(b"diff --git "):
            self._end_file()
            self._free = min(MOST_FILE_LINES, self._room)
        self._header.append(line.removesuffix(b"\n"))

    def feed_content(self, line: bytes) -> None:
        """Take a line from the first `@@` on. `---` and `+++`, which name the file again, come before it."""
        if not self._counts[b"@"] and line[:1] != b"@":
            return
        self._counts[line[:1]] += 1
        if self._free:
            self._free -= 1
            self._body.append(line.removesuffix(b"\n"))
        else:
            self._cut += 1

    def patch(self) -> Patch:
        self._end_file()
        return Patch(tuple(self._files), self._omitted)

    def _end_file(self) -> None:
        if not self._header:
            return
        if len(self._files) < _MOST_FILES:
            old, new, change, notes = _header(self._header)
            added, removed = self._counts[b"+"], self._counts[b"-"]
            self._files.append(FilePatch(new, old, change, added, removed, tuple(self._body), self._cut, notes))
            self.kept += len(self._body)
            self._room -= len(self._body)
        else:
            self._omitted += 1
        self._header, self._body, self._cut = [], [], 0
        self._counts = dict.fromkeys(_CONTENT, 0)


def _header(lines: list[bytes]) -> tuple[bytes | None, bytes, str, tuple[str, ...]]:
    """Return (old path of a renamed file, path, change, notes) from the lines before the first `@@`."""
    rest = lines[0].removeprefix(b"diff --git ")
    # Both names are the same unless the file was renamed, and that is said below.
    path = _unquoted(rest[(len(rest) + 1) // 2 :])[2:]
    old: bytes | None = None
    change, notes = "changed", []
    for line in lines[1:]:
        word, _, value = line.partition(b" ")
        if word in (b"rename", b"copy"):
            side, _, name = value.partition(b" ")
            change = "renamed" if word == b"rename" else "copied"
            old, path = (_unquoted(name), path) if side == b"from" else (old, _unquoted(name))
        elif line.startswith(b"new file mode "):
            change = "added"
            notes += _special(line[-6:])
        elif line.startswith(b"deleted file mode "):
            change = "deleted"
        elif line.startswith((b"old mode ", b"new mode ")):
            notes.append(line.decode())
        elif line.startswith(b"Binary files "):
            notes.append("binary contents")
    return old, path, change, tuple(notes)


def _special(mode: bytes) -> list[str]:
    names = {b"120000": "symbolic link", b"100755": "executable", b"160000": "submodule"}
    return [names[mode]] if mode in names else []


def _unquoted(name: bytes) -> bytes:
    """Return a name that git may have put in C quotes."""
    if not (len(name) > 1 and name.startswith(b'"') and name.endswith(b'"')):
        return name

    def char(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 8)]) if match[1].isdigit() else _ESCAPES.get(match[1], match[1])

    return _ESCAPED.sub(char, name[1:-1])
