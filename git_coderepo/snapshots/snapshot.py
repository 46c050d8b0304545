"""What a snapshot is: a chain of frozen values, each made from those before it.

    Checkout -> Served -> Selection -> SnapshotTree -> NotInGit -> ServedTree -> Unpacked -> Travelling -> Snapshot

`pipeline` makes them in this order. An attempt that fails leaves the stages that it reached in `Reached`, which is what
`status` shows; no value is filled in later. `Attempt` is handed along and collects what is no part of one stage: the
reasons that were waived, and the sizes of all that would travel, submodules included.

`ServedTree` comes after `SnapshotTree`, though the base is known before it: which rows of the base's tree are needed
depends on what differs between the two trees. `Unpacked` is everything but the tars, since packing asks for all of it.
"""

from __future__ import annotations

from git_coderepo.errors import GitFailed, NotReproducible
from git_coderepo.git.objects import empty_tree_id
from git_coderepo.git.subtree import read_part
from git_coderepo.git.tree_diff import differences
from git_coderepo.snapshots.overlay import find_cached
from git_coderepo.trace import silent
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from typing import TypeVar

    from git_coderepo.git.attributes.rules import Attributes
    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git
    from git_coderepo.git.pushed_commits import BaseCommit
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.status import Change, Status
    from git_coderepo.git.store import Store
    from git_coderepo.git.subtree import Part
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.git.url.remote import RemoteURL
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.settings import Settings
    from git_coderepo.snapshots.inspect_checkout import Surveying
    from git_coderepo.snapshots.not_in_git import Outside
    from git_coderepo.snapshots.overlay import LfsObjects, Overlay

    Stage = TypeVar("Stage")

# Reason for leaving out a path that only --allow-unreproducible allows to be left out.
UNREADABLE = "unreadable"
# Reason for leaving out a file that this program wrote.
OWN_OUTPUT = "own-output"
# Reason for leaving out a file whose name is that of secrets, such as `.env`.
BY_NAME = "secret-name"


class Request(Value):
    """The options of a snapshot: see `git coderepo snapshot`.

    `notify` receives messages while the platform is asked. With `publishes`, a snapshot that is too large for an
    overlay is allowed where the settings publish it. `scope` are paths relative to git's directory, and replace
    `coderepo.scope`. With `allow_unreproducible` a snapshot that no runner can fetch is recorded as such. With `here`
    the checkout's own objects take the place of a platform. `store_directory` is where our objects go. `output` is the
    absolute path of a file that the caller will write: its present contents are not code. With `thorough` slower checks
    are made; with `tree_only` no overlay is made. `progress` shows slow stages: it receives the name of a stage, its
    bytes and, where they are counted here, a function that returns the bytes done. `prefix` is the directory in which
    the run starts, b"" or ending in `/`, if it is not git's directory.
    """

    rev: str | None = None
    code_repository: str | None = None
    check: bool = False
    include: Sequence[bytes] = ()
    store_directory: bytes | None = None
    here: bool = False
    notify: Callable[[str], None] = silent
    publishes: bool = False
    allow_unreproducible: bool = False
    scope: Sequence[bytes] = ()
    thorough: bool = False
    tree_only: bool = False
    output: bytes | None = None
    progress: Callable[[str, int, Callable[[], int] | None], AbstractContextManager[object]] | None = None
    prefix: bytes = b""


# --- The stages ------------------------------------------------------------------------------------------------------


class Head(Value):
    """The commit that is recorded as HEAD; `branch` is None when HEAD is detached."""

    commit: ObjectId
    tree: ObjectId
    branch: str | None


