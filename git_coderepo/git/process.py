"""The one door to the git executable: environment, processes, quoting of what is shown, versions.

Every call names its arguments as git's manual does; outputs are bytes. A process writes into an anonymous
file, so any number of them can run side by side without anybody draining pipes.
"""

from __future__ import annotations

import os

from git_coderepo.errors import CodeRepoError, GitNotFound, ObjectMissing
from git_coderepo.git.messages import failure
from git_coderepo.git.spawn import ENVIRONMENT, above_standard, anonymous_file, spawn
from git_coderepo.trace import is_on, redact, trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

    from git_coderepo.errors import CodeRepoError
    from git_coderepo.git.spawn import Asked

    Argument = str | bytes

OLDEST_GIT = (2, 34)

# What `git rev-parse --local-env-vars` prints (git 2.55): the names that tie git to one repository.
LOCAL_ENVIRONMENT = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS",
    "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)  # fmt: skip

# Of these the ones that are paths, and may be relative.
_PLACES = ("GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE")

# What a partial clone lacks is not fetched; git before 2.45 does not know the first, and has no transport left.
_OFFLINE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}


class Process:
    """A started git command; `finish()` waits for it, `stdout` and `stderr` hold what it wrote.

    `before` are words of a program that makes itself that command; `asked` was started as it already.
    """

    __slots__ = ("_err", "_out", "_pid", "argv", "status", "stderr", "stdout")

    def __init__(
        self,
        argv: list[Argument],
        environment: Mapping[str, str],
        *,
        stdin: bytes | None,
        pipe: bool,
        before: Sequence[Argument] = (),
        asked: Asked | None = None,
    ) -> None:
        self.argv = argv
        self.status: int | None = None
        self.stdout = b""
        self.stderr = b""
        if is_on():
            trace("run " + shown(argv))
        if asked is not None:
            self._pid, self._out, self._err = asked.pid, asked.out, asked.err
            return
        child_out: int | None = None
        if pipe:
            self._out, child_out = map(above_standard, os.pipe())
        else:
            self._out = anonymous_file()
        self._err = anonymous_file()
        opened = _file_of(stdin) if stdin is not None else None
        out = self._out if child_out is None else child_out
        try:
            words = [*before, *argv]
            self._pid = spawn(_program(words[0], environment), words, environment, opened, out, self._err)
        except OSError as error:
            os.close(self._out)
            os.close(self._err)
            raise _not_started(error) from None
        finally:
            for descriptor in (opened, child_out):
                if descriptor is not None:
                    os.close(descriptor)

    def finish(self) -> Process:
        """Wait, and keep the exit status (negative: killed by that signal) and the output."""
        if self.status is None:
            try:
                _, code = os.waitpid(self._pid, 0)
            except BaseException:
                self.kill()  # we are told to stop: what we started stops as well
                raise
            self.status = os.waitstatus_to_exitcode(code)
            if self._out >= 0:
                self.stdout = _whole(self._out)
            self.stderr = _whole(self._err)
        return self

    def checked(self, *allowed: int) -> bytes:
        """The output of a command that ended with 0 or one of `allowed`; raises GitFailed otherwise."""
        self.finish()
        if self.status != 0 and self.status not in allowed:
            raise self.failure()
        return self.stdout

    def failure(self) -> CodeRepoError:
        """The error that this finished command is."""
        assert self.status is not None
        return failure(self.argv, self.status, self.stderr)

    def detach_stdout(self) -> int:
        """The descriptor of the output pipe, now the caller's."""
        descriptor, self._out = self._out, -1
        return descriptor

    def kill(self) -> None:
        """End it, if it still runs."""
        if self.status is None:
            os.kill(self._pid, 15)
            self.finish()


