"""The last private index, kept as the seed of the next one: what it hashed need not be hashed again.

Its entries are used only where git would make the same of the files again: the user's index is the same one, and so are
the attributes, filters and settings that decide what git stores. A path that changed since has the user's entry, as
what git makes of a file may hang on it. On any doubt a fresh one serves.
"""

from __future__ import annotations

import os
import stat

from git_coderepo.checkout.scope import directories_above
from git_coderepo.checkout.seedfile import read_seed, write_seed
from git_coderepo.objects import ID_LENGTHS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from git_coderepo.checkout.found import Found
    from git_coderepo.checkout.layout import Layout
    from git_coderepo.checkout.seedfile import Last
    from git_coderepo.checkout.store import Store
    from git_coderepo.settings import Settings

# So many bytes of attributes are compared; who has more does without a seed.
_ATTRIBUTES = 256 << 10
# Fewer paths are sooner looked at again than git is asked about them.
_MANY = 500


class Memory:
    """What the last private index has of the paths that are `found` now, and the place of the next one.

    `entries` are those of the user's index, by raw path, see `indexfile`; where a file is the same still, the one that
    was made of it stands in their place, and what is gone has none. They `are_made` where there is nothing to hash. An
    index of them counts as written at `modified`.
    """

    __slots__ = (
        "_before", "_folders", "_found", "_layout", "_path", "_settings", "_there", "are_made", "entries", "modified",
    )  # fmt: skip

    def __init__(
        self, layout: Layout, store: Store, settings: Settings, found: Found, entries: Mapping[bytes, bytes]
    ) -> None:
        self._layout = layout
        self._settings = settings
        self._found = found
        self._path = store.seed
        gone, self._there = found.gone_and_there()
        left_out = frozenset(gone)
        self.entries = {path: entry for path, entry in entries.items() if path not in left_out}
        self._folders = sorted(directories_above(self._there))
        # Of attributes that the index alone has, in a sparse checkout, nobody looked whether they name a program.
        names = [name for name in map(_attributes_in, self._folders) if name in self.entries]
        is_told = all(os.path.lexists(layout.toplevel + b"/" + name) for name in names)
        self._before = conditions(layout, settings, self._folders) if is_told else None
        seed = read_seed(self._path, ID_LENGTHS[layout.object_format]) if self._before is not None else None
        if seed is not None and seed.conditions != self._conditions(seed.folders):
            seed = None
        self.modified = 0
        reused: dict[bytes, bytes] = {}
        if seed is not None:
            known = seed.entries()
            self.modified = seed.settled
            facts = found.facts
            reused = {path: known[path] for path in self._there if path in known and seed.has(known[path], facts[path])}
        self.entries.update(reused)
        self.are_made = len(reused) == len(self._there)

    def _conditions(self, folders: list[bytes]) -> bytes | None:
        return self._before if folders == self._folders else conditions(self._layout, self._settings, folders)

    def keep(self, entries: Mapping[bytes, bytes], last: Last | None) -> None:
        """Keep these entries, by raw path, that git made of the files just now; raises OSError.

        With them the snapshot that was made of them, where it may serve again as a whole, and where that is worth it.
        Nothing where something that counts changed while it was made.
        """
        made = {path: entries[path] for path in self._there if path in entries}
        if len(made) < _MANY or not self._found.is_as_said():
            last = None
        if self.are_made and last is None:
            return  # it is there
        if self._before is None or len(made) < len(self._there):
            return
        if self._before == conditions(self._layout, self._settings, self._folders):
            write_seed(self._path, self._layout.object_format, made, self._found, self._before, self._folders, last)


def is_possible(layout: Layout, found: Found) -> bool:
    """Whether a seed may serve these paths, or be made of them."""
    return layout.index == layout.git_dir + b"/index" and not any(
        change.submodule or change.marked for change in found.changes
    )


def conditions(layout: Layout, settings: Settings, folders: Iterable[bytes]) -> bytes | None:
    """All that decides what git stores of the files in these folders, beside the files; None where nobody can tell."""
    environment = settings.environment
    # Attributes of a tree (git 2.43) may be those of a branch, which moves.
    if environment.get("GIT_ATTR_SOURCE") or settings.value("attr", "tree"):
        return None
    identity, attributes = _identity(layout), _attributes(layout, settings, folders)
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


def _attributes(layout: Layout, settings: Settings, folders: Iterable[bytes]) -> list[bytes] | None:
    """Every attributes file that counts in these folders: its path, and its contents after it; None: unknown.

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
    files = [(os.fsencode(of_the_user), 0), (b"/etc/gitattributes", 0), (layout.common_dir + b"/info/attributes", 0)]
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