class Checkout(Value):
    """The checkout, or the commit of it, whose code is recorded.

    `prefix` is the directory in which the run starts, b"" or ending in `/`. `head` is None before the first commit,
    `status` for a commit. With a `scope` (see `git.subtree`), `looked_at` has it and the included paths. `place` is the
    raw path of a submodule from the root of the outermost checkout, with a final slash, and `depth` counts the
    checkouts around it; for the outermost checkout they are empty and 0.
    """

    git: Git
    layout: Layout
    settings: Settings
    store: Store
    head: Head | None
    status: Status | None
    scope: tuple[bytes, ...]
    looked_at: tuple[bytes, ...]
    prefix: bytes
    place: bytes
    depth: int

    @property
    def git_with_store(self) -> Git:
        """git that finds the objects of snapshots."""
        return self.store.git(self.git)

    def is_in_head(self, path: bytes) -> bool:
        """Return whether HEAD has anything at a raw path, which may end in `/`."""
        return self.head is not None and self.git.succeeds(
            "rev-parse", "--verify", "--quiet", b"%s:%s" % (self.head.tree.hex.encode(), path.rstrip(b"/"))
        )

    def part_of(self, tree: str, scope: tuple[bytes, ...]) -> Part:
        """Return the part of a tree (or commit) in a scope; its tree objects are written into our store."""
        self.store.prepare()
        return read_part(self.git_with_store, tree, scope, self.layout.object_format)


class Served(Value):
    """The code repository, None without one, and the commit that its platform has, None if none is known."""

    source: CodeSource | None
    base: BaseCommit | None


class Selection(Value):
    """The changes of the work tree that belong to the snapshot, and the (raw path, reason) of what does not.

    `sizes` are the (raw path, bytes) of the changes on the disk.
    """

    changes: Sequence[Change] = ()
    omitted: Sequence[tuple[bytes, str]] = ()
    sizes: Sequence[tuple[bytes, int]] = ()


class SnapshotTree(Value):
    """The tree of the snapshot, by its id.

    `listing` has the rows of `ls-tree -r -z` that affect other paths: attributes files, submodules, links and pointer
    files; it may have all others. `part` are the tree objects down to the scope, None without one. Without `is_stored`
    the contents of the changes were hashed and not stored. `is_dirty` does not look into submodules.
    """

    id: ObjectId
    selection: Selection
    listing: bytes
    part: Part | None
    is_dirty: bool
    is_stored: bool
    differences: Differences

    @classmethod
    def of_head(cls, checkout: Checkout, listing: bytes, selection: Selection) -> SnapshotTree:
        """Return HEAD's tree, or the part of it that is in the scope, as the snapshot's."""
        head = checkout.head
        id = head.tree if head is not None else empty_tree_id(checkout.layout.object_format)
        part = checkout.part_of(id.hex, checkout.looked_at) if checkout.scope else None
        id = part.tree if part is not None else id
        return cls(
            id=id,
            selection=selection,
            listing=listing,
            part=part,
            is_dirty=False,
            is_stored=True,
            differences=Differences(checkout, id),
        )


class NotInGit(Value):
    """The paths whose contents Git does not store, and the attributes of a tree that uses Git LFS, else None."""

    outside: Sequence[Outside] = ()
    lfs_attributes: Attributes | None = None


class ServedTree(Value):
    """The tree of the base; `part` is the tree of what the scope has of it, without a scope the same tree.

    `archive` is `exact` where the platform's archive of the base has the same files, else `altered`.
    """

    base: BaseCommit
    tree: ObjectId
    part: ObjectId
    archive: str


class Submodule(Value):
    """A gitlink of the snapshot: raw `path` and `commit` in hex; `snapshot` is None without a work tree."""

    path: bytes
    commit: str
    snapshot: Snapshot | None


