"""The installed program on a terminal, as a person sees it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from collections.abc import Mapping

from tests.support.program import Program
from tests.support.repo import PathLike


def on_terminal(
    program: Program,
    *arguments: PathLike,
    cwd: PathLike,
    env: Mapping[str, str] | None = None,
    answers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """The exit status of a command, and everything that its terminal received.

    `answers` are typed in turn, each when its question has appeared.
    """
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [program.executable(), *map(os.fsencode, arguments)],
        cwd=os.fsencode(cwd), env={**program.env, "TERM": "xterm", "COLUMNS": "120", **(env or {})},
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    shown, waiting, seen = b"", list((answers or {}).items()), 0
    while select.select([controller], [], [], 120)[0]:
        try:
            piece = os.read(controller, 1 << 16)
        except OSError:  # EIO: the other side is closed
            break
        if not piece:
            break
        shown += piece
        if waiting and waiting[0][0].encode() in shown[seen:]:
            seen = len(shown)
            os.write(controller, waiting.pop(0)[1].encode() + b"\n")
    os.close(controller)
    return process.wait(60), shown.decode("utf-8", "replace").replace("\r\n", "\n")
