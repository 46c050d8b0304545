"""Write the files of the record of runs: one immutable JSON file per run, named by a time-ordered id.

`<common git dir>/coderepo/runs/YYYY-MM/<id>.json` and `<id>.result.json`; overlays that are too large for a manifest
in `<common git dir>/coderepo/overlays/<sha256>.tar.gz`; a worktree's last run in `<git dir>/coderepo/current.json`.
CODEREPO_RECORD_DIR names another directory for all of it. Only files and renames are used, no locks, so that the
record is safe on a shared file system.
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
        """Return the path of a run's manifest: the folder is the month (UTC) in its id, a UUID of version 7."""
        milliseconds = int(id[:8] + id[9:13], 16)
        return (
            self.directory
            + time.strftime("/%Y-%m/", time.gmtime(milliseconds // 1000)).encode()
            + id.encode()
            + b".json"
        )

    def result_path_of(self, id: str) -> bytes:
        """Return the path of a run's result."""
        return self.path_of(id).removesuffix(b".json") + b".result.json"

    def write(self, record: Record) -> bytes:
        """Write a run's overlays, then its manifest, and sync them; return the manifest's path.

        Raises CodeRepoError.
        """
        path = self.path_of(record.id)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._keep_beside(record)
            write_whole(path, record.data)
            self._keep_beside(record)  # a `prune` that began before the manifest existed may have removed it
        except OSError as error:
            raise unwritable(path, error) from error
        return path

    def _keep_beside(self, record: Record) -> None:
        """Write the tars that belong to a manifest, each named by its digest."""
        if record.beside:
            os.makedirs(self.overlays, exist_ok=True)
        for sha256, data in record.beside.items():
            _keep(self.overlays + b"/" + sha256.encode() + b".tar.gz", data)

    def write_current(self, record: Record) -> None:
        """Write a copy of the manifest as the worktree's last run. Raises CodeRepoError."""
        try:
            os.makedirs(os.path.dirname(self.current), exist_ok=True)
            write_whole(self.current, record.data)
        except OSError as error:
            raise unwritable(self.current, error) from error

    def remove_current(self) -> None:
        """Remove `current.json`. Raises OSError."""
        try:
            os.unlink(self.current)
        except FileNotFoundError:
            pass


def _keep(path: bytes, overlay: bytes) -> None:
    """Write an overlay, or touch an existing one: `prune` removes no overlay that was just used."""
    try:
        os.utime(path)
    except FileNotFoundError:
        write_whole(path, overlay)
    except PermissionError:
        pass  # it belongs to another user of a shared repository
