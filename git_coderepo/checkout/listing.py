"""The rows of a tree from those of another one and what differs: git need not list a large tree twice."""

from __future__ import annotations

from git_coderepo.objects import GITLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from git_coderepo.checkout.overlay import Difference


def patched(listing: bytes, found: Iterable[Difference]) -> bytes:
    """The bytes of `ls-tree -r -z` with `found` (see `differences`) applied to them, in git's order again."""
    rows = {difference.path: difference for difference in found}
    if not rows:
        return listing
    kept = [row for row in listing.split(b"\0") if row and row[row.index(b"\t") + 1 :] not in rows]
    new = [
        b"%06o %s %s\t%s" % (row.mode, b"commit" if row.mode == GITLINK else b"blob", row.id.encode(), row.path)
        for row in rows.values()
        if row.mode
    ]
    if new:
        kept += new
        kept.sort(key=_path_of)
    return b"\0".join(kept) + b"\0" if kept else b""


def _path_of(row: bytes) -> bytes:
    return row[row.index(b"\t") + 1 :]
