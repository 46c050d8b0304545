"""The changes of the work tree that belong to the snapshot, and the tree that they make of HEAD's."""

from __future__ import annotations

import os

from git_coderepo.errors import InvalidRemoteURL, NotReproducible
from git_coderepo.git.own_files import own_files
from git_coderepo.git.process import git_word, ignore_command, path_word, shell_word
from git_coderepo.git.status import Change
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.snapshots.inspect_checkout import embedded_repositories
from git_coderepo.snapshots.secret_scan import excluded, secret_by_name
from git_coderepo.snapshots.size_limits import Load, refuse_changed, refuse_large
from git_coderepo.snapshots.snapshot import (
    BY_NAME,
    OWN_OUTPUT,
    UNREADABLE,
    Differences,
    Selection,
    SnapshotTree,
)
from git_coderepo.snapshots.tree.edit import linking, patched, telling
from git_coderepo.snapshots.tree.private_index import unreadable_paths
from git_coderepo.snapshots.tree.worktree_stat import Found
from git_coderepo.snapshots.tree.write import HeadTree, edit_head_tree, write_snapshot_tree
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.settings import Settings
    from git_coderepo.snapshots.inspect_checkout import Survey
    from git_coderepo.snapshots.snapshot import Attempt, Checkout, Request
    from git_coderepo.snapshots.tree.write import Edited


def write_changed_tree(
    attempt: Attempt, checkout: Checkout, inspected: Survey, submodules: Sequence[bytes]
) -> SnapshotTree:
    """Select the changes that belong to the snapshot, and write its tree into our store.

    `submodules` are raw paths. Raises NotReproducible for what stops a run, ChangedMeanwhile.
    """
    status, settings = inspected.status, checkout.settings
    _refuse_nested_repositories(attempt, checkout, embedded_repositories(status))
    selection = attempt.reached.note(_select(attempt.request, checkout, status.changes, submodules))
    on_disk = Found(checkout.layout, selection.changes)
    selection = attempt.reached.note(selection.replace(sizes=on_disk.sizes()))
    with attempt.waived.waiving() as too_large:
        load = Load(
            word="changed",
            sizes=selection.sizes,
            alone=lambda limit: refuse_changed(settings, on_disk, checkout.is_in_head, limit=limit),
        )
        # An error that is returned is dropped: the platform may have what is changed here.
        refuse_large(attempt, checkout, load, publishes=attempt.request.publishes)
    if not selection.changes and not any(each.index != "." for each in status.changes if not each.untracked):
        return SnapshotTree.of_head(checkout, inspected.listing, selection).replace(is_stored=not too_large.noted)
    head_tree = checkout.head.tree if checkout.head is not None else None
    if head_tree is not None and inspected.looked_at:
        head_tree = checkout.part_of(head_tree.hex, inspected.looked_at).tree
    on_disk.judge()
    head = HeadTree(head_tree, inspected.listing, status.changes)
    changed = _Changed(head=head, on_disk=on_disk, selection=selection, is_stored=not too_large.noted)
    written = _write_with_progress(attempt, checkout, changed)
    on_disk.refuse_changed(inspected.began)
    if written.edited is not None:
        written.edited.keep()
    id = written.id
    known = [(head_tree, written.differences)] if written.differences is not None else []

    def write_again() -> bool:
        # Of a part of the work tree the objects elsewhere are not needed, and may not be here.
        return not checkout.looked_at and write_snapshot_tree(checkout, written.selection.changes) == id

    differences = Differences(checkout, id, known, write_again=write_again)
    since_head = differences.since(head_tree)
    affecting = {each.path: each for each in (*telling(since_head), *linking(since_head))}
    return SnapshotTree(
        id=id,
        selection=written.selection,
        listing=patched(inspected.listing, list(affecting.values())),
        part=checkout.part_of(id.hex, checkout.looked_at) if checkout.scope else None,
        is_dirty=id != head_tree,
        is_stored=not too_large.noted,
        differences=differences,
    )


# --- The tree --------------------------------------------------------------------------------------------------------


class _Changed(Value):
    """The changes of HEAD's tree: as they are `on_disk`, and those of a `selection`.

    Without `is_stored` their contents are hashed, and not stored.
    """

    head: HeadTree
    on_disk: Found
    selection: Selection
    is_stored: bool


class _Written(Value):
    """A tree that was written: its `id`, the changes in it, and how it was made of HEAD's, if it was."""

    id: ObjectId
    selection: Selection
    edited: Edited | None

    @property
    def differences(self) -> list[Difference] | None:
        return self.edited.differences if self.edited is not None else None


def _write_with_progress(attempt: Attempt, checkout: Checkout, changed: _Changed) -> _Written:
    progress = attempt.request.progress
    if progress is None:
        return _write_tree(attempt, checkout, changed)
    with progress("hashing", sum(size for _, size in changed.selection.sizes), None):
        return _write_tree(attempt, checkout, changed)


