"""The snapshot, written once: the hook and the verbs run this code and nothing else.

It looks at the checkout, finds the base, writes the snapshot's tree into a store of our own, builds the overlay,
and says what stops a run before it starts.
"""

from __future__ import annotations

import os
import time

from git_coderepo.errors import ChangedMeanwhile, CodeRepoError, GitFailed, NotReproducible
from git_coderepo.git.objects import ObjectId, empty_tree_id
from git_coderepo.git.process import shell_word
from git_coderepo.git.pushed_commits import BaseCommit, Walks
from git_coderepo.git.repository import pinned, read_layout, start_layout
from git_coderepo.git.store import Store
from git_coderepo.git.subtree import looked_at, rows_inside, scope_of
from git_coderepo.registration.resolve import choose_source, choose_source_of, import_platform, refuse_source, stand_in
from git_coderepo.settings import Settings, start_team_of, with_team
from git_coderepo.snapshots.archive_check import (
    CONVERTING,
    alters_archive,
    attribute_files,
    attribute_texts,
    gitlinks,
    outside_texts,
    words_of,
)
from git_coderepo.snapshots.find_base import find_served_base
from git_coderepo.snapshots.inspect_checkout import Surveys, survey
from git_coderepo.snapshots.lfs import lfs_attributes, refused_objects
from git_coderepo.snapshots.overlay_cache import use_kept
from git_coderepo.snapshots.snapshot import Checkout, Head, Request, Snapshot
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.lfs_pointer import Pointer
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.status import Status
    from git_coderepo.snapshots.inspect_checkout import Survey
    from git_coderepo.snapshots.submodules import Within


# In seconds, before a snapshot is taken again whose files changed meanwhile.
_PAUSES = (0.01, 0.03, 0.1, 0.3)


class _Attempt(Value):
    """One attempt at a snapshot; one that `distrusts_store` relies on no object of ours that is there already."""

    git: Git
    request: Request
    within: Within | None
    distrusts_store: bool


class Reached:
    """How far a snapshot came, for a caller that shows that after an error: None until the checkout was inspected."""

    __slots__ = ("snapshot",)

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None


def take_snapshot(
    git: Git,
    request: Request,
    *,
    reached: Reached | None = None,
    found: Survey | None = None,
    within: Within | None = None,
) -> Snapshot:
    """Take a snapshot of the checkout that `git` stands in, or of `request.rev`.

    `reached` holds what was found before an error; `found` is the look at the checkout of a caller that had one
    already; `within` says in which checkout a submodule lies. Raises NotReproducible with the reason and the line that
    cures it, ChangedMeanwhile where files still changed at the last attempt: what they had together is not known then,
    so that nothing is recorded; RegistrationError, NotACheckout, GitFailed.
    """
    git = git.offline()  # a hook waits for no network
    reached = Reached() if reached is None else reached
    attempt = _Attempt(git=git, request=request, within=within, distrusts_store=False)
    for pause in _PAUSES if within is None else ():  # a submodule is taken again with its superproject
        try:
            return _take(attempt, reached, found)
        except ChangedMeanwhile:
            time.sleep(pause)
        except CodeRepoError as error:
            if attempt.distrusts_store or not _set_damaged_aside(reached.snapshot, request, error):
                raise
            attempt = _Attempt(git=git, request=request, within=within, distrusts_store=True)
        reached.snapshot = None
        found = None
    return _take(attempt, reached, found)


def _set_damaged_aside(snapshot: Snapshot | None, request: Request, error: CodeRepoError) -> bool:
    """Return whether git failed because of damaged objects of ours, which are moved aside."""
    failed = isinstance(error, GitFailed) or isinstance(error.__cause__, GitFailed)
    if not failed or snapshot is None:
        return False
    from git_coderepo.git.store import describe_damaged, set_damaged_aside

    found = set_damaged_aside(snapshot.git, snapshot.store)
    if found:
        request.notify(f"warning: {describe_damaged(snapshot.store, len(found))} and created again")
    return bool(found)


def _take(attempt: _Attempt, reached: Reached, found: Survey | None) -> Snapshot:
    request, within = attempt.request, attempt.within
    if request.rev is None:
        inspected = _inspect(attempt) if found is None else found
        checkout = _checkout_of(inspected, attempt)

        def look(snapshot: Snapshot) -> None:
            _look_at_work_tree(snapshot, request, inspected)

    else:
        checkout, head, listing = _checkout_at(request.rev, attempt)

        def look(snapshot: Snapshot) -> None:
            _look_at_commit(snapshot, head, listing, request)

    weights = within.weights if within is not None else {}
    snapshot = reached.snapshot = Snapshot(checkout, weights, lenient=request.allow_unreproducible)
    try:
        look(snapshot)
        snapshot.oversize = None  # what is changed may be on the platform all the same
        if not request.tree_only and (snapshot.base_part != snapshot.tree or request.check):
            _build_overlay(snapshot, request)
    finally:
        if snapshot.surveys is not None:
            snapshot.surveys.end()
    return snapshot


