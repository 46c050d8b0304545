"""The rows of a tree from those of another one and what differs: git need not list a large tree twice."""

from __future__ import annotations

from git_coderepo.git.objects import GITLINK, SYMLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.snapshots.overlay import Difference

# Above, to take every row apart is cheaper than to look for each path.
_FEW = 256


def patched(listing: bytes, found: Sequence[Difference]) -> bytes:
    """The bytes of `ls-tree -r -z` with `found` (see `differences`) applied to them, in git's order: by path."""
    if len(found) > _FEW:
        paths = {difference.path for difference in found}
        rows = [row for row in listing.split(b"\0")[:-1] if _path_of(row) not in paths]
        rows += [_row(difference) for difference in found if difference.mode]
        rows.sort(key=_path_of)
        return b"".join([row + b"\0" for row in rows])
    pieces: list[bytes] = []
    done = 0
    for difference in sorted(found, key=lambda difference: difference.path):
        start, end = _place(listing, difference.path, done)
        pieces.append(listing[done:start])
        if difference.mode:
            pieces.append(_row(difference) + b"\0")
        done = end
    pieces.append(listing[done:])
    return b"".join(pieces)


def telling(found: Sequence[Difference]) -> list[Difference]:
    """The differences that may say what becomes of other paths: attributes files and submodules, here or gone."""
    return [each for each in found if GITLINK in (each.mode, each.old_mode) or each.path.endswith(b".gitattributes")]


def linking(found: Sequence[Difference]) -> list[Difference]:
    """Return the differences that may lead to contents outside the tree: links and DVC files, here or gone."""
    return [each for each in found if SYMLINK in (each.mode, each.old_mode) or each.path.endswith((b".dvc", b".lock"))]


def _row(difference: Difference) -> bytes:
    kind = b"commit" if difference.mode == GITLINK else b"blob"
    return b"%06o %s %s\t%s" % (difference.mode, kind, difference.id.encode(), difference.path)


def _path_of(row: bytes) -> bytes:
    return row[row.index(b"\t") + 1 :]


def _place(listing: bytes, path: bytes, low: int) -> tuple[int, int]:
    """Where the row of `path` begins and ends, from `low` on (the beginning of a row); where it would stand, twice."""
    high = len(listing)
    while low < high:
        start = listing.rfind(b"\0", low, (low + high) // 2) + 1 or low
        end = listing.index(b"\0", start) + 1
        here = listing[listing.index(b"\t", start) + 1 : end - 1]
        if here == path:
            return start, end
        if here < path:
            low = end
        else:
            high = start
    return low, low
