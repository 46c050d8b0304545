"""The source `local`: the objects of the current repository, and those in the program's own store beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, NamedTuple

from git_coderepo.errors import CodeRepoError, MethodUnavailable, OverlayMissing, TreeDiffers
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.planned_tree import LocalTree, PlannedTree
from git_coderepo.fetching.sources.entry_stream import EntryStream, TreeObjects
from git_coderepo.fetching.sources.git_tree import blob_entries, listed_tree
from git_coderepo.fetching.sources.overlay_tar import read_overlay
from git_coderepo.fetching.sources.source import Source
from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.git.objects import GITLINK, ObjectId
from git_coderepo.git.process import Git
from git_coderepo.git.repository import Layout, read_layout, start_layout
from git_coderepo.git.store import Store, describe_damaged, quoted_path, set_damaged_of_tree_aside
from git_coderepo.git.subtree import read_part
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.manifest.model import Code, Repository, refuse_unreproducible


class Here(NamedTuple):
    """The current repository, or a submodule with a work tree in it; `store` has the program's own objects."""

    git: Git
    layout: Layout
    store: Store

    @classmethod
    def of(cls, git: Git) -> Here | None:
        """Return the repository that `git` stands in; None outside of any."""
        try:
            layout = read_layout(start_layout(git), git, bare_allowed=True)
        except CodeRepoError:
            return None
        return cls(git, layout, Store(layout))

    def submodule(self, path: bytes) -> Here | None:
        """Return the submodule at a raw path, which is not trusted; None unless the index here has a gitlink there."""
        listed = self.git.at(self.layout.toplevel).start("--literal-pathspecs", "ls-files", "-s", "-z", "--", path)
        rows = listed.finish().stdout.split(b"\0") if self.layout.toplevel != self.layout.git_dir else []
        if not any(row.startswith(b"160000 ") and row.endswith(b"\t" + path) for row in rows):
            return None
        place = self.layout.toplevel + b"/" + path
        if not os.path.lexists(place + b"/.git"):
            return None
        git = self.git.submodule(place)
        try:
            layout = read_layout(start_layout(git), git)
            if not os.path.samefile(layout.toplevel, place):
                return None
        except (CodeRepoError, OSError):
            return None
        return Here(git, layout, Store(layout, outer=self.store))

    @property
    def at_hand(self) -> Git:
        """A git that finds the user's and the program's objects as they are, without asking a remote."""
        return self.store.git(self.git).with_environment(GIT_NO_REPLACE_OBJECTS="1").offline()


def find_local(code: Code, here: Here | None, *, overlay_at_hand: bool) -> LocalTree | None:
    """Return a complete local tree of a run's code: the tree of its base, else of the whole snapshot.

    None if neither is complete, or outside of a repository.
    """
    if here is None or here.layout.object_format != code.object_format:
        return None
    if code.overlay is not None:
        carried = overlay_at_hand
    else:  # nothing travels, or all of it was published
        carried = code.snapshot_commit is None or (code.base is not None and code.base.tree == code.snapshot_tree)
    if code.base is None and carried:
        return None  # the overlay is everything
    at_hand = here.at_hand
    if code.base is not None and carried and is_complete(at_hand, code.base.tree):
        return LocalTree(at_hand, code.base.tree, code.base.tree == code.snapshot_tree)
    if is_complete(at_hand, code.snapshot_tree):
        return LocalTree(at_hand, code.snapshot_tree, True)
    return None


def is_complete(git: Git, tree: ObjectId) -> bool:
    """Return whether a tree is here with all its objects; promised objects of a partial clone are not."""
    listed = git.start("rev-list", "--objects", "--no-object-names", "--missing=print", tree.hex).finish()
    return listed.status == 0 and not any(line.startswith(b"?") for line in listed.stdout.splitlines())


class InLocalObjects(Source):
    """Get the base, or the whole snapshot, from objects that are all here."""

    name: ClassVar = "local"

    def applies_to(self, planned: PlannedTree) -> bool:
        return planned.local is not None

    def stream(self, planned: PlannedTree, limits: Limits) -> AbstractContextManager[EntryStream]:
        if planned.local is None:
            raise MethodUnavailable(
                "the objects of the run's code are not all here", hints=["--method auto fetches it from the platform"]
            )
        return local_method(planned.local, () if planned.local.whole else planned.scope)

    def gives_all(self, planned: PlannedTree) -> bool:
        return planned.local is not None and planned.local.whole


SOURCE = InLocalObjects()


