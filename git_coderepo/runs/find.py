"""RUN, as people name it: a manifest's path, `-`, or a run of the record."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError, GitNotFound, NotACheckout, UnknownRun
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git
from git_coderepo.git.repository import Layout, read_layout, start_layout
from git_coderepo.git.store import overlay_name
from git_coderepo.manifest.model import Manifest
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.registration.resolve import source_here
from git_coderepo.runs.history import RecordedRun, id_of_run
from git_coderepo.runs.record_files import Runs
from git_coderepo.runs.result import Result
from git_coderepo.stores.published_commit import is_published
from git_coderepo.trace import silent


class NamedRun(NamedTuple):
    """What RUN named: a manifest and where it was read from; `path` is None for standard input."""

    manifest: Manifest
    path: bytes | None

    @property
    def folder(self) -> bytes | None:
        """The folder that may hold its overlay: for a link to a manifest, the link's or else the manifest's."""
        if self.path is None:
            return None
        beside = os.path.dirname(os.path.abspath(self.path))
        target = os.path.dirname(os.path.realpath(self.path))
        if not os.path.islink(self.path) or target == os.path.realpath(beside):
            return beside
        tars = [tar for _, code in self.manifest.code.codes() for tar in (code.overlay, code.lfs) if tar is not None]
        is_here = any(os.path.lexists(os.path.join(beside, overlay_name(tar.sha256))) for tar in tars)
        return beside if is_here else target


def runs_here(git: Git) -> tuple[Runs, Layout]:
    """The record of the repository that `git` stands in, a bare one too. Raises NotACheckout."""
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    return Runs(layout), layout


def named_run(word: str, git: Git) -> NamedRun:
    """The manifest that RUN names: `-`, a file's path, or a run of this repository's record.

    Raises InvalidManifest, UnknownRun.
    """
    if is_manifest_path(word):
        return NamedRun(Manifest.load(word), None if word == "-" else os.fsencode(word))
    try:
        runs, _ = runs_here(git)
    except (NotACheckout, GitNotFound):
        return NamedRun(Manifest.load(word), os.fsencode(word))  # a path, then, even if nothing is there
    path = runs.path_of(id_of_run(runs, word))
    return NamedRun(Manifest.load(os.fsdecode(path)), path)


def is_manifest_path(word: str) -> bool:
    """Whether RUN can only be a path: what looks like one, or a file that is there."""
    if word == "-" or "/" in word or word.endswith(".json"):
        return True
    return os.path.exists(word) and not os.path.isdir(word)


def recorded_run(named: NamedRun) -> RecordedRun | None:
    """Return the run of a manifest that lies in a record, with its result; None for a manifest anywhere else."""
    name = named.manifest.run.id.encode() + b".json"
    if named.path is None or os.path.basename(named.path) != name:
        return None
    result = Result.load(named.path.removesuffix(b".json") + b".result.json")
    return RecordedRun(named.manifest, named.path, result, is_published(named.manifest, named.path))


# --- Resolve RUN in every verb ---------------------------------------------------------------------------------------


class FoundRun(NamedTuple):
    """A run that RUN named; `platform` and `commit` are where it was found published, None for one that is here."""

    named: NamedRun
    platform: BaseCodeRepository | None = None
    commit: ObjectId | None = None


def find_run(
    word: str, git: Git, code_repository: str | None = None, *, notify: Callable[[str], None] = silent
) -> FoundRun:
    """Return the run that RUN names: one recorded here, else one published on this checkout's code repository.

    `code_repository` names another place to look for published ones; `notify` receives what the
    platform has to say to people. Raises InvalidManifest, UnknownRun.
    """
    try:
        return FoundRun(named_run(word, git))
    except UnknownRun as error:
        if word.startswith("@"):
            raise  # the last runs are those of this record
        unknown = error
    try:
        source = source_here(git, code_repository)
        platform = source.platform(notify=notify)
        from git_coderepo.stores.published_runs import find_published  # asks the platform: RUN is mostly here

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
