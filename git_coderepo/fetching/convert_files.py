"""From blobs to files and back: what a proved tree's own `.gitattributes` ask for, done to the files of a directory.

Nothing of the machine's configuration takes part, and no filter is ever run. What is done can be undone: a file is only
changed where checking it in again gives its blob, so that `verify` finds the recorded tree in it.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace

from git_coderepo.errors import UnsafeTree
from git_coderepo.fetching.limits import ATTRIBUTES_BYTES
from git_coderepo.fetching.listing import Listing
from git_coderepo.filesystem.directories import Directories, Root, unusable
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.attributes.conversion import CHANGING, CLEANING, Conversion
from git_coderepo.git.attributes.rules import Attributes
from git_coderepo.git.objects import EXECUTABLE, FILE, blob_id

# A larger file is left as it is, and named: it would be held in memory several times.
LARGEST = 32 << 20
_ATTRIBUTES = b".gitattributes"
_FILES = frozenset((b"%06o" % FILE, b"%06o" % EXECUTABLE))
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REWRITE = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC

NEVER_RUN = "filters are never run on a runner"
_UNKNOWN = "this encoding is not known here"
_IMPOSSIBLE = "the contents cannot be put into this encoding"
_NO_WAY_BACK = "checking it in again would give another blob"
_TOO_LARGE = f"larger than {LARGEST >> 20} MiB"
_ATTRIBUTES_STAY = "git could not read it in another encoding"


@dataclass
class Converted:
    """What became of the files for which one attribute asked: `kind` is its name, `value` what it was set to.

    `files` counts those that were converted; `left` are the paths of those that have the bytes that Git stores, and
    `reason` says why, None where there are none.
    """

    kind: str
    value: str
    reason: str | None = None
    files: int = 0
    left: list[bytes] = field(default_factory=list)

    def below(self, prefix: bytes) -> Converted:
        """Return the same conversions for paths below `prefix`."""
        return replace(self, left=[prefix + path for path in self.left])


def convert(directory: Root, tree: Listing) -> tuple[Converted, ...]:
    """Turn the proved blobs in `directory`, which `tree` lists, into what `git checkout` without configuration makes.

    Links, modes and names stay. What Git LFS keeps (`filter=lfs`) is not touched here. A file whose encoding is not
    known here, that is larger than LARGEST or that could not be checked in again keeps its bytes, and is named in what
    is returned. Raises TargetUnusable, UnsafeTree.
    """
    notes = _Notes()
    with Directories(directory) as directories:
        for path, name, entries, conversion in _asked(directories, tree, CHANGING):
            if _left_alone(conversion, path, notes):
                continue
            blob = _read(directories, path)
            contents = _noted(conversion, name, path, blob, entries[name][6:].hex(), notes)
            if contents is not None and contents != blob:
                _rewrite(directories, path, contents)
    return notes.all()


def converted(
    directory: Root, tree: Listing, differing: Container[bytes], object_format: str
) -> tuple[tuple[Converted, ...], frozenset[bytes], frozenset[bytes]]:
    """Return what `convert` returned, the files that are what it makes of their blobs, and those that are not.

    `tree` has the recorded ids; `differing` are the paths whose own bytes have another id. To check a file in again is
    not enough: anything between the dollars of `$Id: …$` gives the same blob. Raises TargetUnusable, UnsafeTree.
    """
    notes = _Notes()
    exact: set[bytes] = set()
    wrong: set[bytes] = set()
    with Directories(directory) as directories:
        for path, name, entries, conversion in _asked(directories, tree, CHANGING):
            if _left_alone(conversion, path, notes):
                continue
            here = _read(directories, path)
            id = entries[name][6:]
            blob = here
            if path in differing:
                blob = None if here is None else _checked_in(conversion, name, here)
                if blob is None or blob_id(blob, object_format) != id:
                    wrong.add(path)
                    continue
            contents = _noted(conversion, name, path, blob, id.hex(), notes)
            (exact if contents == here else wrong).add(path)
    return notes.all(), frozenset(exact), frozenset(wrong)


class _Notes:
    """The converted and unconverted files, by attribute, value and reason."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str | None], Converted] = {}

    def note(self, kind: str, value: bytes | str, path: bytes, reason: str | None) -> None:
        text = value if isinstance(value, str) else value.decode("ascii", "backslashreplace")
        each = self._found.setdefault((kind, text, reason), Converted(kind, text[:200], reason))
        if reason is None:
            each.files += 1
        else:
            each.left.append(path)

    def all(self) -> tuple[Converted, ...]:
        return tuple(self._found[key] for key in sorted(self._found, key=repr))


