"""The snapshot's tree: a private copy of the index, brought up to the work tree, written as a tree of our own store."""

from __future__ import annotations

import os

from git_coderepo.errors import GitFailed, NotReproducible
from git_coderepo.objects import ObjectId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.checkout.layout import Layout
    from git_coderepo.checkout.status import Change
    from git_coderepo.checkout.store import Store
    from git_coderepo.git import Git

# So many bytes of paths are given to a command as its arguments.
_ARGUMENTS = 32 << 10


class PrivateIndex:
    """A copy of the user's index that git may write to; a context manager, at whose end it is gone.

    The user's index is only read.
    """

    __slots__ = ("git", "layout", "path")

    def __init__(self, git: Git, layout: Layout, store: Store) -> None:
        store.prepare()
        self.layout = layout
        self.path = store.directory + b"/index.%d.%s" % (os.getpid(), os.urandom(4).hex().encode())
        self.git = store.git(git).with_environment(GIT_INDEX_FILE=os.fsdecode(self.path))

    def __enter__(self) -> PrivateIndex:
        _copy_index(self.layout.index, self.path)
        return self

    def __exit__(self, *_: object) -> None:
        for leftover in (self.path, self.path + b".lock"):
            try:
                os.unlink(leftover)
            except FileNotFoundError:
                pass

    def take(self, changes: Sequence[Change]) -> None:
        """Bring each of `changes` to what is on the disk now. Raises NotReproducible for what git cannot read."""
        self.unmark([change.path for change in changes if change.marked])
        gone, there = _paths_to_update(self.layout, changes)
        removal: list[bytes | str] = []
        if gone and (not there or sum(map(len, gone)) > _ARGUMENTS):
            # `--remove` would look at them, and stop at one below a directory that became a link.
            self.git.run("update-index", "-z", "--force-remove", "--stdin", stdin=b"\0".join(gone) + b"\0")
        elif gone:
            # One process for both: options count for the paths that follow them. `./`, as a name may begin with `-`.
            removal = ["--force-remove", *(b"./" + path for path in gone), "--no-force-remove"]
        if not there:
            return
        update = self.git.start(
            "update-index", *removal, "-z", "--add", "--remove", "--replace", "--stdin",
            stdin=b"\0".join(there) + b"\0",
        ).finish()  # fmt: skip
        if update.status != 0:
            raise _unreadable(update.failure())
        if b"Ignoring path " in update.stderr:
            # It goes on after a path that no tree may have (`.git/x`), and ends with 0.
            ignored = update.stderr.partition(b"Ignoring path ")[2].partition(b"\n")[0]
            raise NotReproducible(
                f"git takes no path such as '{os.fsdecode(ignored)}'",
                hints=["leave it out: echo '/PATH' >> .git/info/exclude, or no --include"],
            )

    def unmark(self, paths: Sequence[bytes]) -> None:
        """Look at these paths again, whatever the user's index has them marked as."""
        for mark in ("--no-assume-unchanged", "--no-skip-worktree") if paths else ():
            self.git.run("update-index", "-z", mark, "--stdin", stdin=b"\0".join(paths) + b"\0")

    def write_tree(self) -> ObjectId:
        """The tree id of what it holds; the tree's objects go into our own store."""
        return ObjectId(self.git.line("write-tree"))

    def changed(self) -> list[bytes]:
        """The paths it holds that are other on the disk now, raw and sorted; other paths are no matter."""
        # Its status only says that something differs, which is asked for next.
        self.git.start("update-index", "-q", "--really-refresh").finish()
        output = self.git.run("diff-files", "-z", "--name-only", "--ignore-submodules=none")
        return sorted(path for path in output.split(b"\0") if path)


def write_snapshot_tree(git: Git, layout: Layout, store: Store, changes: Sequence[Change]) -> ObjectId:
    """The tree id of the work tree: the index as it is, and each of `changes` as it is on the disk now.

    Raises NotReproducible for a path that git cannot read or filter.
    """
    with PrivateIndex(git, layout, store) as index:
        index.take(changes)
        return index.write_tree()


def hidden_changes(git: Git, layout: Layout, store: Store, marked: Sequence[bytes]) -> list[Change]:
    """The changes of the paths that git was told not to look at; see `marked_paths`."""
    from git_coderepo.checkout.status import Change as Row

    with PrivateIndex(git, layout, store) as index:
        index.unmark(marked)
        changed = set(index.changed())
    there = layout.toplevel + b"/"
    return [
        Row(path, ".", "M" if os.path.lexists(there + path) else "D", False, marked=True)
        for path in marked
        if path in changed
    ]


def _paths_to_update(layout: Layout, changes: Sequence[Change]) -> tuple[list[bytes], list[bytes]]:
    """(deletions, the rest): a file that became a directory must go before its children come."""
    gone: list[bytes] = []
    there: list[bytes] = []
    for change in changes:
        if change.worktree == ".":
            continue
        # Below a directory that became a link, something else may stand under the name that is gone.
        is_there = change.worktree != "D" and os.path.lexists(layout.toplevel + b"/" + change.path)
        (there if is_there else gone).append(change.path)
    return gone, there


def _copy_index(source: bytes, target: bytes) -> None:
    """Copy the index with its time to the nanosecond: git tells a racy entry by it."""
    try:
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # nothing was ever added
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while piece := os.read(reading, 1 << 20):
                view = memoryview(piece)
                while view:
                    view = view[os.write(writing, view) :]
            facts = os.fstat(reading)
            os.utime(writing, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _unreadable(error: Exception) -> Exception:
    if not isinstance(error, GitFailed):
        return error
    words = error.stderr.decode("utf-8", "replace").strip().splitlines()
    reason = next((line for line in words if line.startswith("error: ")), words[-1] if words else error.message)
    return NotReproducible(
        f"a path of the checkout cannot be recorded: {reason.removeprefix('error: ').removeprefix('fatal: ')}",
        hints=["make it readable, or remove it from the index: git rm --cached PATH"],
    )