class Git:
    """git in one place: a directory, an environment, settings for each call.

    `directory` is where git starts (`-C`), None for the current one; `environment` replaces os.environ;
    `settings` are given as `-c name=value` and must hold no secret; see `offline` for `is_offline`.
    """

    __slots__ = ("directory", "environment", "is_offline", "settings")

    def __init__(
        self,
        directory: Argument | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        settings: Sequence[tuple[str, str]] = (),
        is_offline: bool = False,
    ) -> None:
        self.directory = directory
        self.is_offline = is_offline
        base = dict(os.environ if environment is None else environment)
        base.update(ENVIRONMENT)
        self.environment = base
        self.settings = tuple(settings)

    def foreign(self, directory: Argument) -> Git:
        """git for another repository: nothing of the environment that ties it to the user's own."""
        kept = {
            name: value
            for name, value in self.environment.items()
            if name not in LOCAL_ENVIRONMENT and not name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))
        }
        return Git(directory, environment=kept, settings=self.settings)

    def submodule(self, directory: Argument) -> Git:
        """git for the work tree of a submodule; as git itself does, what `-c` set goes along."""
        kept = {
            name: value
            for name, value in self.environment.items()
            if name not in LOCAL_ENVIRONMENT or name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS")
        }
        return Git(directory, environment=kept, settings=self.settings)

    def at(self, directory: Argument) -> Git:
        """The same git, started in another directory of the same checkout.

        What the environment says of places from here (`git --git-dir=x`: a relative GIT_DIR) is said from the root.
        """
        relative = [
            name for name in _PLACES if self.environment.get(name) and not self.environment[name].startswith("/")
        ]
        if not relative:
            return self._with(directory=directory)  # the working directory may be gone
        here = os.fsdecode(os.path.abspath(self.directory if self.directory is not None else os.curdir))
        places = {name: os.path.join(here, self.environment[name]) for name in relative}
        return self._with(directory=directory, environment={**self.environment, **places})

    def with_environment(self, **names: str) -> Git:
        """The same git with these variables set."""
        return self._with(environment={**self.environment, **names})

    def with_settings(self, *settings: tuple[str, str]) -> Git:
        """The same git with these settings added."""
        return self._with(settings=self.settings + settings)

    def offline(self) -> Git:
        """The same git, which asks no network: not even for an object that a partial clone lacks."""
        return self._with(is_offline=True)

    def online(self) -> Git:
        """The same git, which may use the network."""
        return self._with(is_offline=False)

    def _with(
        self,
        *,
        directory: Argument | None = None,
        environment: Mapping[str, str] | None = None,
        settings: Sequence[tuple[str, str]] | None = None,
        is_offline: bool | None = None,
    ) -> Git:
        return Git(
            self.directory if directory is None else directory,
            environment=self.environment if environment is None else environment,
            settings=self.settings if settings is None else settings,
            is_offline=self.is_offline if is_offline is None else is_offline,
        )

    @property
    def _whole_environment(self) -> Mapping[str, str]:
        return {**self.environment, **_OFFLINE} if self.is_offline else self.environment

    def command(self, *arguments: Argument) -> list[Argument]:
        """The argument vector of a call."""
        argv: list[Argument] = ["git"]
        if self.directory is not None:
            argv += ["-C", self.directory]
        for name, value in self.settings:
            argv += ["-c", f"{name}={value}"]
        argv += arguments
        return argv

    def start(self, *arguments: Argument, stdin: bytes | None = None, before: Sequence[Argument] = ()) -> Process:
        """Start a command and go on; see Process."""
        argv = self.command(*arguments)
        return Process(argv, self._whole_environment, stdin=stdin, pipe=False, before=before)

    def adopt(self, asked: Asked, *arguments: Argument) -> Process:
        """The same of a command that was started already, with these arguments."""
        return Process(self.command(*arguments), self._whole_environment, stdin=None, pipe=False, asked=asked)

    def run(self, *arguments: Argument, stdin: bytes | None = None) -> bytes:
        """What a command printed; raises GitFailed unless it ended with 0."""
        return self.start(*arguments, stdin=stdin).checked()

    def line(self, *arguments: Argument) -> str:
        """The one line that a command printed, without its newline; not UTF-8 bytes as surrogates."""
        return os.fsdecode(self.run(*arguments).removesuffix(b"\n"))

    def succeeds(self, *arguments: Argument) -> bool:
        """Whether a command that answers by its status ended with 0."""
        return self.start(*arguments).finish().status == 0

    def stream(self, *arguments: Argument, stdin: bytes | None = None) -> Stream:
        """A command whose output is read while it runs; a context manager."""
        return Stream(Process(self.command(*arguments), self._whole_environment, stdin=stdin, pipe=True))


class Stream:
    """The output of a running command; leaving the block early ends it, leaving it normally checks its status."""

    __slots__ = ("process", "stdout")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.stdout: BinaryIO = os.fdopen(process.detach_stdout(), "rb", buffering=1 << 18)

    def __enter__(self) -> BinaryIO:
        return self.stdout

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self.stdout.close()
        if kind is None:
            self.process.checked()
            return
        self.process.kill()


def read_blobs(git: Git, ids: Sequence[str]) -> Iterator[tuple[str, int, BinaryIO]]:
    """Each object's id, size in bytes, and a file from which exactly that many bytes are to be read.

    `git cat-file --batch`: https://git-scm.com/docs/git-cat-file#_batch_output. Raises ObjectMissing for
    one that is missing: an id is present only if git finds its object (P1 in docs/design/faults.md).
    """
    if not ids:
        return
    stream = git.stream("cat-file", "--batch", "--buffer", stdin="".join(f"{id}\n" for id in ids).encode())
    with stream as output:
        for id in ids:
            header = output.readline().split()
            if not header:
                stream.process.checked()  # it ended early: in a partial clone, at an object that it lacks
            if len(header) != 3:
                raise ObjectMissing(id, stderr=b" ".join(header))
            yield id, int(header[2]), output
            output.read(1)


def version(git: Git) -> tuple[tuple[int, int], str]:
    """((major, minor), the text), for example ((2, 39), "2.39.5")."""
    text = git.line("version").removeprefix("git version ").split()[0]
    numbers = text.split(".")
    return (int(numbers[0]), int(numbers[1])), text


