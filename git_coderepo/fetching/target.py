"""The directory that a runner fills: it appears whole and verified, or not at all (rule 4 in docs/design/safety.md)."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from git_coderepo.errors import CodeRepoError, InvalidManifest, TargetUnusable
from git_coderepo.filesystem.directories import (
    OPEN_DIRECTORY,
    Directories,
    Root,
    remove_tree,
    sync_file_system,
    unusable,
)
from git_coderepo.filesystem.leftovers import Held, hold, sweep
from git_coderepo.filesystem.locks import try_lock
from git_coderepo.filesystem.paths import quoted
from git_coderepo.filesystem.private import is_exchangeable
from git_coderepo.git.own_files import note_directory
from git_coderepo.manifest.model import Code, Submodule

_INSIDE = ".coderepo-"
_LOST_AND_FOUND = "lost+found"
# What a hidden directory inside has, and nothing else.
_TREE, _JOURNAL, _NEW_JOURNAL = "tree", "journal", "journal.new"
_NO_WORK_BESIDE = (errno.EACCES, errno.EPERM, errno.EROFS)


class Target:
    """A context manager that prepares a tree for `directory`: write into the path from `fresh()`, then `publish()`.

    If `directory` is absent or empty, the tree is prepared in `.NAME.coderepo-PID-RANDOM` beside it, which is then
    renamed to it. If `directory` is a mount point (empty except for `lost+found`) or the current directory, or nothing
    can be written beside it, the tree is prepared in `DIRECTORY/.coderepo-PID-RANDOM/tree` and its entries are moved
    up. The hidden directory is removed last; while it exists, `directory` is incomplete.

    With `is_output` False, `directory` belongs to the program, such as the cache, and is not noted in a checkout.

    Leaving the context without `publish()` leaves `directory` as it was. Entering it removes what killed processes left
    of their attempts on the same directory. Every method raises TargetUnusable.
    """

    def __init__(self, directory: str, *, is_output: bool = True) -> None:
        self._directory = directory
        self._is_output = is_output
        self._place: _Beside | _Inside | None = None
        self._prepared = ""

    def __enter__(self) -> Target:
        try:
            self._place = _place(self._directory)
        except OSError as error:
            raise unusable(error, self._directory) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._place is not None:
            self._place.leave()
            self._place = None

    def fresh(self) -> str:
        """Return the path of an empty directory for the tree; that of an earlier call is removed with its contents."""
        assert self._place is not None, "only inside `with`"
        try:
            self._prepared = self._place.fresh()
        except OSError as error:
            raise unusable(error, self._directory) from None
        return self._prepared

    @property
    def prepared(self) -> str:
        """The path that `fresh` returned last."""
        return self._prepared

    def publish(self) -> None:
        """Sync the tree to the disk and make it visible in `directory`; call it once."""
        assert self._place is not None, "only inside `with`"
        try:
            if self._is_output:
                # In a checkout, snapshots leave it out unless it is edited.
                note_directory(os.path.realpath(os.fsencode(self._directory)), os.fsencode(self._prepared))
            self._place.publish()
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise TargetUnusable(f"{self._name()} was filled by another process in the meantime") from None
            if error.errno in (errno.EBUSY, errno.EXDEV):
                hint = "name a directory inside it, or one that does not exist yet"
                raise TargetUnusable(f"cannot replace {self._name()}: the system refuses it", hints=[hint]) from None
            raise unusable(error, self._directory) from None

    def _name(self) -> str:
        return quoted(os.fsencode(self._directory))


def _place(directory: str) -> _Beside | _Inside:
    shown = quoted(os.fsencode(directory))
    if not directory or "\0" in directory:
        raise TargetUnusable(f"invalid directory {shown}")
    path = directory.rstrip("/") or "/"
    # `.`, `..` and `/` have no name from which a sibling's name could be made.
    path = os.path.realpath(path) if os.path.basename(path) in ("", ".", "..") else os.path.join(os.getcwd(), path)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return _Beside(path, None)
    if stat.S_ISLNK(found.st_mode):
        target = os.readlink(path)
        raise TargetUnusable(
            f"{shown} is a symbolic link to {quoted(os.fsencode(target))}", hints=["name the directory itself"]
        )
    if not stat.S_ISDIR(found.st_mode):
        raise TargetUnusable(f"{shown} is a file", hints=["name a directory that is empty or does not exist yet"])

    inside = _Inside(path)
    try:
        names, living = inside.look()
        mounted = _is_mount_point(path)
        if names - {_LOST_AND_FOUND} or (names and not mounted):
            raise TargetUnusable(
                f"{shown} is not empty", hints=["name a directory that is empty or does not exist yet"]
            )
        if not mounted and not _is_current(found):
            if living:
                raise TargetUnusable(f"another fetch is filling {shown}")
            try:
                beside = _Beside(path, found)
            except OSError as error:
                if error.errno not in _NO_WORK_BESIDE:
                    raise
            else:
                inside.leave()
                return beside
        inside.begin()
    except BaseException:
        inside.leave()
        raise
    return inside


class _Beside:
    """A directory that can be replaced: absent (`found` None) or empty."""

    def __init__(self, path: str, found: os.stat_result | None) -> None:
        parent, self._name = os.path.split(path)
        self._found = found
        self._made = _make_parents(parent)
        self._parent = -1
        self._work: Held | None = None
        self._path = parent
        # Cut, so that a name of 250 bytes leaves room for the prefix and suffix.
        start = os.fsdecode(os.fsencode(self._name)[:180])
        self._prefix = f".{start}.coderepo-"
        try:
            self._parent = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            sweep(self._parent, self._prefix)
            self._work = hold(self._parent, self._prefix)
        except BaseException:
            self.leave()
            raise
        self._is_fresh = True

    def fresh(self) -> str:
        if not self._is_fresh and self._work is not None:
            old, self._work = self._work, None
            old.remove()
        if self._work is None:
            self._work = hold(self._parent, self._prefix)
        self._is_fresh = False
        return os.path.join(self._path, self._work.name)

    def publish(self) -> None:
        assert self._work is not None
        work = self._work.descriptor
        if self._found is not None:
            # The new directory gets the owner and mode of the replaced one, as if that had been filled.
            if (self._found.st_uid, self._found.st_gid) != (os.geteuid(), os.getegid()):
                try:
                    os.fchown(work, self._found.st_uid, self._found.st_gid)
                except PermissionError:
                    pass
            os.fchmod(work, stat.S_IMODE(self._found.st_mode))
        sync_file_system(work)
        os.rename(self._work.name, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        self._work.release()
        self._work = None
        self._made = []
        _sync_directory(self._parent)

    def leave(self) -> None:
        if self._work is not None:
            try:
                self._work.remove()
            except OSError:
                pass  # a later call finds it
            self._work = None
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1
        for directory in reversed(self._made):
            try:
                os.rmdir(directory)
            except OSError:
                break
        self._made = []


class _Inside:
    """A directory that cannot be replaced, only filled."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._work: Held | None = None
        self._moved: list[str] = []
        self._root = os.open(path, OPEN_DIRECTORY)

    def look(self) -> tuple[set[str], frozenset[str]]:
        """Return (names in the directory, work directories of running fetches), after removing leftovers."""
        living = sweep(self._root, _INSIDE, self._undo)
        return set(os.listdir(self._root)) - living, living

    def begin(self) -> None:
        self._work = hold(self._root, _INSIDE)

    def fresh(self) -> str:
        assert self._work is not None
        try:
            remove_tree(_TREE, parent=self._work.descriptor)
        except FileNotFoundError:
            pass
        os.mkdir(_TREE, dir_fd=self._work.descriptor)
        return os.path.join(self._path, self._work.name, _TREE)

    def publish(self) -> None:
        assert self._work is not None
        work = self._work.descriptor
        sync_file_system(work)
        # Of two simultaneous fetches, one gets the lock; the other finds it taken, or the directory filled.
        # On a file system without locks, the check below still finds a directory that was filled before.
        if try_lock(self._root) is False:
            raise TargetUnusable(f"another fetch is filling {quoted(os.fsencode(self._path))}")
        names, _ = self.look()
        tree = os.open(_TREE, OPEN_DIRECTORY, dir_fd=work)
        try:
            ready = os.listdir(tree)
            if names - {_LOST_AND_FOUND} or names.intersection(ready):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
            _write_journal(work, tree, ready)
            for name in ready:
                self._moved.append(name)
                os.rename(name, name, src_dir_fd=tree, dst_dir_fd=self._root)
        finally:
            os.close(tree)
        _sync_directory(self._root)
        self._moved = []
        # If the process is killed before the journal is removed, a later call undoes everything; after that, the call
        # finds only an empty work directory.
        os.rmdir(_TREE, dir_fd=work)
        os.unlink(_JOURNAL, dir_fd=work)
        os.rmdir(self._work.name, dir_fd=self._root)
        self._work.release()
        self._work = None
        _sync_directory(self._root)

    def leave(self) -> None:
        if self._work is not None:
            try:
                self._move_back(self._work.descriptor)
                self._work.remove()
            except OSError:
                pass  # a later call finds it
            self._work = None
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _move_back(self, work: int) -> None:
        if not self._moved:
            return
        tree = os.open(_TREE, OPEN_DIRECTORY, dir_fd=work)
        try:
            for name in self._moved:
                try:
                    os.rename(name, name, src_dir_fd=self._root, dst_dir_fd=tree)
                except FileNotFoundError:
                    pass  # it was not moved yet
        finally:
            os.close(tree)
        self._moved = []

    def _undo(self, work: int) -> bool:
        """Remove what a killed process had moved up, and return whether its work directory may be removed, too."""
        names = set(os.listdir(work))
        if not names:
            return True
        if not names <= {_TREE, _JOURNAL, _NEW_JOURNAL}:
            return False
        moved = _read_journal(work, self._root) if _JOURNAL in names else None
        if moved is None:
            # Nothing was moved yet. In a directory with other names it may not be a leftover but part of a tree.
            others = (name for name in os.listdir(self._root) if not name.startswith(_INSIDE))
            return not set(others) - {_LOST_AND_FOUND}
        for name, inode in moved.items():
            try:
                found = os.stat(name, dir_fd=self._root, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if found.st_ino != inode:
                continue
            if stat.S_ISDIR(found.st_mode):
                remove_tree(name, parent=self._root)
            else:
                os.unlink(name, dir_fd=self._root)
        return True


def _write_journal(work: int, tree: int, names: list[str]) -> None:
    """Write the names that will be moved, each with its inode, after a line with the inode of the work directory."""
    inodes = [os.stat(name, dir_fd=tree, follow_symlinks=False).st_ino for name in names]
    lines = [b"%d %b" % (inode, os.fsencode(name)) for inode, name in zip(inodes, names, strict=True)]
    lines.insert(0, b"%d" % os.fstat(work).st_ino)
    file = os.open(_NEW_JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=work)
    with os.fdopen(file, "wb") as journal:
        journal.write(b"\0".join(lines))
        journal.flush()
        os.fsync(file)
    os.rename(_NEW_JOURNAL, _JOURNAL, src_dir_fd=work, dst_dir_fd=work)
    _sync_directory(work)


def _read_journal(work: int, root: int) -> dict[str, int] | None:
    """Read a journal: inode by name; None if it belongs to another directory.

    Also None if another user wrote it into a `root` in which others can rename, since it says what to remove there.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(_JOURNAL, flags, dir_fd=work), "rb") as journal:
        if os.fstat(journal.fileno()).st_uid != os.geteuid() and is_exchangeable(os.fstat(root)):
            return None
        inode, *lines = journal.read().split(b"\0")
    if inode != b"%d" % os.fstat(work).st_ino:
        return None
    moved = {}
    for line in lines:
        number, _, name = line.partition(b" ")
        if not number.isdigit() or b"/" in name or name in (b"", b".", b".."):
            return None
        moved[os.fsdecode(name)] = int(number)
    return moved


def _make_parents(directory: str) -> list[str]:
    """Create the directory with its missing parents, and return those created."""
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    made: list[str] = []
    try:
        for directory in reversed(missing):
            os.mkdir(directory)
            made.append(directory)
    except OSError:
        for directory in reversed(made):
            os.rmdir(directory)
        raise
    return made


def _sync_directory(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot sync directories
            raise


def _is_mount_point(path: str) -> bool:
    if os.path.ismount(path):
        return True
    # A bind mount from the same file system is only in the kernel's list (proc(5), field 5).
    mounted = os.fsencode(os.path.realpath(path))
    for byte, octal in ((b"\\", b"\\134"), (b" ", b"\\040"), (b"\t", b"\\011"), (b"\n", b"\\012")):
        mounted = mounted.replace(byte, octal)
    try:
        return any(line.split(b" ")[4] == mounted for line in Path("/proc/self/mountinfo").read_bytes().splitlines())
    except (OSError, IndexError):
        return False


def _is_current(found: os.stat_result) -> bool:
    """Return whether it is the current directory: a shell in a replaced directory would see an empty one."""
    try:
        return os.path.samestat(os.stat("."), found)
    except OSError:
        return False


# --- Where a submodule's files go on a runner ------------------------------------------------------------------------


class SubmodulePlace:
    """A context manager for the directory of a submodule, at the raw `path` below the superproject's verified tree.

    It is never reached through a link: the tree has a gitlink at that path, so the writer created every directory above
    it, and each is opened relative to its parent.
    """

    def __init__(self, outer: Root, path: bytes) -> None:
        self._outer = outer
        self._path = path
        self._opened = -1

    def __enter__(self) -> SubmodulePlace:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened >= 0:
            os.close(self._opened)
            self._opened = -1

    def fresh(self) -> int:
        """Return a descriptor of the empty directory, valid until the next call. Raises TargetUnusable."""
        folder, _, name = self._path.rpartition(b"/")
        try:
            with Directories(self._outer) as directories:
                parent = directories.open(folder)
                if self._opened >= 0:
                    os.close(self._opened)
                    self._opened = -1
                    remove_tree(name, parent=parent)
                    os.mkdir(name, dir_fd=parent)
                self._opened = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
        except OSError as error:
            raise unusable(error, self._path) from None
        return self._opened


def check_submodule(submodule: Submodule, outer: Code) -> Code:
    """Return the recorded code of a submodule after checking it against its superproject `outer`.

    Its HEAD must be the gitlink, which the superproject's tree id verifies, and without changes its tree must be that
    of HEAD. Raises InvalidManifest.
    """
    code, name = submodule.code, quoted(submodule.path)
    if code is None or code.head is None or code.head.commit != submodule.commit:
        raise InvalidManifest(f"the submodule {name} is at {submodule.commit}, but its code is that of another commit")
    if code.object_format != outer.object_format:
        raise InvalidManifest(f"the submodule {name} uses another object format than its superproject")
    if not code.dirty and code.scope is None and code.snapshot_tree != code.head.tree:
        raise InvalidManifest(f"the submodule {name} is recorded as clean, but its tree is not that of its commit")
    return code


def said_of(error: CodeRepoError, path: bytes) -> CodeRepoError:
    """Return the error with the raw path of the submodule before its message."""
    return error.replace(message=f"the submodule {quoted(path)}: {error.message}")
