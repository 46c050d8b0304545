"""Run a command and wait for it: signals are passed on to it, and its status is passed back."""

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

# Linux takes no longer single string into an environment (MAX_ARG_STRLEN).
VARIABLE_LIMIT = 120 << 10

# Not forwarded. SIGCHLD is about our own child; the interpreter ignores SIGPIPE and SIGXFSZ, which our own writes would
# raise; SIGTTIN and SIGTTOU stop a process that uses the terminal; the others are faults of the process they are sent
# to, and a handler in Python would never end.
_OWN = frozenset(
    getattr(signal, name)
    for name in ("SIGCHLD", "SIGPIPE", "SIGXFSZ", "SIGTTIN", "SIGTTOU", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL",
                 "SIGKILL", "SIGSTOP")
    if hasattr(signal, name)
)  # fmt: skip
# What a terminal sends to its whole foreground group.
_BY_TERMINAL = frozenset((signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH))
# What ends a program by default, and with which a user or a scheduler asks for the end.
_ENDING = frozenset((signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP))
# How long a signal to the whole group may take from one of its processes to the next, in seconds.
_TOGETHER = 0.1


class CommandContext(NamedTuple):
    """Where a command runs, if not here: in a directory, with more variables, and open descriptors that it inherits."""

    directory: str | None = None
    variables: Mapping[str, str | None] = MappingProxyType({})
    descriptors: tuple[int, ...] = ()


class Interrupted(BaseException):
    """A signal that asks for the end arrived after the command had ended; see `interruptible`."""


class _Command:
    """The command of this process: `status` is how it ended, as a shell sees it; None until then."""

    status: int | None = None
    interruptible = False


def command_status() -> int | None:
    """Return the status of the command that this process ran, and that it ends with; None without a command."""
    return _Command.status


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted in a block, after the command ended, for SIGINT, SIGQUIT, SIGTERM or SIGHUP.

    Elsewhere they are ignored then: only the command's status is left to pass on.
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
    """Run a command in `directory` (None: here) and wait for it; it inherits the open `descriptors`.

    Returns (status, the name of the signal it died of): as `env(1)`, 126 not executable, 127 not found, 128+N for a
    signal. Every signal that can be caught is forwarded (see `_OWN` for those that are not), unless it was sent to the
    whole process group, so that the command has it already. Our handlers stay afterwards: nothing may change the
    status then, see `interruptible`.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    handled = {number: signal.getsignal(number) for number in signal.valid_signals() - _OWN}
    handled = {number: handler for number, handler in handled.items() if handler not in (None, signal.SIG_IGN)}
    group = _GroupWitness()
    # Before it starts, so that no moment is left in which a signal would end us alone; a handler does not pass to it.
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
        early = True  # what came before the command did not reach it, even if the whole group received it
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
    """Ignore the call: the signal's number goes to the wakeup descriptor."""
    if _Command.interruptible and number in _ENDING:
        raise Interrupted


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # a real-time signal


def _pass_on(number: int, process: subprocess.Popen[bytes], group: _GroupWitness, *, always: bool) -> None:
    has_it = group.has_received(number)
    try:
        if always or not has_it or os.getpgid(process.pid) != os.getpgrp():
            process.send_signal(number)
    except (ProcessLookupError, PermissionError):
        pass  # it has just ended, or it is another user's: sudo forwards what it receives itself
    if number == signal.SIGTSTP:
        # The shell that waits for us sees that we stopped; the kernel decides whether there is one.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, _note)


class _GroupWitness:
    """A process in our group that runs nothing and blocks every signal: what it receives was sent to the whole group.

    A signal's own information tells a terminal's from another process's, and not whether that one sent it to us alone
    (`kill PID`) or to the group (`kill -- -PID`, a scheduler's step). Forwarded in the second case, a command would be
    interrupted twice, the second time while it cleans up.
    """

    def __init__(self) -> None:
        self._pid = 0
        there, self._ask = os.pipe()
        self._answer, back = os.pipe()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _witness(there, back)
        except OSError:
            pass  # no more processes: `has_received` knows what a terminal sends
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(there)
            os.close(back)

    def has_received(self, number: int) -> bool:
        """Return whether a signal was sent to the whole group."""
        if self._pid:
            try:
                os.write(self._ask, bytes((number,)))
                ready, _, _ = select.select([self._answer], [], [], 10 * _TOGETHER)
                answer = os.read(self._answer, 1) if ready else b""
                if answer:
                    return answer == b"1"
            except OSError:
                pass
        return number in _BY_TERMINAL

    def close(self) -> None:
        """End the process."""
        os.close(self._ask)
        os.close(self._answer)
        if self._pid:
            try:
                os.kill(self._pid, signal.SIGKILL)  # it may be stopped
                os.waitpid(self._pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def _witness(questions: int, answers: int) -> None:
    """Report which signals arrived, until the process that asks has ended. Never returns."""
    try:
        # Nothing of the other process may stay open here, such as the pipe that its caller reads.
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
