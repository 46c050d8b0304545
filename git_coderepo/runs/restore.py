"""Continue from a run: its base commit on a new branch or in a linked worktree, its other code as uncommitted edits.

Everything that can be refused is refused before anything is written. A failure after that is undone. In the end the
work tree is hashed, and its tree has to be the one that was recorded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    GitFailed,
    NotACheckout,
    NotReproducible,
    TargetUnusable,
    TreeDiffers,
    UsageError,
)
from git_coderepo.fetching.sources.local import Here, is_complete, restore_tree
from git_coderepo.filesystem.paths import quoted
from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git
from git_coderepo.git.repository import branch_of_head
from git_coderepo.git.store import find_overlay, quoted_path
from git_coderepo.git.subtree import directories_above, is_inside
from git_coderepo.git.tree_diff import Difference, differences
from git_coderepo.manifest.model import Code, Manifest
from git_coderepo.runs.find import FoundRun
from git_coderepo.runs.history import abbreviated
from git_coderepo.runs.publish import source_of
from git_coderepo.settings import Settings
from git_coderepo.stores.published_runs import PublishedRun, bring_tree
from git_coderepo.transport.git_remote import fetch
from git_coderepo.transport.scratch_repository import Scratch

# Neither the user's hooks nor a partial work tree may change what is written.
_SETTINGS = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.sparseCheckout", "false"),
    ("core.safecrlf", "false"),
    ("core.splitIndex", "false"),
    ("submodule.recurse", "false"),
    ("advice.detachedHead", "false"),
)
_SHOWN = 3
_ALTERNATES = "GIT_ALTERNATE_OBJECT_DIRECTORIES"


class Place(NamedTuple):
    """Where to restore: in a new linked worktree `directory` (absolute), or in the current checkout if it is None.

    `branch` is the name of the new branch. A worktree without one has a detached HEAD.
    """

    branch: str | None
    directory: str | None


class Restored(NamedTuple):
    """A restored run: where it is, the commit and the tree, and the paths that differ between them."""

    place: Place
    commit: ObjectId
    tree: ObjectId
    edits: tuple[bytes, ...]


class _Target(NamedTuple):
    """What to write: a commit, and the tree of the work tree above it, with the differences between them."""

    commit: ObjectId
    commit_tree: ObjectId
    tree: ObjectId
    edits: Sequence[Difference]

    @property
    def added(self) -> list[bytes]:
        return [each.path for each in self.edits if each.old_mode == 0]


def default_branch(id: str) -> str:
    """Return the name of the branch for a run, from its abbreviated id."""
    return f"coderepo/{abbreviated([id])[id]}"


def restore(found: FoundRun, here: Here, place: Place, *, notify: Callable[[str], None]) -> Restored:
    """Restore a run in this repository; see `Place`.

    Raises CodeRepoError if the checkout, the branch or the directory is not free, if the base cannot be fetched, or if
    the result would differ from the run. Nothing is changed then, apart from commits that were fetched.
    """
    manifest = found.named.manifest
    _refuse_unsupported(manifest)
    if place.branch is not None:
        _refuse_branch(here.git, place.branch)
    if place.directory is None:
        _refuse_checkout(here, manifest.run.id)
    else:
        _refuse_directory(place.directory)
    here.store.prepare()
    commit = _start_commit(manifest, here, notify)
    target = _target(found, commit, here, notify)
    if place.directory is None:
        _refuse_overwriting(here, target)
        with _switched(here, place, target) as git:
            _write(git, target, "-m", target.commit_tree.hex)
    else:
        with _added_worktree(here, place, target) as git:
            # Here git may find edits at once, where a new .gitattributes asks for other line ends than the commit has.
            _write(git, target, "--reset")
    return Restored(place, commit, manifest.code.snapshot_tree, tuple(each.path for each in target.edits))


# --- What is refused before anything is written ----------------------------------------------------------------------


def _refuse_unsupported(manifest: Manifest) -> None:
    if manifest.code.submodules:
        raise NotReproducible(
            f"cannot restore run {manifest.run.id}: it has submodules",
            hints=[f"git coderepo fetch {manifest.run.id} DIR"],
        )


def _refuse_branch(git: Git, name: str) -> None:
    if not git.succeeds("check-ref-format", "--branch", name):
        raise UsageError(f"invalid branch name '{name}'")
    if git.succeeds("show-ref", "--verify", "--quiet", f"refs/heads/{name}"):
        raise CodeRepoError(
            f"the branch '{name}' already exists",
            hints=[f"git switch {name}", "or choose another name: --branch NAME"],
        )


def _refuse_checkout(here: Here, id: str) -> None:
    """Raise an error if the checkout has edits, or no commit, or only a part of its files."""
    worktree = f"git coderepo restore {id} --worktree DIR"
    if here.layout.toplevel == here.layout.git_dir:
        raise NotACheckout("this repository has no work tree", hints=[worktree])
    if here.layout.head is None:
        raise CodeRepoError("this checkout has no commit yet", hints=[worktree])
    if here.git.start("config", "--type=bool", "core.sparseCheckout").finish().stdout == b"true\n":
        raise CodeRepoError("this checkout is sparse: files of the run could be missing", hints=[worktree])
    git = here.git.at(here.layout.toplevel)
    listed = git.run("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")
    paths = [row[3:] for row in listed.split(b"\0") if row]
    if paths:
        raise CodeRepoError(
            f"this checkout has edits of your own: {_listed(paths)}",
            hints=[f"to leave them alone: {worktree}", "or commit them, or put them away: git stash -u"],
        )


def _refuse_directory(directory: str) -> None:
    if not os.path.lexists(directory):
        return
    if os.path.islink(directory) or not os.path.isdir(directory):
        raise TargetUnusable(f"'{directory}' exists and is not a directory")
    if os.listdir(directory):
        raise TargetUnusable(
            f"'{directory}' is not empty",
            hints=["name a directory inside it, or one that does not exist yet"],
        )


def _refuse_overwriting(here: Here, target: _Target) -> None:
    """Raise an error if a new file of the run would replace one that git ignores here."""
    git = here.git.at(here.layout.toplevel)
    listed = git.run("ls-files", "-z", "--others", "--directory", "--no-empty-directory")
    others = set(listed.split(b"\0")) - {b""}
    above = directories_above(each.rstrip(b"/") for each in others)
    root = here.layout.toplevel + b"/"
    in_the_way = [
        path
        for path in target.added
        if path in others
        or path + b"/" in others
        or path in above
        or any(each in others for each in directories_above([path]))
        or (any(each + b"/" in others for each in directories_above([path])) and os.path.lexists(root + path))
    ]
    if in_the_way:
        raise CodeRepoError(
            f"{quoted(in_the_way[0])} is ignored here and would be overwritten",
            hints=["move it away, or restore into a new directory: --worktree DIR"],
        )


# --- The commit and the tree -----------------------------------------------------------------------------------------


def _start_commit(manifest: Manifest, here: Here, notify: Callable[[str], None]) -> ObjectId:
    """Return the commit to begin with, which is in this repository: the base, or HEAD's if the run has no base."""
    base, head = manifest.code.base, manifest.code.head
    if base is not None:
        if not _has_commit(here.git, base.commit):
            notify(f"fetching the base {base.commit}")
            _fetch_commit(manifest, base.commit, here, notify)
        return base.commit
    if head is not None and _has_commit(here.git, head.commit):
        return head.commit
    raise NotReproducible(
        f"cannot restore run {manifest.run.id}: it has no base, and its commit is not in this repository",
        hints=[f"git coderepo fetch {manifest.run.id} DIR"],
    )


