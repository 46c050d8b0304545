"""The snapshot, written once: the hook and the verbs run this code and nothing else.

It looks at the checkout, finds the base, writes the snapshot's tree into a store of our own, builds the overlay,
and says what stops a run before it starts.
"""

from __future__ import annotations

import os

from git_coderepo.checkout.attributes import alters_archive, attribute_contents, attribute_files, gitlinks
from git_coderepo.checkout.base import GUESS, Base, find_base, start_walk, tracking_arguments
from git_coderepo.checkout.kept import find_kept, keep
from git_coderepo.checkout.layout import read_layout, start_layout
from git_coderepo.checkout.listing import patched
from git_coderepo.checkout.overlay import (
    blob_sizes,
    build_overlay,
    differences,
    disk_size,
    travelling,
)
from git_coderepo.checkout.screening import excluded, refuse_token
from git_coderepo.checkout.store import Store
from git_coderepo.checkout.survey import embedded_repositories, populated_submodules, survey
from git_coderepo.checkout.tree import hidden_changes, write_snapshot_tree
from git_coderepo.errors import InvalidObjectId, NotReproducible, ObjectMissing
from git_coderepo.objects import ObjectId, empty_tree_id
from git_coderepo.platforms.base import silent
from git_coderepo.record.refusals import OVERLAY_LIMIT, included, refuse_large, refuse_lfs, refuse_source, screened
from git_coderepo.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from git_coderepo.checkout.layout import Layout
    from git_coderepo.checkout.overlay import Difference, Overlay
    from git_coderepo.checkout.status import Change, Status
    from git_coderepo.checkout.survey import Survey
    from git_coderepo.git import Git
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.record.source import CodeSource

INLINE_LIMIT = 64 << 10


class Head:
    """The commit that is recorded as HEAD: its `branch` is None when detached."""

    __slots__ = ("branch", "commit", "tree")

    def __init__(self, commit: ObjectId, tree: ObjectId, branch: str | None) -> None:
        self.commit = commit
        self.tree = tree
        self.branch = branch


class Snapshot:
    """What would run, as far as it is known: filled from top to bottom, so that `status` can show where it stopped.

    `omitted` holds (raw path, reason), `submodules` (raw path, commit id) of each gitlink; `taken` is what of the work
    tree is not as in the index; `base_tree` is None without a base, `overlay` when nothing travels; `travels` are the
    differences between the two.
    """

    __slots__ = (
        "archive", "base", "base_tree", "compared", "dirty", "git", "head", "layout", "omitted", "overlay", "settings",
        "source", "status", "store", "submodules", "taken", "travels", "tree",
    )  # fmt: skip

    def __init__(self, git: Git) -> None:
        self.git = git
        self.layout: Layout | None = None
        self.settings: Settings | None = None
        self.status: Status | None = None
        self.store: Store | None = None
        self.source: CodeSource | None = None
        self.head: Head | None = None
        self.tree: ObjectId | None = None
        self.dirty = False
        self.base: Base | None = None
        self.base_tree: ObjectId | None = None
        self.archive = "exact"
        self.omitted: list[tuple[bytes, str]] = []
        self.submodules: list[tuple[bytes, str]] = []
        self.taken: list[Change] = []
        self.travels: list[Difference] = []
        self.compared: dict[tuple[ObjectId | None, ObjectId], list[Difference]] = {}
        self.overlay: Overlay | None = None

    @property
    def git_with_store(self) -> Git:
        """git that finds the snapshot's objects."""
        assert self.store is not None
        return self.store.git(self.git)


class Request:
    """What the caller wants: see the options of `git coderepo snapshot`.

    `notify` hears of waiting for the platform. With `here` the checkout's own objects stand in for a platform;
    `store_directory` is where ours go then.
    """

    __slots__ = ("check", "code_repository", "here", "include", "notify", "rev", "store_directory")

    def __init__(
        self,
        *,
        rev: str | None = None,
        code_repository: str | None = None,
        check: bool = False,
        include: Sequence[bytes] = (),
        store_directory: bytes | None = None,
        here: bool = False,
        notify: Callable[[str], None] = silent,
    ) -> None:
        self.rev = rev
        self.code_repository = code_repository
        self.check = check
        self.include = tuple(include)
        self.store_directory = store_directory
        self.here = here
        self.notify = notify


def take_snapshot(git: Git, request: Request, *, into: Snapshot | None = None, found: Survey | None = None) -> Snapshot:
    """The snapshot of the checkout that `git` stands in, or of `request.rev`.

    `into` is filled as far as it goes, for a caller that wants to show it after an error; `found` is the look at the
    checkout of a caller that had one already. Raises NotReproducible with the reason and the line that cures it;
    RegistrationError, NotACheckout, GitFailed.
    """
    snapshot = into if into is not None else Snapshot(git)
    if request.rev is None:
        _look_at_work_tree(snapshot, request, found if found is not None else survey(git))
    else:
        _look_at_commit(snapshot, request.rev, request)
    _build(snapshot)
    return snapshot