def _write_tree(attempt: Attempt, checkout: Checkout, changed: _Changed) -> _Written:
    """Write the tree of the work tree; a path that cannot be read is left out and named, where that is allowed."""
    selection, on_disk, keep = changed.selection, changed.on_disk, changed.is_stored
    with attempt.waived.waiving():
        edited = edit_head_tree(checkout, changed.head, on_disk, keep=keep) if not checkout.looked_at else None
        if edited is not None:
            return _Written(id=edited.tree, selection=selection, edited=edited)
        id = write_snapshot_tree(checkout, selection.changes, keep=keep, found=on_disk)
        return _Written(id=id, selection=selection, edited=None)
    unreadable = [path for path, _ in unreadable_paths(checkout.layout, [each.path for each in selection.changes])]
    selection = selection.replace(
        changes=[change for change in selection.changes if change.path not in unreadable],
        omitted=[*selection.omitted, *((path, UNREADABLE) for path in unreadable)],
    )
    id = write_snapshot_tree(checkout, selection.changes, without=unreadable, keep=keep)
    return _Written(id=id, selection=selection, edited=None)


# --- The selection ---------------------------------------------------------------------------------------------------


def _select(request: Request, checkout: Checkout, changes: Sequence[Change], submodules: Sequence[bytes]) -> Selection:
    """Return the changes that belong to the snapshot, and what is left out of it."""
    more = included(checkout.layout, request.include, submodules)
    own, outputs = _own_outputs(request, checkout, [*changes, *more])
    omitted: list[tuple[bytes, str]] = [(place, OWN_OUTPUT) for place in outputs]
    candidates = [change for change in changes if change.path not in own]
    selected = _select_by_rule(checkout, candidates, omitted)
    # What is left out makes nothing dirty: the tree is HEAD's.
    is_dirty = bool(selected) or any(change.index not in ".?" for change in candidates)
    if is_dirty and checkout.settings.choice("dirty") == "refuse":
        raise NotReproducible("the checkout is dirty, and 'coderepo.dirty' is 'refuse'", hints=["git commit"])
    selected += [change for change in more if change.path not in own]
    return Selection(changes=selected, omitted=omitted)


def _select_by_rule(checkout: Checkout, changes: Sequence[Change], omitted: list[tuple[bytes, str]]) -> list[Change]:
    """Return the changes that the settings leave in; add the others to `omitted` with the reason."""
    settings, toplevel = checkout.settings, checkout.layout.toplevel
    rule, is_excluded = settings.choice("untracked"), exclusion(settings)
    selected = []
    for change in changes:
        if change.untracked:
            is_left_out = is_excluded(change.path)
            if rule == "refuse" and not is_left_out:
                raise NotReproducible(
                    f"'{os.fsdecode(change.path)}' is untracked, and 'coderepo.untracked' is 'refuse'",
                    hints=[
                        f"{git_word(toplevel)} add -- {path_word(change.path, toplevel)}",
                        f"or exclude it: {ignore_command(change.path, toplevel)}",
                    ],
                )
            reason = _reason_to_omit(change, rule, is_excluded=is_left_out)
            if reason is not None:
                omitted.append((change.path.rstrip(b"/"), reason))
                continue
        if change.is_repository:
            omitted.append((change.path, "repository-inside"))  # the file that was there is gone
        if change.worktree != ".":
            selected.append(change)
    return selected


def _reason_to_omit(change: Change, rule: str, *, is_excluded: bool) -> str | None:
    """Return why an untracked path is left out; None if it belongs to the snapshot."""
    if rule == "ignore":
        return "untracked-ignored-by-setting"
    if secret_by_name(change.path):
        return BY_NAME
    if is_excluded:
        return "excluded"
    return "repository-inside" if change.path.endswith(b"/") else None


def exclusion(settings: Settings) -> Callable[[bytes], bool]:
    """Return a function that tells whether `coderepo.exclude`, here or in a superproject, matches a raw path."""
    patterns = settings.texts("exclude")
    outer = exclusion(settings.outer) if settings.outer is not None else None
    inside = settings.path + b"/"

    def is_excluded(path: bytes) -> bool:
        return bool(patterns and excluded(path, patterns)) or (outer is not None and outer(inside + path))

    return is_excluded