def _has_commit(git: Git, commit: ObjectId) -> bool:
    return git.offline().succeeds("cat-file", "-e", f"{commit}^{{commit}}")


def _fetch_commit(manifest: Manifest, commit: ObjectId, here: Here, notify: Callable[[str], None]) -> None:
    """Fetch a commit and its history from the run's code repository into this one, without a reference."""
    source = source_of(manifest, here.git, Settings.read(here.git), here.layout)
    platform = source.platform(notify=notify)
    try:
        with Scratch(commit.object_format, here.git.environment) as scratch:
            # What is here already need not be sent again.
            with open(os.path.join(scratch.directory, "objects", "info", "alternates"), "wb") as file:
                file.write(quoted_path(here.layout.objects) + b"\n")
            try:
                fetch(platform, scratch.git, [f"+{commit}:refs/fetched/base"])
            except CodeRepoError:
                # Some servers send only what a reference points to.
                fetch(platform, scratch.git, ["+refs/heads/*:refs/fetched/*"])
                if not scratch.has(commit):
                    raise
                scratch.git.run("update-ref", "refs/fetched/base", commit.hex)
            ours = here.git.with_settings(("protocol.file.allow", "always"), ("gc.auto", "0"), _SETTINGS[0])
            ours.run(
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
                scratch.directory, "refs/fetched/base",
            )  # fmt: skip
    finally:
        platform.close()


