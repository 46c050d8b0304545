"""`git coderepo run`: a command as a recorded run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from git_coderepo.record.process import execute
from git_coderepo.record.recording import Finished, Recording, RunRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        status, died_of = execute(command, running.environment)
        return running.end(status, died_of, [(path, path) for path in outputs])
