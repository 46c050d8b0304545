"""The one way to take a snapshot: the hook and every verb run this code.

It inspects the checkout, finds the base, writes the snapshot's tree into a store of our own, makes the overlay, and
stops a run that could not be reproduced before it starts. See `snapshot` for the values that it makes.
"""

from __future__ import annotations

import os
import time

from git_coderepo.errors import ChangedMeanwhile, CodeRepoError, GitFailed, NotReproducible
from git_coderepo.git.objects import ObjectId, empty_tree_id
from git_coderepo.git.partial_clone import rows_here
from git_coderepo.git.pushed_commits import BaseCommit, Walks
from git_coderepo.git.repository import pinned, read_layout, start_layout
from git_coderepo.git.store import Store, describe_damaged, set_damaged_aside
from git_coderepo.git.subtree import looked_at, rows_inside, scope_of
from git_coderepo.registration.resolve import choose_source, choose_source_of, import_platform, refuse_source, stand_in
from git_coderepo.settings import Settings, start_team_of, with_team
from git_coderepo.snapshots.archive_check import (
    CONVERTING,
    attribute_texts,
    attributes_here,
    gitlinks,
    lfs_attributes,
    outside_texts,
    words_of,
)
from git_coderepo.snapshots.find_base import find_served_base, read_served_tree
from git_coderepo.snapshots.inspect_checkout import Surveys, survey
from git_coderepo.snapshots.snapshot import (
    Attempt,
    Checkout,
    Head,
    NotInGit,
    Reached,
    Request,
    Selection,
    Served,
    Snapshot,
    SnapshotTree,
    Submodule,
    Travelling,
    Unpacked,
    Waived,
    Weights,
    Within,
)
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.lfs_pointer import Pointer
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.snapshots.inspect_checkout import Survey


# In seconds, before a snapshot is taken again because files changed meanwhile.
_PAUSES = (0.01, 0.03, 0.1, 0.3)


def take_snapshot(
    git: Git,
    request: Request,
    *,
    reached: Reached | None = None,
    inspected: Survey | None = None,
    within: Within | None = None,
) -> Snapshot:
    """Take a snapshot of the checkout that `git` stands in, or of `request.rev`.

    `reached` receives the stages before an error; `inspected` is the checkout as the caller inspected it; `within` says
    in which checkout a submodule lies. Raises NotReproducible with the reason and a hint, ChangedMeanwhile where files
    still changed at the last attempt: a torn snapshot is not recorded; RegistrationError, NotACheckout, GitFailed.
    """
    git = git.offline()  # a hook waits for no network
    reached = Reached() if reached is None else reached
    is_suspect = False
    for pause in _PAUSES if within is None else ():  # a submodule is taken again with its superproject
        try:
            return _take(_attempt(git, request, within, reached, is_suspect=is_suspect), inspected)
        except ChangedMeanwhile:
            time.sleep(pause)
        except CodeRepoError as error:
            if is_suspect or not _set_damaged_aside(reached.of(Checkout), request, error):
                raise
            is_suspect = True
        reached.forget()
        inspected = None
    return _take(_attempt(git, request, within, reached, is_suspect=is_suspect), inspected)


def _attempt(git: Git, request: Request, within: Within | None, reached: Reached, *, is_suspect: bool) -> Attempt:
    return Attempt(
        git=git,
        request=request,
        within=within,
        is_store_suspect=is_suspect,
        reached=reached,
        waived=Waived(is_allowed=request.allow_unreproducible),
        weights=within.weights if within is not None else Weights(),
    )


def _set_damaged_aside(checkout: Checkout | None, request: Request, error: CodeRepoError) -> bool:
    """Move damaged objects of ours aside where git failed; return whether there were any."""
    failed = isinstance(error, GitFailed) or isinstance(error.__cause__, GitFailed)
    if not failed or checkout is None:
        return False
    damaged = set_damaged_aside(checkout.git, checkout.store)
    if damaged:
        request.notify(f"warning: {describe_damaged(checkout.store, len(damaged))} and created again")
    return bool(damaged)


def _take(attempt: Attempt, inspected: Survey | None) -> Snapshot:
    if attempt.request.rev is not None:
        return _take_commit(attempt, attempt.request.rev)
    return _take_work_tree(attempt, _inspect(attempt) if inspected is None else inspected)


