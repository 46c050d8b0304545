"""What was recorded, looked at again while a run goes on: the checkout and each submodule in it."""

from __future__ import annotations

from contextlib import ExitStack

from git_coderepo.checkout.own_files import own_files
from git_coderepo.checkout.scope import pathspecs
from git_coderepo.checkout.status import read_status, start_status
from git_coderepo.checkout.tree import PrivateIndex
from git_coderepo.record.snapshot import UNREADABLE, Snapshot
from git_coderepo.record.submodules import snapshots_in


class Watch:
    """A context manager that knows the snapshot's files by private indexes; paths are raw, from the checkout's root."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshots = [(b"", snapshot), *snapshots_in(snapshot)]
        self._indexes: list[tuple[bytes, PrivateIndex]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Watch:
        with ExitStack() as stack:
            for place, each in self._snapshots:
                assert each.layout is not None and each.store is not None
                index = stack.enter_context(PrivateIndex(each.git, each.layout, each.store, each.looked_at))
                index.drop([path for path, reason in each.omitted if reason == UNREADABLE])
                index.take(each.taken, keep=each.keeps_contents)
                self._indexes.append((place, index))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def changed(self) -> list[bytes]:
        """The paths of the snapshot that are other on the disk now, sorted."""
        return sorted(place + path for place, index in self._indexes for path in index.changed())

    def new(self) -> list[bytes]:
        """The untracked paths that were not there when the snapshot was taken."""
        found = []
        for place, each in self._snapshots:
            assert each.status is not None and each.layout is not None and each.store is not None
            before = {change.path for change in each.status.changes if change.untracked}
            # From the root: who runs in this very process may stand elsewhere by now.
            git = each.git.at(each.layout.toplevel).with_settings(each.store.lfs_setting)
            now = read_status(start_status(git, pathspecs(each.looked_at))).changes
            new = [change.path for change in now if change.untracked and change.path not in before]
            own = own_files(each.layout, new, keep=False).paths
            found += [place + path for path in new if path not in own]
        return found
