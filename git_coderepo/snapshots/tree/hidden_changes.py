"""Twins: paths that differ by case alone; `core.ignoreCase` makes git pass over them where the file system has both."""

from __future__ import annotations

import os

from git_coderepo.git.status import read_status, start_status
from git_coderepo.git.subtree import pathspecs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.status import Change, Status
    from git_coderepo.settings import Settings


def hidden_twins(
    git: Git, layout: Layout, settings: Settings, status: Status, looked_at: tuple[bytes, ...] = ()
) -> list[Change]:
    """The untracked paths that `status` lacks because git was told that the file system folds case; it is looked at.

    Where there are paths `looked_at` (see `scope.looked_at`), of those alone.
    Raises what reading the status raises.
    """
    if not settings.git_flag("core", "ignoreCase", False) or _folds_case(layout):
        return []
    known = {change.path for change in status.changes}
    found = read_status(start_status(git.with_settings(("core.ignoreCase", "false")), pathspecs(looked_at)))
    more = [change for change in found.changes if change.untracked and change.path not in known]
    if not more:
        return []
    # Patterns of `.gitignore` are meant as git was told to read them.
    names = b"".join(change.path + b"\0" for change in more)
    ignored = git.at(layout.toplevel).start("check-ignore", "-z", "--no-index", "--stdin", stdin=names).checked(1)
    left_out = set(ignored.split(b"\0"))
    return [change for change in more if change.path not in left_out]


def _folds_case(layout: Layout) -> bool:
    """Whether the file system takes another spelling for the same name, as git itself finds out when it makes one."""
    if os.path.lexists(layout.toplevel + b"/.git"):
        return os.path.lexists(layout.toplevel + b"/.GIT")
    return os.path.lexists(layout.git_dir + b"/hEAD")


# --- Execute bits that git does not look at (`core.fileMode=false`) --------------------------------------------------


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


# --- Paths that the user told git not to look at ---------------------------------------------------------------------


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
