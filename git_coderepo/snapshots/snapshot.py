"""What a snapshot is, and what is wanted of it: values that are filled while one is taken (see `taking`)."""

from __future__ import annotations

from git_coderepo.errors import GitFailed, NotReproducible
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.pushed_commits import BaseCommit
from git_coderepo.trace import silent
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from git_coderepo.git.attributes.rules import Attributes
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.status import Change, Status
    from git_coderepo.git.store import Store
    from git_coderepo.git.subtree import Part
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.git.url.remote import RemoteURL
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.settings import Settings
    from git_coderepo.snapshots.inspect_checkout import Surveys
    from git_coderepo.snapshots.not_in_git import Outside
    from git_coderepo.snapshots.overlay import LfsObjects, Overlay

# Why a path is left out that only --allow-unreproducible lets be left out.
UNREADABLE = "unreadable"
# Why a path is left out that this program wrote itself.
OWN_OUTPUT = "own-output"


class Head(Value):
    """The commit that is recorded as HEAD: its `branch` is None when detached."""

    commit: ObjectId
    tree: ObjectId
    branch: str | None


class Checkout(Value):
    """The checkout, or the commit of it, whose code is recorded: where it is, and what was found there.

    `prefix` is where the run starts below the root, b"" or ending in `/`. `head` is None before the first commit,
    `status` where a commit is looked at. Where there is a `scope` (see
    `git.subtree`), `looked_at` has it and what was included by name. `place` is the raw path of a submodule from the
    root of the outermost checkout, with a final slash, and `depth` counts the checkouts that it lies in; of the
    outermost checkout they are empty and 0.
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
        """Return what of a tree (or commit) is in a scope, its tree objects written into our store."""
        from git_coderepo.git.subtree import read_part

        self.store.prepare()
        return read_part(self.git_with_store, tree, scope, self.layout.object_format)


class Submodule(Value):
    """A gitlink of the snapshot: its raw `path`, its `commit` in hex; `snapshot` is None where it has no work tree."""

    path: bytes
    commit: str
    snapshot: Snapshot | None


class Imported(Value):
    """Code outside the snapshot that a program imports; `path` is absolute, `via` says how Python finds it.

    It is the root of another checkout, or a directory that is in none: then `commit`, `tree` and `dirty` are None.
    `problem` is why a checkout could not be looked at.
    """

    path: str
    via: str
    remote: RemoteURL | None
    commit: ObjectId | None
    tree: ObjectId | None
    dirty: bool | None
    problem: str | None


class Snapshot:
    """What would run in a checkout, as far as it is known: filled from top to bottom.

    `omitted` holds (raw path, reason), `outside` the paths whose contents Git does not store, `submodules` each
    gitlink; `base_tree` is None without a base, `overlay` when nothing travels. `taken` is what of the work tree is not
    as in the index. `oversize` is why no overlay was made of what only publishing can carry. `unreproducible` holds why
    no runner can get it back, where `lenient` lets it be recorded as such; without `keeps_contents` what changed was
    hashed, and kept nowhere. Where there is a scope, `base_part` is what of the base's tree is in it, else that tree;
    `part` the snapshot's tree. `lfs` are the objects of Git LFS that travel, None where none does; `lfs_attributes` the
    attributes of the tree, None where they give nothing to Git LFS. `surveys` says which of its submodules are being
    looked at, and `weights` are the (path, size) of all that would travel, by what is known of it, of all submodules
    together.
    """

    __slots__ = (
        "archive", "base", "base_part", "base_tree", "checkout", "compared", "dirty", "imported", "keeps_contents",
        "lenient", "lfs", "lfs_attributes", "omitted", "outside", "overlay", "oversize", "part", "source", "submodules",
        "surveys", "taken", "tree", "unreproducible", "weights",
    )  # fmt: skip

    def __init__(self, checkout: Checkout, weights: dict[str, list[tuple[bytes, int]]], *, lenient: bool) -> None:
        self.checkout = checkout
        self.weights = weights
        self.lenient = lenient
        self.surveys: Surveys | None = None
        self.source: CodeSource | None = None
        self.tree: ObjectId | None = None
        self.dirty = False
        self.base: BaseCommit | None = None
        self.base_tree: ObjectId | None = None
        self.archive = "exact"
        self.omitted: list[tuple[bytes, str]] = []
        self.outside: list[Outside] = []
        self.imported: list[Imported] = []
        self.submodules: list[Submodule] = []
        self.taken: list[Change] = []
        self.compared: dict[tuple[ObjectId | None, ObjectId], list[Difference]] = {}
        self.overlay: Overlay | None = None
        self.oversize: NotReproducible | None = None
        self.lfs: LfsObjects | None = None
        self.lfs_attributes: Attributes | None = None
        self.unreproducible: list[NotReproducible] = []
        self.keeps_contents = True
        self.base_part: ObjectId | None = None
        self.part: Part | None = None

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

    def waiving(self) -> Waiving:
        """Return a block in which a reason not to record is noted instead, where that is allowed."""
        return Waiving(self)

    @property
    def travels(self) -> list[Difference]:
        """The differences between the two trees, what the platform has and what is to come out."""
        if self.tree is None or self.tree == self.base_part:
            return []
        return self.differences(self.base_part, self.tree)

    def differences(self, old: ObjectId | None, new: ObjectId) -> list[Difference]:
        """What differs between two trees; asked once where base and HEAD are the same."""
        known = self.compared.get((old, new))
        if known is None:
            from git_coderepo.git.tree_diff import differences

            try:
                known = differences(self.git_with_store, old, new)
            except GitFailed:
                if new != self.tree or not self.make_again():
                    raise
                known = differences(self.git_with_store, old, new)
            self.compared[old, new] = known
        return known

    def make_again(self) -> bool:
        """Write the objects of the snapshot's tree anew; whether it came out the same.

        git writes none that the user's store has, and what hangs on nothing there goes with the user's `git gc`.
        Nothing is done for what no work tree, or a part of one, was made of. Raises as `write_snapshot_tree`.
        """
        if self.status is None or self.looked_at:
            return False
        from git_coderepo.snapshots.tree.write import write_snapshot_tree

        return write_snapshot_tree(self.git, self.layout, self.store, self.taken) == self.tree


class Waiving:
    """See Snapshot.waiving; `noted` says whether a reason came up. The rest of the block is then left out."""

    __slots__ = ("noted", "snapshot")

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.noted = False

    def __enter__(self) -> Waiving:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not self.snapshot.lenient or not isinstance(error, NotReproducible) or error.waived_as is None:
            return False
        self.snapshot.unreproducible.append(error)
        self.noted = True
        return True


class Request(Value):
    """What the caller wants: see the options of `git coderepo snapshot`.

    `notify` hears of waiting for the platform. Who `publishes` where the settings say so may have more in the snapshot
    than an overlay can carry. `scope` are paths as seen from where git stands, in the place of `coderepo.scope`. With
    `allow_unreproducible` what no runner could get back is recorded, and the record says so. With `here` the
    checkout's own objects stand in for a platform; `store_directory` is where ours go then. `output` is the absolute
    path of a file that the caller is about to write: what is there now is no code. Who is `thorough` waits for answers
    that a hook has no time for; with `tree_only` no overlay is made. `progress` shows what takes long: it gets the
    name of a stage, its bytes and, where they can be counted here, what counts those done. `prefix` is where the run
    starts below the root, b"" or ending in `/`, where that is not the directory git stands in.
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
