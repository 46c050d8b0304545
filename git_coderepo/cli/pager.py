"""Show long output in the pager that git would use: `git var GIT_PAGER`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from git_coderepo.git.process import Git

# What git sets for its pagers, unless they are set.
_DEFAULTS = {"LESS": "FRX", "LV": "-c"}
# git starts a pager with any of these characters through a shell.
_FOR_SHELL = re.compile(r"[|&;<>()$`\\\"' \t\n*?\[#~=%]")


@contextmanager
def paged(git: Git, *, on: bool = True) -> Iterator[None]:
    """Send standard output to git's pager if it is a terminal; wait for the pager at the end.

    A reader who leaves the pager early ends the block without an error.
    """
    pager = _start(git) if on and sys.stdout.isatty() else None
    if pager is None:
        yield
        return
    process, pipe = pager
    saved = {each: os.dup(each) for each in (1, 2) if os.isatty(each)}
    for each in saved:
        os.dup2(pipe, each)
    os.close(pipe)
    os.environ["GIT_PAGER_IN_USE"] = "true"
    try:
        yield
    except (BrokenPipeError, KeyboardInterrupt):
        _discard_output()
    finally:
        # The pager ends when the last writer closes the pipe.
        for each, terminal in saved.items():
            os.dup2(terminal, each)
            os.close(terminal)
        del os.environ["GIT_PAGER_IN_USE"]
        _wait(process)


def _start(git: Git) -> tuple[subprocess.Popen[bytes], int] | None:
    """Start the pager; return it and the pipe to it, or None if there is none, or if git has started one."""
    if os.environ.get("GIT_PAGER_IN_USE", "").lower() in ("1", "true", "yes", "on"):
        return None
    answer = git.start("var", "GIT_PAGER").finish()
    command = os.fsdecode(answer.stdout.removesuffix(b"\n"))
    if answer.status != 0 or command in ("", "cat"):
        return None
    argv = ["sh", "-c", command] if _FOR_SHELL.search(command) else [command]
    reader, writer = os.pipe()
    try:
        return subprocess.Popen(argv, stdin=reader, env={**_DEFAULTS, **os.environ}), writer
    except OSError:
        os.close(writer)
        return None  # as git does, print without a pager that cannot be started
    finally:
        os.close(reader)


def _discard_output() -> None:
    """Discard buffered output, which would otherwise be printed after the pager has ended."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        sys.stdout.flush()


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for the pager, which handles ^C itself."""
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:
            continue
