"""Warnings about a snapshot before a run starts, in one sentence each."""

from __future__ import annotations

import os

from git_coderepo.registration.mistyped import mistyped
from git_coderepo.settings import TEAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from git_coderepo.snapshots.not_in_git import Outside
    from git_coderepo.snapshots.snapshot import Imported, Request, Snapshot, Submodule


def remarks(snapshot: Snapshot, request: Request) -> list[str]:
    """Return the warnings before a run: about settings, a scope, content that runners lack, and likely mistakes."""
    return [
        *[each.sentence for each in mistyped(snapshot.settings)],
        *_scope(snapshot, request),
        *outside_sentences(list(outside_of(snapshot.outside, snapshot.submodules))),
        *import_sentences(snapshot.imported, snapshot.layout.toplevel),
        *_mistakes(snapshot),
    ]


def _mistakes(snapshot: Snapshot) -> list[str]:
    """Return a warning for each untracked directory that probably should not travel, once per checkout."""
    if not any(change.untracked and b"/" in change.path for change in snapshot.changes):
        return []
    from git_coderepo.snapshots.tree.likely_mistakes import mistakes

    return mistakes(snapshot.layout, snapshot.unpacked.tree.selection)


def outside_of(
    outside: Sequence[Outside], submodules: Sequence[Submodule], place: bytes = b""
) -> Iterator[tuple[bytes, Outside]]:
    """Yield (directory with a final slash, path) of each item stored outside Git, including submodules."""
    for each in outside:
        yield place, each
    for submodule in submodules:
        if submodule.snapshot is not None:
            inner = submodule.snapshot
            yield from outside_of(inner.outside, inner.submodules, place + submodule.path + b"/")


def outside_sentences(outside: Sequence[tuple[bytes, Outside]]) -> list[str]:
    """Return a sentence for each kind of content that Git does not store."""
    if not outside:
        return []
    from git_coderepo.snapshots.not_in_git import sentences

    return sentences(outside)


def import_sentences(imported: Sequence[Imported], toplevel: bytes) -> list[str]:
    """Return a sentence for each place outside the snapshot that code is imported from."""
    if not imported:
        return []
    from git_coderepo.snapshots.python.imported import sentences

    return sentences(imported, toplevel)


def _scope(snapshot: Snapshot, request: Request) -> list[str]:
    """Name a scope that comes from the settings; one given on the command line needs no mention."""
    if not snapshot.scope or request.scope:
        return []
    entries = [each for each in snapshot.settings.entries if (each.section, each.name) == ("coderepo", "scope")]
    is_team = bool(entries) and entries[-1].scope == TEAM
    where = "'coderepo.scope' in '.coderepo'" if is_team else "'coderepo.scope'"
    if "CODEREPO_SCOPE" in snapshot.settings.environment:
        where = "'CODEREPO_SCOPE'"
    paths = ", ".join(f"'{os.fsdecode(path)}'" for path in snapshot.scope)
    return [f"only {paths} is recorded, because of {where}"]
