"""Where manifests and overlays are written down, and found again."""

from __future__ import annotations

import os

from git_coderepo.checkout.store import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git import Git
    from git_coderepo.record.document import Record
    from git_coderepo.record.snapshot import Snapshot


def keep_overlay(snapshot: Snapshot, data: bytes) -> bytes:
    """Keep an overlay in the checkout's own record; gives its path. Raises OSError."""
    assert snapshot.overlay is not None and snapshot.store is not None
    path = snapshot.store.overlays + b"/" + snapshot.overlay.sha256.encode() + b".tar.gz"
    if not os.path.exists(path):
        write_whole(path, data)
    return path


def write_manifest(record: Record, path: bytes) -> None:
    """Write a manifest, its overlay first: a manifest that is there can be used. Raises OSError."""
    if record.overlay is not None:
        write_whole(os.path.join(os.path.dirname(path), record.overlay_name), record.overlay)
    write_whole(path, record.data)


def find_overlay(sha256: str, folder: bytes | None, git: Git) -> tuple[bytes, bytes] | None:
    """(contents, path) of an overlay by its digest.

    It is beside the manifest in `folder`, in the record that `folder` belongs to, or in this checkout's; None where it
    is in none of them. The contents are not checked: whoever uses them does that.
    """
    from git_coderepo.errors import CodeRepoError

    name = sha256.encode() + b".tar.gz"
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
