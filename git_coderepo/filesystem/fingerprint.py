"""Detect changes in a directory since an earlier look, without reading its contents."""

from __future__ import annotations

import os
import stat
from hashlib import sha256

from git_coderepo.filesystem.directories import Directories, Root, unusable


def stamp(directory: Root) -> str:
    """Return a digest (sha256, hex) of the name, mode, size, mtime, ctime and inode of every path below `directory`.

    For directories, whose times change with a rename, only modes and names are included. Do not store the digest on
    disk: anyone who can change the directory could replace it. Raises TargetUnusable if a path cannot be read.
    """
    digest = sha256()
    with Directories(directory) as directories:
        pending = [b""]
        while pending:
            here = pending.pop()
            try:
                rows, below = _facts_in(directories.open(here))
            except OSError as error:
                raise unusable(error, here or "the tree", "read") from None
            digest.update(b"%d\0%b\0" % (len(rows), here))
            digest.update(b"\0".join(sorted(rows)))
            pending += [here + b"/" + name if here else name for name in sorted(below)]
    return digest.hexdigest()


def _facts_in(directory: int) -> tuple[list[bytes], list[bytes]]:
    rows, below = [], []
    with os.scandir(directory) as items:
        for item in items:
            name = os.fsencode(item.name)
            facts = item.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                below.append(name)
                rows.append(b"%b\0%o" % (name, facts.st_mode))
            else:
                numbers = (facts.st_mode, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
                rows.append(b"%b\0%o %d %d %d %d" % (name, *numbers))
    return rows, below
