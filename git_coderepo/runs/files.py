"""Where manifests and overlays are written down, and found again."""

from __future__ import annotations

import os

from git_coderepo.filesystem.atomic import write_whole
from git_coderepo.git.own_files import note_file
from git_coderepo.git.repository import RECORD_DIRECTORY, own_elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.manifest.output_file import OutputFile
    from git_coderepo.snapshots.document import Record
    from git_coderepo.snapshots.snapshot import Snapshot


def keep_beside(snapshot: Snapshot, record: Record) -> None:
    """Keep in the checkout's own record what goes beside a manifest. Raises OSError."""
    assert snapshot.store is not None
    for sha256, data in record.beside.items():
        snapshot.store.keep_overlay(sha256, data)


class Written:
    """The files that were written: their `paths`, and the digests of tars that could not be written `beside` them."""

    __slots__ = ("left", "paths")

    def __init__(self, paths: list[bytes], left: list[str]) -> None:
        self.paths = paths
        self.left = left


def write_manifest(record: Record, output: OutputFile, layout: Layout | None = None) -> Written:
    """Write a manifest, what goes beside it first: a manifest that is there can be used. `layout` is the checkout's.

    No file can stand beside a FIFO, a device or a descriptor: the caller says where those tars are kept instead. Raises
    OutputUnusable, OSError.
    """
    written = Written([], [])
    for sha256, data in record.beside.items():
        path = output.beside(overlay_name(sha256))
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


def refuse_tracked(git: Git, output: OutputFile) -> None:
    """Raise OutputUnusable for a file that git tracks: written over, it would not be what was just recorded."""
    if output.path is None or not os.path.isfile(output.path):
        return
    folder, name = os.path.split(output.path)
    if git.foreign(folder).succeeds("ls-files", "--error-unmatch", "-z", "--", b":(literal)" + name):
        from git_coderepo.errors import OutputUnusable

        raise OutputUnusable(
            f"cannot write to '{os.fsdecode(output.name)}': git tracks it, so it is part of the code that is recorded",
            hints=["name a file that git does not track"],
        )


def say_left(left: Sequence[str], overlays: bytes, say: Callable[[str], None]) -> None:
    """Say where the tars are kept that could not be written beside a manifest; `overlays` is that directory."""
    for sha256 in left:
        path = os.fsdecode(os.path.join(overlays, overlay_name(sha256)))
        say(f"warning: the overlay is not in the manifest and cannot be written beside it: it is in '{path}'")
        say("hint: give that file to the runner: git coderepo fetch --overlay FILE RUN DIR")


def overlay_name(sha256: str) -> bytes:
    """The name of the file of an overlay, or of the tar of Git LFS objects."""
    return sha256.encode() + b".tar.gz"


def find_overlay(sha256: str, size: int, folder: bytes | None, git: Git) -> tuple[bytes, bytes] | None:
    """(contents, path) of an overlay, or of the tar of Git LFS objects, by its digest and its `size` in bytes.

    It is beside the manifest in `folder`, in the record that `folder` belongs to, or in this checkout's; None where it
    is in none of them. The contents are not checked: whoever uses them does that. Raises DownloadDamaged, before it is
    read, for what is no file of that size.
    """
    from git_coderepo.errors import CodeRepoError

    name = overlay_name(sha256)
    folders = [folder] if folder is not None else []
    if folder is not None and os.path.basename(os.path.dirname(folder)) == b"runs":
        folders.append(os.path.dirname(os.path.dirname(folder)) + b"/overlays")  # the manifest lies in a record
    try:
        common = git.run("rev-parse", "--path-format=absolute", "--git-common-dir").removesuffix(b"\n")
        place = git.environment.get(RECORD_DIRECTORY)
        folders.append((own_elsewhere(os.fsencode(place), common) if place else common + b"/coderepo") + b"/overlays")
    except CodeRepoError:
        pass  # not in a checkout, or no git: then there is no record to look into
    for each in folders:
        path = os.path.join(each, name)
        try:
            return _read_whole(path, size), path
        except FileNotFoundError:
            continue
    return None


def _read_whole(path: bytes, size: int) -> bytes:
    from stat import S_ISREG

    from git_coderepo.errors import DownloadDamaged

    # Whoever opens a pipe without that may wait for ever.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(file)
        name = os.fsdecode(path)
        if not S_ISREG(facts.st_mode):
            raise DownloadDamaged(f"'{name}', which travels with the run, is no file")
        if facts.st_size != size:
            raise DownloadDamaged(
                f"'{name}', which travels with the run, has {facts.st_size} bytes, not the recorded {size}"
            )
        with open(file, "rb", closefd=False) as opened:
            return opened.read()
    finally:
        os.close(file)
