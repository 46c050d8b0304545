"""Compare two trees with git, and get the sizes of blobs.

Format of the rows: https://git-scm.com/docs/git-diff-tree#_raw_output_format
"""

from __future__ import annotations

from git_coderepo.errors import ObjectMissing
from git_coderepo.git.objects import GITLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git


class Difference:
    """A path that differs between base and snapshot: raw `path`, modes, and the blob `id` (hex).

    For a deletion `mode` is 0 and `id` empty.
    """

    __slots__ = ("id", "mode", "old_mode", "path")

    def __init__(self, path: bytes, old_mode: int, mode: int, id: str) -> None:
        self.path = path
        self.old_mode = old_mode
        self.mode = mode
        self.id = id


def differences(git: Git, base_tree: ObjectId | None, snapshot_tree: ObjectId) -> list[Difference]:
    """Return the differences between two trees, in git's order; without a base every path of the snapshot.

    Raises GitFailed.
    """
    if base_tree is None:
        output = git.run("ls-tree", "-r", "-z", "--full-tree", snapshot_tree.hex)
        rows = (row.partition(b"\t") for row in output.split(b"\0") if row)
        return [Difference(path, 0, int(facts[:6], 8), facts.split(b" ")[2].decode()) for facts, _, path in rows]
    output = git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", base_tree.hex, snapshot_tree.hex)
    fields = output.split(b"\0")
    rows_of_diff = []
    for facts, path in zip(fields[0:-1:2], fields[1::2], strict=True):
        old_mode, mode, _, id, letter = facts[1:].split(b" ")
        deleted = letter == b"D"
        rows_of_diff.append(
            Difference(path, int(old_mode, 8), 0 if deleted else int(mode, 8), "" if deleted else id.decode())
        )
    return rows_of_diff


def travelling(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences whose contents are in the overlay, which are neither deletions nor gitlinks."""
    return [difference for difference in differences if difference.mode not in (0, GITLINK)]


def blob_sizes(git: Git, ids: Sequence[str]) -> list[int]:
    """Return the size in bytes of each blob (ids in hex), without reading the contents. Raises ObjectMissing."""
    stdin = "".join(f"{id}\n" for id in ids).encode()
    output = git.run("cat-file", "--batch-check=%(objectsize)", "--buffer", stdin=stdin)
    lines = output.split(b"\n")[:-1]
    missing = next((line for line in lines if line.endswith(b" missing")), None)
    if missing is not None:
        raise ObjectMissing(missing.split(b" ")[0].decode(), stderr=missing)
    return [int(line) for line in lines]
