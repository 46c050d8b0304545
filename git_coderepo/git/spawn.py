"""Start processes, and `git status` before anything else is imported: it is what a hook waits for longest.

Uses `posix`, which is built into the interpreter: importing `os` takes as long as starting git.
"""

from __future__ import annotations

import posix
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Word = str | bytes

# For every call: messages in English, no lock taken for optional writes, and no object replaced by another one
# (git-replace(1)): a runner does not have the replacement.
ENVIRONMENT = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1"}

# Nothing of the user's is written, not even the refreshed index. If git runs the clean filter of git-lfs, the filter
# stores the object, here in our own store (relative to the git directory), and would install its hooks.
STATUS_SETTINGS = (("core.hooksPath", "/dev/null"), ("lfs.storage", "coderepo/lfs"))
STATUS = (
    "--no-optional-locks", "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all",
    "--no-renames", "--ignore-submodules=none", "--no-ahead-behind",
)  # fmt: skip

_SIGPIPE = 13  # Linux and macOS; the `signal` module costs more to import than a git process to start


class StartedProcess:
    """A running process: its `pid`, and the descriptors `out` and `err` of the files to which it writes.

    `began` is when it was started, in nanoseconds since 1970; 0 if that was not noted.
    """

    __slots__ = ("began", "err", "out", "pid")

    def __init__(self, pid: int, out: int, err: int, began: int = 0) -> None:
        self.began = began
        self.pid = pid
        self.out = out
        self.err = err


def start_git_status() -> StartedProcess | None:
    """Start `git status` in the current directory, with the arguments of `git.status.start_status`.

    Returns None if git cannot be started; the next attempt, by `git.process`, reports the reason.
    """
    settings = [word for name, value in STATUS_SETTINGS for word in ("-c", f"{name}={value}")]
    environment = posix.environ | {name.encode(): value.encode() for name, value in ENVIRONMENT.items()}
    files: list[int] = []
    began = time.time_ns()
    try:
        files.append(anonymous_file())
        files.append(anonymous_file())
        out, err = files
        pid = spawn("git", ["git", *settings, *STATUS], environment, (None, out, err))
        return StartedProcess(pid, out, err, began)
    except OSError:
        for file in files:
            posix.close(file)
        return None


def spawn(
    program: Word,
    words: list[Word],
    environment: Mapping[bytes, Word] | Mapping[str, Word],
    streams: tuple[int | None, int, int],
) -> int:
    """Start a program and return its pid. Raises OSError.

    `program` is a path, or a name that is looked up on this process's PATH; `words` are its arguments from argv[0] on.
    `streams` are the descriptors that become its standard input (None for /dev/null), output and error.
    """
    stdin, out, err = streams
    actions: list[tuple[object, ...]] = [
        (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0)
        if stdin is None
        else (posix.POSIX_SPAWN_DUP2, stdin, 0),
        (posix.POSIX_SPAWN_DUP2, out, 1),
        (posix.POSIX_SPAWN_DUP2, err, 2),
    ]
    return posix.posix_spawnp(program, words, environment, file_actions=actions, setsigdef=(_SIGPIPE,))


def open_standard_streams() -> None:
    """Open `/dev/null` as each of the descriptors 0 to 2 that is closed, as git does. Call it when the program starts.

    Otherwise a file of ours would get that number, and a command that we start would read or overwrite it.
    """
    for number in range(3):
        try:
            posix.fstat(number)
        except OSError:
            posix.set_inheritable(
                posix.open("/dev/null", posix.O_RDWR), True
            )  # open(2) returns the lowest free descriptor
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def above_standard(descriptor: int) -> int:
    """Return the descriptor, or a copy above 2 if it is 0, 1 or 2; the original is then closed.

    A program that uses this package may have closed its standard streams.
    """
    low = []
    while descriptor <= 2:
        low.append(descriptor)
        descriptor = posix.dup(descriptor)
        posix.set_inheritable(descriptor, False)
    for each in low:
        posix.close(each)
    return descriptor


def anonymous_file() -> int:
    """Return the descriptor of a new, empty file without a name. Raises OSError."""
    if hasattr(posix, "memfd_create"):
        return above_standard(posix.memfd_create("git-coderepo"))
    import tempfile

    descriptor, name = tempfile.mkstemp()
    posix.unlink(name)
    return above_standard(descriptor)
