"""Write the entries of any source below directory descriptors, and compute their tree id as Git does."""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from git_coderepo.errors import DownloadDamaged, InvalidManifest, TargetUnusable, UnsafeTree
from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.limits import LINK_TARGET_BYTES, NAME_BYTES, Limits
from git_coderepo.fetching.listing import Listing
from git_coderepo.fetching.sources.stored_trees import old_directory
from git_coderepo.filesystem.directories import Directories, Root, joined, sync_file_system, unusable
from git_coderepo.filesystem.paths import check_path, links_that_leave, quoted
from git_coderepo.git.objects import DIRECTORY, EXECUTABLE, FILE, GITLINK, SYMLINK, ObjectId, blob_hasher, blob_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.platforms.base import BaseCodeRepository

# Returns the numbers of files and of bytes so far.
Counts = Callable[[], tuple[int, int]]
# Takes a function that returns the counts; the progress line calls that function whenever it is redrawn.
Progress = Callable[[Counts], None]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Files wait until there are so many of them, or so many bytes, and are written one right after the other: a processor
# that goes back and forth between the kernel and all that is done for an entry is slower at both.
_MOST_WAITING = 64
_MOST_WAITING_BYTES = 1 << 20
_PACKED_MODES = {mode: b"%06o" % mode for mode in (FILE, EXECUTABLE)}
_PACKED_LINK = b"%06o" % SYMLINK
_PACKED_GITLINK = b"%06o" % GITLINK


class WrittenTree(NamedTuple):
    """A tree on the disk.

    `entries` has (mode, raw id) by raw path, gitlinks included, and `tree` is their tree id. `files` and `bytes` were
    written, links included. `outside_links` point outside the tree; they are written as Git stores them, and never
    followed. `left` is the unused part of the limits. `gitlinks` has the raw commit id of each submodule by path.
    `lfs_contents` is the number of Git LFS files for which `entries` and `tree` have the pointers.
    """

    entries: Listing
    tree: ObjectId
    files: int
    outside_links: tuple[bytes, ...]
    left: Limits
    gitlinks: Mapping[bytes, bytes]
    bytes: int  # the last, since it hides the type of that name
    lfs_contents: int = 0


