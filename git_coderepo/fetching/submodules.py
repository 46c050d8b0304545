"""Where a submodule's files go on a runner: into the empty directory that stands for it in its superproject's tree."""

from __future__ import annotations

import os

from git_coderepo.errors import CodeRepoError, InvalidManifest
from git_coderepo.filesystem.directories import OPEN_DIRECTORY, Directories, Root, remove_tree, unusable
from git_coderepo.filesystem.paths import quoted
from git_coderepo.manifest.model import Code, Submodule


class SubmodulePlace:
    """The directory at the raw `path` below `outer`, in which the superproject's tree is proved and complete.

    A context manager. Nothing is reached through a link: the tree has a gitlink at that path, so that the writer made
    every directory on the way itself, and each is opened below the one before it.
    """

    def __init__(self, outer: Root, path: bytes) -> None:
        self._outer = outer
        self._path = path
        self._opened = -1

    def __enter__(self) -> SubmodulePlace:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened >= 0:
            os.close(self._opened)
            self._opened = -1

    def fresh(self) -> int:
        """A descriptor of the directory, which is empty; good until the next call. Raises TargetUnusable."""
        folder, _, name = self._path.rpartition(b"/")
        try:
            with Directories(self._outer) as directories:
                parent = directories.open(folder)
                if self._opened >= 0:
                    os.close(self._opened)
                    self._opened = -1
                    remove_tree(name, parent=parent)
                    os.mkdir(name, dir_fd=parent)
                self._opened = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
        except OSError as error:
            raise unusable(error, self._path) from None
        return self._opened


def check_submodule(submodule: Submodule, outer: Code) -> Code:
    """The code of a submodule that was recorded with a work tree, held to what is said of it beside.

    Its HEAD is the gitlink, which the superproject's tree id proves, and a clean one is its HEAD's tree. Raises
    InvalidManifest.
    """
    code, name = submodule.code, quoted(submodule.path)
    if code is None or code.head is None or code.head.commit != submodule.commit:
        raise InvalidManifest(f"the submodule {name} is at {submodule.commit}, but its code is another commit's")
    if code.object_format != outer.object_format:
        raise InvalidManifest(f"the submodule {name} has other ids than its superproject")
    if not code.dirty and code.scope is None and code.snapshot_tree != code.head.tree:
        raise InvalidManifest(f"the submodule {name} is clean, but its tree is not its commit's")
    return code


def said_of(error: CodeRepoError, path: bytes) -> CodeRepoError:
    """The same error, said of the submodule at that raw path."""
    error.message = f"the submodule {quoted(path)}: {error.message}"
    error.args = (error.message,)
    return error
