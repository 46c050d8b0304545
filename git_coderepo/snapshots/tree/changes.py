"""What of the work tree is other than HEAD's: which of it belongs to the snapshot, and the tree that it makes."""

from __future__ import annotations

import os

from git_coderepo.errors import InvalidRemoteURL, NotReproducible
from git_coderepo.git.objects import empty_tree_id
from git_coderepo.git.own_files import own_files
from git_coderepo.git.process import git_word, ignore_command, path_word, shell_word
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.snapshots.checks import exclusion, included, refuse_changed, refuse_large, screened
from git_coderepo.snapshots.inspect_checkout import embedded_repositories
from git_coderepo.snapshots.snapshot import OWN_OUTPUT, UNREADABLE
from git_coderepo.snapshots.tree.edit import linking, patched, telling
from git_coderepo.snapshots.tree.hidden_changes import hidden_twins
from git_coderepo.snapshots.tree.private_index import hidden_changes, unreadable_paths
from git_coderepo.snapshots.tree.worktree_stat import Found
from git_coderepo.snapshots.tree.write import HeadTree, edit_head_tree, write_snapshot_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.status import Change
    from git_coderepo.git.store import Store
    from git_coderepo.snapshots.inspect_checkout import Survey
    from git_coderepo.snapshots.snapshot import Request, Snapshot
    from git_coderepo.snapshots.tree.write import Edited


def take_changes(snapshot: Snapshot, request: Request, found: Survey, links: list[bytes]) -> bytes:
    """Take each path that is other than HEAD's; gives the rows of the snapshot's tree that say what becomes of others.

    `links` are the paths of submodules. Raises NotReproducible for what stops a run, ChangedMeanwhile.
    """
    layout, status, settings, store = found.layout, found.status, snapshot.settings, snapshot.store
    status.changes.extend(hidden_twins(snapshot.git, layout, settings, status, found.looked_at))
    is_excluded = exclusion(settings)
    for change in embedded_repositories(status):
        if change.untracked and is_excluded(change.path):
            continue
        top, path = layout.toplevel, change.path.rstrip(b"/")
        name = os.fsdecode(path)
        with snapshot.waiving():
            raise NotReproducible(
                f"'{name}/' is a Git repository of its own inside this one, and no submodule",
                hints=_nested_repository_hints(snapshot.git, top, path)
                if change.untracked
                else [f"{git_word(top)} add -- {path_word(path, top)}", "or move it away"],
                waived_as="repository-inside",
            )
    if found.marked:
        status.changes.extend(hidden_changes(snapshot.git, layout, store, found.marked, found.looked_at))
    asked = included(layout, request.include, links)
    own = _leave_out_own(snapshot, request, layout, [*status.changes, *asked])
    wanted = screened(
        [change for change in status.changes if change.path not in own], settings, snapshot.omitted, layout.toplevel
    )
    wanted += [change for change in asked if change.path not in own]
    snapshot.taken = wanted
    with snapshot.waiving() as too_large:
        on_disk = Found(layout, wanted)
        sizes = on_disk.sizes()
        refuse_large(
            snapshot,
            sizes,
            "changed",
            lambda limit: refuse_changed(settings, on_disk, snapshot.checkout.is_in_head, limit=limit),
            publishes=request.publishes,
        )
    snapshot.keeps_contents = not too_large.noted
    head_tree = snapshot.head.tree if snapshot.head is not None else None
    if head_tree is not None and found.looked_at:
        head_tree = snapshot.checkout.part_of(head_tree.hex, found.looked_at).tree
    if wanted or any(change.index != "." for change in status.changes if not change.untracked):
        known = HeadTree(head_tree, found.listing, status.changes)
        on_disk.judge()
        edited = _hash(snapshot, request, layout, store, known, on_disk)
        on_disk.refuse_changed(found.began)
        if edited is not None:
            edited.keep()
        assert snapshot.tree is not None
        snapshot.dirty = snapshot.tree != head_tree
        differences = snapshot.differences(head_tree, snapshot.tree)
        changed = {each.path: each for each in (*telling(differences), *linking(differences))}
        return patched(found.listing, list(changed.values()))
    snapshot.tree = head_tree if head_tree is not None else empty_tree_id(layout.object_format)
    return found.listing