def _inspect(attempt: _Attempt) -> Survey:
    """Look at the work tree."""
    git, request, within = attempt.git, attempt.request, attempt.within

    def include(layout: Layout) -> list[bytes]:
        from git_coderepo.snapshots.checks import included

        return [change.path for change in included(layout, request.include)]

    if within is not None:
        git = git.with_settings(within.outer.store.lfs_setting)
    elif request.store_directory is not None:
        git = git.with_settings(("lfs.storage", os.fsdecode(request.store_directory) + "/lfs"))
    started = within.started if within is not None else None
    return survey(git, request.notify, scope=request.scope, include=include, started=started, meanwhile=import_platform)


def _checkout_of(found: Survey, attempt: _Attempt) -> Checkout:
    """Return the checkout that was looked at."""
    layout, status = found.layout, found.status
    head = None
    if layout.head is not None and layout.head_tree is not None:
        head = Head(commit=layout.head, tree=layout.head_tree, branch=status.branch)
    place = _Place(attempt, layout, found.settings)
    return place.checkout(head=head, status=status, scope=found.scope, looked_at=found.looked_at)


def _checkout_at(rev: str, attempt: _Attempt) -> tuple[Checkout, Head, bytes]:
    """Return a commit as it is, and the rows of its tree in the scope: a bare repository will do."""
    git, request, within = attempt.git, attempt.request, attempt.within
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    if not layout.is_inside:
        layout = layout.replace(toplevel=layout.git_dir)  # the work tree that git reports may be another repository's
    found = git.start("rev-parse", "--verify", "--end-of-options", f"{rev}^{{commit}}").finish()
    if found.status != 0:
        hint = "git log --oneline --all" if within is None else "git fetch"
        raise NotReproducible(f"'{rev}' names no commit here", hints=[hint])
    commit = ObjectId(found.stdout.decode().strip())
    name = git.line("rev-parse", "--symbolic-full-name", "--end-of-options", rev)
    branch = name.splitlines()[-1] if name else ""
    branch = branch.removeprefix("refs/heads/") if branch.startswith("refs/heads/") else ""
    head = Head(
        commit=commit,
        tree=ObjectId(git.line("rev-parse", "--verify", f"{commit}^{{tree}}")),
        branch=branch or None,
    )
    listing = git.run("ls-tree", "-r", "-z", "--full-tree", head.tree.hex)
    settings = with_team(Settings.read(git), start_team_of(git, listing), request.notify)
    place = _Place(attempt, layout, settings)
    scope = scope_of(layout, settings, request.scope) if within is None else ()
    checkout = place.checkout(head=head, status=None, scope=scope, looked_at=looked_at(scope))
    return checkout, head, rows_inside(listing, checkout.looked_at)


class _Place:
    """Where a checkout is, with which settings, and where its objects go. Raises NotReproducible."""

    __slots__ = ("depth", "git", "layout", "place", "request", "settings", "store")

    def __init__(self, attempt: _Attempt, layout: Layout, settings: Settings) -> None:
        within = attempt.within
        self.request = attempt.request
        self.layout = layout
        if within is None:
            self.git = pinned(attempt.git, layout)
            self.settings = settings
            self.store = Store(layout, attempt.request.store_directory, is_suspect=attempt.distrusts_store)
            self.place, self.depth = b"", 0
            return
        within.refuse_elsewhere(layout)
        outer = within.outer
        self.git = attempt.git
        self.settings = settings.within(outer.settings, within.path)
        self.store = Store(layout, outer=outer.store)
        self.place, self.depth = outer.place + within.path + b"/", outer.depth + 1

    def checkout(
        self, *, head: Head | None, status: Status | None, scope: tuple[bytes, ...], looked_at: tuple[bytes, ...]
    ) -> Checkout:
        """Return the checkout with what was found there."""
        return Checkout(
            git=self.git,
            layout=self.layout,
            settings=self.settings,
            store=self.store,
            head=head,
            status=status,
            scope=scope,
            looked_at=looked_at,
            prefix=self.layout.prefix or self.request.prefix,
            place=self.place,
            depth=self.depth,
        )


