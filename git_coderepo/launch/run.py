"""`git coderepo run`: a command as a recorded run."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from git_coderepo.errors import CodeRepoError
from git_coderepo.runs.command import CommandContext, execute
from git_coderepo.runs.lifecycle import Finished, Recording, RunRequest, changed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from git_coderepo.git.process import Git


# As env(1) ends where it could not start anything.
NOT_STARTED = 125


def run_recorded(
    git: Git,
    command: Sequence[bytes],
    request: RunRequest,
    *,
    outputs: Sequence[bytes] = (),
    say: Callable[[str], None],
    ask: Callable[[str], bool] | None = None,
    place: Callable[[Recording], AbstractContextManager[CommandContext]] | None = None,
    announce: Callable[[Recording], None] = lambda _: None,
) -> Finished:
    """Record a run, run `command` in it, and write down how it ended; `outputs` are paths whose digests are kept.

    `say` hears what the user should know before the command starts; `ask` puts a question to them, None where there is
    no terminal. `place` makes the place where the command runs, None: here. `announce` is called when the run is
    recorded, right before the command starts. Raises CodeRepoError where it could not be recorded, a check failed, or
    there is no such place: then nothing was started.
    """
    with Recording(git, request, say=say, ask=ask, elsewhere=place is not None) as running, ExitStack() as stack:
        where = CommandContext()
        if place is not None:
            try:
                where = stack.enter_context(place(running))
            except CodeRepoError:
                running.end(NOT_STARTED)
                raise
        # Absolute: the directory may be gone at the end.
        declared = [(path, os.path.abspath(path)) for path in dict.fromkeys(outputs)]
        running.declare(declared)
        announce(running)
        environment = changed(running.environment, where.variables)
        status, died_of = execute(command, environment, directory=where.directory, descriptors=where.descriptors)
        return running.end(status, died_of, declared)
