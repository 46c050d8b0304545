"""Find which files of its declared outputs (`--output`, `outputs()`) a run wrote."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.filesystem.paths import is_within
from git_coderepo.manifest.writer import path_value
from git_coderepo.snapshots.snapshot import Snapshot
from git_coderepo.snapshots.submodules import snapshots_in

# The kernel's clock for file times lags by up to 10 ms (one tick at 100 Hz).
_TICK = 10_000_000


class MadeOutputs(NamedTuple):
    """The declared outputs after a run, by the paths under which they are recorded.

    `files` are entries of the result: path, sha256 and size of each file that is new or changed. `missing` are the
    paths that do not exist, `untouched` those without a new or changed file, `unread` (path, reason) those that cannot
    be read.
    """

    files: list[dict[str, object]]
    missing: tuple[bytes, ...] = ()
    untouched: tuple[bytes, ...] = ()
    unread: tuple[tuple[bytes, str], ...] = ()


class DeclaredOutputs:
    """The declared outputs of a run; paths are absolute and raw.

    A file counts as written by the run if it is new, or if its size, times or inode differ from before. For a path that
    is declared during the run, a file counts if it changed since the run began.
    """

    def __init__(self) -> None:
        self._began = time.time_ns()
        self._before: dict[bytes, dict[bytes, tuple[int, ...]]] = {}

    def look(self, paths: Iterable[bytes]) -> None:
        """Note which files exist before the run starts."""
        for path in paths:
            self._before[path] = {each: facts for each in _files(path) if (facts := _facts(each)) is not None}
        self._began = time.time_ns()

    def made(self, outputs: Sequence[tuple[bytes, bytes]]) -> MadeOutputs:
        """Return the files that the run wrote at `outputs`, each a pair (path to record, path to read)."""
        files: list[dict[str, object]] = []
        missing, untouched, unread = [], [], []
        for shown, path in outputs:
            if not os.path.lexists(path):
                missing.append(shown)
                continue
            before = self._before.get(path)
            count = len(files)
            for each in _files(path):
                name = shown + each[len(path) :]
                facts = _facts(each)
                if facts is None or not self._is_made(facts, each, before):
                    continue
                try:
                    digest, size = _digest(each)
                except OSError as error:
                    unread.append((name, (error.strerror or str(error)).lower()))
                    continue
                files.append({"path": path_value(name), "sha256": digest, "size": size})
            if len(files) == count:
                untouched.append(shown)
        unread_paths = {name for name, _ in unread}
        return MadeOutputs(
            files,
            tuple(missing),
            tuple(each for each in untouched if not any(is_within(name, each) for name in unread_paths)),
            tuple(unread),
        )

    def _is_made(self, facts: tuple[int, ...], path: bytes, before: dict[bytes, tuple[int, ...]] | None) -> bool:
        if before is not None:
            return before.get(path) != facts
        return max(facts[:2]) >= self._began - _TICK


def travelling_outputs(snapshot: Snapshot, declared: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Return the declared outputs of earlier runs that are untracked files, and so become part of the snapshot.

    Keys are the declared paths (absolute), values paths from the checkout's root.
    """
    travelling: dict[bytes, list[bytes]] = {}
    paths = list(declared)
    for place, each in [(b"", snapshot), *snapshots_in(snapshot)] if paths else ():
        for change in each.changes:
            if change.untracked and change.worktree != "D":
                absolute = os.path.join(each.layout.toplevel, change.path)
                for path in paths:
                    if is_within(absolute, os.path.realpath(path)):
                        travelling.setdefault(path, []).append(place + change.path)
                        break
    return travelling


def without_outputs(snapshot: Snapshot, edited: Iterable[bytes], declared: Sequence[bytes]) -> list[bytes]:
    """Return the edited paths (from the checkout's root) that are code and not outputs.

    An output is an untracked file at or below a declared path, or a tracked file that is declared by its own path.
    """
    outputs = {path for paths in travelling_outputs(snapshot, declared).values() for path in paths}
    exact = {os.path.realpath(path) for path in declared}
    top = snapshot.layout.toplevel
    return [path for path in edited if path not in outputs and os.path.join(top, path) not in exact]


def _files(path: bytes) -> Iterator[bytes]:
    """Yield a file, or every file below a folder, sorted by name."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            yield os.path.join(folder, name)


def _facts(path: bytes) -> tuple[int, ...] | None:
    """Return times, size and inode of a file and of its link's target; None if it is not a file."""
    try:
        itself = os.lstat(path)
        if not os.path.isfile(path):
            return None
        target = os.stat(path)
    except OSError:
        return None
    return tuple(
        number
        for facts in (target, itself)
        for number in (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino, facts.st_dev)
    )


def _digest(path: bytes) -> tuple[str, int]:
    """Return (sha256 in hex, size) of a file. Raises OSError."""
    with open(path, "rb") as file:
        return sha256_of(file), file.tell()
