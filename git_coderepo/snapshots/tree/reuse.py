"""Reuse of the last snapshot's index entries of changed files: one private index for all snapshots.

A file is hashed again unless its entry is proved to be right. An entry says "git made this blob of a
regular file with these facts", and it serves while

- the file is settled (see `worktree_stat`) and was settled when git read it,
- everything that lstat(2) says of it, inode and ctime included, is as it was before and after git read it,
- the user's index, the attributes and the settings that decide what git stores are the same, and
- the machine's clock was not set in between: no second may occur twice.

Then no process had the file open for writing when git read it, and a later write would have changed its ctime to one
that no entry has: younger files are not stored. In case of doubt git hashes the file.
"""

from __future__ import annotations

import os
import stat
import time

from git_coderepo.filesystem.atomic import temporary_name
from git_coderepo.filesystem.file_times import TICK, facts_of
from git_coderepo.git.index import entry_of, row_of
from git_coderepo.git.objects import ID_LENGTHS, hasher
from git_coderepo.git.subtree import directories_above
from git_coderepo.snapshots.archive_check import system_attribute_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from git_coderepo.git.repository import Layout
    from git_coderepo.git.store import Store
    from git_coderepo.settings import Settings
    from git_coderepo.snapshots.tree.worktree_stat import Found

_MAGIC = b"git-coderepo private index 4"
# Attributes up to this many bytes are compared; with more of them nothing is reused.
_ATTRIBUTES = 256 << 10


class Reuse:
    """The stored entries that serve for the changes `found` on the disk.

    `users` are the entries of the user's index that git will start from; `entries` are those that serve, both by raw
    path, as in `git.index`. Raises OSError.
    """

    __slots__ = ("_conditions", "_folders", "_found", "_layout", "_path", "_settings", "entries")

    def __init__(
        self, layout: Layout, store: Store, settings: Settings, found: Found, users: Mapping[bytes, bytes]
    ) -> None:
        self._layout = layout
        self._settings = settings
        self._found = found
        self._path = store.private_index
        self._folders = sorted(directories_above(found.gone_and_present()[1]))
        self.entries: dict[bytes, bytes] = {}
        # The contents of an attributes file that is only in the index, as in a sparse checkout, are not known.
        names = [name for name in map(_attributes_in, self._folders) if name in users]
        is_whole = all(os.path.lexists(layout.toplevel + b"/" + name) for name in names)
        self._conditions = conditions(layout, settings, self._folders) if is_whole else None
        stored = _read(self._path) if self._conditions is not None else None
        if stored is None or not _is_of_this_start(stored[0]):
            return
        folders = stored[1].split(b"\0")
        now = self._conditions if folders == self._folders else conditions(layout, settings, folders)
        if now != stored[2]:
            return
        rows = stored[3].split(b"\0")
        for path, facts, row in zip(rows[0::3], rows[1::3], rows[2::3], strict=False):
            if path in found.settled and facts_of(found.facts[path]) == facts:
                mode, _, id = row.partition(b" ")
                self.entries[path] = entry_of(int(mode, 8), bytes.fromhex(id.decode()))

    def keep(self, entries: Mapping[bytes, bytes]) -> None:
        """Store the entries of the settled files. Call this after `Found.refuse_changed`.

        Raises OSError. The last process to write wins. The file is not synced: a crash shows in its checksum, and after
        a restart it does not serve.
        """
        settled = sorted(path for path in self._found.settled if path in entries)
        if self._conditions is None or self.entries.keys() >= set(settled):
            return  # nothing is new
        if self._conditions != conditions(self._layout, self._settings, self._folders):
            return  # the conditions changed while git was at work
        rows = []
        for path in settled:
            mode, id = row_of(entries[path])
            rows += [path, facts_of(self._found.facts[path]), b"%o %b" % (mode, id.hex().encode())]
        _write(self._path, [_start(), b"\0".join(self._folders), self._conditions, b"\0".join(rows)])


