"""Execute bits that git does not look at (`core.fileMode=false`), and that a runner does not get for this reason."""

from __future__ import annotations

import os


def ignored_modes(toplevel: bytes, listing: bytes) -> list[bytes]:
    """The raw paths of `listing` (`ls-tree -r -z` of the snapshot) that are executable on the disk, not in the tree.

    None where every file is executable on the disk: such a file system has no such bit, and says nothing.
    """
    found = []
    plain = False
    for row in listing.split(b"\0"):
        if not row.startswith((b"100644 ", b"100755 ")):
            continue
        path = row.partition(b"\t")[2]
        try:
            executable = os.lstat(toplevel + b"/" + path).st_mode & 0o100
        except OSError:
            continue
        if not executable:
            plain = True
        elif row.startswith(b"100644 "):
            found.append(path)
    return found if plain else []
