"""Git LFS on a runner: once the tree is proved, the pointers that its own attributes give to LFS become files.

Contents come, in this order, from what travelled with the run, from the repository that one stands in, from the LFS
server; each is held against the pointer's sha256 and size. Nothing is visible meanwhile: the target is not published.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.errors import LfsPointerUnusable, UnsafeTree
from git_coderepo.fetching.listing import Listing
from git_coderepo.fetching.progress import Progress
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.filesystem.directories import Directories, Root, joined, unusable
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.attributes.rules import Attributes
from git_coderepo.git.lfs import POINTER_BYTES, Pointer, has_lfs, read_pointer
from git_coderepo.git.objects import EXECUTABLE, FILE, blob_id
from git_coderepo.manifest.limits import ATTRIBUTES_BYTES
from git_coderepo.platforms.base import BaseCodeRepository

if TYPE_CHECKING:
    pass

_PIECE = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = (b"%06o" % FILE, b"%06o" % EXECUTABLE)


class LfsSources(NamedTuple):
    """Where contents may come from: the travelling tar with its digests, folders at hand, the platform's LFS server.

    `folders` are raw paths of `lfs/objects`. `platform` None: there is nobody to ask. A `sha256` without `data`: the
    tar is not here.
    """

    data: bytes | None = None
    tar_sha256: str = ""
    sha256: str = ""
    folders: tuple[bytes, ...] = ()
    platform: BaseCodeRepository | None = None
    branch: str | None = None
    environment: Mapping[str, str] | None = None


class LfsReport(NamedTuple):
    """What became of the tree's LFS paths: `state` is `fetched`, or `pointers` where they were left as they are.

    `files` of them hold their contents (or are pointers), `objects` are different ones; `travelled` of these came with
    the run, `received` bytes from the server, `written` bytes of files.
    """

    state: str
    files: int
    objects: int = 0
    travelled: int = 0
    received: int = 0
    written: int = 0

    def document(self) -> dict[str, object]:
        """As plain values."""
        return {
            "state": self.state,
            "files": self.files,
            "objects": self.objects,
            "travelled": self.travelled,
            "bytes": self.received,
        }


def summed(reports: Iterable[LfsReport]) -> LfsReport | None:
    """One report of several trees that were treated alike; None of none."""
    found = list(reports)
    if not found:
        return None
    counts = ((each.files, each.objects, each.travelled, each.received, each.written) for each in found)
    return LfsReport(found[0].state, *map(sum, zip(*counts, strict=True)))


# --- which paths ----------------------------------------------------------------------------------


class LfsPaths(NamedTuple):
    """What of a tree its own attributes give to LFS: raw `paths` of files, and the contents of the `.lfsconfig`."""

    paths: tuple[bytes, ...] = ()
    lfsconfig: bytes | None = None

    def below(self, directory: bytes) -> LfsPaths:
        """The same for a directory that is kept alone: its paths are named from there."""
        prefix = directory + b"/"
        below = tuple(path[len(prefix) :] for path in self.paths if path.startswith(prefix))
        return LfsPaths(below, self.lfsconfig)


def lfs_paths(directory: Root, listing: Listing) -> LfsPaths:
    """Which files of the tree in `directory`, which `listing` lists, are in LFS. Raises TargetUnusable, UnsafeTree."""
    try:
        with Directories(directory) as root:
            attributes = _attributes(root, listing)
            if attributes is None:
                return LfsPaths()
            packed = listing.directories[b""].get(b".lfsconfig", b"")
            lfsconfig = _contents(root, b".lfsconfig", ATTRIBUTES_BYTES) if packed[:6] in _PLAIN else None
    except OSError as error:
        raise unusable(error, _name(directory), "read") from None
    found = []
    for folder, entries in listing.directories.items():
        for name, packed in entries.items():
            path = joined(folder, name)
            if packed[:6] in _PLAIN and has_lfs(attributes, path):
                found.append(path)
    return LfsPaths(tuple(found), lfsconfig)


def _attributes(root: Directories, listing: Listing) -> Attributes | None:
    files = {}
    left = ATTRIBUTES_BYTES
    for directory, entries in listing.directories.items():
        if entries.get(b".gitattributes", b"")[:6] in _PLAIN:
            contents = _contents(root, (directory + b"/" if directory else b"") + b".gitattributes", left)
            left -= len(contents)
            files[directory] = contents
    if not any(b"lfs" in contents for contents in files.values()):
        return None
    return Attributes(files).only(frozenset((b"filter",)))


def pointers_of(root: Directories, paths: Iterable[bytes]) -> dict[bytes, Pointer]:
    """Those of the files that are pointers. Raises LfsPointerUnusable, OSError."""
    found = {}
    for path in paths:
        if (contents := _small(root, path)) and (pointer := read_pointer(contents, path)) is not None:
            found[path] = pointer
    return found


def by_pointers(directory: Root, paths: Iterable[bytes], object_format: str) -> dict[bytes, bytes]:
    """For each of the files that holds contents, and no pointer: path to the raw id of the pointer to them.

    What is in the tree itself, in spite of its attributes, is among them. Raises TargetUnusable.
    """
    found = {}
    try:
        with Directories(directory) as root:
            for path in paths:
                contents = _small(root, path)
                if contents is None or (contents and not _is_pointer(contents, path)):
                    found[path] = blob_id(_pointer_to(root, path).encode(), object_format)
    except OSError as error:
        raise unusable(error, _name(directory), "read") from None
    return found


def pointer_id(root: Directories, path: bytes, object_format: str) -> bytes:
    """Return the raw id of the pointer to the file's contents. Raises OSError."""
    return blob_id(_pointer_to(root, path).encode(), object_format)


