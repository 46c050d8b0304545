"""The record of runs: one JSON file a run, never changed again, named by a time-ordered id, in monthly folders.

`<common git dir>/coderepo/runs/YYYY-MM/<id>.json` and `<id>.result.json`; overlays that are too large for a manifest
in `<common git dir>/coderepo/overlays/<sha256>.tar.gz`; a worktree's last run in `<git dir>/coderepo/current.json`.
CODEREPO_RECORD_DIR names another place for all of it.
Files and renames alone: no lock, no index that could be lost, safe on a shared file system.
"""

from __future__ import annotations

import os
import time

from git_coderepo.filesystem.atomic import unwritable, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.repository import Layout
    from git_coderepo.snapshots.manifest_document import Record


class Runs:
    """The runs of a checkout; `directory` and `current` are raw paths."""

    __slots__ = ("current", "directory", "overlays")

    def __init__(self, layout: Layout) -> None:
        self.directory = layout.own + b"/runs"
        self.overlays = layout.own + b"/overlays"
        self.current = layout.own_here + b"/current.json"

    def path_of(self, id: str) -> bytes:
        """Where the manifest of a run lies, or would lie: its id (RFC 9562, version 7) tells the month, in UTC."""
        milliseconds = int(id[:8] + id[9:13], 16)
        return (
            self.directory
            + time.strftime("/%Y-%m/", time.gmtime(milliseconds // 1000)).encode()
            + id.encode()
            + b".json"
        )

    def result_path_of(self, id: str) -> bytes:
        """Where what is known after the run lies."""
        return self.path_of(id).removesuffix(b".json") + b".result.json"

    def write(self, record: Record) -> bytes:
        """Write a run down, its overlays first, then its manifest; gives the manifest's path.

        Once this returns, it is on the disk. Raises CodeRepoError where it cannot be written.
        """
        path = self.path_of(record.id)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._keep_beside(record)
            write_whole(path, record.data)
            self._keep_beside(record)  # a prune that did not see the manifest yet may have taken it away
        except OSError as error:
            raise unwritable(path, error) from error
        return path

    def _keep_beside(self, record: Record) -> None:
        """Write what goes beside a manifest, each tar under its digest."""
        if record.beside:
            os.makedirs(self.overlays, exist_ok=True)
        for sha256, data in record.beside.items():
            _keep(self.overlays + b"/" + sha256.encode() + b".tar.gz", data)

    def write_current(self, record: Record) -> None:
        """Say which run is the worktree's last one: the same bytes. Raises CodeRepoError where that cannot be."""
        try:
            os.makedirs(os.path.dirname(self.current), exist_ok=True)
            write_whole(self.current, record.data)
        except OSError as error:
            raise unwritable(self.current, error) from error

    def remove_current(self) -> None:
        """What `current.json` says is no longer so. Raises OSError."""
        try:
            os.unlink(self.current)
        except FileNotFoundError:
            pass


def _keep(path: bytes, overlay: bytes) -> None:
    """Write an overlay, or mark the one that is there as just used: `prune` touches nothing so young."""
    try:
        os.utime(path)
    except FileNotFoundError:
        write_whole(path, overlay)
    except PermissionError:
        pass  # another user's, in a shared repository