def _left_alone(conversion: Conversion, path: bytes, notes: _Notes) -> bool:
    """Return whether nothing is done to a file; a filter that is never run is noted."""
    if conversion.driver == b"lfs":
        return True
    if conversion.driver is not None:
        notes.note("filter", conversion.driver, path, NEVER_RUN)
    return not conversion.changes


def _noted(
    conversion: Conversion, name: bytes, path: bytes, blob: bytes | None, id: str, notes: _Notes
) -> bytes | None:
    """Return what a blob becomes, noted; None of one that is too large (and given as None)."""
    changed: list[str] = []
    reason: str | None = _TOO_LARGE
    contents = blob
    if blob is not None:
        reason, contents = _checked_out(conversion, name, blob, id, changed)
    for kind, value in _kinds(conversion):
        if reason is not None or kind in changed:
            notes.note(kind, value, path, reason)
    return contents


def restore(directory: Root, tree: Listing, object_format: str, *, proved: Container[bytes] = ()) -> int:
    """Turn files that came as a checkout has them back into blobs, as git checks them in; how many were changed.

    An archive is made so. `tree` gets the new ids; paths among `proved` stay as they are. Raises TargetUnusable,
    UnsafeTree.
    """
    changed = 0
    with Directories(directory) as directories:
        for path, name, entries, conversion in _asked(directories, tree, CLEANING):
            if path in proved or not conversion.cleans:
                continue
            contents = _read(directories, path)
            blob = contents if contents is None else _checked_in(conversion, name, contents)
            if blob is not None and blob != contents:
                _rewrite(directories, path, blob)
                entries[name] = entries[name][:6] + blob_id(blob, object_format)
                changed += 1
    return changed


def stored(
    directory: Root, tree: Listing, object_format: str, *, among: Container[bytes] | None = None
) -> dict[bytes, bytes]:
    """The raw ids of the blobs that git would check in, by path, where they are not those of the files' own bytes.

    A file with anything but its blob's id between the dollars of `$Id: …$` is left out: git would check in the same
    blob, whatever stands there, and a program that was changed in this place would pass.

    Nothing is written. `among` are the paths whose `.gitattributes` count, None for all. Raises TargetUnusable,
    UnsafeTree.
    """
    found = {}
    with Directories(directory) as directories:
        for path, name, entries, conversion in _asked(directories, tree, CLEANING, among):
            if not conversion.cleans:
                continue
            contents = _read(directories, path)
            blob = contents if contents is None else _checked_in(conversion, name, contents)
            if blob is not None and contents is not None and blob != contents:
                id = blob_id(blob, object_format)
                if id != entries[name][6:] and not conversion.has_other_ident(contents, id.hex()):
                    found[path] = id
    return found


def archive_attributes(directory: Root, tree: Listing) -> tuple[str, ...]:
    """Which of `export-ignore` and `export-subst` a tree gives to some path: what they do to an archive stays done."""
    with Directories(directory) as directories:
        names = _attributes(directories, tree, None).names()
    return tuple(name for name in ("export-ignore", "export-subst") if name.encode() in names)


