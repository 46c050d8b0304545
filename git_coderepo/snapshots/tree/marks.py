"""Paths that the user told git not to look at: `assume-unchanged` and `skip-worktree` hide edits from `git status`."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout


def marked_paths(git: Git, layout: Layout) -> list[bytes]:
    """The paths marked assume-unchanged, and those marked skip-worktree that are on the disk all the same; raw.

    To be asked where the index may have such marks, see `indexfile`. Raises GitFailed.
    """
    marked = []
    absent: set[bytes] = set()
    for row in git.at(layout.toplevel).run("ls-files", "-v", "-z").split(b"\0"):
        tag, path = row[:1], row[2:]
        if tag == b"S" or tag == b"s":
            if _is_there(layout.toplevel, path, absent):
                marked.append(path)
        elif tag.islower():
            marked.append(path)
    return marked


def _is_there(toplevel: bytes, path: bytes, absent: set[bytes]) -> bool:
    """Whether a path is on the disk; a sparse checkout lacks whole directories, each of which is looked for once."""
    folder = path.rpartition(b"/")[0]
    if folder in absent:
        return False
    if os.path.lexists(toplevel + b"/" + path):
        return True
    if not os.path.isdir(toplevel + b"/" + folder):
        absent.add(folder)
    return False
