"""The source `files`: the download of a custom class, completed with the modes and links that it loses."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import ClassVar

from git_coderepo.errors import CodeRepoError, MethodUnavailable
from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.planned_tree import BaseRequest, PlannedTree
from git_coderepo.fetching.sources.entry_stream import EntryStream
from git_coderepo.fetching.sources.source import Source, base_request
from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.git.objects import EXECUTABLE, FILE, SYMLINK
from git_coderepo.git.subtree import inside

# Larger files are read in pieces.
_WHOLE = 1 << 20


class CustomFiles(Source):
    """Get the base from a custom class that has only `download_files`."""

    name: ClassVar = "files"
    gives_base: ClassVar = True

    def applies_to(self, planned: PlannedTree) -> bool:
        return planned.base is not None and planned.base.platform.needs_special

    def stream(self, planned: PlannedTree, limits: Limits) -> AbstractContextManager[EntryStream]:
        return files_method(base_request(planned, limits))


SOURCE = CustomFiles()


@contextmanager
def files_method(request: BaseRequest) -> Iterator[EntryStream]:
    """Yield the entries that a custom class downloads to a scratch directory. Raises MethodUnavailable."""
    with scratch_directory() as directory:
        part = os.fsdecode(request.part) or None
        try:
            request.platform.download_files(request.commit.hex, directory, part)
        except CodeRepoError:
            raise
        except Exception as error:
            kind = type(request.platform)
            raise MethodUnavailable(
                f"'{kind.__module__}.{kind.__qualname__}.download_files' failed: {type(error).__name__}: {error}"
            ) from error
        holds = inside(request.scope)
        entries = (entry for entry in _disk_entries(os.fsencode(directory), request) if holds(entry.path))
        yield EntryStream(entries, lambda: 0)


def _disk_entries(root: bytes, request: BaseRequest) -> Iterator[Entry]:
    """Yield what a custom class wrote, with the modes and links that the manifest records."""
    prefix = request.part + b"/" if request.part else b""
    special = {path[len(prefix) :]: facts for path, facts in request.special.items() if path.startswith(prefix)}
    for path, (mode, target) in special.items():
        if mode == SYMLINK and target is not None:
            yield Entry(path, SYMLINK, len(target), target)
    for folder, folders, names in os.walk(root):
        # os.walk lists a link to a directory among the directories and does not follow it.
        for name in sorted([*names, *folders]):
            absolute = os.path.join(folder, name)
            path = os.path.relpath(absolute, root)
            mode, target = special.get(path, (0, None))
            if mode == SYMLINK:
                continue
            facts = os.lstat(absolute)
            if stat.S_ISLNK(facts.st_mode):
                contents = os.readlink(absolute)
                yield Entry(path, SYMLINK, len(contents), contents)
            elif stat.S_ISREG(facts.st_mode):
                kept = mode or (EXECUTABLE if facts.st_mode & 0o100 else FILE)
                yield Entry(path, kept, facts.st_size, partial(_file_pieces, absolute))


def _file_pieces(path: bytes) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_WHOLE):
            yield piece
