"""Run git: the only module that starts the executable. Environment, processes, quoting for a shell, versions.

Arguments are those of git's manual; outputs are bytes. A process writes to an anonymous file, so that several can run
at once and no pipe has to be read meanwhile.
"""

from __future__ import annotations

import os

from git_coderepo.errors import CodeRepoError, GitNotFound, NoAnswer, ObjectMissing
from git_coderepo.git.messages import failure
from git_coderepo.git.spawn import ENVIRONMENT, StartedProcess, above_standard, anonymous_file, spawn
from git_coderepo.trace import is_on, redact, trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

    from git_coderepo.errors import CodeRepoError

    Argument = str | bytes

OLDEST_GIT = (2, 34)

# What `git rev-parse --local-env-vars` prints (git 2.55): the names that tie git to one repository.
LOCAL_ENVIRONMENT = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS",
    "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)  # fmt: skip

# Those that are paths, and may be relative.
_PLACES = ("GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE")

# Do not fetch what a partial clone lacks. git before 2.45 ignores the first variable; the second leaves no transport.
_OFFLINE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}


class Process:
    """A started command: `finish()` waits for it, and sets `status`, `stdout` and `stderr`.

    `status` is None until then, and negative for a command that a signal ended. A command that takes longer than
    `limit` seconds is ended, and waiting for it raises NoAnswer; None means no limit.
    """

    __slots__ = ("_err", "_out", "_pid", "argv", "limit", "status", "stderr", "stdout")

    def __init__(self, argv: list[Argument], started: StartedProcess) -> None:
        self.argv = argv
        self.status: int | None = None
        self.stdout = b""
        self.stderr = b""
        self.limit: float | None = None
        self._pid, self._out, self._err = started.pid, started.out, started.err

    @classmethod
    def start(
        cls,
        argv: list[Argument],
        environment: Mapping[str, str],
        *,
        stdin: bytes | None = None,
        is_piped: bool = False,
        before: Sequence[Argument] = (),
    ) -> Process:
        """Start a command with `stdin` as its input. Raises GitNotFound, OSError.

        With `is_piped` its output is a pipe (see `detach_stdout`), else a file. `before` are the words of a program
        that is started instead, and replaces itself by the command.
        """
        _trace_command(argv)
        child_out: int | None = None
        if is_piped:
            out, child_out = map(above_standard, os.pipe())
        else:
            out = anonymous_file()
        err = anonymous_file()
        child_in = _file_of(stdin) if stdin is not None else None
        words = [*before, *argv]
        try:
            program = _program(words[0], environment)
            pid = spawn(program, words, environment, (child_in, out if child_out is None else child_out, err))
        except OSError as error:
            os.close(out)
            os.close(err)
            raise _not_started(error) from None
        finally:
            for descriptor in (child_in, child_out):
                if descriptor is not None:
                    os.close(descriptor)
        return cls(argv, StartedProcess(pid, out, err))

    def finish(self) -> Process:
        """Wait until the command ends, and read its output."""
        self._wait()
        return self

    def checked(self, *allowed: int) -> bytes:
        """Return the output of a command that ends with 0 or a status in `allowed`; raises GitFailed otherwise."""
        status = self._wait()
        if status != 0 and status not in allowed:
            raise self.failure()
        return self.stdout

    def failure(self) -> CodeRepoError:
        """Return the error that describes why this command failed."""
        return failure(self.argv, self._wait(), self.stderr)

    def detach_stdout(self) -> int:
        """Return the descriptor of the output pipe, which the caller then closes."""
        descriptor, self._out = self._out, -1
        return descriptor

    def kill(self) -> None:
        """End the command if it is still running."""
        if self.status is None:
            os.kill(self._pid, 15)
            self.finish()

    def _wait(self) -> int:
        if self.status is not None:
            return self.status
        try:
            code = os.waitpid(self._pid, 0)[1] if self.limit is None else self._code_within(self.limit)
        except BaseException:
            self.limit = None
            self.kill()  # Ctrl-C, for example: the command must not outlive this process
            raise
        status = self.status = os.waitstatus_to_exitcode(code)
        if self._out >= 0:
            self.stdout = _whole(self._out)
        self.stderr = _whole(self._err)
        return status

    def _code_within(self, seconds: float) -> int:
        """Wait for the command; raises NoAnswer if it takes longer."""
        import time

        end, pause = time.monotonic() + seconds, 0.001
        while True:
            pid, code = os.waitpid(self._pid, os.WNOHANG)
            if pid != 0:
                return code
            if time.monotonic() >= end:
                raise NoAnswer(f"no answer within {seconds:g} s from '{_verb(self.argv)}'")
            time.sleep(pause)
            pause = min(2 * pause, 0.05)


