"""The last private index, kept as the seed of the next one: what it hashed need not be hashed again.

Its entries are used only where git would make the same of the files again: the user's index is the same one, and so are
the attributes, filters and settings that decide what git stores. A path that changed since has the user's entry, as
what git makes of a file may hang on it. On any doubt a fresh one serves.

One file: a line of numbers, what must be so again, the rows of the paths, and the index as git wrote it.
"""

from __future__ import annotations

import os
import stat
import time

from git_coderepo.checkout.indexfile import entries_of
from git_coderepo.objects import ID_LENGTHS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from git_coderepo.checkout.layout import Layout
    from git_coderepo.checkout.status import Change
    from git_coderepo.checkout.store import Store
    from git_coderepo.settings import Settings

_TICK = 20_000_000
_MAGIC = b"git-coderepo seed 2"
# So many bytes of attributes are compared; who has more does without a seed.
_ATTRIBUTES = 256 << 10


class Found:
    """The paths to be taken as they lie on the disk: `facts` has what lstat(2) says of each, None where it is gone."""

    __slots__ = ("_rows", "changes", "facts", "looked")

    def __init__(self, layout: Layout, changes: Sequence[Change]) -> None:
        self.changes = changes
        self.looked = time.monotonic_ns()
        self._rows: dict[bytes, bytes] = {}
        self.facts: dict[bytes, os.stat_result | None] = {}
        for change in changes:
            self.facts[change.path] = _look(layout.toplevel + b"/" + change.path)

    def rows(self) -> dict[bytes, bytes]:
        """Each path with the way in which it is dirty, and all that tells whether it is the same file."""
        if not self._rows:
            self._rows = {change.path: _row(change, self.facts[change.path]) for change in self.changes}
        return self._rows


class Seed:
    """A private index of before: `data`, written at `modified`, of the paths `rows` (see `Found.rows`).

    `conditions` are those of its time, see `conditions`. Files that are younger than `settled` may have changed without
    a sign (racy-git(7) in Git's documentation). Times are of the file system, in nanoseconds.
    """

    __slots__ = ("conditions", "data", "modified", "rows", "settled")

    def __init__(
        self, data: memoryview, modified: int, settled: int, rows: dict[bytes, bytes], conditions: bytes
    ) -> None:
        self.data = data
        self.modified = modified
        self.settled = settled
        self.rows = rows
        self.conditions = conditions

    def paths(self) -> list[bytes]:
        """The paths that were on the disk."""
        return [path for path, row in self.rows.items() if len(row) > 2]

    def entries(self, found: Found, id_length: int) -> dict[bytes, bytes]:
        """The entries of the paths that are the same files still, see `indexfile`."""
        entries = entries_of(bytes(self.data), id_length) or {}
        now = found.rows()
        same = {}
        for path, row in self.rows.items():
            facts = found.facts.get(path)
            if facts is not None and path in entries and now[path] == row and self._is_settled(facts.st_mtime_ns):
                same[path] = entries[path]
        return same

    def _is_settled(self, modified: int) -> bool:
        # A file system that keeps whole seconds, or every other one, says so with each of its times.
        return modified < self.settled - (0 if modified % 1_000_000_000 else 2_000_000_000)


class Memory:
    """The seed of the last private index for the paths that are `found` now, and the place of the next one.

    `entries` are those of the files that are the same still, see `indexfile`; with them the index counts as written at
    `modified`. Where it cannot be told what git would make of the files there are none, and none are kept.
    """

    __slots__ = ("_before", "_found", "_layout", "_path", "_paths", "_rows", "_settings", "entries", "modified")

    def __init__(self, layout: Layout, store: Store, settings: Settings, found: Found) -> None:
        self._layout = layout
        self._settings = settings
        self._found = found
        self._path = seed_path(layout, store)
        self._paths = [path for path, facts in found.facts.items() if facts is not None]
        self._before = conditions(layout, settings, self._paths)
        seed = read_seed(self._path)
        self._rows = seed.rows if seed is not None else {}
        self.modified = 0
        self.entries: dict[bytes, bytes] = {}
        if seed is not None and self._before is not None and self._is_as_before(seed):
            self.modified = seed.modified
            self.entries = seed.entries(found, ID_LENGTHS[layout.object_format])

    def _is_as_before(self, seed: Seed) -> bool:
        same_paths = seed.rows.keys() == self._found.facts.keys() and set(seed.paths()) == set(self._paths)
        now = self._before if same_paths else conditions(self._layout, self._settings, seed.paths())
        return now == seed.conditions

    def keep(self, index: bytes) -> None:
        """Keep the private index at this path, where nothing that counts changed while it was made; raises OSError."""
        if self._before is None or (len(self.entries) == len(self._paths) and self._found.rows() == self._rows):
            return
        if self._before == conditions(self._layout, self._settings, self._paths):
            write_seed(self._path, self._before, self._found, index)


def seed_path(layout: Layout, store: Store) -> bytes:
    """Where a worktree's seed lies: among what is ours, so that `prune` finds that of a worktree which is gone."""
    linked = layout.git_dir != layout.common_dir
    return store.directory + (b"/seed." + os.path.basename(layout.git_dir) if linked else b"/seed")


def is_possible(layout: Layout, found: Found) -> bool:
    """Whether a seed may serve these paths, or be made of them."""
    return layout.index == layout.git_dir + b"/index" and not any(
        change.submodule or change.marked for change in found.changes
    )


