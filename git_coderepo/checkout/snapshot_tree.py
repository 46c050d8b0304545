"""The snapshot's tree: HEAD's with what is changed, or, in an unusual checkout, git's own of the whole index."""

from __future__ import annotations

from git_coderepo.checkout.attributes import attribute_files
from git_coderepo.checkout.edited import Directories, edited_tree
from git_coderepo.checkout.indexfile import entries_of, entry_of, row_of, small_index
from git_coderepo.checkout.seed import Found, Memory, is_possible
from git_coderepo.checkout.tree import PrivateIndex
from git_coderepo.errors import GitFailed, ObjectMissing
from git_coderepo.objects import FILE, ID_LENGTHS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.checkout.layout import Layout
    from git_coderepo.checkout.overlay import Difference
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


def edit_head_tree(
    git: Git, layout: Layout, store: Store, head: HeadTree, changes: Sequence[Change], settings: Settings, *, keep: bool
) -> tuple[ObjectId, list[Difference] | None] | None:
    """The same tree for the price of what is changed, with what differs from HEAD's, None where git is to be asked.

    What was hashed for the last one need not be hashed again, see `seed`. None in place of both where only the whole
    index will do. Raises NotReproducible as `write_snapshot_tree`.
    """
    if any(change.marked or change.unmerged for change in (*head.changes, *changes)):
        return None
    store.prepare()
    git = store.git(git)
    tracked = [change for change in head.changes if not change.untracked]
    touched = {change.path for change in tracked}.union(change.path for change in changes)
    directories = Directories(git, head.tree, touched)
    found = Found(layout, changes)
    memory = Memory(layout, store, settings, found) if keep and is_possible(layout, found) else None
    entries = _entries_of_user(head.listing, tracked)
    if memory is not None:
        entries.update(memory.entries)
    data = small_index(entries, layout.object_format)
    with PrivateIndex(git, layout, store, data=data, modified=memory.modified if memory is not None else 0) as index:
        index.take(changes, keep=keep, found=found)
        with open(index.path, "rb") as file:
            after = entries_of(file.read(), ID_LENGTHS[layout.object_format])
        if after is None:
            return None
        if memory is not None:
            memory.keep(index.path)
    edits = {path: row_of(after[path]) if path in after else None for path in touched}
    try:
        return edited_tree(git, directories, edits, layout.object_format)
    except (ObjectMissing, GitFailed):
        return None  # a partial clone may lack a tree of HEAD; the whole index needs none


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
