"""The last private index, kept as the seed of the next one: what it hashed need not be hashed again.

Its entries are used only where git would make the same of the files again: the user's index is the same one, and so are
the attributes, filters and settings that decide what git stores. A path that changed since has the user's entry, as
what git makes of a file may hang on it. On any doubt a fresh one serves.

One file: a line of numbers, what must be so again, and the index as git wrote it.
"""

from __future__ import annotations

import os
import stat
import time

from git_coderepo.checkout.indexfile import entries_of, is_of
from git_coderepo.checkout.scope import directories_above
from git_coderepo.objects import ID_LENGTHS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

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

    __slots__ = ("changes", "facts", "looked")

    def __init__(self, layout: Layout, changes: Sequence[Change]) -> None:
        self.changes = changes
        self.looked = time.monotonic_ns()
        self.facts: dict[bytes, os.stat_result | None] = {}
        top = layout.toplevel + b"/"
        for change in changes:
            self.facts[change.path] = _look(top + change.path)

    def sizes(self) -> list[tuple[bytes, int]]:
        """Each path with its size in bytes, 0 for what is gone, and for a submodule."""
        return [
            (path, 0 if facts is None or stat.S_ISDIR(facts.st_mode) else facts.st_size)
            for path, facts in self.facts.items()
        ]

    def gone_and_there(self) -> tuple[list[bytes], list[bytes]]:
        """The paths that are gone, and those that git is to look at; what is as the index has it is neither.

        Below a directory that became a link something else may stand under the name that is gone.
        """
        gone: list[bytes] = []
        there: list[bytes] = []
        for change in self.changes:
            if change.worktree != ".":
                is_there = change.worktree != "D" and self.facts[change.path] is not None
                (there if is_there else gone).append(change.path)
        return gone, there


class Memory:
    """What the last private index has of the paths that are `found` now, and the place of the next one.

    `entries` are those of the user's index, by raw path, see `indexfile`; where a file is the same still, the one that
    was made of it stands in their place, and what is gone has none. They `are_made` where there is nothing to hash. An
    index of them counts as written at `modified`.
    """

    __slots__ = ("_before", "_found", "_layout", "_names", "_path", "_settings", "are_made", "entries", "modified")

    def __init__(
        self, layout: Layout, store: Store, settings: Settings, found: Found, entries: Mapping[bytes, bytes]
    ) -> None:
        self._layout = layout
        self._settings = settings
        self._found = found
        self._path = seed_path(layout, store)
        gone, there = found.gone_and_there()
        left_out = frozenset(gone)
        self.entries = {path: entry for path, entry in entries.items() if path not in left_out}
        self.modified = 0
        self._names = self.entries.keys() | frozenset(there)
        self._before = conditions(layout, settings, self._names)
        reused: dict[bytes, bytes] = {}
        seed = read_seed(self._path) if self._before is not None else None
        if seed is not None:
            known = seed.entries(ID_LENGTHS[layout.object_format])
            if seed.conditions == self._conditions(known.keys()):
                self.modified = seed.modified
                facts = found.facts
                reused = {path: known[path] for path in there if path in known and seed.has(known[path], facts[path])}
        self.entries.update(reused)
        self.are_made = len(reused) == len(there)

    def _conditions(self, names: Set[bytes]) -> bytes | None:
        return self._before if names == self._names else conditions(self._layout, self._settings, names)

    def keep(self, index: bytes, entries: Mapping[bytes, bytes]) -> None:
        """Keep the private index at the path `index`, which has these entries now; raises OSError.

        Not where something that counts changed while it was made.
        """
        if self._before is None or entries.keys() != self._names:
            return
        if self._before == conditions(self._layout, self._settings, self._names):
            write_seed(self._path, self._before, self._found, index)


class Seed:
    """A private index of before: `data`, written at `modified`, under `conditions`, see there.

    Files that are younger than `settled` may have changed without a sign (racy-git(7) in Git's documentation). Times
    are of the file system, in nanoseconds.
    """

    __slots__ = ("conditions", "data", "modified", "settled")

    def __init__(self, data: memoryview, modified: int, settled: int, conditions: bytes) -> None:
        self.data = data
        self.modified = modified
        self.settled = settled
        self.conditions = conditions

    def entries(self, id_length: int) -> dict[bytes, bytes]:
        """Its entries, see `indexfile`."""
        return entries_of(bytes(self.data), id_length) or {}

    def has(self, entry: bytes, facts: os.stat_result | None) -> bool:
        """Whether one of its entries was made of this file, to which nothing was written since."""
        if facts is None or not is_of(entry, facts):
            return False
        # A file system that keeps whole seconds, or every other one, says so with each of its times.
        doubt = 0 if facts.st_mtime_ns % 1_000_000_000 else 2_000_000_000
        return facts.st_mtime_ns < self.settled - doubt


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
    environment = settings.environment
    # Attributes of a tree (git 2.43) may be those of a branch, which moves.
    if environment.get("GIT_ATTR_SOURCE") or settings.value("attr", "tree"):
        return None
    identity, attributes = _identity(layout), _attributes(layout, settings, paths)
    # What another program makes of a file today nobody knows without asking it.
    if identity is None or attributes is None or any(map(_names_a_filter, attributes)):
        return None
    words = [f"GIT_ATTR_NOSYSTEM={environment.get('GIT_ATTR_NOSYSTEM')}"]
    words += [
        f"{entry.section}.{entry.subsection}.{entry.name}={entry.value}"
        for entry in settings.entries
        if entry.section in ("core", "extensions", "filter", "index")
    ]
    parts = [identity, layout.toplevel, *(os.fsencode(word) for word in words), *attributes]
    return b"".join(b"%d:%s" % (len(part), part) for part in parts)


def read_seed(path: bytes) -> Seed | None:
    """The seed at `path`; None where there is none, or a damaged one."""
    import zlib

    try:
        with open(path, "rb") as file:
            line = file.readline(200).split(b" ")
            if b" ".join(line[:3]) != _MAGIC or len(line) != 8:
                return None
            same, data_size, modified, settled, checksum = map(int, line[3:])
            rest = file.read()
    except (FileNotFoundError, ValueError):
        return None
    view = memoryview(rest)
    if len(view) != same + data_size or zlib.crc32(view) != checksum:
        return None  # cut off by a machine that went down
    return Seed(view[same:], modified, settled, rest[:same])


def write_seed(path: bytes, wanted: bytes, found: Found, index: bytes) -> None:
    """Keep the private index at the path `index`, made of `found`; the last one to write wins. Raises OSError.

    Not synced: one that a crash damages is told by its checksum.
    """
    import zlib

    with open(index, "rb") as file:
        data = file.read()
        modified = os.fstat(file.fileno()).st_mtime_ns
    # From the first look at the files on they may have changed; the clock of files stands still for up to 10 ms.
    settled = modified - (time.monotonic_ns() - found.looked) - _TICK
    checksum = zlib.crc32(data, zlib.crc32(wanted))
    numbers = (len(wanted), len(data), modified, settled, checksum)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = b"%s.%d.%s.tmp" % (path, os.getpid(), os.urandom(4).hex().encode())
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(_MAGIC + b" %d %d %d %d %d\n" % numbers)
            file.write(wanted)
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
    folders = directories_above(paths)
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
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > left:
            os.close(descriptor)
            return None
        with open(descriptor, "rb") as opened:
            contents = opened.read()
        left -= len(contents)
        found += [file, contents]
    return found


def _names_a_filter(attributes: bytes) -> bool:
    return b"filter" in attributes and any(word.startswith(b"filter=") for word in attributes.split())