def check_version(git: Git) -> str:
    """The version's text; raises CodeRepoError for a git older than 2.34."""
    numbers, text = version(git)
    if numbers < OLDEST_GIT:
        raise CodeRepoError(f"git {text} is too old", hints=["install git 2.34 or newer, or add it to PATH"])
    return text


def shown(argv: Sequence[Argument]) -> str:
    """Return a command as a shell takes it, with secrets redacted."""
    return redact(" ".join(shell_word(word) for word in argv))


def shell_word(word: Argument) -> str:
    """Return a text as a shell takes it for one word.

    What a terminal cannot show becomes an escape, in the quotes that bash, zsh and ksh read as such: `$'a\\012b'`.
    """
    text = os.fsdecode(word)
    if text and all(char.isalnum() or char in "@%+=:,./-_^" for char in text):
        return text
    if text.isprintable():
        return "'" + text.replace("'", "'\\''") + "'"
    return "$'" + "".join(_escaped(char) for char in text) + "'"


def git_word(toplevel: bytes) -> str:
    """Return what a command on a checkout begins with where the user stands: `git`, outside of it `git -C DIRECTORY`.

    The paths in it are `path_word`s of the same checkout, which has its root at `toplevel`.
    """
    here = _place_of_user()
    if here is not None and _stands_in(here, toplevel):
        return "git"
    places = [toplevel] if here is None else [os.path.relpath(toplevel, here), toplevel]
    return f"git -C {shell_word(min(places, key=len))}"


def path_word(path: bytes, toplevel: bytes) -> str:
    """Return a path from the root of a checkout (raw) as a shell takes it, in a command that `git_word` begins.

    git and this program count a path from the working directory: it is the path from there.
    """
    here = _place_of_user()
    shown = path.rstrip(b"/")
    if here is not None and _stands_in(here, toplevel):
        shown = os.path.relpath(os.path.join(toplevel, shown), here)
    if shown.startswith(b":"):
        shown = b"./" + shown  # git takes it for the magic of a pathspec
    return shell_word(shown + path[len(path.rstrip(b"/")) :])


def ignore_command(path: bytes, toplevel: bytes) -> str:
    """Return the command that leaves an untracked path, from the root, out of snapshots, as a shell takes it."""
    word = path_word(path, toplevel)
    begins_with_dash = word.lstrip("$'").startswith("-")
    return f"{git_word(toplevel)} coderepo ignore {'-- ' if begins_with_dash else ''}{word}"


def exclude_command(path: bytes) -> str:
    """Return the command after which `coderepo.exclude` names this path (from the root) and no other."""
    pattern = "".join(f"[{char}]" if char in "*?[" else char for char in os.fsdecode(path))
    return f"git config --add coderepo.exclude {shell_word(f'/{pattern}')}"


def _place_of_user() -> bytes | None:
    """Return the directory in which the user types; None where it is not known, as with `git -C DIRECTORY`.

    git starts hooks and aliases at the root, and says in GIT_PREFIX where it was started itself.
    """
    try:
        here = os.getcwdb()
    except FileNotFoundError:
        return None
    place = os.path.normpath(os.path.join(here, os.environb.get(b"GIT_PREFIX", b"")))
    if not os.path.isdir(place):
        place = here
    shell = os.environb.get(b"PWD", here)
    if any(os.path.isdir(shell) and os.path.samefile(shell, each) for each in (here, place)):
        return place
    return None


def _stands_in(place: bytes, toplevel: bytes) -> bool:
    """Return whether the checkout that git finds from a place is the one with this root."""
    while place != toplevel:
        if os.path.lexists(os.path.join(place, b".git")) or place in (b"/", b""):
            return False
        place = os.path.dirname(place)
    return True


def _escaped(char: str) -> str:
    if char.isprintable():
        return "\\" + char if char in "'\\" else char
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(char))


def _program(name: Argument, environment: Mapping[str, str]) -> Argument:
    """The program of that name on the environment's own PATH; `posix_spawnp` looks on the one of this process."""
    path = environment.get("PATH", os.defpath)
    if path == os.environ.get("PATH"):
        return name
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder, os.fsdecode(name))
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    import errno

    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _not_started(error: OSError) -> Exception:
    """Return GitNotFound where this machine has no git that it can start, else the error itself."""
    import errno

    hints = ["install git 2.34 or newer, or add it to PATH"]
    # ENOTDIR: an entry of PATH is a file. EACCES: the only 'git' is a directory or is not executable.
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
        return GitNotFound("no 'git' on PATH", hints=hints)
    if error.errno == errno.ENOEXEC:
        return GitNotFound("the 'git' on PATH is not a program for this machine", hints=hints)
    return error


def _file_of(contents: bytes) -> int:
    """The descriptor of a file without a name that holds this, at its start."""
    descriptor = anonymous_file()
    view = memoryview(contents)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _whole(descriptor: int) -> bytes:
    """All of a file, which is closed."""
    try:
        return _read_all(descriptor)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    size = os.fstat(descriptor).st_size
    pieces = []
    while size > 0 and (piece := os.read(descriptor, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
