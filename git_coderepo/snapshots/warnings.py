"""Warnings about a snapshot before a run starts, in one sentence each."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from git_coderepo.snapshots.not_in_git import Outside
    from git_coderepo.snapshots.snapshot import Request, Snapshot


def remarks(snapshot: Snapshot, request: Request) -> list[str]:
    """Return what the user should know before a run: what is narrowed, missing on another machine, or too much."""
    return [
        *_scope(snapshot, request),
        *outside_sentences(snapshot),
        *import_sentences(snapshot),
        *_mistakes(snapshot),
    ]


def _mistakes(snapshot: Snapshot) -> list[str]:
    """Return what is named once per checkout of untracked directories that would travel."""
    if not any(change.untracked and b"/" in change.path for change in snapshot.taken):
        return []
    from git_coderepo.snapshots.likely_mistakes import mistakes

    return mistakes(snapshot)


def outside_of(snapshot: Snapshot, place: bytes = b"") -> Iterator[tuple[bytes, Outside]]:
    """Yield (directory with a final slash, path in it) of all that has contents outside Git, in submodules, too."""
    for found in snapshot.outside:
        yield place, found
    for each in snapshot.submodules:
        if each.snapshot is not None:
            yield from outside_of(each.snapshot, place + each.path + b"/")


def outside_sentences(snapshot: Snapshot) -> list[str]:
    """Return a sentence for each kind of content that Git does not store."""
    found = list(outside_of(snapshot))
    if not found:
        return []
    from git_coderepo.snapshots.not_in_git import sentences

    return sentences(found)


def import_sentences(snapshot: Snapshot) -> list[str]:
    """Return a sentence for each place outside the snapshot that code is imported from, where that was looked at."""
    if not snapshot.imported:
        return []
    from git_coderepo.snapshots.python.imported import sentences

    return sentences(snapshot.imported, snapshot.layout.toplevel)


def _scope(snapshot: Snapshot, request: Request) -> list[str]:
    """Name a scope that comes from the settings; one given on the command line needs no mention."""
    if not snapshot.scope or request.scope:
        return []
    from git_coderepo.settings import TEAM

    entries = [each for each in snapshot.settings.entries if (each.section, each.name) == ("coderepo", "scope")]
    is_team = bool(entries) and entries[-1].scope == TEAM
    where = "'coderepo.scope' in '.coderepo'" if is_team else "'coderepo.scope'"
    if "CODEREPO_SCOPE" in snapshot.settings.environment:
        where = "'CODEREPO_SCOPE'"
    paths = ", ".join(f"'{os.fsdecode(path)}'" for path in snapshot.scope)
    return [f"only {paths} is recorded, because of {where}"]
