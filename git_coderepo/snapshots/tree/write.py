"""Write the snapshot's tree: HEAD's with the changes, or, in an unusual checkout, that of the whole index."""

from __future__ import annotations

from git_coderepo.errors import GitFailed, ObjectMissing
from git_coderepo.git.index import entry_of, row_of, small_index
from git_coderepo.git.objects import FILE
from git_coderepo.snapshots.archive_check import attribute_files
from git_coderepo.snapshots.tree.edit import Directories, edited_tree
from git_coderepo.snapshots.tree.private_index import PrivateIndex
from git_coderepo.snapshots.tree.reuse import Reuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.status import Change
    from git_coderepo.git.subtree import Row
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.snapshots.snapshot import Checkout
    from git_coderepo.snapshots.tree.worktree_stat import Found


class HeadTree:
    """HEAD: its `tree` (None: unborn), the rows of its attributes files, and all `changes` since.

    `listing` are rows as `ls-tree -r -z` gives them; `changes` are those of `git status`, staged ones among them.
    """

    __slots__ = ("changes", "listing", "tree")

    def __init__(self, tree: ObjectId | None, listing: bytes, changes: Sequence[Change]) -> None:
        self.tree = tree
        self.listing = listing
        self.changes = changes


def write_snapshot_tree(
    checkout: Checkout,
    changes: Sequence[Change],
    *,
    without: Sequence[bytes] = (),
    keep: bool = True,
    found: Found | None = None,
) -> ObjectId:
    """Write the tree of the work tree, or of its scope: the index, updated with each of `changes` from disk.

    Every change is hashed; all of them twice if one of those that were `found` is doubtful. The paths `without` are
    left out; `keep` as for `PrivateIndex.take`. Raises NotReproducible for a path that git cannot read or filter,
    ChangedMeanwhile.
    """

    def write() -> ObjectId:
        with PrivateIndex(checkout.git, checkout.layout, checkout.store, checkout.looked_at) as index:
            index.drop(without)
            index.take(changes, keep=keep)
            return index.write_tree(keep=keep)

    tree = write()
    if found is not None and found.doubtful and write() != tree:
        raise found.changed_meanwhile(found.doubtful)
    return tree


class Edited:
    """A tree that was made of HEAD's: `differences` are those between the two, None if git has to be asked."""

    __slots__ = ("_entries", "_reuse", "differences", "tree")

    def __init__(
        self,
        tree: ObjectId,
        differences: list[Difference] | None,
        reuse: Reuse | None,
        entries: Mapping[bytes, bytes],
    ) -> None:
        self.tree = tree
        self.differences = differences
        self._reuse = reuse
        self._entries = entries

    def keep(self) -> None:
        """Store the hashes for the next snapshot; to be called after `Found.refuse_changed`."""
        if self._reuse is not None:
            self._reuse.keep(self._entries)


def edit_head_tree(checkout: Checkout, head: HeadTree, found: Found, *, keep: bool) -> Edited | None:
    """Write the snapshot tree by editing HEAD's tree; None if the whole index is needed.

    Hashes of the last snapshot are reused, see `reuse`; doubtful files are hashed twice. Raises as
    `write_snapshot_tree`.
    """
    # An unmerged path has several entries in the index; for one that is intended to be added `git status` has no mode.
    if any(change.marked or change.unmerged or change.worktree == "A" for change in (*head.changes, *found.changes)):
        return None
    store = checkout.store
    store.prepare()
    tracked = [change for change in head.changes if change.index != "?"]
    touched = {change.path for change in tracked}.union(found.facts)
    directories = Directories(store.git(checkout.git), head.tree, touched)
    try:
        entries = _entries_of_user(head.listing, tracked)
        for path in found.gone_and_present()[0]:
            entries.pop(path, None)
        is_reusing = keep and not store.is_suspect
        reuse = Reuse(checkout.layout, store, checkout.settings, found, entries) if is_reusing else None
        if reuse is not None:
            entries.update(reuse.entries)
        hashed = _hash(checkout, entries, found, reuse.entries if reuse is not None else {}, keep=keep)
        if hashed is None:
            return None
        edits = {path: _row(hashed, path) for path in touched}
        tree, differences = edited_tree(checkout.git, store, directories, edits, checkout.layout.object_format)
        return Edited(tree, differences, reuse, hashed)
    except (ObjectMissing, GitFailed):
        return None  # a partial clone may lack a tree of HEAD; the whole index needs none
    finally:
        directories.end()


def _hash(
    checkout: Checkout, entries: Mapping[bytes, bytes], found: Found, reused: Container[bytes], *, keep: bool
) -> Mapping[bytes, bytes] | None:
    """Let git hash the changes that are not reused; return the index entries, None if they cannot be read.

    Raises ChangedMeanwhile if a doubtful file is hashed to two ids.
    """
    data = small_index(entries, checkout.layout.object_format)

    def read(paths: Container[bytes]) -> dict[bytes, bytes] | None:
        with PrivateIndex(checkout.git, checkout.layout, checkout.store, data=data) as index:
            index.take(found.changes, keep=keep, found=found, only=paths)
            return index.entries()

    unread = {path for path in found.gone_and_present()[1] if path not in reused}
    first = read(unread) if unread else entries
    second = read(found.doubtful) if found.doubtful else {}
    if first is None or second is None:
        return None
    changed = [path for path in found.doubtful if _row(second, path) != _row(first, path)]
    if changed:
        raise found.changed_meanwhile(changed)
    return first


def _row(entries: Mapping[bytes, bytes], path: bytes) -> Row | None:
    return row_of(entries[path]) if path in entries else None


def _entries_of_user(listing: bytes, tracked: Sequence[Change]) -> dict[bytes, bytes]:
    """Return the entries of the user's index for the changed paths, and for the attributes files."""
    entries = {path: entry_of(FILE, bytes.fromhex(id)) for path, id in attribute_files(listing)}
    for change in tracked:
        if change.entry:
            mode, _, id = change.entry.partition(b" ")
            entries[change.path] = entry_of(int(mode, 8), bytes.fromhex(id.decode()))
        else:
            entries.pop(change.path, None)
    return entries