def _verb(argv: Sequence[Argument]) -> str:
    """Return the first words of a git command for a message: `git ls-remote`."""
    words, options = [], iter(argv[1:])
    for word in map(os.fsdecode, options):
        if word in ("-C", "-c"):
            next(options)
        elif not word.startswith("-"):
            words.append(word)
    return " ".join(["git", *words[:1]])


def _trace_command(argv: Sequence[Argument]) -> None:
    if is_on():
        trace("run " + shown(argv))


class Git:
    """How git is run: in a directory, with an environment and settings.

    `directory` is where git starts (`-C`), None for the current one; `environment` replaces os.environ; `settings`
    become `-c name=value` and must not contain a secret; with `is_offline` git does not use the network. `limit` is
    that of each `Process`; see `within`.
    """

    __slots__ = ("directory", "environment", "is_offline", "limit", "settings")

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
        self.limit: float | None = None
        base = dict(os.environ if environment is None else environment)
        base.update(ENVIRONMENT)
        self.environment = base
        self.settings = tuple(settings)

    def foreign(self, directory: Argument) -> Git:
        """Return git for another repository, without the environment variables that tie it to the user's own."""
        environment = {
            name: value
            for name, value in self.environment.items()
            if name not in LOCAL_ENVIRONMENT and not name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))
        }
        return Git(directory, environment=environment, settings=self.settings).within(self.limit)

    def submodule(self, directory: Argument) -> Git:
        """Return git for the work tree of a submodule. As in git itself, settings from `-c` still apply."""
        environment = {
            name: value
            for name, value in self.environment.items()
            if name not in LOCAL_ENVIRONMENT or name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS")
        }
        return Git(directory, environment=environment, settings=self.settings).within(self.limit)

    def at(self, directory: Argument) -> Git:
        """Return the same git, started in another directory of the same checkout.

        Relative paths in the environment (GIT_DIR, from `git --git-dir=x`) become absolute.
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
        """Return the same git with these variables set."""
        return self._with(environment={**self.environment, **names})

    def with_settings(self, *settings: tuple[str, str]) -> Git:
        """Return the same git with these settings added."""
        return self._with(settings=self.settings + settings)

    def within(self, seconds: float | None) -> Git:
        """Return the same git, whose commands are ended after so many seconds; see `Process.limit`."""
        if seconds == self.limit:
            return self
        other = self._with()
        other.limit = seconds
        return other

    def offline(self) -> Git:
        """Return the same git without network access, not even for an object that a partial clone lacks."""
        return self._with(is_offline=True)

    def online(self) -> Git:
        """Return the same git with network access."""
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
        ).within(self.limit)

    @property
    def _whole_environment(self) -> Mapping[str, str]:
        return {**self.environment, **_OFFLINE} if self.is_offline else self.environment

    def command(self, *arguments: Argument) -> list[Argument]:
        """Return the argument vector of a call."""
        argv: list[Argument] = ["git"]
        if self.directory is not None:
            argv += ["-C", self.directory]
        for name, value in self.settings:
            argv += ["-c", f"{name}={value}"]
        argv += arguments
        return argv

    def start(self, *arguments: Argument, stdin: bytes | None = None, before: Sequence[Argument] = ()) -> Process:
        """Start a command without waiting for it. Raises GitNotFound; see `Process.start` for `before`."""
        process = Process.start(self.command(*arguments), self._whole_environment, stdin=stdin, before=before)
        process.limit = self.limit
        return process

    def adopt(self, started: StartedProcess, *arguments: Argument) -> Process:
        """Return the process of a command that was started earlier, with these arguments."""
        argv = self.command(*arguments)
        _trace_command(argv)
        return Process(argv, started)

    def run(self, *arguments: Argument, stdin: bytes | None = None) -> bytes:
        """Return the output of a command; raises GitFailed unless it ends with 0."""
        return self.start(*arguments, stdin=stdin).checked()

    def line(self, *arguments: Argument) -> str:
        """Return the single line that a command prints, without its line break; raises as `run`.

        Bytes that are not UTF-8 become surrogates.
        """
        return os.fsdecode(self.run(*arguments).removesuffix(b"\n"))

    def succeeds(self, *arguments: Argument) -> bool:
        """Return whether a command ends with 0."""
        return self.start(*arguments).finish().status == 0

    def stream(self, *arguments: Argument, stdin: bytes | None = None) -> Stream:
        """Start a command whose output is read while it runs; a context manager."""
        return Stream(Process.start(self.command(*arguments), self._whole_environment, stdin=stdin, is_piped=True))


class Stream:
    """The output of a running command. An exception in the block ends the command; otherwise its status is checked."""

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
    """Yield each object's id, its size in bytes, and a file from which the caller reads exactly that many bytes.

    `ids` are hex. Raises GitFailed, and ObjectMissing for a missing object: an id is present only if git finds its
    object (P1 in docs/design/faults.md). Format: https://git-scm.com/docs/git-cat-file#_batch_output.
    """
    if not ids:
        return
    stream = git.stream("cat-file", "--batch", "--buffer", stdin="".join(f"{id}\n" for id in ids).encode())
    with stream as output:
        for id in ids:
            header = output.readline().split()
            if not header:
                stream.process.checked()  # in a partial clone git stops at a missing object
            if len(header) != 3:
                raise ObjectMissing(id, stderr=b" ".join(header))
            yield id, int(header[2]), output
            output.read(1)


def version(git: Git) -> tuple[tuple[int, int], str]:
    """Return git's version as numbers and text, for example ((2, 39), "2.39.5"). Raises GitNotFound, GitFailed."""
    text = git.line("version").removeprefix("git version ").split()[0]
    numbers = text.split(".")
    return (int(numbers[0]), int(numbers[1])), text