def _look_at_work_tree(snapshot: Snapshot, request: Request, found: Survey) -> None:
    layout, status = found.layout, found.status
    links = [path for path, _ in gitlinks(found.listing)]
    links += [each.path for each in status.changes if each.submodule]
    if links:
        snapshot.surveys = Surveys(snapshot.git.with_settings(snapshot.store.lfs_setting), layout, links)
    if request.here:
        snapshot.source = stand_in(found)
        snapshot.base = BaseCommit(snapshot.head.commit, "platform", 0) if snapshot.head is not None else None
    else:
        snapshot.source = choose_source(found, request.code_repository)
    if snapshot.source is not None:
        with snapshot.waiving():
            refuse_source(snapshot.source)
    if snapshot.head is not None and snapshot.source is not None and snapshot.base is None:
        find_served_base(snapshot, snapshot.source, snapshot.head, request)
    if status.changes or not _status_tells_all(request, found):
        from git_coderepo.snapshots.tree.changes import take_changes

        listing = take_changes(snapshot, request, found, links)
    else:
        snapshot.tree = snapshot.head.tree if snapshot.head is not None else empty_tree_id(layout.object_format)
        listing = found.listing
    if snapshot.keeps_contents:
        is_whole = found.is_whole and snapshot.head is not None and snapshot.tree == snapshot.head.tree
        _look_outside(snapshot, listing, request, toplevel=layout.toplevel, is_whole=is_whole)
    _read_base_tree(snapshot, listing, head_listing=found.listing)
    _look_at_part(snapshot)
    _take_submodules(snapshot, listing, request)


def _status_tells_all(request: Request, found: Survey) -> bool:
    """Return whether a checkout without changes in `git status` is HEAD's tree."""
    return not (
        found.looked_at or found.marked or request.include or found.settings.git_flag("core", "ignoreCase", False)
    )


def _look_at_part(snapshot: Snapshot) -> None:
    """What of snapshot and base is in the scope. Raises NotReproducible for a path of it that is nowhere."""
    snapshot.base_part = snapshot.base_tree
    if not snapshot.scope:
        return
    assert snapshot.tree is not None
    snapshot.part = snapshot.checkout.part_of(snapshot.tree.hex, snapshot.looked_at)
    known = set(snapshot.part.rows)
    if snapshot.base_tree is not None:
        base = snapshot.checkout.part_of(snapshot.base_tree.hex, snapshot.scope)
        known.update(base.rows)
        snapshot.base_part = base.tree
        if not base.rows:
            snapshot.base = snapshot.base_tree = snapshot.base_part = None  # there is nothing to ask the platform for
    for path in snapshot.scope:
        outer = _repository_above(snapshot.layout.toplevel, path) if path not in known else None
        if outer is not None:
            raise NotReproducible(
                f"'{os.fsdecode(path)}' is inside the submodule '{os.fsdecode(outer)}', which is looked at as a whole",
                hints=[f"use --subdirectory {shell_word(outer)}"],
            )
        if path not in known and not os.path.lexists(snapshot.layout.toplevel + b"/" + path):
            raise NotReproducible(
                f"'{os.fsdecode(path)}' is to be looked at, and there is no such path",
                hints=["look at --subdirectory, and at: git config --get-all coderepo.scope"],
            )


def _repository_above(toplevel: bytes, path: bytes) -> bytes | None:
    """The directory above a path, below the root, that is a repository of its own."""
    while path := path.rpartition(b"/")[0]:
        if os.path.lexists(toplevel + b"/" + path + b"/.git"):
            return path
    return None


def _take_submodules(snapshot: Snapshot, listing: bytes, request: Request) -> None:
    """What the gitlinks of the snapshot's tree lead to; a dirty submodule makes the whole of it dirty."""
    links = gitlinks(listing)
    if links:
        from git_coderepo.snapshots.submodules import take_submodules

        snapshot.submodules = take_submodules(
            snapshot, links, request, lambda git, wanted, within: take_snapshot(git, wanted, within=within)
        )
        if any(each.snapshot is not None and each.snapshot.dirty for each in snapshot.submodules):
            snapshot.dirty = True


def _look_at_commit(snapshot: Snapshot, head: Head, listing: bytes, request: Request) -> None:
    git, layout, settings = snapshot.git, snapshot.layout, snapshot.settings
    snapshot.tree = head.tree
    if snapshot.scope:
        snapshot.tree = snapshot.checkout.part_of(head.tree.hex, snapshot.looked_at).tree
    snapshot.source = choose_source_of(
        git, settings, layout, request.code_repository, branch=head.branch, walks=Walks(git, settings, head.commit)
    )
    if snapshot.source is not None:
        with snapshot.waiving():
            refuse_source(snapshot.source)
        find_served_base(snapshot, snapshot.source, head, request)
    _look_outside(snapshot, listing, request, toplevel=None, is_whole=True)
    _read_base_tree(snapshot, listing, head_listing=listing)
    _look_at_part(snapshot)
    _take_submodules(snapshot, listing, request)