def holds_pointer(root: Directories, path: bytes) -> bool:
    """Return whether the file is a pointer and not what Git LFS keeps. Raises OSError."""
    contents = _small(root, path)
    return bool(contents) and _is_pointer(contents or b"", path)


def _is_pointer(contents: bytes, path: bytes) -> bool:
    try:
        return read_pointer(contents, path) is not None
    except LfsPointerUnusable:
        return True


def _small(root: Directories, path: bytes) -> bytes | None:
    """The contents of a file that may be a pointer, None of a larger one."""
    directory, _, name = path.rpartition(b"/")
    with os.fdopen(os.open(name, _READ, dir_fd=root.open(directory)), "rb") as file:
        contents = file.read(POINTER_BYTES)
    return contents if len(contents) < POINTER_BYTES else None


def _contents(root: Directories, path: bytes, most: int) -> bytes:
    directory, _, name = path.rpartition(b"/")
    with os.fdopen(os.open(name, _READ, dir_fd=root.open(directory)), "rb") as file:
        contents = file.read(most + 1)
    if len(contents) > most:
        raise UnsafeTree(f"{quoted(path)} makes more than {ATTRIBUTES_BYTES >> 20} MiB of attributes or settings")
    return contents


def _pointer_to(root: Directories, path: bytes) -> Pointer:
    directory, _, name = path.rpartition(b"/")
    with os.fdopen(os.open(name, _READ, dir_fd=root.open(directory)), "rb") as file:
        return Pointer(sha256_of(file), file.tell())


# --- from pointers to files -----------------------------------------------------------------------


def fill(
    directory: Root,
    listing: Listing,
    lfs: LfsPaths,
    sources: LfsSources,
    *,
    keep: bool,
    already: int,
    room: int,
    progress: Progress | None = None,
) -> LfsReport | None:
    """Turn the pointers below `directory`, whose proved tree is `listing`, into files; None where it has none.

    `keep` leaves them as they are; `already` is how many came as files; `room` bytes may be written. Raises
    LfsPointerUnusable, LfsObjectMissing, UnsafeTree, TargetUnusable, DownloadDamaged and what asking the server raises.
    """
    try:
        with Directories(directory) as root:
            if keep:
                files = sum(1 for path in lfs.paths if _is_pointer(_small(root, path) or b"", path))
                return LfsReport("pointers", files) if files else None
            pointers = pointers_of(root, lfs.paths)
            if not pointers:
                return LfsReport("fetched", already, already) if already else None
            size = sum(pointer.size for pointer in pointers.values())
            if size > room:
                raise UnsafeTree("what Git LFS keeps of the tree is larger than what a tree may be")
            from git_coderepo.fetching.lfs_files import Filler

            filler = Filler(root, listing, pointers, lfs.lfsconfig)
            travelled = filler.from_tar(sources)
            filler.from_folders(sources.folders)
            received = filler.from_server(sources, progress)
    except OSError as error:
        raise unusable(error, _name(directory)) from None
    return LfsReport("fetched", already + len(pointers), already + filler.objects, travelled, received, size)


def _name(directory: Root) -> str | bytes | os.PathLike[str]:
    return "the target" if isinstance(directory, int) else directory
