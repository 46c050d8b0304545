"""Verify a directory: hash it again, and list the paths that differ from the recorded tree.

The tree id alone says whether it is the same. The recorded paths come from local objects, else from the platform.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    GitNotFound,
    GitUnusable,
    MethodUnavailable,
    TargetUnusable,
    TreeDiffers,
    UsageError,
)
from git_coderepo.fetching.convert_files import stored
from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.lfs import by_pointers, lfs_paths
from git_coderepo.fetching.listing import Listing
from git_coderepo.fetching.planned_tree import BaseRequest, PlannedTree
from git_coderepo.fetching.sources.archive import archive_method
from git_coderepo.fetching.sources.git_tree import tree_rows
from git_coderepo.fetching.sources.local import Here
from git_coderepo.fetching.sources.stored_trees import stored_trees, tree_named
from git_coderepo.fetching.subdirectory import below
from git_coderepo.filesystem.directories import Directories, Root, unusable
from git_coderepo.git.attributes.wildmatch import Pattern
from git_coderepo.git.objects import (
    EXECUTABLE,
    FILE,
    GITLINK,
    SYMLINK,
    ObjectId,
    blob_hasher,
    blob_id,
    canonical_mode,
    empty_tree_id,
)
from git_coderepo.git.process import Git
from git_coderepo.manifest.writer import path_value
from git_coderepo.transport.scratch_repository import Scratch


class Verification(NamedTuple):
    """The result: `found` is the current tree of the directory, `expected` the recorded one.

    Paths are raw, from the root, and sorted; those in submodules are included. `unlisted` is the reason why the paths
    could not be compared, None if they were. `submodules` has the tree ids of each submodule.
    """

    expected: ObjectId
    found: ObjectId
    changed: tuple[bytes, ...] = ()
    missing: tuple[bytes, ...] = ()
    added: tuple[bytes, ...] = ()
    unlisted: str | None = None
    submodules: tuple[VerifiedSubmodule, ...] = ()

    @property
    def same_tree(self) -> bool:
        """Whether the directory and each submodule is exactly the recorded tree."""
        return self.found == self.expected and all(each.found == each.expected for each in self.submodules)

    def unexpected(self, allowed: Callable[[bytes], bool]) -> tuple[bytes, ...]:
        """Return the added paths that `allowed` does not accept.

        Every added file counts, ignored ones and compiled ones too: a `json.py`, an `.so`, a `sitecustomize.py` beside
        the recorded code changes what runs.
        """
        return tuple(path for path in self.added if not allowed(path))

    def holds(self, allowed: Callable[[bytes], bool]) -> bool:
        """Return whether every recorded path is as recorded and every added one is `allowed`."""
        if self.unlisted is not None:
            return self.same_tree
        return not self.changed and not self.missing and not self.unexpected(allowed)

    def document(self) -> dict[str, object]:
        """Return the result as plain values."""
        return {
            "expected": self.expected.hex,
            "found": self.found.hex,
            "sameTree": self.same_tree,
            "changed": [path_value(path) for path in self.changed],
            "missing": [path_value(path) for path in self.missing],
            "added": [path_value(path) for path in self.added],
            "unlisted": self.unlisted,
            "submodules": [
                {
                    "path": path_value(each.path),
                    "expected": None if each.expected is None else each.expected.hex,
                    "found": None if each.found is None else each.found.hex,
                    "sameTree": each.found == each.expected,
                }
                for each in self.submodules
            ],
        }


def matching(patterns: Sequence[bytes]) -> Callable[[bytes], bool]:
    """Return a function that tells whether one of `patterns` accepts a raw path from the root, or a directory above it.

    A pattern is read like a line of a `.gitignore` at the root: without a slash it matches a name at any depth, with a
    slash a path, and with a slash at its end only directories. Raises UsageError for a pattern that would accept
    everything (an empty one) or nothing (a negative one). https://git-scm.com/docs/gitignore#_pattern_format
    """
    for pattern in patterns:
        if not pattern.strip(b"/") or pattern.startswith((b"!", b"#")):
            raise UsageError(f"invalid pattern '{os.fsdecode(pattern)}': use one such as '*.log' or 'outputs/'")
    compiled = [(Pattern(b"", pattern.rstrip(b"/")), pattern.endswith(b"/")) for pattern in patterns]

    def accepts(path: bytes) -> bool:
        is_directory = False
        while path:
            name = path.rpartition(b"/")[2]
            if any((is_directory or not only) and each.matches(path, name) for each, only in compiled):
                return True
            path, is_directory = path.rpartition(b"/")[0], True
        return False

    return accepts


class VerifiedSubmodule(NamedTuple):
    """A submodule at a raw path: `expected` is None if its directory must be empty, `found` is None if it is empty."""

    path: bytes
    expected: ObjectId | None
    found: ObjectId | None


def verify_directory(planned: PlannedTree, directory: str, *, git: Git) -> Verification:
    """Hash `directory` and compare it with a planned tree; `git` stands in a repository that may have its objects.

    A file is unchanged if its bytes have the recorded id, or if the blob that git would check in has it, by the tree's
    own attributes and no configuration: CRLF as LF for `text` or `eol`, a `working-tree-encoding` as UTF-8, `$Id: …$`
    as `$Id$`. So the files that `fetch` converted count as unchanged. Raises TargetUnusable if the directory is missing
    or cannot be read.
    """
    if not os.path.isdir(directory):
        raise TargetUnusable(f"'{directory}' is not a directory")
    return _verified(planned, directory, Here.of(git))


def _verified(planned: PlannedTree, directory: Root, here: Here | None) -> Verification:
    """Verify a directory with its submodules; `here` is a repository that may have the objects."""
    object_format = planned.tree.object_format
    prefix = planned.keep + b"/" if planned.keep else b""
    gitlinks = {path[len(prefix) :]: id for path, id in (planned.gitlinks or {}).items() if path.startswith(prefix)}
    expected: Listing | None = None
    wanted_tree = planned.tree
    if planned.keep and planned.keep_tree is None:
        expected = _part_of(listing_of(planned, here), planned.keep)
        wanted_tree = expected.tree(object_format)
    elif planned.keep_tree is not None:
        wanted_tree = planned.keep_tree
    found = rehash(directory, object_format, gitlinks)
    tree = found.tree(object_format)
    differences, unlisted = Differences((), (), ()), None
    blobs: dict[bytes, bytes] = {}
    if tree != wanted_tree:
        # A Git LFS file is compared by its pointer, which has the sha256 of its contents.
        pointers = by_pointers(directory, lfs_paths(directory, found).paths, object_format)
        blobs = {**stored(directory, found, object_format), **pointers}
    own = {path: found[path][1] for path in blobs}
    found.put_ids(blobs)
    if blobs and found.tree(object_format) == wanted_tree:
        tree = wanted_tree
    else:
        found.put_ids(own)
    if tree != wanted_tree:
        try:
            if expected is None:
                expected = listing_of(planned, here)
                expected = _part_of(expected, planned.keep) if planned.keep else expected
        except CodeRepoError as error:
            unlisted = error.message
        else:
            if planned.gitlinks is None:
                # For NAME@REVISION, only the listing says which empty directories are submodules.
                gitlinks = {path: id for path, (mode, id) in expected.items() if mode == GITLINK}
                found = rehash(directory, object_format, gitlinks) if gitlinks else found
            # Attributes that were added to the directory do not apply to the recorded tree.
            if blobs:
                _put_recorded(found, stored(directory, found, object_format, among=expected), expected)
            # A recorded pointer says which contents belong there, even without attributes, which may be above a kept
            # directory.
            changed = [path for path in compare(expected, found).changed if found[path][0] in (FILE, EXECUTABLE)]
            _put_recorded(found, by_pointers(directory, changed, object_format), expected)
            found.stored = expected.stored
            tree = found.tree(object_format)
            differences = compare(expected, found)
    result = Verification(
        wanted_tree, tree, differences.changed, differences.missing, differences.added, unlisted=unlisted
    )
    inner = {each.path[len(prefix) :]: each.planned for each in planned.submodules if each.path.startswith(prefix)}

    def at_hand(path: bytes) -> Here | None:
        return here.submodule(prefix + path) if here is not None and path in inner else None

    for path in sorted(gitlinks):
        if found.get(path, (0, b""))[0] == GITLINK:
            result = _with_submodule(result, path, inner.get(path), directory, at_hand(path))
        elif path in inner:
            submodules = (*result.submodules, VerifiedSubmodule(path, inner[path].tree, None))
            result = result._replace(submodules=submodules)
    return result


def _put_recorded(found: Listing, ids: Mapping[bytes, bytes], expected: Mapping[bytes, tuple[int, bytes]]) -> None:
    """Put the ids (by path) that were recorded into the listing."""
    found.put_ids({path: id for path, id in ids.items() if expected.get(path, (0, b""))[1] == id})


def _with_submodule(
    outer: Verification, path: bytes, planned: PlannedTree | None, directory: Root, here: Here | None
) -> Verification:
    """Return the verification with that of a submodule; `planned` is None if its directory must be empty."""
    try:
        with Directories(directory) as directories:
            place = directories.open(path)
            if planned is not None:
                found = _verified(planned, place, here)
            else:
                object_format = outer.expected.object_format
                empty = empty_tree_id(object_format)
                listing = rehash(place, object_format)
                found = Verification(empty, listing.tree(object_format), added=tuple(sorted(listing)))
    except OSError as error:
        raise unusable(error, path, "read") from None

    def joined(before: tuple[bytes, ...], inside: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(sorted((*before, *(path + b"/" + each for each in inside))))

    verified = VerifiedSubmodule(path, found.expected, found.found)
    if planned is None:
        verified = VerifiedSubmodule(path, None, None if found.same_tree else found.found)
    return Verification(
        outer.expected,
        outer.found,
        changed=joined(outer.changed, found.changed),
        missing=joined(outer.missing, found.missing),
        added=joined(outer.added, found.added),
        unlisted=outer.unlisted or found.unlisted,
        submodules=(
            *outer.submodules,
            verified,
            *(each._replace(path=path + b"/" + each.path) for each in found.submodules),
        ),
    )


def listing_of(planned: PlannedTree, here: Here | None) -> Listing:
    """Return every path of the planned tree: from local objects, else from the platform's trees and the overlay.

    Raises what asking the platform raises, and TreeDiffers if its answer is not the planned tree.
    """
    object_format = planned.tree.object_format
    for each in (here.git, here.at_hand) if here is not None else ():
        listed = each.start("ls-tree", "-r", "-z", "--full-tree", planned.tree.hex).finish()
        if listed.status == 0:
            found = _listing(_parsed(listed.stdout))
            if found.tree(object_format) != planned.tree:
                found.stored = stored_trees(each, planned.tree.hex, object_format)
            return found
    if planned.problem is not None:
        raise planned.problem
    entries: dict[bytes, tuple[int, bytes]] = {}
    trees: Mapping[bytes, bytes] = {}
    request = planned.base
    if request is not None:
        try:
            entries, trees = _listing_by_git(request)
        except (GitNotFound, GitUnusable) as error:
            try:
                entries = _listing_by_archive(request)
            except MethodUnavailable:
                raise error from None
    for path in planned.overlay.deleted if planned.overlay is not None else ():
        entries.pop(path, None)
    if planned.gitlinks is not None:
        entries = {path: facts for path, facts in entries.items() if facts[0] != GITLINK}
        entries.update({path: (GITLINK, commit) for path, commit in planned.gitlinks.items()})
    for entry in planned.overlay.opened() if planned.overlay is not None else ():
        entries[entry.path] = (entry.mode, _blob(entry, object_format))
    found = _listing(entries)
    found.stored = trees
    made = found.tree(object_format)
    if made != planned.tree:
        raise TreeDiffers(f"the platform and the overlay produce the tree {made}, not {planned.tree}")
    return found


def _listing(entries: Mapping[bytes, tuple[int, bytes]]) -> Listing:
    found = Listing()
    for path, (mode, id) in entries.items():
        found.put(path, b"%06o%b" % (mode, id))
    return found


def _part_of(listing: Listing, path: bytes) -> Listing:
    """Return the listing of a directory, paths from there. Raises CodeRepoError if it is missing."""
    below(listing, path)
    return listing.part(path)


def _listing_by_git(request: BaseRequest) -> tuple[dict[bytes, tuple[int, bytes]], Mapping[bytes, bytes]]:
    """Return (paths of the base, stored tree objects by directory), without fetching file contents."""
    with Scratch(request.object_format, request.environment) as scratch:
        scratch.fetch_commit(request.platform, request.commit, branch=request.branch, only="blob:none")
        name = f"{request.commit}:{os.fsdecode(request.part)}/" if request.part else request.commit.hex
        rows = tree_rows(scratch.git, name, request.limits, request.scope)
        entries = dict(_parsed(b"\0".join(rows)))
        if request.scope or _listing(entries).tree(request.object_format) == tree_named(scratch.git, name):
            return entries, {}
        return entries, stored_trees(scratch.git, name, request.object_format)


def _listing_by_archive(request: BaseRequest) -> dict[bytes, tuple[int, bytes]]:
    """Return the paths of the base without git, from its archive, which has no submodules."""
    with archive_method(request) as stream:
        files = (entry for entry in stream.entries if entry.mode in (FILE, EXECUTABLE, SYMLINK))
        return {entry.path: (entry.mode, _blob(entry, request.object_format)) for entry in files}


def _parsed(listing: bytes) -> Mapping[bytes, tuple[int, bytes]]:
    rows = (row.partition(b"\t") for row in listing.split(b"\0") if row)
    return {
        path: (canonical_mode(int(facts[:6], 8)), bytes.fromhex(facts.split(b" ")[2].decode()))
        for facts, _, path in rows
    }


def _blob(entry: Entry, object_format: str) -> bytes:
    digest = blob_hasher(entry.size, object_format)
    for piece in entry.chunks():
        digest.update(piece)
    return digest.digest()


# --- Hash a directory ------------------------------------------------------------------------------------------------

# The mode of a pipe, a socket or a device, which are never opened.
SPECIAL = 0

_IN_ONE_PIECE = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Differences(NamedTuple):
    """Sorted raw paths: with other contents or another mode, missing, and added."""

    changed: tuple[bytes, ...]
    missing: tuple[bytes, ...]
    added: tuple[bytes, ...]

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.added)


def rehash(directory: Root, object_format: str, gitlinks: Mapping[bytes, bytes] | None = None) -> Listing:
    """Hash everything below `directory`: (mode, raw id) by raw path; links are not followed.

    `gitlinks` are the recorded submodules (raw commit id by path): a directory at such a path counts as the gitlink and
    is not read. As in Git, directories themselves do not count. A special file has the mode SPECIAL and no id. Raises
    TargetUnusable if a path cannot be read.
    """
    gitlinks = gitlinks or {}
    listing = Listing()
    try:
        directories = Directories(directory)
    except OSError as error:
        raise unusable(error, "the directory" if isinstance(directory, int) else directory, "read") from None
    with directories:
        pending = [b""]
        while pending:
            here = pending.pop()
            prefix = here + b"/" if here else b""
            try:
                entries, below = _hashed(directories.open(here), object_format)
            except OSError as error:
                raise unusable(error, here or ".", "read") from None
            for name in below:
                path = prefix + name
                if path in gitlinks:
                    entries[name] = b"%06o%b" % (GITLINK, gitlinks[path])
                else:
                    pending.append(path)
            listing.directories[here] = entries
    listing.prune()
    return listing


def _hashed(parent: int, object_format: str) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Return (files and links, packed as in a Listing, names of directories) of an open directory."""
    entries = {}
    below = []
    with os.scandir(parent) as items:
        for item in items:
            name = os.fsencode(item.name)
            try:
                if item.is_dir(follow_symlinks=False):
                    below.append(name)
                elif item.is_symlink():
                    target = os.readlink(name, dir_fd=parent)
                    entries[name] = b"%06o%b" % (SYMLINK, blob_id(target, object_format))
                elif item.is_file(follow_symlinks=False):
                    entries[name] = hashed_file(name, parent, object_format)[0]
                else:
                    entries[name] = b"%06o" % SPECIAL
            except FileNotFoundError:
                continue  # removed at this moment: it counts as missing
    return entries, below