class Unpacked(Value):
    """Everything about a snapshot but what travels; `served_tree` is None without a base."""

    checkout: Checkout
    source: CodeSource | None
    tree: SnapshotTree
    not_in_git: NotInGit
    served_tree: ServedTree | None
    submodules: tuple[Submodule, ...]

    @property
    def base(self) -> BaseCommit | None:
        return self.served_tree.base if self.served_tree is not None else None

    @property
    def base_tree(self) -> ObjectId | None:
        return self.served_tree.tree if self.served_tree is not None else None

    @property
    def base_part(self) -> ObjectId | None:
        """The part of the base's tree that is in the scope; without a scope all of it."""
        return self.served_tree.part if self.served_tree is not None else None

    @property
    def is_dirty(self) -> bool:
        """Whether the snapshot differs from HEAD, or that of a submodule from its commit."""
        return self.tree.is_dirty or any(each.snapshot is not None and each.snapshot.dirty for each in self.submodules)

    @property
    def travels(self) -> list[Difference]:
        """The differences between the platform's tree and the snapshot's."""
        return [] if self.tree.id == self.base_part else self.tree.differences.since(self.base_part)

    @property
    def cached_overlay(self) -> Overlay | None:
        """The cached overlay between these two trees, if it can be reused.

        None with submodules: limits apply to the sum of all checkouts.
        """
        if self.checkout.depth or self.submodules or not self.tree.is_stored:
            return None
        return find_cached(self.checkout.store, self.base_part, self.tree.id, self.checkout.settings)


class Travelling(Value):
    """What travels with the manifest: the overlay and the objects of Git LFS, None where there are none.

    `oversize` is the reason why a snapshot that only publishing can carry has no overlay.
    """

    overlay: Overlay | None = None
    lfs: LfsObjects | None = None
    oversize: NotReproducible | None = None


class Imported(Value):
    """Code outside the snapshot that a program imports; `path` is absolute, `via` says how Python finds it.

    It is the root of another checkout, or a directory that is in none: then `commit`, `tree` and `dirty` are None.
    `problem` is the reason why a checkout could not be inspected.
    """

    path: str
    via: str
    remote: RemoteURL | None
    commit: ObjectId | None
    tree: ObjectId | None
    dirty: bool | None
    problem: str | None


class Snapshot(Value):
    """The code that a run uses, and what carries it to a runner.

    `unreproducible` are the waived reasons why no runner can fetch it; `imported` is the code outside of it that its
    program imports, where that was looked for.
    """

    unpacked: Unpacked
    travelling: Travelling
    unreproducible: tuple[NotReproducible, ...]
    imported: tuple[Imported, ...] = ()

    @property
    def checkout(self) -> Checkout:
        return self.unpacked.checkout

    @property
    def git(self) -> Git:
        return self.checkout.git

    @property
    def layout(self) -> Layout:
        return self.checkout.layout

    @property
    def settings(self) -> Settings:
        return self.checkout.settings

    @property
    def store(self) -> Store:
        return self.checkout.store

    @property
    def git_with_store(self) -> Git:
        """git that finds the snapshot's objects."""
        return self.checkout.git_with_store

    @property
    def head(self) -> Head | None:
        return self.checkout.head

    @property
    def status(self) -> Status | None:
        return self.checkout.status

    @property
    def scope(self) -> tuple[bytes, ...]:
        return self.checkout.scope

    @property
    def looked_at(self) -> tuple[bytes, ...]:
        return self.checkout.looked_at

    @property
    def source(self) -> CodeSource | None:
        return self.unpacked.source

    @property
    def tree(self) -> ObjectId:
        return self.unpacked.tree.id

    @property
    def dirty(self) -> bool:
        return self.unpacked.is_dirty

    @property
    def is_stored(self) -> bool:
        return self.unpacked.tree.is_stored

    @property
    def changes(self) -> Sequence[Change]:
        """The changes of the work tree that belong to the snapshot."""
        return self.unpacked.tree.selection.changes

    @property
    def omitted(self) -> Sequence[tuple[bytes, str]]:
        """The (raw path, reason) of what was left out."""
        return self.unpacked.tree.selection.omitted

    @property
    def outside(self) -> Sequence[Outside]:
        return self.unpacked.not_in_git.outside

    @property
    def base(self) -> BaseCommit | None:
        return self.unpacked.base

    @property
    def base_tree(self) -> ObjectId | None:
        return self.unpacked.base_tree

    @property
    def base_part(self) -> ObjectId | None:
        return self.unpacked.base_part

    @property
    def submodules(self) -> tuple[Submodule, ...]:
        return self.unpacked.submodules

    @property
    def travels(self) -> list[Difference]:
        return self.unpacked.travels

    @property
    def overlay(self) -> Overlay | None:
        return self.travelling.overlay

    @property
    def lfs(self) -> LfsObjects | None:
        return self.travelling.lfs

    @property
    def oversize(self) -> NotReproducible | None:
        return self.travelling.oversize


