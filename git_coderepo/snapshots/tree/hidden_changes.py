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
