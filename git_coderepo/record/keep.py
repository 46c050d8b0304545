"""Where manifests and overlays are written down, and found again."""

from __future__ import annotations

import os

from git_coderepo.checkout.store import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git import Git
    from git_coderepo.record.document import Record
    from git_coderepo.record.snapshot import Snapshot


def keep_beside(snapshot: Snapshot, record: Record) -> None:
    """Keep in the checkout's own record what goes beside a manifest. Raises OSError."""
    assert snapshot.store is not None
    for sha256, data in record.beside.items():
        path = snapshot.store.overlays + b"/" + overlay_name(sha256)
        if not os.path.exists(path):
            os.makedirs(snapshot.store.overlays, exist_ok=True)
            write_whole(path, data)


def write_manifest(record: Record, path: bytes) -> None:
    """Write a manifest, what goes beside it first: a manifest that is there can be used. Raises OSError."""
    for sha256, data in record.beside.items():
        write_whole(os.path.join(os.path.dirname(path), overlay_name(sha256)), data)
    write_whole(path, record.data)


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
        folders.append(common + b"/coderepo/overlays")
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
