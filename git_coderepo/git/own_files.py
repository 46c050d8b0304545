"""Recognize files that this program wrote into a checkout: manifests, overlays, receipts, fetched directories.

Each output has a note, a file in `written` in the record of runs (`Layout.own`), so that writers need no lock. A note
has the path of the output and, for each of its files, the size, the sha256 and the times. An untracked path is an
output only if it matches a note: an edited copy is code, and so is a fetched directory with any change. A moved file is
recognized by its contents, a moved directory by its inode as well.

The name of a note is `SIZE-SHA256-PLACE`: size and sha256 of the largest file, and the CRC-32 of the path. A snapshot
reads one directory, and only those notes whose place or size occurs among the untracked paths.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from git_coderepo.errors import GitNotFound
from git_coderepo.filesystem.atomic import final_name, write_whole
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.filesystem.file_times import is_settled
from git_coderepo.git.process import Git
from git_coderepo.git.repository import RECORD_DIRECTORY, own_elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from git_coderepo.git.repository import Layout

_VERSION = b"2"
# From this many notes on, those of removed outputs are searched for.
_MANY = 256
# A younger note (ns) may be written before its output.
_YOUNG = 60_000_000_000


class Row:
    """A file of an output: its `path` below that of the output (b"" if the output is a file), and its noted state.

    `kind` is `l` for a symbolic link, `x` for an executable file, `f` for another file. `facts` are mtime and ctime
    (ns) and the inode number. They are zeros unless the file was settled when it was hashed (see
    `filesystem.file_times`): otherwise its times need not show a later write.
    """

    __slots__ = ("digest", "facts", "kind", "path", "size")

    def __init__(self, path: bytes, kind: bytes, size: int, digest: bytes, facts: tuple[int, int, int]) -> None:
        self.path = path
        self.kind = kind
        self.size = size
        self.digest = digest
        self.facts = facts


class Note:
    """An output: its `path` below `root`, a work tree, and the `rows` of its files, the largest first.

    `written` is when the note was written, in nanoseconds since 1970; `inode` is the inode number of a directory, 0 for
    a file.
    """

    __slots__ = ("inode", "path", "root", "rows", "written")

    def __init__(self, root: bytes, path: bytes, inode: int, rows: list[Row], written: int) -> None:
        self.root = root
        self.path = path
        self.inode = inode
        self.rows = rows
        self.written = written

    @property
    def name(self) -> bytes:
        first = self.rows[0]
        return b"%d-%s-%08x" % (first.size, first.digest, _place(self.path))

    def encode(self) -> bytes:
        lines = [b"%s %d %s %d %d %d %s" % (row.kind, row.size, row.digest, *row.facts, row.path) for row in self.rows]
        return b"\0".join((_VERSION, b"%d" % self.written, self.root, self.path, b"%d" % self.inode, *lines))

    @classmethod
    def parse(cls, data: bytes) -> Note | None:
        """Parse a note; return None if it is damaged or of another version."""
        parts = data.split(b"\0")
        if len(parts) < 6 or parts[0] != _VERSION:
            return None
        try:
            rows = []
            for line in parts[5:]:
                kind, size, digest, modified, changed, inode, path = line.split(b" ", 6)
                rows.append(Row(path, kind, int(size), digest, (int(modified), int(changed), int(inode))))
            return cls(parts[2], parts[3], int(parts[4]), rows, int(parts[1]))
        except ValueError:
            return None


class Notes:
    """The notes of a repository with its record in `own`; `root` is the work tree."""

    __slots__ = ("_folder", "root")

    def __init__(self, root: bytes, own: bytes) -> None:
        self.root = root
        self._folder = own + b"/written"

    @property
    def is_writable(self) -> bool:
        """Return whether a note can be written."""
        folder = self._folder
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        return os.access(folder, os.W_OK | os.X_OK)

    def names(self) -> list[bytes]:
        """Return the names of all notes."""
        try:
            return [name for name in os.listdir(self._folder) if _is_name(name)]
        except FileNotFoundError:
            return []

    def load(self, name: bytes) -> Note | None:
        """Read a note; return None if it is missing, damaged, or not a regular file."""
        try:
            file = os.open(self._folder + b"/" + name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return None
            raise
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            return None
        with open(file, "rb") as opened:
            return Note.parse(opened.read())

    def write(self, note: Note) -> None:
        """Write a note, before its output is visible. Raises OSError."""
        os.makedirs(self._folder, exist_ok=True)
        write_whole(self._folder + b"/" + note.name, note.encode())

    def forget(self, names: Iterable[bytes]) -> None:
        """Remove notes. Raises OSError."""
        for name in names:
            try:
                os.unlink(self._folder + b"/" + name)
            except (FileNotFoundError, IsADirectoryError):
                pass

    def add(self, path: bytes, rows: list[Row], inode: int = 0) -> None:
        """Write the note of an output at an absolute path in the work tree. Raises OSError."""
        rows.sort(key=lambda row: -row.size)
        note = Note(self.root, path[len(self.root.rstrip(b"/")) + 1 :], inode, rows, time.time_ns())
        # In one of 32 calls, so that the average cost stays small with many outputs.
        if int(note.rows[0].digest[:2], 16) % 32 == 0:
            names = self.names()
            if len(names) > _MANY:
                self.sweep(names, note.written - _YOUNG)
        self.write(note)

    def sweep(self, names: Sequence[bytes], before: int) -> None:
        """Remove the notes from before a time (ns since 1970) whose output was removed or replaced."""
        for name in names:
            note = self.load(name)
            if note is None:
                self.forget([name])
                continue
            if note.written >= before:
                continue  # its output may be about to appear
            first = note.rows[0]
            place = os.path.join(note.root, note.path)
            try:
                size = os.lstat(place + b"/" + first.path if first.path else place).st_size
            except (FileNotFoundError, NotADirectoryError):
                size = -1
            if size != first.size:
                self.forget([name])


def notes_for(path: bytes, layout: Layout | None = None) -> Notes | None:
    """Return the notes of the checkout that contains an absolute path without links; None if there is none.

    `layout` is that of a known checkout; other checkouts are found with git.
    """
    folder = os.path.dirname(path)
    while True:
        if layout is not None and folder == layout.toplevel:
            return Notes(layout.toplevel, layout.own)
        if os.path.lexists(os.path.join(folder, b".git")):
            return _notes_by_git(folder, path)
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _notes_by_git(folder: bytes, path: bytes) -> Notes | None:
    """Return the notes of the checkout in a folder; None if git finds none, or does not trust it."""
    git = Git().foreign(folder)
    try:
        processes = [
            git.start("rev-parse", "--path-format=absolute", word).finish()
            for word in ("--show-toplevel", "--git-common-dir")
        ]
    except GitNotFound:
        return None  # without git no snapshot can be taken
    if any(each.status != 0 for each in processes):
        return None
    root, common_dir = (each.stdout.removesuffix(b"\n") for each in processes)
    elsewhere = git.environment.get(RECORD_DIRECTORY)
    own = own_elsewhere(os.fsencode(elsewhere), common_dir) if elsewhere else common_dir + b"/coderepo"
    return Notes(root, own) if path.startswith(root.rstrip(b"/") + b"/") else None


def note_file(path: bytes, contents: bytes, layout: Layout | None = None) -> bool:
    """Write the note of a file that is about to be written at a path without links; return whether it was written.

    Raises OSError.
    """
    notes = notes_for(path, layout)
    if notes is None:
        return True
    if not notes.is_writable:
        return False
    from hashlib import sha256

    digest = sha256(contents).hexdigest().encode()
    notes.add(path, [Row(b"", b"f", len(contents), digest, (0, 0, 0))])
    return True


def note_directory(path: bytes, prepared: bytes) -> bool:
    """Write the note of a directory before `prepared` is renamed to `path`; return as `note_file`. Raises OSError."""
    notes = notes_for(path)
    if notes is None:
        return True
    if not notes.is_writable:
        return False
    rows = []
    known: dict[int, bool] = {}
    for folder, folders, names in os.walk(prepared):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in names + links:
            each = os.path.join(folder, name)
            facts = os.lstat(each)
            settled = _settled(each, facts, known)
            rows.append(Row(each[len(prepared) + 1 :], _kind(facts), facts.st_size, _digest(each, facts), settled))
    if rows:
        notes.add(path, rows, os.lstat(prepared).st_ino)
    return True


class OwnFiles:
    """Untracked paths that are our own outputs: `outputs` are files or directories, `paths` all paths in them.

    `edited` are outputs that have been changed since. All are raw, from the root.
    """

    __slots__ = ("edited", "outputs", "paths")

    def __init__(self) -> None:
        self.paths: set[bytes] = set()
        self.outputs: list[bytes] = []
        self.edited: list[bytes] = []


def own_files(layout: Layout, untracked: Iterable[bytes], *, keep: bool = True) -> OwnFiles:
    """Find our outputs among untracked paths (raw, from the root), and unfinished ones.

    With `keep` the note of an edited output is removed, so that it is reported once, and the times of hashed files are
    noted again.
    """
    paths = {path for path in untracked if not path.endswith(b"/")}
    unfinished = {path: place for path in paths if (place := unfinished_part(path)) is not None}
    paths.difference_update(unfinished)
    notes = Notes(layout.toplevel, layout.own)
    names = notes.names() if paths else []
    own = _Search(notes, names, paths).result(keep=keep) if names else OwnFiles()
    own.paths.update(unfinished)
    own.outputs += sorted(set(unfinished.values()))
    return own


def unfinished_part(path: bytes) -> bytes | None:
    """Return the path of the unfinished fetch directory that contains `path`, or None.

    `fetching.target` calls them `.NAME.coderepo-PID-RANDOM` and `.coderepo-PID-RANDOM`.
    """
    if b".coderepo-" in path:
        parts = path.split(b"/")
        for count, part in enumerate(parts, 1):
            pid, _, random = part.rpartition(b".coderepo-")[2].partition(b"-")
            if part.startswith(b".") and b".coderepo-" in part and pid.isdigit() and _is_hex(random, 16):
                return b"/".join(parts[:count])
    return None


def _is_hex(text: bytes, length: int) -> bool:
    return len(text) == length and not text.strip(b"0123456789abcdef")


class _Search:
    def __init__(self, notes: Notes, names: Sequence[bytes], untracked: set[bytes]) -> None:
        self._notes = notes
        self._untracked = untracked
        self._top = notes.root.rstrip(b"/") + b"/"
        self._by_place: dict[int, list[bytes]] = {}
        self._by_size: dict[int, list[bytes]] = {}
        for name in names:
            size, _, place = name.split(b"-")
            self._by_size.setdefault(int(size), []).append(name)
            self._by_place.setdefault(int(place, 16), []).append(name)
        self._devices: dict[int, bool] = {}
        self._loaded: dict[bytes, Note | None] = {}
        self._hashed: dict[bytes, Note] = {}
        self._changed: dict[bytes, list[bytes]] = {}
        self._own = OwnFiles()

    def result(self, *, keep: bool) -> OwnFiles:
        own = self._own
        self._look_at_unfinished()
        self._look_at_places()
        self._look_at_sizes()
        for place, names in self._changed.items():
            if self._inside(place) - own.paths:
                own.edited.append(place)
                if keep:
                    try:
                        self._notes.forget(names)
                    except OSError:
                        pass  # on a read-only disk it is reported again
        if keep:
            self._refresh()
        return own

    def _look_at_unfinished(self) -> None:
        """Find temporary files of outputs: only for a noted output, because other programs may use such names."""
        from binascii import crc32

        for path in self._untracked:
            place = final_name(path)
            if place and any(self._at(name, place) is not None for name in self._by_place.get(crc32(place), ())):
                self._own.paths.add(path)
                self._own.outputs.append(path)

    def _look_at_places(self) -> None:
        """Find outputs in their noted places."""
        from binascii import crc32

        by_place = self._by_place
        seen: set[bytes] = set()
        for path in self._untracked:
            place = path
            while place and place not in seen:
                seen.add(place)
                names = by_place.get(crc32(place))
                if names is None:
                    place = place.rpartition(b"/")[0]
                    continue
                here = [(name, note) for name in names if (note := self._at(name, place)) is not None]
                # The last one written is the most likely.
                here.sort(key=lambda pair: -pair[1].written)
                if here and not any(self._take(name, note, place) for name, note in here):
                    self._changed[place] = [name for name, _ in here]
                place = place.rpartition(b"/")[0]

    def _look_at_sizes(self) -> None:
        """Find outputs that were moved, or in a checkout that was moved."""
        for path in sorted(self._untracked - self._own.paths):
            if path in self._own.paths:
                continue
            try:
                facts = os.lstat(self._top + path)
                names = self._by_size.get(facts.st_size)
                if names is None:
                    continue
                digest = _digest(self._top + path, facts)
            except OSError:
                continue
            for name in names:
                note = self._load(name) if digest in name else None
                if note is None:
                    continue
                below = note.rows[0].path
                if below and not path.endswith(b"/" + below):
                    continue
                place = path[: -len(below) - 1] if below else path
                if below and place != note.path and os.lstat(self._top + place).st_ino != note.inode:
                    continue
                if self._take(name, note, place):
                    break

    def _at(self, name: bytes, place: bytes) -> Note | None:
        note = self._load(name)
        return note if note is not None and (note.root, note.path) == (self._notes.root, place) else None

    def _load(self, name: bytes) -> Note | None:
        if name not in self._loaded:
            self._loaded[name] = self._notes.load(name)
        return self._loaded[name]

    def _inside(self, place: bytes) -> set[bytes]:
        """Return the untracked paths of an output at this place."""
        if place in self._untracked:
            return {place}
        return {path for path in self._untracked if path.startswith(place + b"/")}

    def _take(self, name: bytes, note: Note, place: bytes) -> bool:
        """Return whether the files at a place match a note; if so, they are our own."""
        inside = self._inside(place)
        if not inside <= {place + b"/" + row.path if row.path else place for row in note.rows}:
            return False
        hashed = False
        rows = []
        for row in note.rows:
            path = self._top + (place + b"/" + row.path if row.path else place)
            try:
                facts = os.lstat(path)
                if facts.st_size != row.size or not _is_of_kind(facts, row):
                    return False
                times = row.facts
                if times != _times(facts):
                    times = _settled(path, facts, self._devices)
                    if _digest(path, facts) != row.digest:
                        return False
                    hashed = hashed or times != row.facts
            except OSError:
                return False
            rows.append(Row(row.path, row.kind, row.size, row.digest, times))
        if hashed or (note.root, note.path) != (self._notes.root, place):
            self._hashed[name] = Note(self._notes.root, place, note.inode, rows, time.time_ns())
        self._own.paths |= inside
        self._own.outputs.append(place)
        return True

    def _refresh(self) -> None:
        """Note the times of unchanged files, so that the next snapshot need not hash them."""
        for name, note in self._hashed.items():
            before = self._loaded[name]
            try:
                self._notes.write(note)
                if note.name != name and before is not None and before.path not in self._own.outputs:
                    self._notes.forget([name])  # moved, not copied
            except OSError:
                return  # on a full or read-only disk they are hashed again


def _is_name(name: bytes) -> bool:
    """Return whether a name is that of a complete note."""
    parts = name.split(b"-")
    if len(parts) != 3 or not parts[0].isdigit():
        return False
    return [len(each) for each in parts[1:]] == [64, 8] and not b"".join(parts[1:]).strip(b"0123456789abcdef")


def _place(path: bytes) -> int:
    from binascii import crc32

    return crc32(path)


def _kind(facts: os.stat_result) -> bytes:
    if stat.S_ISLNK(facts.st_mode):
        return b"l"
    return b"x" if facts.st_mode & stat.S_IXUSR else b"f"


def _is_of_kind(facts: os.stat_result, row: Row) -> bool:
    if stat.S_ISLNK(facts.st_mode):
        return row.kind == b"l"
    # An output that is a file keeps its previous mode.
    return stat.S_ISREG(facts.st_mode) and (not row.path or _kind(facts) == row.kind)


def _settled(path: bytes, facts: os.stat_result, known: dict[int, bool]) -> tuple[int, int, int]:
    """Return `Row.facts` for a file that is hashed next."""
    return _times(facts) if is_settled(path, facts, time.time_ns(), known) else (0, 0, 0)


def _times(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino


def _digest(path: bytes, facts: os.stat_result) -> bytes:
    """Return the sha256 (hex) of a file's contents, or of a link's target. Raises OSError."""
    if stat.S_ISLNK(facts.st_mode):
        from hashlib import sha256

        return sha256(os.readlink(path)).hexdigest().encode()
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return sha256_of(file).encode()