def _leave_out_own(snapshot: Snapshot, request: Request, layout: Layout, changes: Sequence[Change]) -> set[bytes]:
    """Leave out what this program wrote or is about to write; return those untracked paths."""
    tracked = {change.path for change in changes if not change.untracked}
    untracked = {change.path for change in changes if change.untracked} - tracked
    found = own_files(layout, untracked, keep=request.store_directory is None)
    outputs = set(found.outputs)
    for place in found.outputs:
        # Whoever runs a command in a fetched directory runs the code that is there.
        if snapshot.checkout.prefix.startswith(place + b"/"):
            outputs.remove(place)
            found.paths.difference_update([path for path in found.paths if path.startswith(place + b"/")])
    output = request.output
    if output is not None and output.startswith(layout.toplevel + b"/"):
        place = output[len(layout.toplevel) + 1 :]
        if place in untracked:
            found.paths.add(place)  # what is there now is going to be replaced
            outputs.add(place)
    if found.paths and request.include:
        # What is included by name may be tracked and unchanged.
        listed = snapshot.git.at(layout.toplevel).run(
            "ls-files", "-z", "--", *(b":(top,literal)" + path for path in sorted(found.paths))
        )
        known = set(listed.split(b"\0"))
        found.paths -= known
        outputs -= known
    snapshot.omitted += [(place, OWN_OUTPUT) for place in sorted(outputs)]
    for place in sorted(found.edited):
        name = os.fsdecode(place)
        request.notify(
            f"'{name}' was written by git coderepo and has changed since: it is recorded as code. "
            f"To leave it out: {ignore_command(place, layout.toplevel)}"
        )
    return found.paths


def _hash(
    snapshot: Snapshot, request: Request, layout: Layout, store: Store, head: HeadTree, on_disk: Found
) -> Edited | None:
    """Write the tree as `_write_tree` does, and show how far that is."""
    if request.progress is None:
        return _write_tree(snapshot, layout, store, head, on_disk)
    total = sum(size for _, size in on_disk.sizes())
    with request.progress("hashing", total, None):
        return _write_tree(snapshot, layout, store, head, on_disk)


def _write_tree(snapshot: Snapshot, layout: Layout, store: Store, head: HeadTree, on_disk: Found) -> Edited | None:
    """The tree of the work tree, and how it was made of HEAD's where it was.

    A path that cannot be read is left out of it, and named, where that is allowed.
    """
    keep, settings = snapshot.keeps_contents, snapshot.settings
    with snapshot.waiving():
        if not snapshot.looked_at:
            edited = edit_head_tree(snapshot.git, layout, store, head, on_disk, settings, keep=keep)
            if edited is not None:
                snapshot.tree = edited.tree
                if edited.differences is not None:
                    snapshot.compared[head.tree, edited.tree] = edited.differences
                return edited
        snapshot.tree = write_snapshot_tree(
            snapshot.git, layout, store, snapshot.taken, looked_at=snapshot.looked_at, keep=keep, found=on_disk
        )
        return None
    unreadable = [path for path, _ in unreadable_paths(layout, [change.path for change in snapshot.taken])]
    snapshot.omitted += [(path, UNREADABLE) for path in unreadable]
    snapshot.taken = [change for change in snapshot.taken if change.path not in unreadable]
    snapshot.tree = write_snapshot_tree(
        snapshot.git, layout, store, snapshot.taken, looked_at=snapshot.looked_at, without=unreadable, keep=keep
    )
    return None


# --- Hints for a Git repository inside a checkout that is not one of its submodules ----------------------------------


def _nested_repository_hints(git: Git, toplevel: bytes, path: bytes) -> list[str]:
    """Return the hints for the repository at a raw path from the root: it is left out, or becomes a submodule."""
    name = path_word(path, toplevel)
    hints = [f"leave it out: {ignore_command(path + b'/', toplevel)}"]
    inner = git.submodule(toplevel + b"/" + path)
    if path.startswith(b"-"):
        return hints  # `git submodule add` takes it for an option, even after `--`
    if not inner.succeeds("rev-parse", "--verify", "--quiet", "HEAD"):
        return hints  # git makes no submodule of what has no commit
    asked = inner.start("config", "--get", "remote.origin.url").finish()
    url = os.fsdecode(asked.stdout.removesuffix(b"\n")) if asked.status == 0 else ""
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
        return True  # a user name belongs to the address there
    has_user = "@" in url.partition("://")[2].partition("/")[0]
    return remote.transport in ("https", "http", "git", "file") and not has_user
