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
    from collections.abc import Sequence

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
        outputs: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """What is known now; `outputs` are (path to record, path to read)."""
        self.document.update(
            finishedOn=_time(time.time()),
            status=status,
            signal=died_of,
            edited=[path_value(path) for path in edited],
            produced=[path_value(path) for path in produced],
            outputs=[digest for shown, path in outputs for digest in _digests(shown, path)],
        )
        self._write()

    def _write(self) -> None:
        try:
            write_whole(self.path, (json.dumps(self.document, indent=2, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise CodeRepoError(f"the result of the run cannot be written: {error.strerror}") from None


def _digests(shown: bytes, path: bytes) -> list[dict[str, object]]:
    """sha256 and size of a produced file, or of every file below a produced folder; nothing where there is none.

    They are read at `path`, and called as if that were `shown`.
    """
    import hashlib

    found: list[dict[str, object]] = []
    folders = os.walk(path) if os.path.isdir(path) else [(os.path.dirname(path), [], [os.path.basename(path)])]
    for folder, _, names in folders:
        for name in sorted(names):
            each = os.path.join(folder, name)
            if not os.path.isfile(each):
                continue
            digest = hashlib.sha256()
            with open(each, "rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
                size = file.tell()
            name_shown = shown + each[len(path) :]
            found.append({"path": path_value(name_shown), "sha256": digest.hexdigest(), "size": size})
    return found


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
