"""Resolve RUN in every verb: a manifest's path, `-`, a recorded run, or a run published on the platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError, UnknownRun
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.registration.resolve import source_here
from git_coderepo.runs.resolve import NamedRun, named_run


class FoundRun(NamedTuple):
    """A run that RUN named; `platform` and `commit` are where it was found published, None for one that is here."""

    named: NamedRun
    platform: BaseCodeRepository | None = None
    commit: ObjectId | None = None


def find_run(word: str, git: Git, code_repository: str | None = None) -> FoundRun:
    """Return the run that RUN names: one recorded here, else one published on this checkout's code repository.

    `code_repository` names another place to look for published ones. Raises InvalidManifest, UnknownRun.
    """
    try:
        return FoundRun(named_run(word, git))
    except UnknownRun as error:
        if word.startswith("@"):
            raise  # the last runs are those of this record
        unknown = error
    try:
        from git_coderepo.stores.published import find_published

        source = source_here(git, code_repository)
        platform = source.platform()
        found = find_published(platform, git, word)
    except UnknownRun:
        raise
    except CodeRepoError as error:
        raise _also(unknown, f"cannot tell whether it is published: {error.message}", hints=error.hints) from None
    if found is None:
        raise _also(
            unknown, f"it is not published on '{source.registration.name}'", hints=["git coderepo log --remote"]
        )
    return FoundRun(NamedRun(found.manifest, None), platform, found.commit)


def _also(unknown: UnknownRun, text: str, *, hints: Sequence[str]) -> UnknownRun:
    return UnknownRun(f"{unknown.message}; {text}", hints=[*unknown.hints, *hints])
