"""A FILE that the user named for output: checked before any work starts, written once at the end.

A regular file is replaced as a whole, and created if it does not exist. For a symbolic link the file to which it leads
is replaced, and the link stays. A FIFO, a character device and an open descriptor (`/dev/stdout`, `/dev/fd/N`, the
shell's `>(…)`) are opened and written. Everything else is refused.
"""

from __future__ import annotations

import errno
import os
import stat

from git_coderepo.errors import OutputUnusable
from git_coderepo.filesystem.atomic import write_whole
from git_coderepo.git.own_files import note_file
from git_coderepo.git.process import shell_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.repository import Layout

# Linux follows at most 40 symbolic links in one path (path_resolution(7)).
_MOST_LINKS = 40
# Python refuses to convert thousands of digits; no descriptor has a number of this length.
_LONGEST_NUMBER = 20


class OutputFile:
    """A FILE for output; `name` is the argument of the user, in bytes.

    A FIFO, device or descriptor is opened at once, so that its reader sees the end of file even if nothing is written:
    call `close` then. `made` is a directory that the command will create, in which FILE may be. `is_noted` is False if
    FILE was written into a checkout that could not make a note of it (see `own_files`). Every method raises
    OutputUnusable.
    """

    __slots__ = ("_descriptor", "_folder_is_writable", "_made", "_number", "is_noted", "name", "path")

    def __init__(self, name: bytes, *, made: bytes | None = None) -> None:
        self.name = name
        # The file to replace, with links resolved; None for a FIFO, device or descriptor.
        self.path: bytes | None = None
        self._descriptor = -1
        self._number = -1
        self._folder_is_writable = False
        self._made: bytes | None = None
        self.is_noted = True
        try:
            self._examine(made)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from None

    def sibling(self, name: bytes) -> bytes | None:
        """Return the path of a file in the same directory; None if no file can be created there."""
        if self.path is None or not self._folder_is_writable:
            return None
        return os.path.join(os.path.dirname(self.path), name)

    def write(self, contents: bytes, layout: Layout | None = None) -> None:
        """Write the contents, once; `layout` is the checkout of the command, if it is known already.

        Raises BrokenPipeError if the reader of standard output has closed it.
        """
        try:
            if self._made is not None:
                self._refuse_planted_link(self._made)
                self._examine(None)
            if self._descriptor >= 0:
                _write_all(self._descriptor, contents)
            elif self.path is not None:
                self.is_noted = note_file(self.path, contents, layout)
                self._replace(self.path, contents)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and self._number == 1:
                raise
            raise self._unusable(error.strerror or str(error)) from None
        finally:
            self.close()

    def close(self) -> None:
        """Close a FIFO, device or descriptor; nothing can be written afterwards."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _examine(self, made: bytes | None) -> None:
        if not self.name or b"\0" in self.name:
            raise OutputUnusable(f"invalid output file '{os.fsdecode(self.name)}': the name is empty or contains NUL")
        try:
            target = _resolve(self.name)
        except FileNotFoundError:
            if made is not None and _is_inside(self.name, made):
                self._made = made
                return
            folder = os.fsdecode(os.path.dirname(self.name))
            raise self._unusable(
                f"the directory '{folder}' does not exist", hint=f"mkdir -p -- {shell_word(folder)}"
            ) from None
        if isinstance(target, int):
            self._number = target
            self._descriptor = _open_for_writing(target)
            if self._descriptor < 0:
                raise self._unusable(f"descriptor {target} is not open for writing")
            return
        self._prepare(target)

    def _refuse_planted_link(self, made: bytes) -> None:
        """Refuse a symbolic link at or above FILE in the created directory.

        Its contents were fetched, and must not choose which file is replaced.
        """
        if os.path.islink(self.name) or not _is_inside(self.name, made):
            raise self._unusable(f"a symbolic link in '{os.fsdecode(made)}' leads elsewhere")

    def _prepare(self, path: bytes) -> None:
        """Check a path without links, and open it unless it is a file to replace."""
        folder = os.path.dirname(path)
        self._folder_is_writable = _may(folder, os.W_OK | os.X_OK)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            if not self._folder_is_writable:
                raise self._unusable(f"the directory '{os.fsdecode(folder)}' is not writable") from None
            self.path = path
            return
        if stat.S_ISREG(mode):
            if not self._folder_is_writable and not _may(path, os.W_OK):
                raise self._unusable("the file is not writable")
            self.path = path
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            _refuse_planted(path)
            # A FIFO waits here for its reader, as it does in a shell.
            self._descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC)
            opened = os.fstat(self._descriptor).st_mode
            if not (stat.S_ISFIFO(opened) or stat.S_ISCHR(opened)):
                self.close()
                raise self._unusable("it was replaced in the meantime")
        else:
            kind = next((word for test, word in _KINDS if test(mode)), "not a file")
            raise self._unusable(f"it is {kind}")

    def _replace(self, path: bytes, contents: bytes) -> None:
        if self._folder_is_writable:
            try:
                write_whole(path, contents)
                return
            except OSError as error:
                # A file that is a mount point, such as the termination log of a container, can only be overwritten.
                if error.errno != errno.EBUSY or not os.path.isfile(path):
                    raise
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._unusable("it was replaced in the meantime")
            os.ftruncate(descriptor, 0)
            _write_all(descriptor, contents)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unusable(self, reason: str, *, hint: str | None = None) -> OutputUnusable:
        reason = reason[:1].lower() + reason[1:]
        hints = [hint] if hint is not None else []
        return OutputUnusable(f"cannot write to '{os.fsdecode(self.name)}': {reason}", hints=hints)


_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
)


def _resolve(path: bytes) -> bytes | int:
    """Return an absolute path without links, or the number of a descriptor of this process.

    Raises FileNotFoundError if the directory does not exist, OSError for links that lead nowhere or in a circle.
    """
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        if name in (b"", b".", b".."):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISDIR(os.stat(folder or b".").st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        folder = os.path.realpath(folder or b".")
        if (
            name.isdigit()
            and len(name) < _LONGEST_NUMBER
            and folder in (b"/dev/fd", os.path.realpath(b"/proc/self/fd"))
        ):
            return int(name)
        path = os.path.join(folder, name)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return path
        if not stat.S_ISLNK(mode):
            return path
        _refuse_planted(path)
        target = os.path.join(folder, os.readlink(path))
        if folder.startswith(b"/proc/") and not os.path.lexists(target):
            # The kernel's own links (proc(5)) may lead to a file without a name.
            raise OSError(errno.ENXIO, "it belongs to another process")
        path = target
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _refuse_planted(path: bytes) -> None:
    """Raise OSError for a link or FIFO of another user in a directory that everybody may write to, such as /tmp.

    The rule is that of Linux's protected_symlinks (proc_sys_fs(5)).
    """
    facts, folder = os.lstat(path), os.stat(os.path.dirname(path))
    shared = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    if shared and facts.st_uid not in (os.geteuid(), folder.st_uid):
        raise PermissionError(errno.EACCES, "another user created it in a directory to which everybody can write")


def _open_for_writing(number: int) -> int:
    """Return a copy of a descriptor with which this process was started; -1 if it is not open for writing."""
    import fcntl

    try:
        # A descriptor that is not inheritable was opened by this process itself.
        if number > 2 and not os.get_inheritable(number):
            return -1
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            return -1
        return os.dup(number)
    except (OSError, OverflowError):
        return -1


def _may(path: bytes, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _is_inside(path: bytes, folder: bytes) -> bool:
    return (os.path.realpath(os.path.dirname(path)) + b"/").startswith(os.path.realpath(folder) + b"/")


def _write_all(descriptor: int, contents: bytes) -> None:
    view = memoryview(contents)
    while view:
        view = view[os.write(descriptor, view) :]
