"""Write a manifest, and the tars beside it, to a file that the user names."""

from __future__ import annotations

import os

from git_coderepo.errors import InvalidManifest, OutputUnusable
from git_coderepo.filesystem.atomic import write_whole
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.git.own_files import note_file
from git_coderepo.git.store import overlay_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.manifest.output_file import OutputFile
    from git_coderepo.snapshots.manifest_document import Record
    from git_coderepo.snapshots.snapshot import Snapshot


def keep_beside(snapshot: Snapshot, record: Record) -> None:
    """Store the tars that belong to a manifest in the checkout's record. Raises OSError."""
    for sha256, data in record.beside.items():
        snapshot.store.keep_overlay(sha256, data)


class WrittenFiles:
    """The `paths` of the files that were written, and in `left` the digests of tars that could not be written there."""

    __slots__ = ("left", "paths")

    def __init__(self, paths: list[bytes], left: list[str]) -> None:
        self.paths = paths
        self.left = left


def write_manifest(record: Record, output: OutputFile, layout: Layout | None = None) -> WrittenFiles:
    """Write the tars that belong to a manifest beside it, then the manifest. `layout` is the checkout's.

    Tars cannot be written beside a FIFO, a device or a descriptor; they are returned as `left`, and the caller reports
    where they are. Raises OutputUnusable, OSError.
    """
    written = WrittenFiles([], [])
    for sha256, data in record.beside.items():
        path = output.sibling(overlay_name(sha256))
        if path is None:
            written.left.append(sha256)
        else:
            note_file(path, data, layout)
            write_whole(path, data)
            written.paths.append(path)
    output.write(record.data, layout)
    if output.path is not None:
        written.paths.append(output.path)
    return written


def refuse_tracked(git: Git, output: OutputFile, *, but_records: bool = False) -> None:
    """Raise OutputUnusable for a file that git tracks: overwriting it would change the code that was just recorded.

    With `but_records` a run manifest or an overlay, which a team may have committed, is allowed. Do not use that for a
    run that is about to start: its command would see a changed file.
    """
    if output.path is None or not os.path.isfile(output.path):
        return
    folder, name = os.path.split(output.path)
    if git.foreign(folder).succeeds("ls-files", "--error-unmatch", "-z", "--", b":(literal)" + name):
        if but_records and _is_record(output.path):
            return
        raise OutputUnusable(
            f"cannot write to '{os.fsdecode(output.name)}': git tracks it, so that it is part of the recorded code",
            hints=["name a file that git does not track"],
        )


def _is_record(path: bytes) -> bool:
    """Return whether a file is a run manifest, or an overlay, whose name is the digest of its contents."""
    from git_coderepo.manifest.model import Manifest

    try:
        with open(path, "rb") as file:
            if overlay_name(sha256_of(file)) == os.path.basename(path):
                return True
        Manifest.load(os.fsdecode(path))
    except (InvalidManifest, OSError):
        return False
    return True


def say_left(left: Sequence[str], overlays: bytes, say: Callable[[str], None]) -> None:
    """Report the directory (`overlays`) of tars that could not be written beside a manifest."""
    for sha256 in left:
        path = os.fsdecode(os.path.join(overlays, overlay_name(sha256)))
        say(f"warning: the overlay is not in the manifest and cannot be written beside it: it is in '{path}'")
        say("hint: give that file to the runner: git coderepo fetch --overlay FILE RUN DIR")
