"""Run a command as a recorded run: `git coderepo run`."""

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


# The exit status of env(1) if it could not start the command.
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
    """Record a run, run `command`, and write the result; the digests of `outputs` (raw paths) are recorded.

    `say` receives messages for the user before the command starts; `ask` prompts for yes or no, and is None without a
    terminal. `place` provides another place for the command than the current directory. `announce` is called after the
    run is recorded, right before the command starts. Raises CodeRepoError if the run cannot be recorded, a check fails,
    or `place` fails; nothing is started then.
    """
    with Recording(git, request, say=say, ask=ask, elsewhere=place is not None) as running, ExitStack() as stack:
        where = CommandContext()
        if place is not None:
            try:
                where = stack.enter_context(place(running))
            except CodeRepoError:
                running.end(NOT_STARTED)
                raise
        # Absolute, because the current directory may be removed meanwhile.
        declared = [(path, os.path.abspath(path)) for path in dict.fromkeys(outputs)]
        running.declare(declared)
        announce(running)
        environment = changed(running.environment, where.variables)
        status, died_of = execute(command, environment, directory=where.directory, descriptors=where.descriptors)
        return running.end(status, died_of, declared)