def _asked(
    directories: Directories, tree: Listing, names: frozenset[bytes], among: Container[bytes] | None = None
) -> Iterator[tuple[bytes, bytes, dict[bytes, bytes], Conversion]]:
    """(path, last part, listing of its directory, what is asked) of each file that has one of the attributes."""
    attributes = _attributes(directories, tree, among)
    if not attributes.names() & names:
        return
    asking = attributes.only(names)
    for directory, entries in tree.directories.items():
        prefix = directory + b"/" if directory else b""
        for name, packed in entries.items():
            if packed[:6] in _FILES:
                path = prefix + name
                if not names.isdisjoint(asking.of(path)):
                    yield path, name, entries, Conversion(attributes.of(path))


def _attributes(directories: Directories, tree: Listing, among: Container[bytes] | None) -> Attributes:
    files = {}
    left = ATTRIBUTES_BYTES
    for directory, entries in tree.directories.items():
        path = directory + b"/" + _ATTRIBUTES if directory else _ATTRIBUTES
        if entries.get(_ATTRIBUTES, b"")[:6] in _FILES and (among is None or path in among):
            contents = _read(directories, path, left)
            if contents is None:
                raise UnsafeTree(f"the tree has more than {ATTRIBUTES_BYTES >> 20} MiB of attributes")
            left -= len(contents)
            files[directory] = contents
    return Attributes(files)


def _checked_out(
    conversion: Conversion, name: bytes, blob: bytes, id: str, changed: list[str]
) -> tuple[str | None, bytes]:
    """Why a file stays as it is, and its blob; or None and its contents."""
    encoding = conversion.encoding
    if encoding is not None and name == _ATTRIBUTES:
        return _ATTRIBUTES_STAY, blob
    if encoding is not None and not encoding.is_known:
        return _UNKNOWN, blob
    try:
        contents = conversion.checked_out(blob, id, changed)
    except UnicodeError:
        return _IMPOSSIBLE, blob
    if contents != blob and _checked_in(conversion, name, contents) != blob:
        return _NO_WAY_BACK, blob
    return None, contents


def _checked_in(conversion: Conversion, name: bytes, contents: bytes) -> bytes | None:
    """The blob of a file, None where git would refuse the file."""
    if conversion.driver == b"lfs" or (conversion.encoding is not None and name == _ATTRIBUTES):
        return None
    try:
        return conversion.checked_in(contents)
    except UnicodeError:
        return None


def _kinds(conversion: Conversion) -> Iterator[tuple[str, str]]:
    """The attributes that ask for a change, and their values."""
    if conversion.lines == b"crlf":
        yield "eol", "crlf"
    if conversion.ident:
        yield "ident", "true"
    if conversion.encoding is not None:
        yield "working-tree-encoding", conversion.encoding.name


def _read(directories: Directories, path: bytes, most: int = LARGEST) -> bytes | None:
    """The contents of a file, None where they are larger than `most`."""
    directory, _, name = path.rpartition(b"/")
    try:
        file = os.open(name, _READ, dir_fd=directories.open(directory))
        with open(file, "rb", buffering=0) as opened:
            if os.fstat(file).st_size > most:
                return None
            return opened.readall()
    except OSError as error:
        raise unusable(error, path, "read") from None


def _rewrite(directories: Directories, path: bytes, contents: bytes) -> None:
    directory, _, name = path.rpartition(b"/")
    try:
        file = os.open(name, _REWRITE, dir_fd=directories.open(directory))
        with open(file, "wb", buffering=0) as opened:
            view = memoryview(contents)
            while view:
                view = view[opened.write(view) :]
    except OSError as error:
        raise unusable(error, path) from None


def why_left(each: Converted) -> str:
    """One line for people about the files that were left as they are."""
    one = quoted(each.left[0])
    files = one if len(each.left) == 1 else f"{one} and {len(each.left) - 1} more"
    asked = each.kind if each.kind == "ident" else f"{each.kind}={each.value}"
    return f"{files}: the bytes that Git stores, not {asked}: {each.reason}"