def _start() -> bytes:
    """Return when this machine was started, in nanoseconds since 1970; b"" where that is not known.

    It differs after the clock was set, and after a restart.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return b""
    return b"%d" % (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME))


def _is_of_this_start(start: bytes) -> bool:
    return bool(start) and abs(int(_start()) - int(start)) < TICK


def _read(path: bytes) -> list[bytes] | None:
    """Return the parts of the file at `path`; None where there is none, or a damaged one. Raises OSError."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    import zlib

    body = memoryview(data)[:-4]
    if len(data) < 4 or zlib.crc32(body) != int.from_bytes(data[-4:], "big"):
        return None
    parts = []
    at = 0
    while at < len(body):
        colon = data.index(b":", at)
        at = colon + 1 + int(data[at:colon])
        parts.append(data[colon + 1 : at])
    return parts[1:] if parts[:1] == [_MAGIC] else None


def _write(path: bytes, parts: Sequence[bytes]) -> None:
    """Write the parts, each after its length in decimal digits and a colon, and then their CRC-32. Raises OSError."""
    import zlib

    body = b"".join([b"%d:%b" % (len(part), part) for part in (_MAGIC, *parts)])
    temporary = temporary_name(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(body + zlib.crc32(body).to_bytes(4, "big"))
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def conditions(layout: Layout, settings: Settings, folders: Iterable[bytes]) -> bytes | None:
    """Return everything, apart from the files, that affects what git stores for these folders; None if unknown."""
    environment = settings.environment
    # Attributes of a tree (git 2.43) may be those of a branch, which moves.
    if environment.get("GIT_ATTR_SOURCE") or settings.value("attr", "tree"):
        return None
    identity, attributes = _identity(layout), _attributes(layout, settings, folders)
    # What a filter's program makes of a file today only the program knows.
    if identity is None or attributes is None or any(map(_names_a_filter, attributes)):
        return None
    words = [f"GIT_ATTR_NOSYSTEM={environment.get('GIT_ATTR_NOSYSTEM')}"]
    words += [
        f"{entry.section}.{entry.subsection}.{entry.name}={entry.value}"
        for entry in settings.entries
        if entry.section in ("core", "extensions", "filter", "index")
    ]
    parts = [identity, layout.toplevel, *(os.fsencode(word) for word in words), *attributes]
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


def _identity(layout: Layout) -> bytes | None:
    """Return the size and checksum of the user's index. With `index.skipHash` it has no checksum, and is hashed here.

    It decides too: with `text=auto` a file keeps the line ends that its entry's blob has, and with core.fileMode=false
    the mode of its entry.
    """
    length = ID_LENGTHS[layout.object_format]
    try:
        with open(layout.index, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - length, 0))
            trailer = file.read()
            if not any(trailer):
                file.seek(0)
                digest = hasher(layout.object_format)
                digest.update(file.read())
                trailer = digest.digest()
    except FileNotFoundError:
        return None
    return b"%d %b" % (size, trailer) if len(trailer) == length else None


def _attributes(layout: Layout, settings: Settings, folders: Iterable[bytes]) -> list[bytes] | None:
    """Return path and contents of each attributes file that counts in these folders; None where that is unknown.

    https://git-scm.com/docs/gitattributes#_description. Where a folder has no file git reads the index's, which is the
    same one.
    """
    home, named = settings.environment.get("HOME", ""), settings.value("core", "attributesFile")
    if named is None:
        of_the_user = (settings.environment.get("XDG_CONFIG_HOME") or home + "/.config") + "/git/attributes"
    elif named.startswith(("/", "~/")):
        of_the_user = home + named[1:] if named.startswith("~") else named
    else:
        return None
    systems = system_attribute_files(settings.environment)
    if systems is None:
        return None
    files = [
        (os.fsencode(of_the_user), 0),
        *((file, 0) for file in systems),
        (layout.common_dir + b"/info/attributes", 0),
    ]
    # git follows no link from a file of the work tree.
    files += [(layout.toplevel + b"/" + _attributes_in(folder), os.O_NOFOLLOW) for folder in folders]
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


def _attributes_in(folder: bytes) -> bytes:
    return (folder and folder + b"/") + b".gitattributes"


def _names_a_filter(attributes: bytes) -> bool:
    return b"filter" in attributes and any(word.startswith(b"filter=") for word in attributes.split())
