"""Is it still the same? A directory hashed again, and, where it differs, which paths do.

The tree id alone says yes or no. The paths behind it come from objects that are at hand, else from the platform.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from git_coderepo.checkout.layout import read_layout, start_layout
from git_coderepo.checkout.store import Store
from git_coderepo.errors import CodeRepoError, TargetUnusable, TreeDiffers
from git_coderepo.git import Git
from git_coderepo.objects import GITLINK, ObjectId, TreeEntry, blob_hasher, tree_id
from git_coderepo.runner.entries import Entry
from git_coderepo.runner.fetch import Wanted
from git_coderepo.runner.part import below, tree_of_entries
from git_coderepo.runner.scratch import Scratch, tree_rows
from git_coderepo.runner.verify import compare, rehash


@dataclass(frozen=True)
class Verification:
    """`found` is the tree of the directory now, `expected` the recorded one; paths are raw and sorted.

    `unlisted` says why the paths could not be told apart, None where they were.
    """

    expected: ObjectId
    found: ObjectId
    changed: tuple[bytes, ...] = ()
    missing: tuple[bytes, ...] = ()
    added: tuple[bytes, ...] = ()
    unlisted: str | None = None

    @property
    def same_tree(self) -> bool:
        """Whether the directory is the recorded tree and nothing else."""
        return self.found == self.expected

    def holds(self, *, strict: bool = False) -> bool:
        """Whether every recorded path is as it was; `strict` minds added paths too."""
        if strict or self.unlisted is not None:
            return self.same_tree
        return not self.changed and not self.missing

    def document(self) -> dict[str, object]:
        """The answer as plain values."""
        from git_coderepo.manifest.writer import path_value

        return {
            "expected": self.expected.hex,
            "found": self.found.hex,
            "sameTree": self.same_tree,
            "changed": [path_value(path) for path in self.changed],
            "missing": [path_value(path) for path in self.missing],
            "added": [path_value(path) for path in self.added],
            "unlisted": self.unlisted,
        }


def verify_directory(wanted: Wanted, directory: str, *, git: Git) -> Verification:
    """Hash `directory` and compare it with what is wanted; `git` stands where objects may be at hand.

    Raises TargetUnusable where there is no such directory or it cannot be read.
    """
    if not os.path.isdir(directory):
        raise TargetUnusable(f"'{directory}' is no directory")
    object_format = wanted.tree.object_format
    gitlinks = wanted.gitlinks or {}
    expected: Mapping[bytes, tuple[int, bytes]] | None = None
    wanted_tree = wanted.tree
    if wanted.keep:
        prefix = wanted.keep + b"/"
        gitlinks = {path[len(prefix) :]: id for path, id in gitlinks.items() if path.startswith(prefix)}
        if wanted.keep_tree is None:
            expected = below(listing_of(wanted, git), wanted.keep)
            wanted_tree = tree_of_entries(expected, object_format)
        else:
            wanted_tree = wanted.keep_tree
    found = rehash(directory, object_format, gitlinks)
    tree = found.tree(object_format)
    if tree == wanted_tree:
        return Verification(wanted_tree, tree)
    try:
        if expected is None:
            expected = listing_of(wanted, git)
            expected = below(expected, wanted.keep) if wanted.keep else expected
    except CodeRepoError as error:
        return Verification(wanted_tree, tree, unlisted=error.message)
    differences = compare(expected, found)
    return Verification(wanted_tree, tree, differences.changed, differences.missing, differences.added)


def listing_of(wanted: Wanted, git: Git) -> Mapping[bytes, tuple[int, bytes]]:
    """Every path of the wanted tree: from objects at hand, else from the platform's trees and the overlay.

    Raises what asking the platform raises, and TreeDiffers where that is not the wanted tree.
    """
    for each in _gits_at_hand(git):
        listed = each.start("ls-tree", "-r", "-z", "--full-tree", wanted.tree.hex).finish()
        if listed.status == 0:
            return _parsed(listed.stdout)
    if wanted.problem is not None:
        raise wanted.problem
    entries: dict[bytes, tuple[int, bytes]] = {}
    request = wanted.base
    if request is not None:
        with Scratch(request.object_format, request.environment) as scratch:
            scratch.fetch_commit(request.platform, request.commit, branch=request.branch, only="blob:none")
            name = f"{request.commit}:{os.fsdecode(request.part)}" if request.part else request.commit.hex
            rows = tree_rows(scratch.git, name, request.limits, request.scope)
            entries = dict(_parsed(b"\0".join(rows)))
    for path in wanted.deleted:
        entries.pop(path, None)
    if wanted.gitlinks is not None:
        entries = {path: facts for path, facts in entries.items() if facts[0] != GITLINK}
        entries.update({path: (GITLINK, commit) for path, commit in wanted.gitlinks.items()})
    for entry in wanted.open_overlay() or ():
        entries[entry.path] = (entry.mode, _blob(entry, wanted.tree.object_format))
    found = tree_id((TreeEntry(path, *facts) for path, facts in entries.items()), wanted.tree.object_format)
    if found != wanted.tree:
        raise TreeDiffers(f"the platform and the overlay make the tree {found}, not {wanted.tree}")
    return entries


def _gits_at_hand(git: Git) -> list[Git]:
    """git as it is, and git that finds our own store too; none where there is no repository."""
    try:
        layout = read_layout(start_layout(git), git, bare_allowed=True)
    except CodeRepoError:
        return []
    return [git, Store(layout).git(git)]


def _parsed(listing: bytes) -> Mapping[bytes, tuple[int, bytes]]:
    rows = (row.partition(b"\t") for row in listing.split(b"\0") if row)
    return {path: (int(facts[:6], 8), bytes.fromhex(facts.split(b" ")[2].decode())) for facts, _, path in rows}


def _blob(entry: Entry, object_format: str) -> bytes:
    digest = blob_hasher(entry.size, object_format)
    for piece in entry.chunks():
        digest.update(piece)
    return digest.digest()