def included(layout: Layout, include: Sequence[bytes], submodules: Sequence[bytes] = ()) -> list[Change]:
    """Return the ignored paths that the user explicitly included, outside submodules; directories are expanded."""
    changes = []
    for path in include:
        absolute = os.path.normpath(os.path.join(layout.toplevel, layout.prefix, path))
        below = os.path.relpath(absolute, layout.toplevel)
        if below == b".." or below.startswith(b"../"):
            raise NotReproducible(f"'{os.fsdecode(path)}' is outside of the checkout")
        if not os.path.lexists(absolute):
            raise NotReproducible(f"'{os.fsdecode(path)}' does not exist")
        if any(below == each or below.startswith(each + b"/") for each in submodules):
            continue  # it goes with the submodule
        if os.path.islink(absolute) or not os.path.isdir(absolute):
            changes.append(Change(below, "?", "?", False))
            continue
        for folder, folders, files in os.walk(absolute):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            paths = (os.path.relpath(os.path.join(folder, name), layout.toplevel) for name in files + links)
            changes += [Change(each, "?", "?", False) for each in paths]
    return changes


def _own_outputs(request: Request, checkout: Checkout, changes: Sequence[Change]) -> tuple[set[bytes], list[bytes]]:
    """Return the untracked paths that this program wrote or is about to write, and the outputs that they belong to."""
    layout = checkout.layout
    tracked = {change.path for change in changes if not change.untracked}
    untracked = {change.path for change in changes if change.untracked} - tracked
    own = own_files(layout, untracked, keep=request.store_directory is None)
    for place in sorted(own.edited):
        request.notify(
            f"'{os.fsdecode(place)}' was written by git coderepo and has changed since: it is recorded as code. "
            f"To exclude it: {ignore_command(place, layout.toplevel)}"
        )
    # A command that runs in a fetched directory runs the code there.
    running = [place for place in own.outputs if checkout.prefix.startswith(place + b"/")]
    inside = tuple(place + b"/" for place in running)
    paths = {path for path in own.paths if not (inside and path.startswith(inside))}
    outputs = set(own.outputs).difference(running)
    below = (request.output or b"").removeprefix(layout.toplevel + b"/")
    if below in untracked:
        paths.add(below)  # its contents are going to be replaced
        outputs.add(below)
    known = _tracked_paths(checkout, paths) if paths and request.include else set()
    return paths - known, sorted(outputs - known)


def _tracked_paths(checkout: Checkout, paths: set[bytes]) -> set[bytes]:
    """Return those of the paths that git tracks: what is included by name may be tracked and unchanged."""
    pathspecs = [b":(top,literal)" + path for path in sorted(paths)]
    return set(checkout.git.at(checkout.layout.toplevel).run("ls-files", "-z", "--", *pathspecs).split(b"\0"))


# --- Git repositories inside a checkout that are not its submodules --------------------------------------------------


def _refuse_nested_repositories(attempt: Attempt, checkout: Checkout, changes: Sequence[Change]) -> None:
    """Raise NotReproducible for a repository of its own that is no submodule, unless it is excluded."""
    is_excluded, top = exclusion(checkout.settings), checkout.layout.toplevel
    for change in changes:
        if change.untracked and is_excluded(change.path):
            continue
        path = change.path.rstrip(b"/")
        with attempt.waived.waiving():
            raise NotReproducible(
                f"'{os.fsdecode(path)}/' is a Git repository of its own inside this one, and no submodule",
                hints=_nested_repository_hints(checkout.git, top, path)
                if change.untracked
                else [f"{git_word(top)} add -- {path_word(path, top)}", "or move it away"],
                waived_as="repository-inside",
            )


def _nested_repository_hints(git: Git, toplevel: bytes, path: bytes) -> list[str]:
    """Return the hints for the repository at a raw path from the root: it is left out, or becomes a submodule."""
    name = path_word(path, toplevel)
    hints = [f"exclude it: {ignore_command(path + b'/', toplevel)}"]
    inner = git.submodule(toplevel + b"/" + path)
    if path.startswith(b"-"):
        return hints  # `git submodule add` takes it for an option, even after `--`
    if not inner.succeeds("rev-parse", "--verify", "--quiet", "HEAD"):
        return hints  # git makes no submodule of what has no commit
    process = inner.start("config", "--get", "remote.origin.url").finish()
    url = os.fsdecode(process.stdout.removesuffix(b"\n")) if process.status == 0 else ""
    if _can_be_recorded(url):
        return [*hints, f"{git_word(toplevel)} submodule add -- {shell_word(url)} {name}"]
    return [*hints, f"or push it to a remote of its own, and then: {git_word(toplevel)} submodule add -- URL {name}"]


def _can_be_recorded(url: str) -> bool:
    """Return whether a URL means the same for others, and holds no secret: it would stand in `.gitmodules`."""
    try:
        remote = RemoteURL.parse(url)
    except InvalidRemoteURL:
        return False
    if remote.transport == "ssh":
        return True  # in ssh a user name is part of the address
    has_user = "@" in url.partition("://")[2].partition("/")[0]
    return remote.transport in ("https", "http", "git", "file") and not has_user