def hashed_file(name: bytes, parent: int, object_format: str, *, most: int | None = None) -> tuple[bytes, int]:
    """Return a file's mode and id, packed as in a Listing, and its size in bytes.

    A special file, or one that is larger than `most` bytes, has the mode SPECIAL and no id. Raises OSError.
    """
    file = os.open(name, _OPEN, dir_fd=parent)
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode) or (most is not None and facts.st_size > most):
            return b"%06o" % SPECIAL, 0
        mode = EXECUTABLE if facts.st_mode & 0o100 else FILE
        if facts.st_size < _IN_ONE_PIECE:
            return b"%06o%b" % (mode, blob_id(os.read(file, facts.st_size + 1), object_format)), facts.st_size
        # A file that grows or shrinks while it is read gets an id of no blob, so it counts as changed.
        digest = blob_hasher(facts.st_size, object_format)
        while piece := os.read(file, _IN_ONE_PIECE):
            digest.update(piece)
        return b"%06o%b" % (mode, digest.digest()), facts.st_size
    finally:
        os.close(file)


def compare(expected: Mapping[bytes, tuple[int, bytes]], found: Mapping[bytes, tuple[int, bytes]]) -> Differences:
    """Compare the paths that `rehash` returned with the expected ones, both (mode, raw id) by path."""
    both = expected.keys() & found.keys()
    return Differences(
        changed=tuple(sorted(path for path in both if expected[path] != found[path])),
        missing=tuple(sorted(expected.keys() - both)),
        added=tuple(sorted(found.keys() - both)),
    )