class _Listed(Value):
    """The rows of `ls-tree -r -z` that are known: `head` of HEAD; those of the snapshot are all of them if `is_whole`.

    `toplevel` is None for a commit without its work tree. `surveys` are those of the submodules.
    """

    head: bytes
    is_whole: bool
    toplevel: bytes | None
    surveys: Surveys | None


# --- The work tree ---------------------------------------------------------------------------------------------------


def _inspect(attempt: Attempt) -> Survey:
    git, request, within = attempt.git, attempt.request, attempt.within

    def include(layout: Layout) -> list[bytes]:
        if not request.include:
            return []
        from git_coderepo.snapshots.tree.changes import included

        return [change.path for change in included(layout, request.include)]

    if within is not None:
        git = git.with_settings(within.outer.store.lfs_setting)
    elif request.store_directory is not None:
        git = git.with_settings(("lfs.storage", os.fsdecode(request.store_directory) + "/lfs"))
    started = within.started if within is not None else None
    return survey(git, request.notify, scope=request.scope, include=include, started=started, meanwhile=import_platform)


def _take_work_tree(attempt: Attempt, inspected: Survey) -> Snapshot:
    layout = inspected.layout
    place = _Place(attempt, layout, inspected.settings)
    inspected = _with_hidden_changes(place, inspected)
    status = inspected.status
    head = None
    if layout.head is not None and layout.head_tree is not None:
        head = Head(commit=layout.head, tree=layout.head_tree, branch=status.branch)
    checkout = attempt.reached.note(
        place.checkout.replace(head=head, status=status, scope=inspected.scope, looked_at=inspected.looked_at)
    )
    links = [path for path, _ in gitlinks(inspected.listing)]
    links += [each.path for each in status.changes if each.submodule]
    surveys = Surveys(checkout.git.with_settings(checkout.store.lfs_setting), layout, links) if links else None
    try:
        served = _find_served(attempt, checkout, _source_of_work_tree(attempt.request, inspected))
        if status.changes or not _status_tells_all(attempt.request, inspected):
            from git_coderepo.snapshots.tree.changes import write_changed_tree

            tree = write_changed_tree(attempt, checkout, inspected, links)
        else:
            tree = SnapshotTree.of_head(checkout, inspected.listing, Selection())
        attempt.reached.note(tree)
        is_whole = inspected.is_whole and head is not None and tree.id == head.tree
        return _complete(
            attempt,
            checkout,
            served,
            tree,
            _Listed(head=inspected.listing, is_whole=is_whole, toplevel=layout.toplevel, surveys=surveys),
        )
    finally:
        if surveys is not None:
            surveys.end()


def _with_hidden_changes(place: _Place, inspected: Survey) -> Survey:
    """Add the changes of paths that git was told to ignore."""
    if not inspected.marked and not inspected.settings.git_flag("core", "ignoreCase", False):
        return inspected
    from git_coderepo.snapshots.tree.hidden_changes import hidden_twins
    from git_coderepo.snapshots.tree.private_index import hidden_changes

    git, layout, paths = place.checkout.git, inspected.layout, inspected.looked_at
    hidden = hidden_twins(git, layout, place.checkout.settings, inspected.status, paths)
    if inspected.marked:
        hidden += hidden_changes(git, layout, place.checkout.store, inspected.marked, paths)
    return inspected.replace(status=inspected.status.with_changes(hidden)) if hidden else inspected


def _source_of_work_tree(request: Request, inspected: Survey) -> CodeSource | None:
    return stand_in(inspected) if request.here else choose_source(inspected, request.code_repository)


def _status_tells_all(request: Request, inspected: Survey) -> bool:
    """Return whether a checkout without changes in `git status` is HEAD's tree."""
    return not (inspected.looked_at or inspected.marked or request.include)


# --- A commit --------------------------------------------------------------------------------------------------------


def _take_commit(attempt: Attempt, rev: str) -> Snapshot:
    """Take a snapshot of a commit as it is; a bare repository will do."""
    git, request, within = attempt.git, attempt.request, attempt.within
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    if not layout.is_inside:
        layout = layout.replace(toplevel=layout.git_dir)  # the work tree that git reports may be another repository's
    head = _head_at(git, rev, hint="git log --oneline --all" if within is None else "git fetch")
    listing = git.run("ls-tree", "-r", "-z", "--full-tree", head.tree.hex)
    settings = with_team(Settings.read(git), start_team_of(git, listing), request.notify)
    place = _Place(attempt, layout, settings)
    scope = scope_of(layout, settings, request.scope) if within is None else ()
    checkout = attempt.reached.note(place.checkout.replace(head=head, scope=scope, looked_at=looked_at(scope)))
    listing = rows_inside(listing, checkout.looked_at)
    tree = attempt.reached.note(SnapshotTree.of_head(checkout, listing, Selection()))
    source = choose_source_of(
        checkout.git,
        checkout.settings,
        layout,
        request.code_repository,
        branch=head.branch,
        walks=Walks(checkout.git, checkout.settings, head.commit),
    )
    served = _find_served(attempt, checkout, source)
    return _complete(attempt, checkout, served, tree, _Listed(head=listing, is_whole=True, toplevel=None, surveys=None))


