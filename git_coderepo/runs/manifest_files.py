"""The files of a manifest: written where the user wants them, with what goes beside them."""

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
    """Keep in the checkout's own record what goes beside a manifest. Raises OSError."""
    for sha256, data in record.beside.items():
        snapshot.store.keep_overlay(sha256, data)


class WrittenFiles:
    """The files that were written: their `paths`, and the digests of tars that could not be written `beside` them."""

    __slots__ = ("left", "paths")

    def __init__(self, paths: list[bytes], left: list[str]) -> None:
        self.paths = paths
        self.left = left


def write_manifest(record: Record, output: OutputFile, layout: Layout | None = None) -> WrittenFiles:
    """Write a manifest, what goes beside it first: a manifest that is there can be used. `layout` is the checkout's.

    No file can stand beside a FIFO, a device or a descriptor: the caller says where those tars are kept instead. Raises
    OutputUnusable, OSError.
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
    """Raise OutputUnusable for a file that git tracks: written over, it would not be what was just recorded.

    With `but_records` a run manifest or an overlay, which a team may have committed, is not refused. A run that starts
    needs the refusal: its command would find other files than those that were recorded.
    """
    if output.path is None or not os.path.isfile(output.path):
        return
    folder, name = os.path.split(output.path)
    if git.foreign(folder).succeeds("ls-files", "--error-unmatch", "-z", "--", b":(literal)" + name):
        if but_records and _is_record(output.path):
            return
        raise OutputUnusable(
            f"cannot write to '{os.fsdecode(output.name)}': git tracks it, so it is part of the code that is recorded",
            hints=["name a file that git does not track"],
        )


def _is_record(path: bytes) -> bool:
    """Return whether a file holds a run manifest, or is an overlay: its name is the digest of its contents."""
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
    """Say where the tars are kept that could not be written beside a manifest; `overlays` is that directory."""
    for sha256 in left:
        path = os.fsdecode(os.path.join(overlays, overlay_name(sha256)))
        say(f"warning: the overlay is not in the manifest and cannot be written beside it: it is in '{path}'")
        say("hint: give that file to the runner: git coderepo fetch --overlay FILE RUN DIR")
