"""Detect changes to the recorded files during a run, in the checkout and its submodules."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from git_coderepo.errors import CodeRepoError, NotReproducible
from git_coderepo.git.own_files import own_files
from git_coderepo.snapshots.snapshot import UNREADABLE, Snapshot
from git_coderepo.snapshots.submodules import snapshots_in
from git_coderepo.snapshots.tree.private_index import PrivateIndex

if TYPE_CHECKING:
    from collections.abc import Sequence


class Watch:
    """Compare the checkout with a snapshot by private indexes; a context manager.

    Paths are raw, from the checkout's root. The indexes have the ids of the snapshot, so that a file that changed after
    it was hashed is detected even if that was before the watch began.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshots = [(b"", snapshot), *snapshots_in(snapshot)]
        self._indexes: list[tuple[bytes, PrivateIndex]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Watch:
        with ExitStack() as stack:
            for place, each in self._snapshots:
                index = stack.enter_context(PrivateIndex(each.git, each.layout, each.store, each.looked_at))
                if each.is_stored:
                    index.read_tree(each.tree, [change.path for change in each.changes if change.marked])
                else:
                    # The tree was not written, because it is too large to travel: hash the files only.
                    index.drop([path for path, reason in each.omitted if reason == UNREADABLE])
                    index.take(each.changes, keep=False)
                self._indexes.append((place, index))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def changed(self) -> list[bytes]:
        """Return the paths that differ on disk from the snapshot, sorted. Raises CodeRepoError, GitFailed."""
        self._require_work_tree()
        return sorted(place + path for place, index in self._indexes for path in index.changed())

    def new(self) -> list[bytes]:
        """Return the paths that appeared after the snapshot was taken, committed or not, without ignored ones.

        Raises as `changed`.
        """
        self._require_work_tree()
        paths = []
        for (place, each), (_, index) in zip(self._snapshots, self._indexes, strict=True):
            assert each.status is not None
            before = {change.path for change in each.status.changes if change.untracked}
            new = [path for path in index.others() if path not in before]
            own = own_files(each.layout, new, keep=False).paths
            paths += [place + path for path in new if path not in own]
        return paths

    def edited(self) -> list[bytes]:
        """Return the paths that changed before the run started, without files that our own output goes to."""
        return self._foreign(self.changed())

    def since_snapshot(self) -> list[bytes]:
        """Return the paths that changed or appeared before the run started."""
        return self._foreign([*self.changed(), *self.new()])

    def _foreign(self, paths: list[bytes]) -> list[bytes]:
        layout = self._snapshots[0][1].layout
        messages = [os.fstat(number) for number in (1, 2) if _is_open(number)]
        return [path for path in paths if not any(_is_file(layout.toplevel + b"/" + path, each) for each in messages)]

    def _require_work_tree(self) -> None:
        layout = self._snapshots[0][1].layout
        if not os.path.isdir(layout.toplevel):
            raise CodeRepoError(f"the work tree '{os.fsdecode(layout.toplevel)}' no longer exists")


def refuse_changes(paths: Sequence[bytes], when: str) -> None:
    """Raise NotReproducible if `paths`, which changed before the run started, is not empty."""
    if not paths:
        return
    names = ", ".join(f"'{os.fsdecode(path)}'" for path in paths[:5])
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    raise NotReproducible(
        f"the checkout changed {when}: {names}{more}; nothing was run",
        hints=["run it again when nothing writes to the checkout", "or leave a log out: git coderepo ignore PATH"],
    )


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _is_file(path: bytes, facts: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), facts)
    except OSError:
        return False