def _target(found: FoundRun, commit: ObjectId, here: Here, notify: Callable[[str], None]) -> _Target:
    """Bring the run's tree into our store, and return what to write."""
    manifest, code = found.named.manifest, found.named.manifest.code
    store = here.store.git(here.git)
    if found.platform is not None and found.commit is not None and not is_complete(store, code.snapshot_tree):
        bring_tree(found.platform, PublishedRun(manifest, found.commit), store)
    overlay = code.overlay
    data = overlay.data if overlay is not None else None
    if overlay is not None and data is None:
        beside = find_overlay(overlay.sha256, overlay.size, found.named.folder, here.git)
        data = beside[0] if beside is not None else None
    restore_tree(code, manifest.repository, data, here.git, here.store, run=manifest.run.id, notify=notify)
    commit_tree = ObjectId(store.line("rev-parse", "--verify", f"{commit}^{{tree}}"))
    tree = code.snapshot_tree if code.scope is None else _within(code, commit_tree, store)
    return _Target(commit, commit_tree, tree, differences(store, commit_tree, tree))


def _within(code: Code, commit_tree: ObjectId, store: Git) -> ObjectId:
    """Return the commit's tree with the scope of a run replaced by the run's code."""
    scope = code.scope or ()
    with scratch_directory() as scratch:
        index = store.with_environment(GIT_INDEX_FILE=os.path.join(scratch, "index"))
        index.run("read-tree", commit_tree.hex)
        nothing = b"0" * len(commit_tree.hex)
        rows = [
            b"0 %s\t%s" % (nothing, path)
            for path in index.run("ls-files", "-z").split(b"\0")
            if path and is_inside(path, scope)
        ]
        rows += index.run("ls-tree", "-r", "-z", "--full-tree", code.snapshot_tree.hex).split(b"\0")[:-1]
        index.run("update-index", "-z", "--index-info", stdin=b"".join(row + b"\0" for row in rows))
        return ObjectId(index.line("write-tree"))


# --- Writing ---------------------------------------------------------------------------------------------------------


@contextmanager
def _switched(here: Here, place: Place, target: _Target) -> Iterator[Git]:
    """Switch the checkout to the commit, and create the branch after the block; switch back if it fails.

    The branch is created last: if the program is killed before, no branch has a part of the run.
    """
    git = here.git.at(here.layout.toplevel).with_settings(*_SETTINGS)
    before = branch_of_head(git)
    back = [before] if before is not None else ["--detach", str(here.layout.head)]
    is_switched = False

    def undo() -> None:
        _remove(here.layout.toplevel, target.added)
        git.run("switch", "--quiet", "--discard-changes", *back)

    try:
        git.run("switch", "--quiet", "--detach", "--no-overwrite-ignore", target.commit.hex)
        is_switched = True
        yield _with_store(git, here)
        _create_branch(git, place, target)
    except GitFailed:
        if is_switched:
            undo()
        raise  # git has changed nothing when it refuses to switch
    except BaseException:
        undo()
        raise