# --- What is handed along --------------------------------------------------------------------------------------------


class Differences:
    """The differences between other trees and the snapshot's; git computes each once.

    `known` has those that are known already, by the other tree. `write_again` writes the objects of the snapshot's tree
    again, and returns whether that made the same tree: the user's `git gc` removes unreachable objects, and git does
    not write into our store those that the user's has.
    """

    __slots__ = ("_checkout", "_tree", "known", "write_again")

    def __init__(
        self,
        checkout: Checkout,
        tree: ObjectId,
        known: Iterable[tuple[ObjectId | None, list[Difference]]] = (),
        *,
        write_again: Callable[[], bool] = lambda: False,
    ) -> None:
        self._checkout = checkout
        self._tree = tree
        self.known = dict(known)
        self.write_again = write_again

    def since(self, old: ObjectId | None) -> list[Difference]:
        """Return the differences from the tree `old` to the snapshot's tree; None means the empty tree."""
        if old not in self.known:
            try:
                self.known[old] = differences(self._checkout.git_with_store, old, self._tree)
            except GitFailed:
                if not self.write_again():
                    raise
                self.known[old] = differences(self._checkout.git_with_store, old, self._tree)
        return self.known[old]


class Waived:
    """The reasons not to record that the user waived; without `is_allowed` they are raised."""

    __slots__ = ("is_allowed", "reasons")

    def __init__(self, *, is_allowed: bool) -> None:
        self.is_allowed = is_allowed
        self.reasons: list[NotReproducible] = []

    def waiving(self) -> Waiving:
        """Return a context manager that records a NotReproducible error instead of raising it, if that is allowed."""
        return Waiving(self)


class Waiving:
    """See Waived.waiving; `noted` says whether a reason came up. The rest of the block is then left out."""

    __slots__ = ("_waived", "noted")

    def __init__(self, waived: Waived) -> None:
        self._waived = waived
        self.noted = False

    def __enter__(self) -> Waiving:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not self._waived.is_allowed or not isinstance(error, NotReproducible) or error.waived_as is None:
            return False
        self._waived.reasons.append(error)
        self.noted = True
        return True


class Weights:
    """The (path, bytes) of all that would travel, by what is known of it; shared with the submodules."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[bytes, int]]] = {}

    def add(self, word: str, rows: Iterable[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        """Add rows, with paths from the outermost root, under the label `word`; return all rows of that label."""
        together = self._rows.setdefault(word, [])
        together.extend(rows)
        return together


class Reached:
    """The stages that a snapshot has been through, for a caller that shows them after an error."""

    __slots__ = ("_stages",)

    def __init__(self) -> None:
        self._stages: dict[type, object] = {}

    def note(self, stage: Stage) -> Stage:
        """Record a stage, replacing an earlier stage of the same class, and return it."""
        self._stages[type(stage)] = stage
        return stage

    def of(self, kind: type[Stage]) -> Stage | None:
        """Return the stage of a class; None if it was not reached."""
        stage = self._stages.get(kind)
        return stage if isinstance(stage, kind) else None

    def forget(self) -> None:
        """Forget the recorded stages, because the attempt is repeated."""
        self._stages.clear()


class Within(Value):
    """The place of a submodule: in the checkout `outer`, at a raw `path`.

    `started` is its survey, if one is under way; `weights` are those of its superproject's snapshot.
    """

    outer: Checkout
    path: bytes
    started: Surveying | None
    weights: Weights


class Attempt(Value):
    """One attempt at a snapshot: its request, and what its stages collect.

    `within` says in which checkout a submodule lies. With `is_store_suspect` objects that our store has are not relied
    on.
    """

    git: Git
    request: Request
    within: Within | None
    is_store_suspect: bool
    reached: Reached
    waived: Waived
    weights: Weights
