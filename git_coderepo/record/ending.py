"""The writer of a run's result: `<id>.result.json` beside the manifest; `result.py` reads it."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING

from git_coderepo.checkout.store import write_whole
from git_coderepo.errors import CodeRepoError
from git_coderepo.manifest.writer import path_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULT_VERSION = "1.0"


class Ending:
    """The result at `path`: there from the start without an end, so that a run that was killed is seen as such."""

    def __init__(self, path: bytes, id: str, started: float) -> None:
        self.path = path
        self.document: dict[str, object] = {
            "resultVersion": RESULT_VERSION,
            "run": {"id": id},
            "startedOn": _time(started),
            "finishedOn": None,
            "status": None,
            "signal": None,
            "edited": [],
            "produced": [],
            "outputs": [],
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }

    def begin(self) -> None:
        """It runs. Raises CodeRepoError where that cannot be written, and so does `end`."""
        self._write()

    def end(
        self,
        status: int,
        died_of: str | None,
        edited: Sequence[bytes],
        produced: Sequence[bytes],
        outputs: Sequence[Mapping[str, object]],
    ) -> None:
        """What is known now; `outputs` are the `files` of `outputs.MadeOutputs`."""
        self.document.update(
            finishedOn=_time(time.time()),
            status=status,
            signal=died_of,
            edited=[path_value(path) for path in edited],
            produced=[path_value(path) for path in produced],
            outputs=list(outputs),
        )
        self._write()

    def _write(self) -> None:
        try:
            write_whole(self.path, (json.dumps(self.document, indent=2, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise CodeRepoError(f"the result of the run cannot be written: {error.strerror}") from None


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