def _build_overlay(snapshot: Snapshot, request: Request) -> None:
    """Find or make the overlay of what travels."""
    assert snapshot.tree is not None
    refused: dict[str, tuple[bytes, Pointer, str]] = {}
    if snapshot.keeps_contents:
        with snapshot.waiving():
            refused = refused_objects(snapshot, request)
    if snapshot.base_part == snapshot.tree and not refused:
        return
    snapshot.store.prepare()
    if snapshot.base_part is None and snapshot.tree == empty_tree_id(snapshot.layout.object_format):
        return
    if snapshot.lfs_attributes is None and use_kept(snapshot):
        return  # made of the same trees, its names and contents were looked at
    from git_coderepo.snapshots.packing import pack_overlay

    pack_overlay(snapshot, request, refused)


def _look_outside(
    snapshot: Snapshot, listing: bytes, request: Request, *, toplevel: bytes | None, is_whole: bool
) -> None:
    """Note which paths of the snapshot's tree have contents that Git does not store, and what Git LFS does.

    `listing` has the rows that say so, and all others if it `is_whole`; `toplevel` is None for a commit without its
    work tree. Nothing more is loaded or asked where no row is a link, a pointer file or converted on this machine.
    """
    layout, settings, tree = snapshot.layout, snapshot.settings, snapshot.tree
    assert tree is not None
    git = snapshot.git_with_store
    texts = attribute_texts(git, layout.toplevel, _here(snapshot, tree, listing))
    snapshot.lfs_attributes = lfs_attributes(texts)
    others = outside_texts(layout, settings) if toplevel is not None else []
    named = {value for name, value in words_of([*texts.values(), *others]) if name == b"filter"}
    drivers = frozenset(
        name
        for name in named
        if any(settings.value("filter", word, os.fsdecode(name)) for word in ("clean", "process", "smudge"))
    )
    converting = CONVERTING.intersection(name for name, _ in words_of([*texts.values(), *others]))
    is_converted = bool((others and converting) or drivers.difference((b"lfs",)))
    if (request.thorough or is_converted) and not is_whole:
        try:
            listing = git.run("ls-tree", "-r", "-z", "--full-tree", tree.hex)
        except GitFailed:
            if is_converted:
                raise
            # A partial clone may lack trees: the rows that are known name links and DVC files all the same.
    links = b"120000 blob " in listing or b".dvc\0" in listing or b"dvc.lock\0" in listing
    if not (links or request.thorough or is_converted):
        return
    from git_coderepo.git.partial_clone import rows_here
    from git_coderepo.snapshots import not_in_git

    place = not_in_git.Place(git, tree, toplevel)
    if links or not_in_git.may_stand_beside(listing):
        snapshot.outside += not_in_git.find_linked(place, listing)
    if is_converted:
        rows = rows_here(git, settings, tree.hex, listing)
        snapshot.outside += not_in_git.find_converted(place, rows, texts, others, drivers)


def _here(snapshot: Snapshot, tree: ObjectId, listing: bytes) -> bytes:
    """The rows of a tree's listing whose objects are here; only a partial clone lacks some."""
    if not attribute_files(listing):
        return listing
    from git_coderepo.git.partial_clone import rows_here

    return rows_here(snapshot.git_with_store, snapshot.settings, tree.hex, listing)


def _read_base_tree(snapshot: Snapshot, listing: bytes, *, head_listing: bytes) -> None:
    """The base's tree, and whether an archive of it is what the tree is; `listing` is the snapshot's."""
    base, head = snapshot.base, snapshot.head
    if base is None or head is None:
        return
    if base.commit == head.commit:
        snapshot.base_tree, listing = head.tree, head_listing
    else:
        tree = base.tree or ObjectId(snapshot.git.line("rev-parse", "--verify", f"{base.commit}^{{tree}}"))
        snapshot.base_tree = tree
        assert snapshot.tree is not None
        from git_coderepo.snapshots.tree.edit import telling

        # Where none of what differs says what becomes of other paths, the snapshot's rows are as good as the base's.
        if snapshot.looked_at or (tree != snapshot.tree and telling(snapshot.differences(tree, snapshot.tree))):
            listed = snapshot.git.run("ls-tree", "-r", "-z", "--full-tree", tree.hex)
            listing = rows_inside(listed, snapshot.looked_at)
    files = attribute_files(listing)
    if not files:
        return
    if len(attribute_files(_here(snapshot, snapshot.base_tree, listing))) < len(files):
        snapshot.archive = "altered"  # a partial clone does not know; git is asked then, which is never wrong
        return
    texts = attribute_texts(snapshot.git, snapshot.layout.toplevel, listing)
    if not alters_archive(texts.values()):
        return
    # Some line could alter an archive: whether it does is told by the paths and contents that are there.
    from git_coderepo.snapshots.archive_check import differs_in_archive

    rows = snapshot.git.run("ls-tree", "-r", "-z", "--full-tree", snapshot.base_tree.hex)
    if differs_in_archive(snapshot.git, rows_inside(rows, snapshot.looked_at), texts):
        snapshot.archive = "altered"
