"""A private index: a copy of the user's, or a small one, which git updates from the work tree into our store."""

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

# The most bytes of paths in the arguments of a command.
_ARGUMENTS = 32 << 10


class PrivateIndex:
    """An index that git may write to; a context manager, which removes it at the end.

    It is a copy of the user's, or has the bytes `data`. `looked_at` limits the paths; see `git.subtree`.
    """

    __slots__ = ("_data", "exists", "git", "layout", "looked_at", "path")

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
        self.exists = False
        self.path = store.directory + b"/index.%d.%s" % (os.getpid(), os.urandom(4).hex().encode())
        # For what is too large for a loose object, see `Store.git`.
        own = store.git(git).with_settings(("pack.compression", "0"))
        self.git = own.with_environment(GIT_INDEX_FILE=os.fsdecode(self.path))

    def __enter__(self) -> PrivateIndex:
        if self._data is None:
            self.exists = _copy_index(self.layout.index, self.path)
        else:
            _write_index(self.path, memoryview(self._data), 0)
            self.exists = True
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
        """Update the index entries of `changes` from disk.

        `found` are the changes on the disk, if the caller has them; `only` limits the paths that git reads. Without
        `keep` contents are hashed and not stored. Raises NotReproducible for a path that git cannot read,
        ChangedMeanwhile for a file that changes while git reads it.
        """
        self.unmark([change.path for change in changes if change.marked])
        self._merge([change for change in changes if change.unmerged])
        found = found if found is not None else Found(self.layout, changes)
        gone, present = found.gone_and_present()
        present = present if only is None else [path for path in present if path in only]
        removal: list[bytes | str] = []
        if gone and (not present or sum(map(len, gone)) > _ARGUMENTS):
            # `--remove` would look at them, and stop at one below a directory that became a link.
            self.git.run("update-index", "-z", "--force-remove", "--stdin", stdin=b"\0".join(gone) + b"\0")
        elif gone:
            # One process for both: options count for the paths that follow them. `./`, as a name may begin with `-`.
            removal = ["--force-remove", *(b"./" + path for path in gone), "--no-force-remove"]
        if present:
            self._read(found, present, ["--info-only", *removal] if not keep else removal)

    def _read(self, found: Found, paths: Sequence[bytes], options: Sequence[bytes | str]) -> None:
        """Let git read these paths. Raises as `take`."""
        self.exists = True
        update = self.git.start(
            "update-index", *options, "-z", "--add", "--remove", "--replace", "--stdin",
            stdin=b"\0".join(paths) + b"\0",
        )  # fmt: skip
        import hashlib  # noqa: F401  # the overlay needs it next: it is loaded while git is at work

        update.finish()
        if update.status != 0:
            raise _unreadable(self.layout, found, paths, update.failure())
        if b"Ignoring path " in update.stderr:
            # It goes on after a path that no tree may have (`.git/x`), and ends with 0.
            ignored = update.stderr.partition(b"Ignoring path ")[2].partition(b"\n")[0]
            raise NotReproducible(
                f"git takes no path such as '{os.fsdecode(ignored)}'",
                hints=[
                    f"exclude it: {ignore_command(ignored, self.layout.toplevel)}",
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
        """Replace the entries by those of a tree; the times of unchanged files stay.

        `marked` are paths that the user's index tells git to ignore, and that git has to read.
        """
        self.git.run("read-tree", "--reset", "-i", tree.hex)
        self.exists = True
        self.unmark(marked)

    def unmark(self, paths: Sequence[bytes]) -> None:
        """Remove the marks of these paths, so that git reads them."""
        for mark in ("--no-assume-unchanged", "--no-skip-worktree") if paths else ():
            self.git.run("update-index", "-z", mark, "--stdin", stdin=b"\0".join(paths) + b"\0")

    def drop(self, paths: Sequence[bytes]) -> None:
        """Remove these paths."""
        if paths:
            self.git.run("update-index", "-z", "--force-remove", "--stdin", stdin=b"\0".join(paths) + b"\0")

    def write_tree(self, *, keep: bool = True) -> ObjectId:
        """Write the tree objects into our store, and return the tree id. `keep` as for `take`."""
        if not self.looked_at:
            return ObjectId(self.git.line("write-tree", *([] if keep else ["--missing-ok"])))
        # Conflicts and missing objects outside the scope do not matter.
        holds = inside(self.looked_at)
        unmerged = {row.partition(b"\t")[2] for row in self.git.run("ls-files", "-u", "-z").split(b"\0") if row}
        self.drop([path for path in sorted(unmerged) if not holds(path)])
        whole = self.git.line("write-tree", "--missing-ok")
        return read_part(self.git, whole, self.looked_at, self.layout.object_format).tree

    def entries(self) -> dict[bytes, bytes] | None:
        """Return the entries of a small index: see `git.index.entries_of`."""
        with open(self.path, "rb") as file:
            return entries_of(file.read(), ID_LENGTHS[self.layout.object_format])

    def changed(self) -> list[bytes]:
        """Return the paths that differ on the disk now, raw and sorted.

        A submodule differs if its HEAD is another commit; its files are compared by its own index. Raises CodeRepoError
        if the index was removed: git would find no difference then.
        """
        if self.exists and not os.path.exists(self.path):
            raise CodeRepoError(
                f"cannot determine the edits during the run: '{os.fsdecode(self.path)}' was removed",
                hints=["start the run again, and do not change '.git/coderepo' while it runs"],
            )
        # Its status only says that something differs; the next command lists the paths.
        self.git.start("update-index", "-q", "--really-refresh").finish()
        output = self.git.run(
            "diff-files", "-z", "--name-only", "--ignore-submodules=dirty", *pathspecs(self.looked_at)
        )
        return sorted(path for path in output.split(b"\0") if path)

    def others(self) -> list[bytes]:
        """Return the raw paths on the disk without an entry that are not ignored; a repository ends in `/`.

        Raises GitFailed, and CodeRepoError for a directory that cannot be read.
        """
        process = self.git.start("ls-files", "-z", "--others", "--exclude-standard", *pathspecs(self.looked_at))
        output = process.checked()
        if b"warning: could not open directory" in process.stderr:
            raise CodeRepoError(os.fsdecode(process.stderr.splitlines()[0].removeprefix(b"warning: ")))
        return [path for path in output.split(b"\0") if path]


_NO_FILE = "it is neither a file nor a link"


def unreadable_reason(path: bytes) -> str | None:
    """Return why a file of the work tree cannot be read, in the system's words; None if it can, or is not a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # git handles a link (ELOOP) and a deleted file; a socket (ENXIO) has no contents.
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
    """Return the changes to paths marked assume-unchanged or skip-worktree; see `marked_paths`."""
    with PrivateIndex(git, layout, store, looked_at) as index:
        index.unmark(marked)
        changed = set(index.changed())
    root = layout.toplevel + b"/"
    return [
        Change(path, ".", "M" if os.path.lexists(root + path) else "D", False, marked=True)
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
    """Return (path, reason) of those that exist and cannot be read."""
    reasons = ((path, unreadable_reason(layout.toplevel + b"/" + path)) for path in paths)
    return [(path, reason) for path, reason in reasons if reason is not None]


# Messages of git about a file that changes while it is read.
_UNSTABLE = (b"unstable object source data", b"short read", b"read error while indexing")


def _unreadable(layout: Layout, found: Found, paths: Sequence[bytes], error: Exception) -> Exception:
    """Return the error for git's refusal of one of these paths."""
    if not isinstance(error, GitFailed):
        return error
    top = layout.toplevel
    for path, reason in unreadable_paths(layout, paths):
        ignore = ignore_command(path, top)
        if not any(change.untracked and change.path == path for change in found.changes):
            ignore = f"{git_word(top)} rm --cached -- {path_word(path, top)} && {ignore}"
        return NotReproducible(
            f"'{os.fsdecode(path)}' cannot be read: {reason}",
            hints=["make it readable", f"or exclude it: {ignore}"],
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