@contextmanager
def _added_worktree(here: Here, place: Place, target: _Target) -> Iterator[Git]:
    """Add a linked worktree at the commit, and create the branch after the block; remove the worktree if it fails."""
    directory = str(place.directory)
    was_there = os.path.isdir(directory)
    git = here.git.with_settings(*_SETTINGS)
    is_added = False
    try:
        git.run("worktree", "add", "--quiet", "--detach", directory, target.commit.hex)
        is_added = True
        yield _with_store(git.foreign(directory), here)
        _create_branch(git.foreign(directory), place, target)
    except BaseException:
        if is_added:  # otherwise git has removed what it had written
            git.start("worktree", "remove", "--force", directory).finish()
        if was_there:
            os.makedirs(directory, exist_ok=True)
        raise


def _create_branch(git: Git, place: Place, target: _Target) -> None:
    """Create the branch, if there is to be one, and put HEAD on it. Raises GitFailed if it exists meanwhile."""
    if place.branch is None:
        return
    git.run("branch", "--quiet", "--no-track", place.branch, target.commit.hex)
    reference = f"refs/heads/{place.branch}"
    try:
        # No second "checkout: moving from" in the reflog: `git switch -` goes back to the user's branch.
        git.run("symbolic-ref", "-m", "coderepo: restored", "HEAD", reference)
    except BaseException:
        git.start("update-ref", "-d", reference, target.commit.hex).finish()
        raise


def _with_store(git: Git, here: Here) -> Git:
    """Return git that also reads our own objects."""
    inherited = git.environment.get(_ALTERNATES)
    places = [os.fsdecode(quoted_path(here.store.objects)), *([inherited] if inherited else [])]
    return git.with_environment(GIT_ALTERNATE_OBJECT_DIRECTORIES=":".join(places))


def _write(git: Git, target: _Target, *how: str) -> None:
    """Write the edits into a clean work tree at the commit, and check the result. The user's index is not changed.

    `how` are the words of git-read-tree before the tree: only with `--reset` it replaces edits.
    """
    index, objects = (
        git.line("rev-parse", "--path-format=absolute", "--git-path", name) for name in ("index", "objects")
    )
    with scratch_directory() as scratch:
        copy = os.path.join(scratch, "index")
        shutil.copyfile(index, copy)
        edited = git.with_environment(GIT_INDEX_FILE=copy)
        edited.run("read-tree", "-u", *how, target.tree.hex)
        # From an index without times, `git add` hashes every file; the objects are for our scratch directory.
        os.mkdir(os.path.join(scratch, "objects"))
        places = [os.fsdecode(quoted_path(os.fsencode(objects))), git.environment[_ALTERNATES]]
        hashing = git.with_environment(
            GIT_INDEX_FILE=os.path.join(scratch, "hashed"),
            GIT_OBJECT_DIRECTORY=os.path.join(scratch, "objects"),
            GIT_ALTERNATE_OBJECT_DIRECTORIES=":".join(places),
        )
        hashing.run("read-tree", target.tree.hex)
        hashing.run("add", "-A", "--", ".")
        written = ObjectId(hashing.line("write-tree"))
        if written != target.tree:
            paths = [each.path for each in differences(hashing, target.tree, written)]
            raise TreeDiffers(
                f"the restored files would differ from the run: {_listed(paths)}",
                hints=["restore into a new directory: --worktree DIR"],
            )


def _listed(paths: Sequence[bytes]) -> str:
    """Return the first paths for a message, and the number of the others."""
    names = ", ".join(quoted(path) for path in paths[:_SHOWN])
    return f"{names} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else names


def _remove(root: bytes, paths: Sequence[bytes]) -> None:
    """Remove files that were added, and the directories that become empty; never through a symbolic link."""
    for path in paths:
        if any(os.path.islink(root + b"/" + each) for each in directories_above([path]) - {b""}):
            continue  # the commit has a link where the run has a directory, which was not written yet
        try:
            os.unlink(root + b"/" + path)
        except OSError:
            continue  # it was not written yet
    for directory in sorted(directories_above(paths) - {b""}, key=lambda path: -path.count(b"/")):
        try:
            os.rmdir(root + b"/" + directory)
        except OSError:
            continue  # it has files of the user, or of the commit