def check_version(git: Git) -> str:
    """Return git's version, for example "2.39.5"; raises CodeRepoError if it is older than 2.34, and GitNotFound."""
    numbers, text = version(git)
    if numbers < OLDEST_GIT:
        raise CodeRepoError(f"git {text} is too old", hints=["install git 2.34 or newer, or add it to PATH"])
    return text


def shown(argv: Sequence[Argument]) -> str:
    """Return a command for a message: quoted for a shell, with secrets redacted."""
    return redact(" ".join(shell_word(word) for word in argv))


def shell_word(word: Argument) -> str:
    """Return a text quoted as one word of a shell command.

    Characters that a terminal cannot show become escapes in the quotes of bash, zsh and ksh: `$'a\\012b'`.
    """
    text = os.fsdecode(word)
    if text and all(char.isalnum() or char in "@%+=:,./-_^" for char in text):
        return text
    if text.isprintable():
        return "'" + text.replace("'", "'\\''") + "'"
    return "$'" + "".join(_escaped(char) for char in text) + "'"


def git_word(toplevel: bytes) -> str:
    """Return the first words of a git command to type: `git`, or outside the checkout `git -C DIRECTORY`.

    `toplevel` is the root of the checkout. The paths in the command have to be `path_word`s of the same checkout.
    """
    here = _place_of_user()
    if here is not None and _stands_in(here, toplevel):
        return "git"
    places = [toplevel] if here is None else [os.path.relpath(toplevel, here), toplevel]
    return f"git -C {shell_word(min(places, key=len))}"


def path_word(path: bytes, toplevel: bytes) -> str:
    """Return a path (raw, from the root `toplevel`) as a shell word in a command that begins with `git_word`.

    git and this program read a path from the current directory, so the result is relative to that.
    """
    here = _place_of_user()
    shown = path.rstrip(b"/")
    if here is not None and _stands_in(here, toplevel):
        shown = os.path.relpath(os.path.join(toplevel, shown), here)
    if shown.startswith(b":"):
        shown = b"./" + shown  # otherwise it would be pathspec magic
    return shell_word(shown + path[len(path.rstrip(b"/")) :])


def ignore_command(path: bytes, toplevel: bytes) -> str:
    """Return the command to type that leaves an untracked path (raw, from the root) out of snapshots."""
    word = path_word(path, toplevel)
    begins_with_dash = word.lstrip("$'").startswith("-")
    return f"{git_word(toplevel)} coderepo ignore {'-- ' if begins_with_dash else ''}{word}"


def exclude_command(path: bytes) -> str:
    """Return the command to type that adds this path (raw, from the root), and no other, to `coderepo.exclude`."""
    pattern = "".join(f"[{char}]" if char in "*?[" else char for char in os.fsdecode(path))
    return f"git config --add coderepo.exclude {shell_word(f'/{pattern}')}"


def _place_of_user() -> bytes | None:
    """Return the directory of the user's shell; None if it is unknown, as with `git -C DIRECTORY`.

    git starts hooks and aliases in the root, and passes the directory in which it was started as GIT_PREFIX.
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
    """Return whether git, started in a directory, would find the checkout with this root."""
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
    """Return a program from the environment's own PATH; `posix_spawnp` uses that of this process."""
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
    """Return GitNotFound if git cannot be started on this machine, otherwise the error itself."""
    import errno

    hints = ["install git 2.34 or newer, or add it to PATH"]
    # ENOTDIR: an entry of PATH is a file. EACCES: the only 'git' is a directory or is not executable.
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
        return GitNotFound("'git' was not found on PATH", hints=hints)
    if error.errno == errno.ENOEXEC:
        return GitNotFound("the 'git' on PATH is not a program for this machine", hints=hints)
    return error


def _file_of(contents: bytes) -> int:
    """Return the descriptor of an anonymous file with these contents, at its start."""
    descriptor = anonymous_file()
    view = memoryview(contents)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _whole(descriptor: int) -> bytes:
    """Return the contents of a file, and close it."""
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
