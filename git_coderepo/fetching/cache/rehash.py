"""Rehash a cached tree and compare it with the requested tree id.

No file beside the tree is trusted. The listing (paths and blob ids) must itself produce the tree id; then each file is
hashed and compared with its id. A converted file or a Git LFS file differs from its blob, and must have exactly the
bytes that `fetch` would write now.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError, LfsPointerUnusable, TargetUnusable, UnsafeTree
from git_coderepo.fetching.convert_files import Converted, converted
from git_coderepo.fetching.lfs import LfsReport, holds_pointer, lfs_paths, pointer_id
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.listing import Listing
from git_coderepo.fetching.planned_tree import PlannedSubmodule, PlannedTree
from git_coderepo.fetching.receipt import SubmoduleReceipt
from git_coderepo.fetching.verify import hashed_file
from git_coderepo.filesystem.directories import Directories, unusable
from git_coderepo.filesystem.paths import check_path, links_that_leave, quoted
from git_coderepo.git.objects import GITLINK, SYMLINK, ObjectId, blob_id

_GITLINK = b"%06o" % GITLINK
_LINK = b"%06o" % SYMLINK
_KINDS = {_GITLINK: b"commit"}
_STORED = b"040000 tree"
_NAMED = 3


class TreeAltered(CodeRepoError):
    """The tree differs from the requested one; `paths` are some of the raw paths that differ."""

    def __init__(self, paths: Iterable[bytes] = (), *, reason: str | None = None) -> None:
        self.paths = tuple(sorted(paths))
        named = ", ".join(quoted(path) for path in self.paths[:_NAMED])
        more = f" and {len(self.paths) - _NAMED} more" if len(self.paths) > _NAMED else ""
        super().__init__(reason or f"{named}{more}")


class Proof(NamedTuple):
    """A tree and those of its submodules, each verified against its requested id.

    `files` is the number of hashed files of the tree itself, and `size` their bytes; `gitlinks` maps paths to raw
    commit ids.
    """

    tree: ObjectId
    files: int
    size: int
    gitlinks: Mapping[bytes, bytes]
    outside: tuple[bytes, ...]
    conversions: tuple[Converted, ...]
    lfs: LfsReport | None
    submodules: tuple[tuple[PlannedSubmodule, Proof], ...] = ()

    def nodes(self, prefix: bytes = b"") -> Iterator[tuple[bytes, Proof]]:
        """Yield (prefix of its paths, proof) of the tree and of all submodules in it."""
        yield prefix, self
        for each, inner in self.submodules:
            yield from inner.nodes(prefix + each.path + b"/")

    def receipts(self, method: str, prefix: bytes = b"") -> Iterator[SubmoduleReceipt]:
        """Yield the receipt of each gitlink, those in submodules included."""
        filled = {each.path: (each.planned, inner) for each, inner in self.submodules}
        for path, commit in sorted(self.gitlinks.items()):
            id = ObjectId.from_raw(commit)
            if path not in filled:
                yield SubmoduleReceipt(prefix + path, id)
                continue
            planned, inner = filled[path]
            yield SubmoduleReceipt(
                prefix + path,
                id,
                tree=inner.tree,
                method=method,
                files=inner.files,
                overlay_files=planned.identity.overlay_files,
                overlay_deleted=planned.identity.overlay_deleted,
            )
            yield from inner.receipts(method, prefix + path + b"/")


def rehash_cached(planned: PlannedTree, directory: int, listing: bytes) -> Proof:
    """Hash the tree in the open `directory`, with its submodules, and compare it with the ids in `planned`.

    `listing` comes from `encode_listing` and is not trusted. Raises TreeAltered if a path differs, is missing, was
    added or cannot be read.
    """
    listings = read_listing(planned, listing)
    try:
        return _rehash(planned, directory, listings, b"", _Budget(Limits().bytes))
    except (TargetUnusable, UnsafeTree, LfsPointerUnusable) as error:
        raise TreeAltered(reason=error.message) from None


# --- Encode listings -------------------------------------------------------------------------------------------------


def encode_listing(nodes: Iterable[tuple[bytes, Listing]]) -> bytes:
    """Encode the listings of a tree and its submodules, given as (prefix of its paths, listing).

    The format is that of `git ls-tree -r -z`; a stored tree object (see `stored_trees`) has its contents in hex.
    """
    rows = []
    for prefix, listing in nodes:
        for path, packed in _packed(listing):
            kind = _KINDS.get(packed[:6], b"blob")
            rows.append(b"%b %b %b\t%b%b\0" % (packed[:6], kind, packed[6:].hex().encode(), prefix, path))
        for path, contents in listing.stored.items():
            rows.append(b"%b %b\t%b%b\0" % (_STORED, contents.hex().encode(), prefix, path))
    return b"".join(rows)


def read_listing(planned: PlannedTree, data: bytes) -> dict[bytes, Listing]:
    """Decode the listings of a tree and its submodules, by submodule path from the root (b"" for the tree itself).

    Raises TreeAltered if one of them does not produce the planned tree id.
    """
    trees = dict(_trees(planned))
    found = {path: Listing() for path in trees}
    stored_of: dict[bytes, dict[bytes, bytes]] = {}
    length = len(planned.tree.raw)
    try:
        for row in data.split(b"\0")[:-1]:
            facts, _, path = row.partition(b"\t")
            if facts.startswith(_STORED):
                place = path.rstrip(b"/")  # the root of a submodule ends in one
                outer = place if place in found else _owner(place, found)
                inside = place[len(outer) + 1 :] if outer else place
                stored_of.setdefault(outer, {})[inside] = bytes.fromhex(facts[12:].decode("ascii"))
                continue
            id = bytes.fromhex(facts.rpartition(b" ")[2].decode("ascii"))
            if len(id) != length or len(facts) < 6:
                raise ValueError
            check_path(path)
            outer = _owner(path, found)
            found[outer].put(path[len(outer) + 1 :] if outer else path, facts[:6] + id)
        for path, stored in stored_of.items():
            found[path].stored = stored
        matches = all(found[path].tree(tree.object_format) == tree for path, tree in trees.items())
    except (ValueError, UnsafeTree):
        matches = False
    if not matches:
        raise TreeAltered(reason="its listing does not give the recorded tree id")
    return found


def flat(listings: Mapping[bytes, Listing]) -> Listing:
    """Return all paths of a tree and its submodules in one listing, in which submodules are gitlinks."""
    found = Listing()
    for prefix, listing in listings.items():
        for path, packed in _packed(listing):
            found.put(prefix + b"/" + path if prefix else path, packed)
    return found


def _packed(listing: Listing) -> Iterator[tuple[bytes, bytes]]:
    for directory, entries in listing.directories.items():
        before = directory + b"/" if directory else b""
        for name, packed in entries.items():
            yield before + name, packed


def _trees(planned: PlannedTree, path: bytes = b"") -> Iterator[tuple[bytes, ObjectId]]:
    yield path, planned.tree
    for each in planned.submodules:
        yield from _trees(each.planned, path + b"/" + each.path if path else each.path)


def _owner(path: bytes, nodes: Mapping[bytes, Listing]) -> bytes:
    """Return the innermost submodule that contains a path, b"" for none; a submodule does not contain its own path."""
    if len(nodes) > 1:
        while path := path.rpartition(b"/")[0]:
            if path in nodes:
                return path
    return b""


# --- Compare a directory with a listing ------------------------------------------------------------------------------


class _Budget:
    """The number of bytes that may still be hashed: a sparse file can have any size."""

    def __init__(self, size: int) -> None:
        self.left = size


def _rehash(
    planned: PlannedTree, directory: int, listings: Mapping[bytes, Listing], prefix: bytes, budget: _Budget
) -> Proof:
    """Rehash one tree and the submodules in it; `prefix` of its paths is b"" or ends in a slash."""
    expected = listings[prefix[:-1]]
    object_format = planned.tree.object_format
    gitlinks = expected.gitlinks()
    inner = {each.path: each for each in planned.submodules}
    proofs = []
    try:
        with Directories(directory) as directories:
            look = _Look(directories, expected, object_format, inner.keys(), budget)
            altered = look.altered | (inner.keys() - gitlinks.keys())
            if not altered:
                lfs, in_lfs, altered = _of_lfs(directories, directory, expected, look.differing, object_format)
            if not altered:
                conversions, exact, wrong = converted(directory, expected, look.differing, object_format)
                altered = set(wrong | (look.differing - exact - in_lfs))
            if altered:
                raise TreeAltered(prefix + path for path in altered)
            for path in sorted(inner):
                place = directories.open(path)
                proofs.append(
                    (inner[path], _rehash(inner[path].planned, place, listings, prefix + path + b"/", budget))
                )
    except OSError as error:
        raise unusable(error, prefix or "the tree", "read") from None
    return Proof(
        tree=planned.tree,
        files=look.files,
        size=look.size,
        gitlinks=gitlinks,
        outside=links_that_leave(look.links),
        conversions=conversions,
        lfs=lfs,
        submodules=tuple(proofs),
    )


class _Look:
    """The comparison of every path below a directory with its listing.

    `altered` are paths that are missing, added or of another type; `differing` are files whose bytes have another id,
    which a conversion or Git LFS may explain. Added files are not read, whatever their size, and after the first
    altered path no file is read.
    """

    def __init__(
        self,
        directories: Directories,
        expected: Listing,
        object_format: str,
        submodules: Container[bytes],
        budget: _Budget,
    ) -> None:
        self.altered: set[bytes] = set()
        self.differing: set[bytes] = set()
        self.links: dict[bytes, bytes] = {}
        self.files = self.size = 0
        self._object_format = object_format
        self._budget = budget
        below = expected.subdirectories()
        for here, entries in expected.directories.items():
            prefix = here + b"/" if here else b""
            try:
                opened = directories.open(here)
            except (FileNotFoundError, NotADirectoryError):
                self.altered.add(here)
                continue
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                self.altered.add(here)  # a symbolic link instead of a directory
                continue
            seen = set()
            strange = []
            with os.scandir(opened) as items:
                for item in items:
                    name = os.fsencode(item.name)
                    packed = entries.get(name)
                    if packed is not None:
                        seen.add(name)
                        if packed[:6] != _GITLINK:
                            self._compare(prefix + name, item, name, opened, packed)
                        elif not item.is_dir(follow_symlinks=False):
                            self.altered.add(prefix + name)
                        elif prefix + name not in submodules:
                            strange.append(prefix + name)  # it was not fetched, so it must be empty
                    elif name in below.get(here, ()):
                        pass  # `expected.directories` has it
                    elif item.is_dir(follow_symlinks=False):
                        strange.append(prefix + name)
                    else:
                        self.altered.add(prefix + name)
            self.altered.update(prefix + name for name in entries.keys() - seen)
            self.altered.update(found for path in strange if (found := _first_file(directories, path)) is not None)

    def _compare(self, path: bytes, item: os.DirEntry[str], name: bytes, parent: int, packed: bytes) -> None:
        if self.altered:
            return
        if packed[:6] == _LINK and item.is_symlink():
            self.links[path] = target = os.readlink(name, dir_fd=parent)
            found = _LINK + blob_id(target, self._object_format)
        elif item.is_file(follow_symlinks=False):
            found, size = hashed_file(name, parent, self._object_format, most=self._budget.left)
            self._budget.left -= size
            self.size += size
        else:
            self.altered.add(path)
            return
        self.files += 1
        if found[:6] != packed[:6]:
            self.altered.add(path)
        elif found != packed:
            (self.altered if packed[:6] == _LINK else self.differing).add(path)


def _first_file(directories: Directories, top: bytes) -> bytes | None:
    """Return the path of any file below a directory; None if there are only directories, which Git ignores."""
    pending = [top]
    while pending:
        here = pending.pop()
        with os.scandir(directories.open(here)) as items:
            for item in items:
                path = here + b"/" + os.fsencode(item.name)
                if not item.is_dir(follow_symlinks=False):
                    return path
                pending.append(path)
    return None


def _of_lfs(
    directories: Directories, directory: int, expected: Listing, differing: Container[bytes], object_format: str
) -> tuple[LfsReport | None, frozenset[bytes], set[bytes]]:
    """Compare the Git LFS files of a tree: (report, paths with their pointer's contents, altered paths).

    A pointer instead of its file counts as altered: the cache has whole files.
    """
    good: dict[bytes, bytes] = {}
    altered = set()
    for path in lfs_paths(directory, expected).paths:
        recorded = expected[path][1]
        if path in differing:
            if pointer_id(directories, path, object_format) == recorded:
                good[path] = recorded
        elif holds_pointer(directories, path):
            altered.add(path)
    report = LfsReport("fetched", len(good), len(set(good.values()))) if good else None
    return report, frozenset(good), altered
