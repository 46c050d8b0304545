"""A private index: the user's, or a small one, brought up to the work tree by git, with its objects in our store."""

from __future__ import annotations

import errno
import os
import stat

from git_coderepo.errors import CodeRepoError, GitFailed, NotReproducible
from git_coderepo.git.index import entries_of
from git_coderepo.git.objects import ID_LENGTHS, ObjectId, blob_id
from git_coderepo.git.process import git_word, ignore_command, path_word
from git_coderepo.git.status import Change, filter_failure
from git_coderepo.git.subtree import inside, pathspecs, read_part
from git_coderepo.snapshots.tree.worktree_stat import Found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.store import Store

# So many bytes of paths are given to a command as its arguments.
_ARGUMENTS = 32 << 10


class PrivateIndex:
    """An index that git may write to; a context manager, at whose end it is gone.

    It is a copy of the user's, which is only read, or has the bytes `data`. `looked_at` limits what matters; see
    `scope`.
    """

    __slots__ = ("_data", "git", "layout", "looked_at", "path", "there")

    def __init__(
        self,
        git: Git,
        layout: Layout,
        store: Store,
        looked_at: tuple[bytes, ...] = (),
        *,
        data: bytes | None = None,
    ) -> None:
        store.prepare()
        self._data = data
        self.layout = layout
        self.looked_at = looked_at
        self.there = False
        self.path = store.directory + b"/index.%d.%s" % (os.getpid(), os.urandom(4).hex().encode())
        # For what is too large for a loose object, see `Store.git`.
        own = store.git(git).with_settings(("pack.compression", "0"))
        self.git = own.with_environment(GIT_INDEX_FILE=os.fsdecode(self.path))

    def __enter__(self) -> PrivateIndex:
        if self._data is None:
            self.there = _copy_index(self.layout.index, self.path)
        else:
            _write_index(self.path, memoryview(self._data), 0)
            self.there = True
        return self

    def __exit__(self, *_: object) -> None:
        for leftover in (self.path, self.path + b".lock"):
            try:
                os.unlink(leftover)
            except FileNotFoundError:
                pass

    def take(
        self,
        changes: Sequence[Change],
        *,
        keep: bool = True,
        found: Found | None = None,
        only: Container[bytes] | None = None,
    ) -> None:
        """Bring each of `changes` to what is on the disk now.

        `found` is a look at them that was had already, `only` limits which of the paths that are there git reads.
        Raises NotReproducible for what git cannot read, ChangedMeanwhile for what changes while it does.
        Without `keep` their contents are hashed, and not kept in our store: what travels nowhere need not fill it.
        """
        self.unmark([change.path for change in changes if change.marked])
        self._merge([change for change in changes if change.unmerged])
        found = found if found is not None else Found(self.layout, changes)
        gone, there = found.gone_and_there()
        there = there if only is None else [path for path in there if path in only]
        removal: list[bytes | str] = []
        if gone and (not there or sum(map(len, gone)) > _ARGUMENTS):
            # `--remove` would look at them, and stop at one below a directory that became a link.
            self.git.run("update-index", "-z", "--force-remove", "--stdin", stdin=b"\0".join(gone) + b"\0")
        elif gone:
            # One process for both: options count for the paths that follow them. `./`, as a name may begin with `-`.
            removal = ["--force-remove", *(b"./" + path for path in gone), "--no-force-remove"]
        if not there:
            return
        hashed = [] if keep else ["--info-only"]
        self.there = True
        update = self.git.start(
            "update-index", *hashed, *removal, "-z", "--add", "--remove", "--replace", "--stdin",
            stdin=b"\0".join(there) + b"\0",
        )  # fmt: skip
        import hashlib  # noqa: F401  # the overlay wants it next: it is loaded while git is at work

        update.finish()
        if update.status != 0:
            raise _unreadable(self.layout, found, there, update.failure())
        if b"Ignoring path " in update.stderr:
            # It goes on after a path that no tree may have (`.git/x`), and ends with 0.
            ignored = update.stderr.partition(b"Ignoring path ")[2].partition(b"\n")[0]
            raise NotReproducible(
                f"git takes no path such as '{os.fsdecode(ignored)}'",
                hints=[
                    f"leave it out: {ignore_command(ignored, self.layout.toplevel)}",
                    "do not name it with --include",
                ],
            )

    def _merge(self, unmerged: Sequence[Change]) -> None:
        """Put one entry in the place of the stages of each of these paths, as `git add` does.

        `update-index` would look at no stage, and lose a mode that only the index has (`core.fileMode=false`,
        `core.symlinks=false`).
        """
        without = blob_id(b"", self.layout.object_format).hex().encode()
        rows = []
        for change in unmerged:
            mode, _, id = change.entry.partition(b" ")
            if mode and mode != b"160000":
                rows.append(b"%b %b 0\t%b\0" % (mode, id or without, change.path))
        if rows:
            self.git.run("update-index", "-z", "--index-info", stdin=b"".join(rows))

    def read_tree(self, tree: ObjectId, marked: Sequence[bytes] = ()) -> None:
        """Hold exactly what a tree holds; what is known of an unchanged file's times stays.

        `marked` are paths that the user's index tells git not to look at, and that are to be looked at.
        """
        self.git.run("read-tree", "--reset", "-i", tree.hex)
        self.there = True
        self.unmark(marked)

    def unmark(self, paths: Sequence[bytes]) -> None:
        """Look at these paths again, whatever the user's index has them marked as."""
        for mark in ("--no-assume-unchanged", "--no-skip-worktree") if paths else ():
            self.git.run("update-index", "-z", mark, "--stdin", stdin=b"\0".join(paths) + b"\0")

    def drop(self, paths: Sequence[bytes]) -> None:
        """Forget these paths."""
        if paths:
            self.git.run("update-index", "-z", "--force-remove", "--stdin", stdin=b"\0".join(paths) + b"\0")

    def write_tree(self, *, keep: bool = True) -> ObjectId:
        """The tree id of what it holds; the tree's objects go into our own store. `keep` as for `take`."""
        if not self.looked_at:
            return ObjectId(self.git.line("write-tree", *([] if keep else ["--missing-ok"])))
        # A conflict elsewhere is no matter of ours, and neither are objects that are not here.
        holds = inside(self.looked_at)
        unmerged = {row.partition(b"\t")[2] for row in self.git.run("ls-files", "-u", "-z").split(b"\0") if row}
        self.drop([path for path in sorted(unmerged) if not holds(path)])
        whole = self.git.line("write-tree", "--missing-ok")
        return read_part(self.git, whole, self.looked_at, self.layout.object_format).tree

    def entries(self) -> dict[bytes, bytes] | None:
        """What it holds, where it is small: see `indexfile.entries_of`."""
        with open(self.path, "rb") as file:
            return entries_of(file.read(), ID_LENGTHS[self.layout.object_format])

    def changed(self) -> list[bytes]:
        """The paths it holds that are other on the disk now, raw and sorted; other paths are no matter.

        A submodule counts where its HEAD is another one; what is in it is its own index's matter.
        Raises CodeRepoError where it was taken away: git would find no difference then.
        """
        if self.there and not os.path.exists(self.path):
            raise CodeRepoError(
                f"what was edited cannot be told: '{os.fsdecode(self.path)}' is gone",
                hints=["do not change '.git/coderepo' during a run, and run it again"],
            )
        # Its status only says that something differs, which is asked for next.
        self.git.start("update-index", "-q", "--really-refresh").finish()
        output = self.git.run(
            "diff-files", "-z", "--name-only", "--ignore-submodules=dirty", *pathspecs(self.looked_at)
        )
        return sorted(path for path in output.split(b"\0") if path)

    def others(self) -> list[bytes]:
        """Return the paths on the disk that it does not hold and that are not ignored, raw; a repository ends in `/`.

        Raises GitFailed, and CodeRepoError for a directory that cannot be read.
        """
        asked = self.git.start("ls-files", "-z", "--others", "--exclude-standard", *pathspecs(self.looked_at))
        output = asked.checked()
        if b"warning: could not open directory" in asked.stderr:
            raise CodeRepoError(os.fsdecode(asked.stderr.splitlines()[0].removeprefix(b"warning: ")))
        return [path for path in output.split(b"\0") if path]


