"""A platform's archive of a commit: one request, read as it streams in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from git_coderepo.errors import MethodUnavailable
from git_coderepo.fetching.sources.ahead import Ahead
from git_coderepo.fetching.sources.delivery import BaseRequest, Counted, Delivery
from git_coderepo.git.subtree import inside
from git_coderepo.manifest.entries import Entry
from git_coderepo.manifest.tar import TarReader


@contextmanager
def archive_method(request: BaseRequest) -> Iterator[Delivery]:
    """One archive in one request, read as it streams in."""
    archive = request.platform.open_archive(request.commit, request.part or request.asked)
    if archive is None:
        raise MethodUnavailable(f"the platform '{request.platform.type}' gives no archive here")
    with archive, _reading_ahead(archive.stream) as ahead:
        counted = Counted(archive.stream)
        reader = TarReader(counted, top_directory=archive.top_directory, limits=request.limits, ahead=ahead)
        entries: Iterator[Entry] = reader
        if request.part and archive.path != request.part:
            entries = _below(reader, request.part)
        elif request.part:
            entries = _with_or_without_prefix(reader, request.part)
        elif request.scope:
            holds = inside(request.scope)
            entries = (entry for entry in reader if holds(entry.path))
        yield Delivery(entries, lambda: counted.received)


@contextmanager
def _reading_ahead(stream: BinaryIO) -> Iterator[Callable[[Iterator[bytes]], Iterator[bytes]]]:
    """In another thread where that can be told to stop: a custom class's stream may know no such thing."""
    abandon = getattr(stream, "abandon", None)
    if abandon is None:
        yield iter
        return
    with Ahead(abandon) as ahead:
        yield ahead.blocks


def _below(entries: Iterator[Entry], part: bytes) -> Iterator[Entry]:
    """The entries below a directory, named from there."""
    prefix = part + b"/"
    for entry in entries:
        if entry.path.startswith(prefix):
            yield Entry(entry.path[len(prefix) :], entry.mode, entry.size, entry.contents)


def _with_or_without_prefix(entries: Iterator[Entry], part: bytes) -> Iterator[Entry]:
    """Entries of an archive of one directory, whichever way the platform names them: from the root or from there."""
    prefix = part + b"/"
    for entry in entries:
        path = entry.path[len(prefix) :] if entry.path.startswith(prefix) else entry.path
        if path and not part.startswith(entry.path):
            yield Entry(path, entry.mode, entry.size, entry.contents)
