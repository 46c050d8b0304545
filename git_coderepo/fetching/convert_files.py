"""Convert the files of a directory as the verified tree's own `.gitattributes` ask, and back.

The machine's configuration is not used, and no filter is run. A file is converted only if checking it in again produces
its blob, so that `verify` can undo every conversion.
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

# A larger file is not converted but reported: it would be in memory several times.
LARGEST = 32 << 20
_ATTRIBUTES = b".gitattributes"
_FILES = frozenset((b"%06o" % FILE, b"%06o" % EXECUTABLE))
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REWRITE = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC

NEVER_RUN = "filters are never run on a runner"
_UNKNOWN = "unknown encoding"
_IMPOSSIBLE = "the contents cannot be encoded"
_NO_WAY_BACK = "checking it in again would produce another blob"
_TOO_LARGE = f"larger than {LARGEST >> 20} MiB"
_ATTRIBUTES_STAY = "git cannot read it in another encoding"


@dataclass
class Converted:
    """The result for the files with one attribute: `kind` is its name, `value` its value.

    `files` is the number of converted files; `left` are the raw paths of files that were not converted, and `reason`
    says why, None if there are none.
    """

    kind: str
    value: str
    reason: str | None = None
    files: int = 0
    left: list[bytes] = field(default_factory=list)

    def below(self, prefix: bytes) -> Converted:
        """Return the conversions with `prefix` before each path."""
        return replace(self, left=[prefix + path for path in self.left])


def convert(directory: Root, tree: Listing) -> tuple[Converted, ...]:
    """Convert the verified files of `directory`, which `tree` lists, as `git checkout` without configuration does.

    Links, modes and names stay, and so do Git LFS files (`filter=lfs`). A file with an unknown encoding, one larger
    than LARGEST, and one that could not be checked in again is not converted but reported. Raises TargetUnusable,
    UnsafeTree.
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
    """Return (the result of `convert`, files that it would produce from their blobs, other files).

    `tree` has the recorded ids; `differing` are the paths whose bytes have another id. Checking a file in again is not
    enough, since any text between the dollars of `$Id: …$` produces the same blob. Raises TargetUnusable, UnsafeTree.
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
    """Return whether a file is not converted; note a filter that is not run."""
    if conversion.driver == b"lfs":
        return True
    if conversion.driver is not None:
        notes.note("filter", conversion.driver, path, NEVER_RUN)
    return not conversion.changes


def _noted(
    conversion: Conversion, name: bytes, path: bytes, blob: bytes | None, id: str, notes: _Notes
) -> bytes | None:
    """Convert a blob and note the result; None for a blob that is too large, which is passed as None."""
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
    """Convert files back into blobs, as git checks them in, and return how many were changed.

    Archives have converted files. `tree` gets the new ids; paths in `proved` stay as they are. Raises TargetUnusable,
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
    """Return the raw ids of the blobs that git would check in, by path, if they are not those of the files' bytes.

    A file with another text than its blob's id between the dollars of `$Id: …$` is left out: git would check in the
    same blob for any text there, so that a change in this place would go unnoticed.

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
    """Return which of `export-ignore` and `export-subst` the tree uses: their effect on an archive cannot be undone.

    Raises TargetUnusable, UnsafeTree.
    """
    with Directories(directory) as directories:
        names = _attributes(directories, tree, None).names()
    return tuple(name for name in ("export-ignore", "export-subst") if name.encode() in names)


def _asked(
    directories: Directories, tree: Listing, names: frozenset[bytes], among: Container[bytes] | None = None
) -> Iterator[tuple[bytes, bytes, dict[bytes, bytes], Conversion]]:
    """Yield (path, name, listing of its directory, conversion) of each file with one of the attributes `names`."""
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
    """Return (None, converted contents) of a blob, or (reason why it cannot be converted, the blob)."""
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
    """Return the blob of a file; None if git would refuse to check it in."""
    if conversion.driver == b"lfs" or (conversion.encoding is not None and name == _ATTRIBUTES):
        return None
    try:
        return conversion.checked_in(contents)
    except UnicodeError:
        return None


def _kinds(conversion: Conversion) -> Iterator[tuple[str, str]]:
    """Yield (attribute, value) for each conversion."""
    if conversion.lines == b"crlf":
        yield "eol", "crlf"
    if conversion.ident:
        yield "ident", "true"
    if conversion.encoding is not None:
        yield "working-tree-encoding", conversion.encoding.name


def _read(directories: Directories, path: bytes, most: int = LARGEST) -> bytes | None:
    """Return the contents of a file; None if they are larger than `most` bytes. Raises TargetUnusable."""
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
    """Return one line for people about files that were not converted."""
    one = quoted(each.left[0])
    files = one if len(each.left) == 1 else f"{one} and {len(each.left) - 1} more"
    asked = each.kind if each.kind == "ident" else f"{each.kind}={each.value}"
    return f"{files} not converted to {asked}: {each.reason}"