def _head_at(git: Git, rev: str, *, hint: str) -> Head:
    """Return a revision as HEAD. Raises NotReproducible for one that does not exist."""
    process = git.start("rev-parse", "--verify", "--end-of-options", f"{rev}^{{commit}}").finish()
    if process.status != 0:
        raise NotReproducible(f"unknown revision '{rev}'", hints=[hint])
    commit = ObjectId(process.stdout.decode().strip())
    name = git.line("rev-parse", "--symbolic-full-name", "--end-of-options", rev)
    branch = name.splitlines()[-1] if name else ""
    return Head(
        commit=commit,
        tree=ObjectId(git.line("rev-parse", "--verify", f"{commit}^{{tree}}")),
        branch=branch.removeprefix("refs/heads/") if branch.startswith("refs/heads/") else None,
    )


# --- The stages that both have ---------------------------------------------------------------------------------------


class _Place:
    """The `checkout` as far as its place decides it: its git, settings and store. Raises NotReproducible."""

    __slots__ = ("checkout",)

    def __init__(self, attempt: Attempt, layout: Layout, settings: Settings) -> None:
        request, within = attempt.request, attempt.within
        if within is None:
            git = pinned(attempt.git, layout)
            store = Store(layout, request.store_directory, is_suspect=attempt.is_store_suspect)
            place, depth = b"", 0
        else:
            _refuse_elsewhere(within, layout)
            outer = within.outer
            git, settings = attempt.git, settings.within(outer.settings, within.path)
            store = Store(layout, outer=outer.store)
            place, depth = outer.place + within.path + b"/", outer.depth + 1
        self.checkout = Checkout(
            git=git,
            layout=layout,
            settings=settings,
            store=store,
            head=None,
            status=None,
            scope=(),
            looked_at=(),
            prefix=layout.prefix or request.prefix,
            place=place,
            depth=depth,
        )


def _refuse_elsewhere(within: Within, layout: Layout) -> None:
    """Raise NotReproducible for another repository: git looks for one in the folders above, too."""
    if not os.path.samefile(layout.toplevel, within.outer.layout.toplevel + b"/" + within.path):
        raise NotReproducible(
            "its '.git' is that of another work tree",
            hints=["git config --unset core.worktree"],
            waived_as="submodule",
        )


def _find_served(attempt: Attempt, checkout: Checkout, source: CodeSource | None) -> Served:
    """Find the commit that the platform has. Raises NotReproducible for a remote that no runner can use."""
    served = attempt.reached.note(Served(source=source, base=None))
    if source is None:
        return served
    with attempt.waived.waiving():
        refuse_source(source)
    head = checkout.head
    if head is None:
        return served
    if attempt.request.here and attempt.request.rev is None:
        return attempt.reached.note(Served(source=source, base=BaseCommit(head.commit, "platform", 0)))
    return find_served_base(attempt, checkout, source, head)


def _complete(attempt: Attempt, checkout: Checkout, served: Served, tree: SnapshotTree, listed: _Listed) -> Snapshot:
    """Go from the tree to the snapshot."""
    note = attempt.reached.note
    not_in_git = note(_find_not_in_git(attempt.request, checkout, tree, listed)) if tree.is_stored else NotInGit()
    served_tree = read_served_tree(checkout, served, tree, listed.head)
    if served_tree is not None:
        note(served_tree)
    unpacked = note(
        Unpacked(
            checkout=checkout,
            source=served.source,
            tree=tree,
            not_in_git=not_in_git,
            served_tree=served_tree,
            submodules=_take_submodules(attempt, checkout, tree.listing, listed.surveys),
        )
    )
    return note(
        Snapshot(
            unpacked=unpacked,
            travelling=_pack(attempt, unpacked),
            unreproducible=tuple(attempt.waived.reasons),
        )
    )


