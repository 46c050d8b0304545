"""`git coderepo run`: a command as a recorded run."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from git_coderepo.record.recording import Finished, Recording, RunRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from git_coderepo.git import Git


def run_recorded(
    git: Git,
    command: Sequence[bytes],
    request: RunRequest,
    *,
    outputs: Sequence[bytes] = (),
    say: Callable[[str], None],
    ask: Callable[[str], bool] | None = None,
) -> Finished:
    """Record a run, run `command` in it, and write down how it ended; `outputs` are paths whose digests are kept.

    `say` hears what the user should know before the command starts; `ask` puts a question to them, None where there is
    no terminal. Raises CodeRepoError where it could not be
    recorded or a check failed: then nothing was started.
    """
    with Recording(git, request, say=say, ask=ask) as running:
        status, died_of = _execute(command, running.environment)
        return running.end(status, died_of, [(path, path) for path in outputs])


def _execute(command: Sequence[bytes], environment: Mapping[str, str]) -> tuple[int, str | None]:
    """(status, the signal's name it died of): as `env(1)`, 126 not executable, 127 not found, 128+N for a signal.

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
        process = subprocess.Popen(list(command), env=dict(environment))
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
