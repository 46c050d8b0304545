"""How git is started, and `git status`, which takes longest, so soon that nothing else is imported before it.

`posix` is built into the interpreter; to import `os`, which is made of it, takes as long as git to start.
"""

from __future__ import annotations

import posix
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Word = str | bytes

# Of every call: words that can be read, no lock, and no object in another one's place (git-replace), which stands there
# for nobody else.
ENVIRONMENT = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1"}

# Nothing is written, not even the refreshed index. Where git has the clean filter of git-lfs look at a file, that keeps
# the object, and installs its hooks: in our own store (named from the git directory), and nowhere.
STATUS_SETTINGS = (("core.hooksPath", "/dev/null"), ("lfs.storage", "coderepo/lfs"))
STATUS = (
    "--no-optional-locks", "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all",
    "--no-renames", "--ignore-submodules=none", "--no-ahead-behind",
)  # fmt: skip

_SIGPIPE = 13  # Linux and macOS; the `signal` module costs more to import than a git process to start


class Asked:
    """A process under way: its `pid`, and the descriptors of the files that it writes its output and errors into.

    It `began` at this time, in nanoseconds since 1970.
    """

    __slots__ = ("began", "err", "out", "pid")

    def __init__(self, pid: int, out: int, err: int, began: int) -> None:
        self.began = began
        self.pid = pid
        self.out = out
        self.err = err


def ask_status() -> Asked | None:
    """`git status` of where we stand, as `checkout.status.start_status` asks; None where no git can be started.

    Why not, whoever asks again is told.
    """
    settings = [word for name, value in STATUS_SETTINGS for word in ("-c", f"{name}={value}")]
    environment = posix.environ | {name.encode(): value.encode() for name, value in ENVIRONMENT.items()}
    files: list[int] = []
    began = time.time_ns()
    try:
        files.append(anonymous_file())
        files.append(anonymous_file())
        out, err = files
        return Asked(spawn("git", ["git", *settings, *STATUS], environment, None, out, err), out, err, began)
    except OSError:
        for file in files:
            posix.close(file)
        return None


def spawn(
    program: Word,
    words: list[Word],
    environment: Mapping[bytes, Word] | Mapping[str, Word],
    stdin: int | None,
    out: int,
    err: int,
) -> int:
    """Start a program, found on this process's PATH, with its words from the first on, and give its pid.

    The descriptors become its standard input (None: there is none), output and errors. Raises OSError.
    """
    actions: list[tuple[object, ...]] = [
        (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0)
        if stdin is None
        else (posix.POSIX_SPAWN_DUP2, stdin, 0),
        (posix.POSIX_SPAWN_DUP2, out, 1),
        (posix.POSIX_SPAWN_DUP2, err, 2),
    ]
    return posix.posix_spawnp(program, words, environment, file_actions=actions, setsigdef=(_SIGPIPE,))


def open_standard_streams() -> None:
    """Open `/dev/null` in the place of each of descriptors 0 to 2 that is closed, as git does; for a program's start.

    A file of ours would get the number otherwise, and a command that we start would read or overwrite it.
    """
    for number in range(3):
        try:
            posix.fstat(number)
        except OSError:
            posix.set_inheritable(posix.open("/dev/null", posix.O_RDWR), True)  # the lowest one that is free
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def above_standard(descriptor: int) -> int:
    """Return the descriptor, or a copy above 2 if it is 0, 1 or 2; the original is then closed.

    Within somebody else's program, whose standard streams may be closed.
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
    """The descriptor of an empty file without a name."""
    if hasattr(posix, "memfd_create"):
        return above_standard(posix.memfd_create("git-coderepo"))
    import tempfile

    descriptor, name = tempfile.mkstemp()
    posix.unlink(name)
    return above_standard(descriptor)