class TreeWriter:
    """Write a tree below `directory` (a path or a descriptor), which is empty and used by no other process.

    Call `add` for each entry of the base, in any order, then as needed `base_tree`, `apply_overlay` and `finish`.
    `replaced` are the paths that the overlay replaces or deletes: they are hashed but not written. Files get the modes
    666 or 777 less the umask and the current time; small files are written in groups (`write_out`), so that an error of
    the disk can come later than the entry. Symbolic links are created last, so no path is written through one.

    Every method raises UnsafeTree for what rule 3 (docs/design/safety.md) refuses, DownloadDamaged for contents of
    another length than announced, and TargetUnusable if the disk or its file system cannot store the tree. After an
    error the caller removes the directory, which has a part of the tree. Close the writer, or use it in a `with`.
    """

    def __init__(
        self,
        directory: Root,
        *,
        object_format: str = "sha1",
        limits: Limits | None = None,
        replaced: frozenset[bytes] = frozenset(),
    ) -> None:
        self._format = object_format
        self._limits = limits or Limits()
        self._replaced = replaced
        try:
            self._directories = Directories(directory)
        except OSError as error:
            raise unusable(error, "the target" if isinstance(directory, int) else directory) from None
        self._listing = Listing()
        self._links: dict[bytes, bytes] = {}
        self._entries_seen = 0
        self.files_seen = 0
        self.bytes_taken = 0  # including the file that is being written
        self._name_bytes = 0
        self._link_bytes = 0
        self._bytes_seen = 0
        self._bytes_written = 0
        self._waiting: list[tuple[bytes, bytes, int, bytes]] = []  # directory, name, mode, contents
        self._bytes_waiting = 0
        self._base_tree: ObjectId | None = None

    # --- entries ---------------------------------------------------------------------------------

    def add(self, entry: Entry) -> None:
        """Write one entry of the base, or only hash it if the overlay replaces it.

        A DIRECTORY entry creates nothing. Raises also what reading the entry's contents raises.
        """
        self._take(entry, write=entry.path not in self._replaced)

    def base_tree(self, gitlinks: Mapping[bytes, bytes] | None = None) -> ObjectId:
        """Return the id of the tree that was added, with `gitlinks` (raw commit id by path)."""
        self._listing.prune()
        self._put_gitlinks(gitlinks or {})
        self._base_tree = self._listing.tree(self._format)
        return self._base_tree

    def old_directory(self, platform: BaseCodeRepository, root: ObjectId) -> bytes | None:
        """Return `stored_trees.old_directory` for the base that was added. Raises PlatformErrors."""
        return old_directory(platform, self._listing, root)

    def add_stored(self, trees: Mapping[bytes, bytes]) -> ObjectId:
        """Use stored tree objects, by directory, while the entries of these directories do not change.

        Return the tree id of the base with them.
        """
        self._listing.stored = trees
        self._base_tree = self._listing.tree(self._format)
        return self._base_tree

    def apply_overlay(
        self,
        entries: Iterable[Entry],
        deleted: Iterable[bytes] = (),
        gitlinks: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Turn the base into the snapshot: remove the `deleted` paths, add or replace the `entries`.

        `gitlinks` are all gitlinks of the snapshot, None for those of the base. Each changed path that the base has
        must be in `replaced`. Raises InvalidManifest if a deleted path is not in the base.
        """
        listing = self._listing
        for path in deleted:
            if path not in listing:
                raise InvalidManifest(f"the overlay deletes {quoted(path)}, which its base does not have")
            if path not in self._replaced and listing[path][0] != GITLINK:
                raise ValueError(f"{path!r} is deleted, but is not among the replaced paths")
        gone = self._replaced.union(deleted)
        for path in gone:
            listing.discard(path)
        present = listing.gitlinks()
        changed = gitlinks is not None and gitlinks != present
        if changed:
            for path in present:
                listing.discard(path)
        if gone or changed:
            self._base_tree = None
        listing.prune()
        self._put_gitlinks(gitlinks or {} if changed else {})
        for entry in entries:
            self._take(entry, write=True)

    def _take(self, entry: Entry, *, write: bool) -> None:
        path, mode = entry.path, entry.mode
        check_path(path, is_link=mode == SYMLINK)
        directories = self._listing.directories
        if mode == DIRECTORY:
            self._siblings(path)
            return
        directory, _, name = path.rpartition(b"/")
        siblings = directories.get(directory)
        if siblings is None:
            siblings = self._siblings(directory)
        if name in siblings:
            raise UnsafeTree(f"the path {quoted(path)} is named twice")
        if path in directories:
            raise UnsafeTree(f"the path {quoted(path)} is both a file and a directory")
        self._count(len(name))
        self.files_seen += 1
        self._base_tree = None
        if mode == SYMLINK:
            target = entry.read()
            siblings[name] = _PACKED_LINK + blob_id(target, self._format)
            if write:
                self._keep_link(path, target)
            return
        packed = _PACKED_MODES.get(mode)
        if packed is None:
            raise UnsafeTree(f"the path {quoted(path)} has the mode {mode:o}")
        size = entry.size
        self._bytes_seen += size
        if self._bytes_seen > self._limits.bytes:
            raise UnsafeTree(f"the tree has more than {self._limits.bytes} bytes")
        if write:
            self._bytes_written += size
        contents = entry.contents
        created_as = 0o777 if mode == EXECUTABLE else 0o666
        if not isinstance(contents, bytes):
            file = self._create(directory, name, created_as) if write else -1
            try:
                siblings[name] = packed + self._stream(entry, file)
            finally:
                if write:
                    os.close(file)
            return
        if len(contents) != size:
            raise DownloadDamaged(f"the contents of {quoted(path)} do not have the announced length")
        siblings[name] = packed + blob_id(contents, self._format)
        self.bytes_taken += size
        if write:
            self._waiting.append((directory, name, created_as, contents))
            self._bytes_waiting += size
            if len(self._waiting) >= _MOST_WAITING or self._bytes_waiting >= _MOST_WAITING_BYTES:
                self.write_out()

    def write_out(self) -> None:
        """Write the files that were added but not written yet; `finish` does so as well."""
        waiting, self._waiting, self._bytes_waiting = self._waiting, [], 0
        for directory, name, mode, contents in waiting:
            file = self._create(directory, name, mode)
            try:
                if contents:
                    self._write(file, contents, directory, name)
            finally:
                os.close(file)

    def _create(self, directory: bytes, name: bytes, mode: int) -> int:
        """Create a file and return its descriptor."""
        try:
            return os.open(name, _CREATE, mode, dir_fd=self._directories.make(directory))
        except FileExistsError:
            raise collision(self._listing, joined(directory, name)) from None
        except OSError as error:
            raise unusable(error, joined(directory, name), where=self._directories.root) from None

    def _write(self, file: int, contents: bytes, directory: bytes, name: bytes) -> None:
        try:
            written = os.write(file, contents)
            while written < len(contents):
                written += os.write(file, memoryview(contents)[written:])
        except OSError as error:
            raise unusable(error, joined(directory, name), where=self._directories.root) from None

    def _stream(self, entry: Entry, file: int) -> bytes:
        directory, _, name = entry.path.rpartition(b"/")
        digest = blob_hasher(entry.size, self._format)
        left = entry.size
        for chunk in entry.chunks():
            left -= len(chunk)
            if left < 0:
                break
            digest.update(chunk)
            self.bytes_taken += len(chunk)
            if file >= 0:
                self._write(file, chunk, directory, name)
        if left:
            raise DownloadDamaged(f"the contents of {quoted(entry.path)} do not have the announced length")
        return digest.digest()

    def _keep_link(self, path: bytes, target: bytes) -> None:
        self._link_bytes += len(target)
        if self._link_bytes > LINK_TARGET_BYTES:
            raise UnsafeTree("the targets of the symbolic links in the tree are too long")
        if not target or b"\0" in target:
            raise UnsafeTree(f"the symbolic link {quoted(path)} has an invalid target")
        self._links[path] = target

    def _siblings(self, directory: bytes) -> dict[bytes, bytes]:
        """Return the listing of a directory; it is created with its parents if it is new."""
        directories = self._listing.directories
        missing = []
        here = directory
        while here not in directories:
            missing.append(here)
            here = here.rpartition(b"/")[0]
        for here in reversed(missing):
            parent, _, name = here.rpartition(b"/")
            if name in directories[parent]:
                raise UnsafeTree(f"the path {quoted(here)} is both a file and a directory")
            self._count(len(here))
            directories[here] = {}
        return directories[directory]

    def _count(self, name_bytes: int) -> None:
        self._entries_seen += 1
        self._name_bytes += name_bytes
        if self._entries_seen > self._limits.entries:
            raise UnsafeTree(f"the tree has more than {self._limits.entries} entries")
        if self._name_bytes > NAME_BYTES:
            raise UnsafeTree("the names in the tree are too long")

    def _put_gitlinks(self, gitlinks: Mapping[bytes, bytes]) -> None:
        for path, commit in gitlinks.items():
            check_path(path)
            directory, _, name = path.rpartition(b"/")
            siblings = self._siblings(directory)
            if name in siblings or path in self._listing.directories:
                raise UnsafeTree(f"the submodule {quoted(path)} is also a file or a directory")
            self._count(len(name))
            siblings[name] = _PACKED_GITLINK + commit

    # --- Finish the tree --------------------------------------------------------------------------

    def finish(self) -> WrittenTree:
        """Create the links and the submodules' empty directories, read back every name and mode, and return the tree.

        Raises TargetUnusable with the paths if the file system folds case, changes Unicode, or has no exec bit or no
        symbolic links.
        """
        self.write_out()
        listing = self._listing
        listing.prune()
        gitlinks = listing.gitlinks()
        for path, target in self._links.items():
            directory, _, name = path.rpartition(b"/")
            try:
                os.symlink(target, name, dir_fd=self._directories.make(directory))
            except FileExistsError:
                raise collision(listing, path) from None
            except OSError as error:
                raise unusable(error, path, where=self._directories.root) from None
        for path in gitlinks:
            try:
                self._directories.make(path)
            except FileExistsError:
                raise collision(listing, path) from None
            except OSError as error:
                raise unusable(error, path, where=self._directories.root) from None
        read_back(self._directories, listing)
        return WrittenTree(
            entries=listing,
            tree=self._base_tree or listing.tree(self._format),
            files=len(listing) - len(gitlinks),
            bytes=self._bytes_written + sum(map(len, self._links.values())),
            outside_links=links_that_leave(self._links),
            gitlinks=gitlinks,
            left=Limits(self._limits.entries - self._entries_seen, self._limits.bytes - self._bytes_seen),
        )

    def sync(self) -> None:
        """Sync the written files to the disk. Raises TargetUnusable."""
        try:
            sync_file_system(self._directories.root)
        except OSError as error:
            raise unusable(error, "the target") from None

    def close(self) -> None:
        self._directories.close()

    def __enter__(self) -> TreeWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# --- Read back names and modes ---------------------------------------------------------------------------------------

_PACKED_EXECUTABLE = b"%06o" % EXECUTABLE
# The compared bits of a mode and their right values: type and exec bit; for links and directories the type alone.
_LOOKED_AT = 0o170100
_RIGHT = {
    b"%06o" % FILE: (stat.S_IFREG,),
    b"%06o" % EXECUTABLE: (stat.S_IFREG | 0o100,),
    b"%06o" % SYMLINK: (stat.S_IFLNK, stat.S_IFLNK | 0o100),
    b"%06o" % GITLINK: (stat.S_IFDIR, stat.S_IFDIR | 0o100),
}


def read_back(directories: Directories, listing: Listing) -> None:
    """Compare every name and mode below `directories` with the listing. Raises TargetUnusable with a wrong path."""
    subdirectories = listing.subdirectories()
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    for directory in sorted(listing.directories):
        entries = listing.directories[directory]
        below: AbstractSet[bytes] = subdirectories.get(directory, frozenset())
        found: set[bytes] = set()
        try:
            with os.scandir(directories.open(directory)) as items:
                for item in items:
                    name = item.name.encode(encoding, errors)
                    found.add(name)
                    packed = entries.get(name)
                    if packed is None:
                        continue  # a directory, or an unknown name that the count below finds
                    mode = item.stat(follow_symlinks=False).st_mode
                    if mode & _LOOKED_AT not in _RIGHT[packed[:6]]:
                        raise _wrong_mode(joined(directory, name), packed[:6], mode)
        except OSError as error:
            raise unusable(error, directory or "the target") from None
        if len(found) != len(entries) + len(below) or not (found >= below and found >= entries.keys()):
            raise _wrong_names(directory, entries.keys() | below, found)


def collision(listing: Listing, path: bytes) -> TargetUnusable:
    """Return the error for a new `path` that exists already: another path has the same name on this file system."""
    subdirectories = listing.subdirectories()
    parts = path.split(b"/")
    for depth in range(len(parts)):
        directory, name = b"/".join(parts[:depth]), parts[depth]
        siblings = listing.directories.get(directory, {}).keys() | subdirectories.get(directory, frozenset())
        twin = _twin(name, siblings)
        if twin is not None:
            return _folded(joined(directory, twin), joined(directory, name))
    return TargetUnusable(f"cannot write {quoted(path)}: another process has created it")


def _wrong_mode(path: bytes, wanted: bytes, mode: int) -> TargetUnusable:
    if wanted == _PACKED_LINK:
        return TargetUnusable(f"the file system of the target does not support symbolic links: {quoted(path)}")
    if not stat.S_ISREG(mode):
        return TargetUnusable(f"another process has replaced {quoted(path)} in the target")
    if wanted == _PACKED_EXECUTABLE:
        return TargetUnusable(
            f"{quoted(path)} cannot be made executable in the target",
            hints=["check the umask and the mount options of the target's file system"],
        )
    return TargetUnusable(f"the file system of the target makes every file executable: {quoted(path)}")


def _wrong_names(directory: bytes, wanted: AbstractSet[bytes], found: AbstractSet[bytes]) -> TargetUnusable:
    strangers = found - wanted
    for name in sorted(wanted - found):
        twin = _twin(name, wanted)
        if twin is not None:
            return _folded(joined(directory, twin), joined(directory, name))
        twin = _twin(name, strangers)
        if twin is not None:
            return TargetUnusable(
                f"the file system of the target changes names: {quoted(joined(directory, name))} became "
                f"{_distinct(joined(directory, twin))}"
            )
        return TargetUnusable(f"another process has removed {quoted(joined(directory, name))} from the target")
    stranger = joined(directory, min(strangers))
    return TargetUnusable(f"another process writes into the target: {quoted(stranger)} is not in this tree")


def _folded(one: bytes, other: bytes) -> TargetUnusable:
    return TargetUnusable(
        f"{quoted(one)} and {_distinct(other)} have the same name on the file system of the target",
        hints=["choose a directory on a file system that is case-sensitive and does not normalize Unicode"],
    )


def _twin(name: bytes, others: Iterable[bytes]) -> bytes | None:
    folded = _fold(name)
    return next((other for other in sorted(others) if other != name and _fold(other) == folded), None)


def _fold(name: bytes) -> str:
    """Return a name as file systems compare it: without case, and without Unicode's forms (HFS+, APFS, some ext4)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", os.fsdecode(name)).casefold())


def _distinct(path: bytes) -> str:
    """Return the path as `quoted` does, with code points for characters that may look alike."""
    return quoted(path) if path.isascii() else ascii(path.decode("utf-8", "backslashreplace"))