def _look_at_work_tree(snapshot: Snapshot, request: Request, found: Survey) -> None:
    from git_coderepo.record.source import choose_source, stand_in

    layout, status, settings = found.layout, found.status, found.settings
    snapshot.layout, snapshot.status, snapshot.settings = layout, status, settings
    snapshot.store = Store(layout, request.store_directory)
    if layout.head is not None and layout.head_tree is not None:
        snapshot.head = Head(layout.head, layout.head_tree, status.branch)
    if request.here:
        snapshot.source = stand_in(found)
        snapshot.base = Base(snapshot.head.commit, "platform", 0) if snapshot.head is not None else None
    else:
        snapshot.source = choose_source(found, request.code_repository)
    if snapshot.source is not None:
        refuse_source(snapshot.source)
    if snapshot.head is not None and snapshot.source is not None and snapshot.base is None:
        _find_base(snapshot, snapshot.head, request, guessed_walk=found.guessed_walk)

    patterns = settings.texts("exclude")
    for path in embedded_repositories(status):
        if patterns and excluded(path, patterns):
            continue
        raise NotReproducible(
            f"'{os.fsdecode(path)}' is a Git repository of its own inside this one, and no submodule",
            hints=[
                f"git submodule add ./{os.fsdecode(path)}",
                f"or leave it out: git coderepo ignore '{os.fsdecode(path)}'",
            ],
        )
    _refuse_populated(layout, found.listing)
    if found.marked:
        status.changes += hidden_changes(snapshot.git, layout, snapshot.store, found.marked)
    wanted = screened(status.changes, settings, snapshot.omitted)
    wanted += included(layout, request.include)
    snapshot.taken = wanted
    sizes = [(change.path, disk_size(layout.toplevel + b"/" + change.path)) for change in wanted]
    refuse_large(settings, sizes, "changed")
    listing = found.listing
    if wanted or any(change.index != "." for change in status.changes if not change.untracked):
        snapshot.tree = write_snapshot_tree(snapshot.git, layout, snapshot.store, wanted, settings)
        snapshot.dirty = snapshot.head is None or snapshot.tree != snapshot.head.tree
        head_tree = snapshot.head.tree if snapshot.head is not None else None
        listing = patched(found.listing, _compared(snapshot, head_tree, snapshot.tree))
    elif snapshot.head is not None:
        snapshot.tree = snapshot.head.tree
    else:
        snapshot.tree = empty_tree_id(layout.object_format)
    if listing is not found.listing:
        _refuse_populated(layout, listing)  # one that was added since HEAD
    snapshot.submodules = gitlinks(listing)
    refuse_lfs(snapshot.git_with_store, layout, listing)
    _read_base_tree(snapshot, found.listing)


def _refuse_populated(layout: Layout, listing: bytes) -> None:
    for path in populated_submodules(layout, gitlinks(listing)):
        raise NotReproducible(
            f"the submodule '{os.fsdecode(path)}' has a work tree here, and submodules cannot travel yet",
            hints=[f"git submodule deinit '{os.fsdecode(path)}'"],
        )


def _look_at_commit(snapshot: Snapshot, rev: str, request: Request) -> None:
    """A commit as it is: nothing of the work tree matters, so a bare repository will do."""
    from git_coderepo.record.source import choose_source_of

    git = snapshot.git
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    settings = Settings.read(git)
    snapshot.layout, snapshot.settings = layout, settings
    snapshot.store = Store(layout, request.store_directory)
    found = git.start("rev-parse", "--verify", "--end-of-options", f"{rev}^{{commit}}").finish()
    if found.status != 0:
        raise NotReproducible(f"'{rev}' names no commit here", hints=["git log --oneline --all"])
    commit = ObjectId(found.stdout.decode().strip())
    name = git.line("rev-parse", "--symbolic-full-name", "--end-of-options", rev)
    branch = name.splitlines()[-1] if name else ""
    tree = ObjectId(git.line("rev-parse", "--verify", f"{commit}^{{tree}}"))
    snapshot.head = Head(commit, tree, branch.removeprefix("refs/heads/") if branch.startswith("refs/heads/") else None)
    snapshot.tree = tree
    snapshot.source = choose_source_of(git, settings, layout, request.code_repository)
    if snapshot.source is not None:
        refuse_source(snapshot.source)
        _find_base(snapshot, snapshot.head, request, guessed_walk=None)
    listing = git.run("ls-tree", "-r", "-z", "--full-tree", tree.hex)
    snapshot.submodules = gitlinks(listing)
    refuse_lfs(snapshot.git_with_store, layout, listing)
    _read_base_tree(snapshot, listing)


def _find_base(snapshot: Snapshot, head: Head, request: Request, *, guessed_walk: object) -> None:
    from git_coderepo.git import Process
    from git_coderepo.urls import push_differs

    source, settings, layout = snapshot.source, snapshot.settings, snapshot.layout
    assert source is not None and settings is not None and layout is not None
    served: tuple[str, ...] = ()
    if source.remote_name is not None and not push_differs(settings, source.remote_name):
        served = tracking_arguments(settings, source.remote_name)
    walk: Process | None = None
    if isinstance(guessed_walk, Process) and served == GUESS:
        walk = guessed_walk
    elif served:
        walk = start_walk(snapshot.git, served, start=head.commit.hex)
    snapshot.base = find_base(
        snapshot.git,
        layout,
        head.commit,
        walk,
        served,
        shallow=len(list(settings.subsections("remote"))) == 1,
        fetched_from=source.remote,
        ci_commit=_ci_commit(source, snapshot.git.environment),
    )
    if request.check:
        _ask_platform(snapshot, head, source.platform(), request)


