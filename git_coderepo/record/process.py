"""A command that is run and waited for: its status and its signals are passed through."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

# Linux takes no longer single string into an environment (MAX_ARG_STRLEN).
VARIABLE_LIMIT = 120 << 10


class Place(NamedTuple):
    """Where a command runs, if not here: in a directory, with more variables, and open descriptors that it inherits."""

    directory: str | None = None
    variables: Mapping[str, str | None] = MappingProxyType({})
    descriptors: tuple[int, ...] = ()


def execute(
    command: Sequence[bytes],
    environment: Mapping[str, str],
    *,
    directory: str | None = None,
    descriptors: Sequence[int] = (),
) -> tuple[int, str | None]:
    """Run a command in `directory` (None: here) and wait for it; it inherits the open `descriptors`.

    (status, the signal's name it died of): as `env(1)`, 126 not executable, 127 not found, 128+N for a signal.

    SIGTERM and SIGHUP are forwarded. ^C and ^\\ of a terminal reach its whole foreground group: the command has them
    already, and whoever waits for it goes on waiting.
    """
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, frame: object) -> None:
        if number in (signal.SIGINT, signal.SIGQUIT):
            return
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    # Before it starts, so that no moment is left in which a signal would end us alone; a handler does not pass to it.
    numbers = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in before:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, forward)
    try:
        process = subprocess.Popen(list(command), env=dict(environment), cwd=directory, pass_fds=descriptors)
        for missed in early:
            process.send_signal(missed)
        status = process.wait()
    except FileNotFoundError:
        return 127, None
    except OSError:
        return 126, None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status < 0:
        return 128 - status, signal.Signals(-status).name
    return status, None