@contextmanager
def local_method(local: LocalTree, scope: tuple[bytes, ...] = ()) -> Iterator[EntryStream]:
    """Yield the entries of a tree inside of `scope` (empty: all), read object by object. Raises GitFailed."""
    wanted, gitlinks = listed_tree(local.git, local.tree.hex, None, scope)
    trees = TreeObjects(local.git, local.tree.hex) if not scope else None
    yield EntryStream(blob_entries(local.git, wanted), int, gitlinks, trees)


def restore_tree(
    code: Code,
    repository: Repository | None,
    overlay: bytes | None,
    git: Git,
    store: Store,
    *,
    run: str,
    notify: Callable[[str], None],
) -> None:
    """Create the snapshot's tree from base and overlay as objects that `store.git(git)` finds, if it is missing.

    Only the program's own store is written to, and damaged objects in it are moved aside; `run` is the run's id. Raises
    NotReproducible, OverlayMissing, TreeDiffers, and CodeRepoError if the base is not here.
    """
    damaged = set_damaged_of_tree_aside(git, store, code.snapshot_tree.hex)
    try:
        _restore(code, repository, overlay, store.git(git), run=run)
    except CodeRepoError as error:
        if not damaged:
            raise
        raise CodeRepoError(
            f"the run {run} has lost objects that cannot be created again ({error.message}); "
            f"{describe_damaged(store, len(damaged))}",
            hints=[*error.hints, f"git coderepo show {run}"],
        ) from error
    if damaged:
        notify(f"warning: {describe_damaged(store, len(damaged))} and created again")


def _restore(code: Code, repository: Repository | None, overlay: bytes | None, git: Git, *, run: str) -> None:
    if is_complete(git, code.snapshot_tree):
        return
    refuse_unreproducible(code, run)
    if code.base is not None and not _has_tree(git, code.base.tree):
        raise CodeRepoError(
            f"the base {code.base.commit} of the run {run} is not in this repository",
            hints=_where_to_fetch(code, repository),
        )
    if code.overlay is not None and overlay is None:
        raise OverlayMissing(f"the overlay '{code.overlay.sha256}.tar.gz' of the run {run} is not here")
    if code.overlay is None and code.snapshot_commit is not None:
        raise CodeRepoError(
            f"the code of the run {run} is not complete here: it was published, and has no overlay",
            hints=[f"git coderepo fetch {run} DIR brings it from the platform"],
        )
    made = _build(code, overlay, git)
    if made != code.snapshot_tree:
        raise TreeDiffers(f"base and overlay make the tree {made}, not {code.snapshot_tree}")


def _has_tree(git: Git, tree: ObjectId) -> bool:
    return git.start("ls-tree", "-r", "-d", "-z", "--full-tree", tree.hex).finish().status == 0


def _where_to_fetch(code: Code, repository: Repository | None) -> list[str]:
    remote, base = repository.remote if repository is not None else None, code.base
    if remote is None or base is None:
        return []
    url = RemoteURL.from_parts(remote.transport, remote.host, remote.port, remote.user, remote.path)
    return [f"git fetch {url.url()} {base.commit}"]


def _build(code: Code, overlay: bytes | None, git: Git) -> ObjectId:
    """Write base and overlay as a tree, through a temporary index and temporary files; return its id."""
    with scratch_directory() as scratch:
        index = git.with_environment(GIT_INDEX_FILE=os.path.join(scratch, "index"))
        base = code.base.tree.hex if code.base is not None else "--empty"
        if code.base is not None and code.scope is not None:
            base = read_part(git, base, code.scope, code.object_format).tree.hex
        index.run("read-tree", base)
        nothing = b"0" * len(code.snapshot_tree.hex)
        gone = [b"0 %s\t%s" % (nothing, path) for path in (code.overlay.deleted if code.overlay is not None else ())]
        rows: list[tuple[int, bytes]] = []
        names: list[bytes] = []
        if code.overlay is not None and overlay is not None:
            entries = read_overlay(overlay, tar_sha256=code.overlay.tar_sha256, sha256=code.overlay.sha256)
            for number, entry in enumerate(entries):
                # The files are numbered, so that no path from a manifest is used here.
                names.append(os.fsencode(os.path.join(scratch, f"{number}")))
                with open(names[-1], "wb") as file:
                    file.writelines(entry.chunks())
                rows.append((entry.mode, entry.path))
        listed = b"".join(quoted_path(name) + b"\n" for name in names)
        ids = git.run("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=listed)
        added = [b"%o %s\t%s" % (mode, id, path) for (mode, path), id in zip(rows, ids.split(), strict=True)]
        links = [b"%o %s\t%s" % (GITLINK, each.commit.hex.encode(), each.path) for each in code.submodules]
        changes = b"".join(row + b"\0" for row in gone + added + links)
        index.run("update-index", "-z", "--replace", "--index-info", stdin=changes)
        return ObjectId(index.line("write-tree", "--missing-ok"))
