"""Changes that `git status` does not list: paths that differ by case alone, execute bits, marked paths."""

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
    """Return the untracked paths that `status` misses: `core.ignoreCase` is set on a case-sensitive file system.

    With paths `looked_at` (see `subtree.looked_at`), only those. Raises what reading the status raises.
    """
    if not settings.git_flag("core", "ignoreCase", False) or _folds_case(layout):
        return []
    known = {change.path for change in status.changes}
    status = read_status(start_status(git.with_settings(("core.ignoreCase", "false")), pathspecs(looked_at)))
    more = [change for change in status.changes if change.untracked and change.path not in known]
    if not more:
        return []
    # Patterns of `.gitignore` are read with the user's setting.
    names = b"".join(change.path + b"\0" for change in more)
    ignored = git.at(layout.toplevel).start("check-ignore", "-z", "--no-index", "--stdin", stdin=names).checked(1)
    left_out = set(ignored.split(b"\0"))
    return [change for change in more if change.path not in left_out]


def _folds_case(layout: Layout) -> bool:
    """Return whether the file system folds case, tested as git does in a new repository."""
    if os.path.lexists(layout.toplevel + b"/.git"):
        return os.path.lexists(layout.toplevel + b"/.GIT")
    return os.path.lexists(layout.git_dir + b"/hEAD")


# --- Execute bits that git does not look at (`core.fileMode=false`) --------------------------------------------------


def ignored_modes(toplevel: bytes, listing: bytes) -> list[bytes]:
    """Return the raw paths in `listing` that are executable on disk but not in the snapshot.

    The list is empty if every file is executable on the disk: such a file system has no execute bits.
    """
    paths = []
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
            paths.append(path)
    return paths if plain else []


# --- Paths that the user marked for git to ignore ---------------------------------------------------------------------


def marked_paths(git: Git, layout: Layout) -> list[bytes]:
    """Return the raw paths marked assume-unchanged, and those marked skip-worktree that exist on the disk.

    For an index that may have such marks, see `git.index`. Raises GitFailed.
    """
    marked = []
    absent: set[bytes] = set()
    for row in git.at(layout.toplevel).run("ls-files", "-v", "-z").split(b"\0"):
        tag, path = row[:1], row[2:]
        if tag == b"S" or tag == b"s":
            if _exists(layout.toplevel, path, absent):
                marked.append(path)
        elif tag.islower():
            marked.append(path)
    return marked


def _exists(toplevel: bytes, path: bytes, absent: set[bytes]) -> bool:
    """Return whether a path exists; directories that do not, as in a sparse checkout, are noted in `absent`."""
    folder = path.rpartition(b"/")[0]
    if folder in absent:
        return False
    if os.path.lexists(toplevel + b"/" + path):
        return True
    if not os.path.isdir(toplevel + b"/" + folder):
        absent.add(folder)
    return False