_NO_FILE = "it is neither a file nor a link"


def unreadable_reason(path: bytes) -> str | None:
    """Why a file of the work tree cannot be read, in the system's words; None where it can, or is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # A link (ELOOP), and what is gone, are git's business; a socket (ENXIO) holds nothing that it takes.
        if error.errno == errno.ENXIO:
            return _NO_FILE
        if isinstance(error, FileNotFoundError | NotADirectoryError) or os.path.islink(path):
            return None
        return (error.strerror or "unreadable").lower()
    try:
        mode = os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _NO_FILE


def hidden_changes(
    git: Git, layout: Layout, store: Store, marked: Sequence[bytes], looked_at: tuple[bytes, ...] = ()
) -> list[Change]:
    """The changes of the paths that git was told not to look at; see `marked_paths`."""
    with PrivateIndex(git, layout, store, looked_at) as index:
        index.unmark(marked)
        changed = set(index.changed())
    there = layout.toplevel + b"/"
    return [
        Change(path, ".", "M" if os.path.lexists(there + path) else "D", False, marked=True)
        for path in marked
        if path in changed
    ]


def _copy_index(source: bytes, target: bytes) -> bool:
    """Copy the index with its time to the nanosecond: git tells a racy entry by it. False where there is none."""
    try:
        with open(source, "rb", buffering=0) as file:
            data, facts = file.read(), os.fstat(file.fileno())
    except FileNotFoundError:
        return False  # nothing was ever added
    _write_index(target, memoryview(data), facts.st_mtime_ns)
    return True


def _write_index(target: bytes, data: memoryview, modified: int) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.utime(descriptor, ns=(modified, modified))
    finally:
        os.close(descriptor)


def unreadable_paths(layout: Layout, paths: Sequence[bytes]) -> list[tuple[bytes, str]]:
    """(path, why) of those that are on the disk and cannot be read."""
    found = ((path, unreadable_reason(layout.toplevel + b"/" + path)) for path in paths)
    return [(path, reason) for path, reason in found if reason is not None]


# What git writes when a file's bytes are others than a moment before, or its size is.
_UNSTABLE = (b"unstable object source data", b"short read", b"read error while indexing")


def _unreadable(layout: Layout, found: Found, paths: Sequence[bytes], error: Exception) -> Exception:
    """What git's refusal of one of these paths means."""
    if not isinstance(error, GitFailed):
        return error
    top = layout.toplevel
    for path, reason in unreadable_paths(layout, paths):
        ignore = ignore_command(path, top)
        if not any(change.untracked and change.path == path for change in found.changes):
            ignore = f"{git_word(top)} rm --cached -- {path_word(path, top)} && {ignore}"
        return NotReproducible(
            f"'{os.fsdecode(path)}' cannot be read: {reason}",
            hints=["make it readable", f"or leave it out: {ignore}"],
            waived_as="unreadable",
        )
    filtered = filter_failure(error.stderr)
    if filtered is not None:
        return filtered
    words = error.stderr.decode("utf-8", "surrogateescape").strip().splitlines()
    reason = next((line for line in words if line.startswith("error: ")), words[-1] if words else error.message)
    reason = reason.removeprefix("error: ").removeprefix("fatal: ")
    if any(phrase in error.stderr for phrase in _UNSTABLE):
        return found.changed_meanwhile([_written_last(layout, paths)])
    return NotReproducible(f"a path of the checkout cannot be recorded: {reason}")


def _written_last(layout: Layout, paths: Sequence[bytes]) -> bytes:
    """Return the path that was written last: git names an object then, and no path."""
    return max(paths, key=lambda path: _written_at(layout.toplevel + b"/" + path))


def _written_at(path: bytes) -> int:
    """Return when a file was last written, in nanoseconds since 1970; 0 if it does not exist."""
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return 0
