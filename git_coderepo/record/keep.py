"""Where manifests and overlays are written down, and found again."""

from __future__ import annotations

import os

from git_coderepo.checkout.store import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git import Git
    from git_coderepo.record.document import Record
    from git_coderepo.record.snapshot import Snapshot


def keep_overlays(snapshot: Snapshot, record: Record) -> None:
    """Keep the overlays that go beside a manifest in the checkout's own record. Raises OSError."""
    assert snapshot.store is not None
    for sha256, data in record.overlays.items():
        path = snapshot.store.overlays + b"/" + overlay_name(sha256)
        if not os.path.exists(path):
            os.makedirs(snapshot.store.overlays, exist_ok=True)
            write_whole(path, data)


def write_manifest(record: Record, path: bytes) -> None:
    """Write a manifest, its overlays first: a manifest that is there can be used. Raises OSError."""
    for sha256, data in record.overlays.items():
        write_whole(os.path.join(os.path.dirname(path), overlay_name(sha256)), data)
    write_whole(path, record.data)


def overlay_name(sha256: str) -> bytes:
    """The name of an overlay's file."""
    return sha256.encode() + b".tar.gz"


def find_overlay(sha256: str, folder: bytes | None, git: Git) -> tuple[bytes, bytes] | None:
    """(contents, path) of an overlay by its digest.

    It is beside the manifest in `folder`, in the record that `folder` belongs to, or in this checkout's; None where it
    is in none of them. The contents are not checked: whoever uses them does that.
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
            with open(path, "rb") as file:
                return file.read(), path
        except FileNotFoundError:
            continue
    return None