def _take_submodules(
    attempt: Attempt, checkout: Checkout, listing: bytes, surveys: Surveys | None
) -> tuple[Submodule, ...]:
    """Take a snapshot of each gitlink of the snapshot's tree."""
    links = gitlinks(listing)
    if not links:
        return ()
    from git_coderepo.snapshots.submodules import Superproject, take_submodules

    def take(git: Git, request: Request, within: Within) -> Snapshot:
        return take_snapshot(git, request, within=within)

    return take_submodules(Superproject(attempt=attempt, checkout=checkout, surveys=surveys), links, take)


def _find_not_in_git(request: Request, checkout: Checkout, tree: SnapshotTree, listed: _Listed) -> NotInGit:
    """Find the paths of the snapshot's tree whose contents Git does not store, and what Git LFS stores.

    Nothing more is loaded or asked where no row is a link, a pointer file or converted on this machine.
    """
    git, layout, settings = checkout.git_with_store, checkout.layout, checkout.settings
    texts = attribute_texts(git, layout.toplevel, attributes_here(git, settings, tree.id, tree.listing))
    lfs = lfs_attributes(texts)
    others = outside_texts(layout, settings) if listed.toplevel is not None else []
    files = [*texts.values(), *others]
    drivers = _filter_drivers(files, settings)
    is_converted = bool((others and _converts(files)) or drivers.difference((b"lfs",)))
    is_needed = (request.thorough or is_converted) and not listed.is_whole
    listing = _whole_listing(git, tree, is_converted=is_converted) if is_needed else tree.listing
    has_links = b"120000 blob " in listing or b".dvc\0" in listing or b"dvc.lock\0" in listing
    if not (has_links or request.thorough or is_converted):
        return NotInGit(lfs_attributes=lfs)
    from git_coderepo.snapshots import not_in_git

    place = not_in_git.Place(git, tree.id, listed.toplevel)
    outside: list[not_in_git.Outside] = []
    if has_links or not_in_git.may_describe_data(listing):
        outside += not_in_git.find_linked(place, listing)
    if is_converted:
        rows = rows_here(git, settings, tree.id.hex, listing)
        outside += not_in_git.find_converted(place, rows, texts, others, drivers)
    return NotInGit(outside=outside, lfs_attributes=lfs)


def _whole_listing(git: Git, tree: SnapshotTree, *, is_converted: bool) -> bytes:
    """Return all rows of the snapshot's tree; those that are known where a partial clone lacks a tree.

    The rows that are known name links and DVC files. Raises GitFailed if paths are converted.
    """
    try:
        return git.run("ls-tree", "-r", "-z", "--full-tree", tree.id.hex)
    except GitFailed:
        if is_converted:
            raise
        return tree.listing


def _converts(files: list[bytes]) -> bool:
    """Return whether these attributes files convert some path."""
    return any(name in CONVERTING for name, _ in words_of(files))


def _filter_drivers(texts: list[bytes], settings: Settings) -> frozenset[bytes]:
    """Return the filters that these attributes files name and that have a command on this machine."""
    return frozenset(
        value
        for value in {value for name, value in words_of(texts) if name == b"filter"}
        if any(settings.value("filter", word, os.fsdecode(value)) for word in ("clean", "process", "smudge"))
    )


def _pack(attempt: Attempt, unpacked: Unpacked) -> Travelling:
    """Find or make the overlay of what travels."""
    request, tree, checkout = attempt.request, unpacked.tree, unpacked.checkout
    is_same = unpacked.base_part == tree.id
    if request.tree_only or (is_same and not request.check):
        return Travelling()
    refused: dict[str, tuple[bytes, Pointer, str]] = {}
    if request.check and tree.is_stored and unpacked.not_in_git.lfs_attributes is not None:
        from git_coderepo.snapshots.lfs import refused_objects

        with attempt.waived.waiving():
            refused = refused_objects(unpacked, request.notify)
    if is_same and not refused:
        return Travelling()
    checkout.store.prepare()
    if unpacked.base_part is None and tree.id == empty_tree_id(checkout.layout.object_format):
        return Travelling()
    if unpacked.not_in_git.lfs_attributes is None:
        overlay = unpacked.cached_overlay
        if overlay is not None:
            return Travelling(overlay=overlay)  # made of the same trees, whose names and contents were checked
    from git_coderepo.snapshots.packing import pack_travelling

    return pack_travelling(attempt, unpacked, refused)
