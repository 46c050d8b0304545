"""The snapshot's tree: HEAD's with what is changed, or, in an unusual checkout, git's own of the whole index."""

from __future__ import annotations

from git_coderepo.checkout.attributes import attribute_files
from git_coderepo.checkout.edited import Directories, edited_tree
from git_coderepo.checkout.indexfile import entry_of, row_of, small_index
from git_coderepo.checkout.seed import Memory, is_possible
from git_coderepo.checkout.tree import PrivateIndex
from git_coderepo.errors import GitFailed, ObjectMissing
from git_coderepo.objects import FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.checkout.found import Found
    from git_coderepo.checkout.layout import Layout
    from git_coderepo.checkout.overlay import Difference
    from git_coderepo.checkout.seedfile import Last
    from git_coderepo.checkout.status import Change
    from git_coderepo.checkout.store import Store
    from git_coderepo.git import Git
    from git_coderepo.objects import ObjectId
    from git_coderepo.settings import Settings


class HeadTree:
    """What is known of HEAD: its `tree` (None: unborn), the rows of its attributes files, and all `changes` since.

    `listing` are rows as `ls-tree -r -z` gives them; `changes` are those of `git status`, staged ones among them.
    """

    __slots__ = ("changes", "listing", "tree")

    def __init__(self, tree: ObjectId | None, listing: bytes, changes: Sequence[Change]) -> None:
        self.tree = tree
        self.listing = listing
        self.changes = changes


def write_snapshot_tree(
    git: Git,
    layout: Layout,
    store: Store,
    changes: Sequence[Change],
    *,
    looked_at: tuple[bytes, ...] = (),
    without: Sequence[bytes] = (),
    keep: bool = True,
) -> ObjectId:
    """The tree id of the work tree: the index as it is, and each of `changes` as it is on the disk now.

    Everything is hashed anew. Of what is `looked_at` alone, where that is limited. The paths `without` are left out;
    `keep` as for `PrivateIndex.take`. Raises NotReproducible for a path that git cannot read or filter.
    """
    with PrivateIndex(git, layout, store, looked_at) as index:
        index.drop(without)
        index.take(changes, keep=keep)
        return index.write_tree(keep=keep)


class Edited:
    """A tree that was made of HEAD's: `differences` are those between the two, None where git is to be asked.

    `memory` is what the files were hashed with, None where nothing of it may be kept; `entries` what they are now.
    """

    __slots__ = ("_entries", "_memory", "differences", "tree")

    def __init__(
        self, tree: ObjectId, differences: list[Difference] | None, memory: Memory | None, entries: dict[bytes, bytes]
    ) -> None:
        self.tree = tree
        self.differences = differences
        self._memory = memory
        self._entries = entries

    def keep(self, last: Last | None) -> None:
        """Keep what was hashed for the next snapshot; `last` is this one, where it may serve again as a whole."""
        if self._memory is not None:
            self._memory.keep(self._entries, last)


def edit_head_tree(
    git: Git, layout: Layout, store: Store, head: HeadTree, found: Found, settings: Settings, *, keep: bool
) -> Edited | None:
    """The same tree for the price of what is changed; None where only the whole index will do.

    What was hashed for the last one need not be hashed again, see `seed`. Raises NotReproducible as
    `write_snapshot_tree`.
    """
    if any(change.marked or change.index == "u" for change in (*head.changes, *found.changes)):
        return None
    store.prepare()
    format = layout.object_format
    tracked = [change for change in head.changes if change.index != "?"]
    touched = {change.path for change in tracked}.union(found.facts)
    directories = Directories(store.git(git), head.tree, touched)
    try:
        entries = _entries_of_user(head.listing, tracked)
        memory = None
        if keep and is_possible(layout, found):
            memory = Memory(layout, store, settings, found, entries)
            entries = memory.entries
        if memory is None or not memory.are_made:
            data, modified = small_index(entries, format), memory.modified if memory is not None else 0
            with PrivateIndex(git, layout, store, data=data, modified=modified) as index:
                index.take(found.changes, keep=keep, found=found)
                taken = index.entries()
                if taken is None:
                    return None
                entries = taken
        edits = {path: row_of(entries[path]) if path in entries else None for path in touched}
        tree, differences = edited_tree(git, store, directories, edits, format)
        return Edited(tree, differences, memory, entries)
    except (ObjectMissing, GitFailed):
        return None  # a partial clone may lack a tree of HEAD; the whole index needs none
    finally:
        directories.end()


def _entries_of_user(listing: bytes, tracked: Sequence[Change]) -> dict[bytes, bytes]:
    """What the user's index has of the paths that changed, and of the attributes that may hold for them."""
    entries = {path: entry_of(FILE, bytes.fromhex(id)) for path, id in attribute_files(listing)}
    for change in tracked:
        if change.entry:
            mode, _, id = change.entry.partition(b" ")
            entries[change.path] = entry_of(int(mode, 8), bytes.fromhex(id.decode()))
        else:
            entries.pop(change.path, None)
    return entries
