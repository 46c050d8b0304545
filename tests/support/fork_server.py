"""Starts of the program without the cost of starting Python: a server imports it once and forks for each call.

Each call is a process of its own with the arguments, environment, working directory, umask and streams that a start
from the shell would give it, and it runs the installed script. Only the interpreter and the imports are there already.
What differs from a start: no verb is imported yet, but all the rest is, and the hash seed is the server's. Tests of the
start itself, of signals and of terminals do not come here: see `Program.start` and `Program.executable`.
"""

from __future__ import annotations

import array
import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

# Read by the interpreter, the C library and OpenSSL at their start: where one differs, the server cannot stand in.
READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_", "OPENSSL_", "GLIBC_", "MALLOC_", "ASAN_", "COVERAGE_")
# Read later, by the program itself or by keyring, which is not imported before the fork.
READ_LATER = frozenset(("PYTHON_KEYRING_BACKEND", "LANGUAGE"))


def read_at_the_start(env: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that counts when Python starts, and not afterwards."""
    return {name: value for name, value in env.items() if name.startswith(READ_AT_THE_START) and name not in READ_LATER}


class ForkServer:
    """A server for one installed script; it ends with the process that started it."""

    def __init__(self, script: str, env: Mapping[str, str]) -> None:
        """`script` begins with `#!` and the path of a Python; `env` is what the interpreter reads at its start."""
        with open(script, "rb") as file:
            first = file.readline()
        self.env = dict(env)
        self.script = script
        self._ours, theirs = socket.socketpair()
        with theirs:
            # Pipes, as a call's streams will be: Python's own objects around them are made once.
            self._process = subprocess.Popen(
                [os.fsdecode(first[2:].strip()), os.path.abspath(__file__), str(theirs.fileno())],
                cwd="/", env=self.env, pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        atexit.register(self.close)

    @staticmethod
    def can_start(script: str) -> bool:
        """Whether the script names a Python in its first line; the path of some is too long for that."""
        with open(script, "rb") as file:
            first = file.readline()
        return first.startswith(b"#!/") and os.path.basename(first.strip()).startswith(b"python") and b" " not in first

    def close(self) -> None:
        self._ours.close()
        self._process.communicate()

    def run(
        self, argv: list[bytes], *, cwd: bytes, env: Mapping[str, str], input: bytes, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """As `subprocess.run` with `capture_output`."""
        pipes = [os.pipe() for _ in range(3)]
        (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = pipes
        mine, call = socket.socketpair()
        theirs = (stdin, stdout, stderr)
        try:
            with call:
                fds = array.array("i", [*theirs, call.fileno()])
                self._ours.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        except BaseException:
            mine.close()
            for descriptor in (to_stdin, from_stdout, from_stderr):
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        request = {
            "argv": [os.fsdecode(word) for word in argv],
            "cwd": os.fsdecode(cwd),
            "env": dict(env),
            "umask": _umask(),
        }
        with mine, mine.makefile("rwb") as answers:
            answers.write(json.dumps(request).encode() + b"\n")
            answers.flush()
            started = json.loads(answers.readline() or b"null")
            if started is None:
                raise AssertionError(f"the fork server ended: {self._process.communicate()[1].decode()}")
            if "error" in started:
                for descriptor in (to_stdin, from_stdout, from_stderr):
                    os.close(descriptor)
                raise OSError(started["error"], os.strerror(started["error"]), os.fsdecode(cwd))
            try:
                out, err = _communicate(to_stdin, input, (from_stdout, from_stderr), timeout, argv)
                status = json.loads(answers.readline())
            except BaseException:
                os.kill(started["pid"], signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(argv, os.waitstatus_to_exitcode(status), out, err)


_server: ForkServer | None = None


def fork_server(script: bytes, env: Mapping[str, str]) -> ForkServer | None:
    """The server of this process; None where it cannot stand in for a start of the script with this environment."""
    global _server
    ours = os.path.join(os.path.dirname(sys.executable), "git-coderepo")
    usual = {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    if os.environ.get("TEST_STARTS") == "real":
        return None
    if os.path.realpath(script) != os.fsencode(os.path.realpath(ours)) or read_at_the_start(env) != usual:
        return None
    if _server is None and ForkServer.can_start(ours):
        _server = ForkServer(ours, {"PATH": os.environ["PATH"], **usual})
    return _server


def _umask() -> int:
    try:
        with open("/proc/self/status", "rb") as file:
            return next(int(line.split()[1], 8) for line in file if line.startswith(b"Umask:"))
    except (OSError, StopIteration):  # not Linux
        mask = os.umask(0o022)
        os.umask(mask)
        return mask


def _communicate(
    stdin: int, input: bytes, outputs: tuple[int, int], timeout: float, argv: list[bytes]
) -> tuple[bytes, bytes]:
    """Write a process's input and read its outputs to their end; closes the descriptors."""
    until = time.monotonic() + timeout
    found: dict[int, list[bytes]] = {output: [] for output in outputs}
    opened = {stdin, *outputs}
    rest = memoryview(input)
    try:
        with selectors.DefaultSelector() as selector:
            for output in outputs:
                selector.register(output, selectors.EVENT_READ)
            os.set_blocking(stdin, False)
            selector.register(stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                left = until - time.monotonic()
                if left < 0:
                    raise subprocess.TimeoutExpired(argv, timeout)
                for key, _ in selector.select(left):
                    if key.fd != stdin:
                        data = os.read(key.fd, 1 << 16)
                        found[key.fd].append(data)
                        is_done = not data
                    else:
                        try:
                            rest = rest[os.write(stdin, rest) if rest else 0 :]
                        except BlockingIOError:
                            continue
                        except BrokenPipeError:
                            rest = rest[len(rest) :]
                        is_done = not rest
                    if is_done:
                        selector.unregister(key.fd)
                        opened.remove(key.fd)
                        os.close(key.fd)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    out, err = outputs
    return b"".join(found[out]), b"".join(found[err])


# --- the server: nothing above is imported for it that the program does not import itself ---------------------------


def _preload() -> None:
    """Import the package but for its verbs, and what most of them load.

    Byte code is written for all other starts in the tests, whose environment forbids it; so nothing is compiled twice.
    """
    import compileall
    import importlib
    import pkgutil
    from importlib.util import find_spec

    sys.dont_write_bytecode = False
    import git_coderepo

    for name in ("git_coderepo", "keyring", "rich"):
        spec = find_spec(name)
        for folder in (spec and spec.submodule_search_locations) or ():
            compileall.compile_dir(folder, quiet=2)
    # An optional dependency, or the environment, is read when these are imported.
    left_out = ("git_coderepo.testing", "git_coderepo.mlflow", "git_coderepo.integrations", "git_coderepo.compat")
    for module in pkgutil.walk_packages(git_coderepo.__path__, "git_coderepo."):
        is_verb = module.name.startswith("git_coderepo.cli.") and module.name.count(".") > 2
        if not is_verb and not module.name.startswith(left_out):
            importlib.import_module(module.name)
    for name in ("requests", "urllib3.util.ssl_", "importlib.metadata", "encodings.idna", "traceback", "decimal"):
        importlib.import_module(name)
    sys.dont_write_bytecode = True


def _serve(main: socket.socket) -> tuple[socket.socket, array.array[int]] | None:
    """Fork for each request. In a child: the connection and the descriptors of its streams; None at the end."""
    calls: dict[int, socket.socket] = {}
    woken, wake = os.pipe()
    for descriptor in (woken, wake):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake)
    handler = signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(main, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == woken:
                    os.read(woken, 4096)
                    while calls:
                        pid, status = os.waitpid(-1, os.WNOHANG)
                        if not pid:
                            break
                        with calls.pop(pid) as call:
                            try:
                                call.sendall(json.dumps(status).encode() + b"\n")
                            except BrokenPipeError:  # the test was interrupted
                                pass
                    continue
                fds = array.array("i")
                word, ancillary, *_ = main.recvmsg(1, socket.CMSG_SPACE(4 * fds.itemsize))
                if not word:
                    return None
                for _, _, data in ancillary:
                    fds.frombytes(data)
                call = socket.socket(fileno=fds.pop())
                pid = os.fork()
                if pid:
                    calls[pid] = call
                    for descriptor in fds:
                        os.close(descriptor)
                    continue
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, handler)
                for other in calls.values():
                    other.close()
                os.close(woken)
                os.close(wake)
                main.close()
                return call, fds


def _become(call: socket.socket, fds: array.array[int]) -> list[str]:
    """Take on what the request says; gives the words of the command line."""
    for target, descriptor in enumerate(fds):
        os.dup2(descriptor, target)
    for descriptor in fds:
        os.close(descriptor)
    with call, call.makefile("rwb") as answers:
        request = json.loads(answers.readline())
        try:
            os.chdir(request["cwd"])
        except OSError as error:
            answers.write(json.dumps({"error": error.errno}).encode() + b"\n")
            answers.flush()
            os._exit(0)
        answers.write(json.dumps({"pid": os.getpid()}).encode() + b"\n")
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    # The one thing that the package reads at its import: tests/test_program_starts.py looks for others.
    for name, module in sys.modules.items():
        if name.startswith("git_coderepo") and hasattr(module, "STARTED_IN"):
            vars(module)["STARTED_IN"] = os.getcwd()
    words: list[str] = request["argv"]
    sys.orig_argv[1:] = words
    sys.argv[:] = words
    sys.path[0] = os.path.dirname(os.path.realpath(words[0]))
    return words


def _leave(status: int) -> None:
    """End as Python does, but without taking the imported modules apart, which takes longer than most calls."""
    vars(threading)["_shutdown"]()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            status = 120  # as Python says it
    os._exit(status & 0xFF)


def _main() -> None:
    import gc
    import runpy

    main = socket.socket(fileno=int(sys.argv[1]))
    _preload()
    gc.collect()
    gc.freeze()
    child = _serve(main)
    if child is not None:
        words = _become(*child)
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as left:
            if left.code is not None and not isinstance(left.code, int):
                raise
            _leave(left.code or 0)


if __name__ == "__main__":
    _main()