def _ask_platform(snapshot: Snapshot, head: Head, platform: BaseCodeRepository, request: Request) -> None:
    """Let the platform say whether it serves HEAD, else the base that is known here."""
    platform.notify = request.notify
    platform.login()
    known = snapshot.base
    if (known is None or known.commit != head.commit) and platform.has_commit(head.commit):
        snapshot.base = Base(head.commit, "platform", 0)
        return
    if known is None:
        return
    answer = platform.has_commit(known.commit)
    if answer:
        snapshot.base = Base(known.commit, "platform", known.unpushed)
    elif answer is False:
        snapshot.base = None
        raise NotReproducible(
            f"the platform no longer has the commit {known.commit}",
            hints=["git fetch --prune", "git push"],
        )


def _ci_commit(source: CodeSource, environment: dict[str, str]) -> ObjectId | None:
    """The commit that this platform's CI says it checked out of this very repository."""
    ci = source.platform_class.ci
    if ci is None or environment.get(ci.marker[0]) != ci.marker[1] or source.remote is None:
        return None
    name = environment.get(ci.repository, "").strip("/").lower()
    place = "/".join(part for part in (source.remote.owner, source.remote.repository) if part).lower()
    if not name or not (place == name or place.endswith("/" + name)):
        return None
    try:
        return ObjectId(environment.get(ci.commit, ""))
    except InvalidObjectId:
        return None


def _read_base_tree(snapshot: Snapshot, head_listing: bytes) -> None:
    """The base's tree, and whether an archive of it is what the tree is."""
    if snapshot.base is None or snapshot.head is None:
        return
    if snapshot.base.commit == snapshot.head.commit:
        snapshot.base_tree, listing = snapshot.head.tree, head_listing
    else:
        listed = snapshot.git.start("ls-tree", "-r", "-z", "--full-tree", snapshot.base.commit.hex)
        snapshot.base_tree = ObjectId(snapshot.git.line("rev-parse", "--verify", f"{snapshot.base.commit}^{{tree}}"))
        listing = listed.checked()
    files = attribute_files(listing)
    if not files:
        return
    assert snapshot.layout is not None
    if alters_archive(attribute_contents(snapshot.git, snapshot.layout.toplevel, files)):
        snapshot.archive = "altered"


def _build(snapshot: Snapshot) -> None:
    """What travels, and the overlay that carries it."""
    assert snapshot.tree is not None and snapshot.layout is not None and snapshot.settings is not None
    if snapshot.base_tree == snapshot.tree:
        return
    git = snapshot.git_with_store
    assert snapshot.store is not None
    snapshot.store.prepare()
    if snapshot.base_tree is None and snapshot.tree == empty_tree_id(snapshot.layout.object_format):
        return
    snapshot.travels = _compared(snapshot, snapshot.base_tree, snapshot.tree)
    scan = snapshot.settings.flag("secretScan", True)
    kept = find_kept(snapshot.store, snapshot.base_tree, snapshot.tree, screened=scan)
    if kept is not None and kept.contents <= snapshot.settings.size("overlayLimit", OVERLAY_LIMIT):
        snapshot.overlay = kept.overlay
        return
    sending = travelling(snapshot.travels)
    sizes = _sizes(snapshot, sending) if sending else []
    named = [(row.path, size) for row, size in zip(sending, sizes, strict=True)]
    refuse_large(snapshot.settings, named, "not on the platform")
    snapshot.overlay = build_overlay(git, snapshot.travels, refuse_token if scan else _let_pass)
    keep(
        snapshot.store, snapshot.base_tree, snapshot.tree, snapshot.overlay, screened=scan, contents=sum(sizes)
    )  # fmt: skip


def _sizes(snapshot: Snapshot, sending: Sequence[Difference]) -> list[int]:
    """The sizes of the blobs that travel. One of the last private index that is gone is made again."""
    assert snapshot.layout is not None and snapshot.store is not None
    ids = [difference.id for difference in sending]
    try:
        return blob_sizes(snapshot.git_with_store, ids)
    except ObjectMissing:
        if not snapshot.taken:
            raise
        tree = write_snapshot_tree(snapshot.git, snapshot.layout, snapshot.store, snapshot.taken)
        if tree != snapshot.tree:
            raise
    return blob_sizes(snapshot.git_with_store, ids)


def _compared(snapshot: Snapshot, old: ObjectId | None, new: ObjectId) -> list[Difference]:
    """What differs between two trees; asked once where base and HEAD are the same."""
    known = snapshot.compared.get((old, new))
    if known is None:
        known = snapshot.compared[old, new] = differences(snapshot.git_with_store, old, new)
    return known


def _let_pass(path: bytes, contents: bytes) -> None:
    return None