def conditions(layout: Layout, settings: Settings, paths: Iterable[bytes]) -> bytes | None:
    """All that decides what git stores of these paths, beside the files themselves; None where that cannot be told."""
    identity, attributes = _identity(layout), _attributes(layout, settings, paths)
    # What another program makes of a file today nobody knows without asking it.
    if identity is None or attributes is None or any(map(_names_a_filter, attributes)):
        return None
    environment = settings.environment
    words = [f"{name}={environment.get(name)}" for name in ("GIT_ATTR_SOURCE", "GIT_ATTR_NOSYSTEM")]
    words += [
        f"{entry.section}.{entry.subsection}.{entry.name}={entry.value}"
        for entry in settings.entries
        if entry.section in ("attr", "core", "extensions", "filter", "index")
    ]
    parts = [identity, layout.toplevel, *(os.fsencode(word) for word in words), *attributes]
    return b"".join(b"%d:%s" % (len(part), part) for part in parts)


def read_seed(path: bytes) -> Seed | None:
    """The seed at `path`; None where there is none, or a damaged one."""
    import zlib

    try:
        with open(path, "rb") as file:
            line = file.readline(200).split(b" ")
            if b" ".join(line[:3]) != _MAGIC or len(line) != 9:
                return None
            same, rows_size, data_size, modified, settled, checksum = map(int, line[3:])
            rest = file.read()
    except (FileNotFoundError, ValueError):
        return None
    view = memoryview(rest)
    if len(view) != same + rows_size + data_size or zlib.crc32(view) != checksum:
        return None  # cut off by a machine that went down
    fields = rest[same : same + rows_size].split(b"\0")
    rows = dict(zip(fields[1::2], fields[0::2], strict=False))
    return Seed(view[same + rows_size :], modified, settled, rows, rest[:same])


def write_seed(path: bytes, wanted: bytes, found: Found, index: bytes) -> None:
    """Keep the private index at the path `index`, made of `found`; the last one to write wins. Raises OSError.

    Not synced: one that a crash damages is told by its checksum.
    """
    import zlib

    with open(index, "rb") as file:
        data = file.read()
        modified = os.fstat(file.fileno()).st_mtime_ns
    listed = b"".join(b"%s\0%s\0" % (row, path) for path, row in found.rows().items())
    # From the first look at the files on they may have changed; the clock of files stands still for up to 10 ms.
    settled = modified - (time.monotonic_ns() - found.looked) - _TICK
    checksum = zlib.crc32(data, zlib.crc32(listed, zlib.crc32(wanted)))
    numbers = (len(wanted), len(listed), len(data), modified, settled, checksum)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = b"%s.%d.%s.tmp" % (path, os.getpid(), os.urandom(4).hex().encode())
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(_MAGIC + b" %d %d %d %d %d %d\n" % numbers)
            file.write(wanted)
            file.write(listed)
            file.write(data)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _look(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _row(change: Change, facts: os.stat_result | None) -> bytes:
    letters = (change.index + change.worktree).encode()
    if facts is None:
        return letters
    return b"%s %o %d %d %d %d %d" % (
        letters, facts.st_mode, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_dev,
    )  # fmt: skip


def _identity(layout: Layout) -> bytes | None:
    """Which index the user's is: its checksum; where it is written without (index.skipHash), all that lstat tells."""
    length = 20 if layout.object_format == "sha1" else 32
    try:
        descriptor = os.open(layout.index, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        facts = os.fstat(descriptor)
        trailer = os.pread(descriptor, length, max(facts.st_size - length, 0))
    finally:
        os.close(descriptor)
    if len(trailer) != length:
        return None
    if any(trailer):
        return b"%d %s" % (facts.st_size, trailer.hex().encode())
    return b"%d %d %d %d" % (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


def _attributes(layout: Layout, settings: Settings, paths: Iterable[bytes]) -> list[bytes] | None:
    """Every attributes file that counts for these paths: its path, and its contents after it; None: unknown.

    https://git-scm.com/docs/gitattributes#_description. Where a folder has no file git reads the index's, which is the
    same one.
    """
    folders = {b""}
    for path in paths:
        folder = path.rpartition(b"/")[0]
        while folder not in folders:
            folders.add(folder)
            folder = folder.rpartition(b"/")[0]
    home, named = settings.environment.get("HOME", ""), settings.value("core", "attributesFile")
    if named is None:
        of_the_user = (settings.environment.get("XDG_CONFIG_HOME") or home + "/.config") + "/git/attributes"
    elif named.startswith(("/", "~/")):
        of_the_user = home + named[1:] if named.startswith("~") else named
    else:
        return None
    files = [(os.fsencode(of_the_user), 0), (b"/etc/gitattributes", 0), (layout.common_dir + b"/info/attributes", 0)]
    # git follows no link from a file of the work tree.
    tree = layout.toplevel + b"/"
    files += [(tree + (folder and folder + b"/") + b".gitattributes", os.O_NOFOLLOW) for folder in sorted(folders)]
    found = []
    left = _ATTRIBUTES
    for file, flags in files:
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
        with open(descriptor, "rb") as opened:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > left:
                return None
            contents = opened.read()
        left -= len(contents)
        found += [file, contents]
    return found


def _names_a_filter(attributes: bytes) -> bool:
    return b"filter" in attributes and any(word.startswith(b"filter=") for word in attributes.split())
