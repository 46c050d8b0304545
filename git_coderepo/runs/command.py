"""Run a command and wait for it: forward signals to it, and return its status."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType, MappingProxyType
from typing import NamedTuple

# The longest string that Linux accepts in an environment is slightly longer (MAX_ARG_STRLEN, 128 KiB).
VARIABLE_LIMIT = 120 << 10

# Not forwarded. SIGCHLD concerns our own child; the interpreter ignores SIGPIPE and SIGXFSZ, which our own writes would
# raise; SIGTTIN and SIGTTOU stop a process that uses the terminal; the others report a fault of the process itself, and
# return to it after a handler in Python.
_OWN = frozenset(
    getattr(signal, name)
    for name in ("SIGCHLD", "SIGPIPE", "SIGXFSZ", "SIGTTIN", "SIGTTOU", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL",
                 "SIGKILL", "SIGSTOP")
    if hasattr(signal, name)
)  # fmt: skip
# A terminal sends these to its whole foreground process group.
_BY_TERMINAL = frozenset((signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH))
# With these a user or a scheduler asks a program to end.
_ENDING = frozenset((signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP))
# Seconds within which a signal to a process group reaches all of its processes.
_TOGETHER = 0.1


class CommandContext(NamedTuple):
    """Where a command runs: its directory (None for the current one), more variables, and descriptors it inherits."""

    directory: str | None = None
    variables: Mapping[str, str | None] = MappingProxyType({})
    descriptors: tuple[int, ...] = ()


class Interrupted(BaseException):
    """A signal in `_ENDING` arrived after the command had ended; see `interruptible`."""


class _Command:
    """The command of this process: `status` as in a shell, None until it has ended."""

    status: int | None = None
    interruptible = False


def command_status() -> int | None:
    """Return the status of the command that this process ran; None without one."""
    return _Command.status


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted for SIGINT, SIGQUIT, SIGTERM or SIGHUP in this block, after the command has ended.

    Outside the block they are ignored then, so that the command's status is passed on.
    """
    _Command.interruptible = True
    try:
        yield
    finally:
        _Command.interruptible = False


def execute(
    command: Sequence[bytes],
    environment: Mapping[str, str],
    *,
    directory: str | None = None,
    descriptors: Sequence[int] = (),
) -> tuple[int, str | None]:
    """Run a command in `directory` (None: the current one) and wait for it; it inherits the open `descriptors`.

    Returns (status, name of the signal that ended it or None), as `env(1)` and a shell: 126 not executable, 127 not
    found, 128+N for signal N. Signals that can be caught are forwarded (exceptions: `_OWN`), unless they were sent to
    the whole process group, which includes the command. The handlers remain afterwards, so that no signal changes the
    status; see `interruptible`.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    handled = {number: signal.getsignal(number) for number in signal.valid_signals() - _OWN}
    handled = {number: handler for number, handler in handled.items() if handler not in (None, signal.SIG_IGN)}
    group = _GroupWitness()
    # Before the command starts, so that no signal ends this process alone; the command does not inherit handlers.
    before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    child = signal.signal(signal.SIGCHLD, _note)
    for number in handled:
        signal.signal(number, _note)
    try:
        try:
            process = subprocess.Popen(list(command), env=dict(environment), cwd=directory, pass_fds=descriptors)
        except OSError as error:
            for number, handler in handled.items():
                signal.signal(number, handler)
            signal.signal(signal.SIGCHLD, child)
            return (127 if isinstance(error, FileNotFoundError) else 126), None
        os.write(wake, b"\0")
        early = True  # signals from before the start did not reach the command
        while process.poll() is None:
            for received in dict.fromkeys(os.read(woken, 4096)):
                if received in handled:
                    _pass_on(received, process, group, always=early)
            early = False
        status = process.returncode
    finally:
        signal.set_wakeup_fd(before)
        group.close()
        os.close(woken)
        os.close(wake)
    if status < 0:
        _Command.status = 128 - status
        return 128 - status, _signal_name(-status)
    _Command.status = status
    return status, None


def _note(number: int, frame: FrameType | None) -> None:
    """Handle a signal: its number has gone to the wakeup descriptor, so that nothing is left to do."""
    if _Command.interruptible and number in _ENDING:
        raise Interrupted


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # a real-time signal


def _pass_on(number: int, process: subprocess.Popen[bytes], group: _GroupWitness, *, always: bool) -> None:
    is_to_group = group.has_received(number)
    try:
        if always or not is_to_group or os.getpgid(process.pid) != os.getpgrp():
            process.send_signal(number)
    except (ProcessLookupError, PermissionError):
        pass  # it has just ended, or it runs as another user: sudo forwards signals itself
    if number == signal.SIGTSTP:
        # Stop this process, too, so that the user's shell takes over.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, _note)


class _GroupWitness:
    """A process in our group that blocks every signal: a signal that it receives was sent to the whole group.

    The kernel does not tell a handler whether a signal was sent to this process alone (`kill PID`) or to its group
    (`kill -- -PID`, a scheduler's step). If a signal of the second kind were forwarded, the command would be
    interrupted twice, the second time during its cleanup.
    """

    def __init__(self) -> None:
        self._pid = 0
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _witness(questions, answers)
        except OSError:
            pass  # no process can be started: `has_received` assumes what a terminal sends
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(questions)
            os.close(answers)

    def has_received(self, number: int) -> bool:
        """Return whether a signal was sent to the whole process group."""
        if self._pid:
            try:
                os.write(self._questions, bytes((number,)))
                ready, _, _ = select.select([self._answers], [], [], 10 * _TOGETHER)
                answer = os.read(self._answers, 1) if ready else b""
                if answer:
                    return answer == b"1"
            except OSError:
                pass
        return number in _BY_TERMINAL

    def close(self) -> None:
        """End the witness."""
        os.close(self._questions)
        os.close(self._answers)
        if self._pid:
            try:
                os.kill(self._pid, signal.SIGKILL)  # works on a stopped process, too
                os.waitpid(self._pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def _witness(questions: int, answers: int) -> None:
    """Answer for each signal number whether the signal arrived, until the other process ends. Never returns."""
    try:
        # Close all inherited files, such as a pipe whose reader waits for its end.
        null = os.open(os.devnull, os.O_RDWR)
        for number in {0, 1, 2} - {questions, answers}:
            os.dup2(null, number)
        low, high = sorted((questions, answers))
        os.closerange(3, low)
        os.closerange(low + 1, high)
        os.closerange(high + 1, 1 << 16)
        while question := os.read(questions, 1):
            (number,) = question
            until = time.monotonic() + _TOGETHER
            while number not in signal.sigpending() and time.monotonic() < until:
                time.sleep(0.002)
            received = number in signal.sigpending()
            if received:
                signal.sigwait({number})
            os.write(answers, b"1" if received else b"0")
    finally:
        os._exit(0)
