"""The source `archive`: a platform's archive of a commit, read while it is downloaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, ClassVar

from git_coderepo.errors import CodeRepoError, DownloadDamaged, MethodUnavailable, RateLimited
from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.planned_tree import BaseRequest, PlannedTree
from git_coderepo.fetching.sources.entry_stream import CountedStream, EntryStream
from git_coderepo.fetching.sources.read_ahead import Ahead
from git_coderepo.fetching.sources.source import Failure, Result, Source, base_request
from git_coderepo.fetching.sources.tar_reader import TarReader
from git_coderepo.git.subtree import inside
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.transport.retry import TRIES, pause


class PlatformArchive(Source):
    """Get the base from the platform's archive."""

    name: ClassVar = "archive"
    gives_base: ClassVar = True

    def applies_to(self, planned: PlannedTree) -> bool:
        return planned.base is not None or planned.problem is not None

    def stream(self, planned: PlannedTree, limits: Limits) -> AbstractContextManager[EntryStream]:
        return archive_method(base_request(planned, limits))

    def attempted(self, planned: PlannedTree, coming: list[Source], attempt: Callable[[PlannedTree], Result]) -> Result:
        """Download again after an interrupted download.

        If the platform limits archives but not git, git is tried at once, and the archive again after it, with a wait.
        """
        if planned.base is None:
            return attempt(planned)
        platform = planned.base.platform
        hurried = platform.limits_archives and any(each.name == "git" for each in coming)
        asked = planned._replace(base=planned.base._replace(waits=False)) if hurried else planned
        failures = 0
        while True:
            try:
                return attempt(asked)
            except RateLimited as error:
                if hurried:
                    platform.notify(f"warning: {error.message}; trying git first")
                    coming.append(self)
                raise
            except DownloadDamaged as error:
                failures += 1
                if failures == TRIES:
                    raise
                platform.notify(f"warning: {error.message}; downloading it again")
            time.sleep(pause(failures))

    def explained(self, failure: Failure) -> CodeRepoError:
        error = failure.error
        return error.replace(hints=["use --method git"]) if failure.insisted and not error.hints else error


SOURCE = PlatformArchive()


@contextmanager
def archive_method(request: BaseRequest) -> Iterator[EntryStream]:
    """Yield the entries of an archive while it is downloaded. Raises MethodUnavailable, PlatformErrors."""
    platform, path = request.platform, request.part or request.asked
    if isinstance(platform, HostedRepository) and not request.waits:
        archive = platform.open_archive(request.commit, path, max_wait=0)
    else:
        archive = platform.open_archive(request.commit, path)
    if archive is None:
        raise MethodUnavailable(f"the platform '{request.platform.type}' has no archives here")
    with archive, _reading_ahead(archive.stream) as ahead:
        counted = CountedStream(archive.stream)
        reader = TarReader(counted, top_directory=archive.top_directory, limits=request.limits, ahead=ahead)
        entries: Iterator[Entry] = reader
        if request.part and archive.path != request.part:
            entries = _below(reader, request.part)
        elif request.part:
            entries = _with_or_without_prefix(reader, request.part)
        elif request.scope:
            holds = inside(request.scope)
            entries = (entry for entry in reader if holds(entry.path))
        yield EntryStream(entries, lambda: counted.received)


@contextmanager
def _reading_ahead(stream: BinaryIO) -> Iterator[Callable[[Iterator[bytes]], Iterator[bytes]]]:
    """Read in another thread, if the stream can be told to stop; that of a custom class may not."""
    abandon = getattr(stream, "abandon", None)
    if abandon is None:
        yield iter
        return
    with Ahead(abandon) as ahead:
        yield ahead.blocks


def _below(entries: Iterator[Entry], part: bytes) -> Iterator[Entry]:
    """Yield the entries below a directory, with paths from there."""
    prefix = part + b"/"
    for entry in entries:
        if entry.path.startswith(prefix):
            yield Entry(entry.path[len(prefix) :], entry.mode, entry.size, entry.contents)


def _with_or_without_prefix(entries: Iterator[Entry], part: bytes) -> Iterator[Entry]:
    """Yield the entries of an archive of one directory, whether its paths start at the root or at that directory."""
    prefix = part + b"/"
    for entry in entries:
        path = entry.path[len(prefix) :] if entry.path.startswith(prefix) else entry.path
        if path and not part.startswith(entry.path):
            yield Entry(path, entry.mode, entry.size, entry.contents)
