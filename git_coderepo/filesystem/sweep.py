"""Remove temporary files that `write_whole` left when its process was killed or the disk was full."""

from __future__ import annotations

import os

from git_coderepo.git.store import final_name

# No file of ours is being written for as long as that.
_ABANDONED = 60.0


def sweep(folder: bytes, name: bytes) -> None:
    """Remove the temporary files beside the file `name` (raw, without a slash) in `folder`.

    Only this user's files count, and none that may still be written. What cannot be removed stays for the next call.
    Raises OSError where the folder cannot be read.
    """
    import time

    before = time.time() - _ABANDONED
    for each in os.listdir(folder):
        if final_name(each) != name:
            continue
        path = folder + b"/" + each
        try:
            facts = os.lstat(path)
            if facts.st_uid == os.geteuid() and facts.st_mtime < before:
                os.unlink(path)
        except OSError:
            continue
