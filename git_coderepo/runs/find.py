"""Find the manifest that the argument RUN names: a path, `-`, or a run of the record or of the platform."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError, GitNotFound, NoRecord, NotACheckout, UnknownRun
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
    """The manifest that RUN names, and the `path` it was read from, None for standard input."""

    manifest: Manifest
    path: bytes | None

    @property
    def folder(self) -> bytes | None:
        """The folder that may have the overlay: the manifest's; for a link that of the link, or else of its target."""
        if self.path is None:
            return None
        own = os.path.dirname(os.path.abspath(self.path))
        target = os.path.dirname(os.path.realpath(self.path))
        if not os.path.islink(self.path) or target == os.path.realpath(own):
            return own
        tars = [tar for _, code in self.manifest.code.codes() for tar in (code.overlay, code.lfs) if tar is not None]
        is_here = any(os.path.lexists(os.path.join(own, overlay_name(tar.sha256))) for tar in tars)
        return own if is_here else target


def runs_here(git: Git) -> tuple[Runs, Layout]:
    """Return the record of the repository in which `git` starts, which may be bare. Raises NotACheckout."""
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    return Runs(layout), layout


def named_run(word: str, git: Git) -> NamedRun:
    """Return the manifest that RUN names: `-`, a path, or a run in this repository's record.

    Raises InvalidManifest, UnknownRun.
    """
    is_path = is_manifest_path(word)
    if is_path and (word == "-" or os.path.lexists(word)):
        return NamedRun(Manifest.load(word), None if word == "-" else os.fsencode(word))
    try:
        runs, _ = runs_here(git)
        path = runs.path_of(id_of_run(runs, word))
    except (NotACheckout, GitNotFound, UnknownRun) as error:
        if is_path:
            return NamedRun(Manifest.load(word), os.fsencode(word))  # says why the file cannot be read
        if isinstance(error, UnknownRun):
            raise
        reason = "git is not installed" if isinstance(error, GitNotFound) else "this directory is not in a repository"
        raise NoRecord(
            f"unknown run '{word}': {reason}, and no file has this name",
            hints=["give the path of a run manifest, or work in the checkout where the run was recorded"],
        ) from None
    return NamedRun(Manifest.load(os.fsdecode(path)), path)


def is_manifest_path(word: str) -> bool:
    """Return whether RUN is first of all a path: it looks like one, or a file of that name exists."""
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


# --- Runs on the platform, too ---------------------------------------------------------------------------------------


class FoundRun(NamedTuple):
    """The run that RUN names; `platform` and `commit` say where it is published, None for one recorded here."""

    named: NamedRun
    platform: BaseCodeRepository | None = None
    commit: ObjectId | None = None


def find_run(
    word: str, git: Git, code_repository: str | None = None, *, notify: Callable[[str], None] = silent
) -> FoundRun:
    """Return the run that RUN names: one that is recorded here, or else published on the code repository.

    `code_repository` names another one than this checkout's; `notify` receives the platform's messages. Raises
    InvalidManifest, UnknownRun.
    """
    try:
        return FoundRun(named_run(word, git))
    except UnknownRun as error:
        if word.startswith("@") or (isinstance(error, NoRecord) and code_repository is None):
            raise  # `@{-N}` counts the runs of this record
        unknown = error
    try:
        source = source_here(git, code_repository)
        platform = source.platform(notify=notify)
        published = find_on_platform(platform, git, word)
    except UnknownRun:
        raise
    except CodeRepoError as error:
        raise _also(unknown, f"cannot check whether it is published: {error.message}", hints=error.hints) from None
    if published is None:
        raise _also(
            unknown, f"it is not published on '{source.registration.name}'", hints=["git coderepo log --remote"]
        )
    return published


def find_on_platform(platform: BaseCodeRepository, git: Git, word: str) -> FoundRun | None:
    """Return the published run whose id or name is `word`, or None. Raises UnknownRun for an ambiguous id."""
    from git_coderepo.stores.published_runs import find_published  # asks the platform: RUN is mostly here

    published = find_published(platform, git, word)
    return published and FoundRun(NamedRun(published.manifest, None), platform, published.commit)


def _also(unknown: UnknownRun, text: str, *, hints: Sequence[str]) -> UnknownRun:
    return UnknownRun(f"{unknown.message}; {text}", hints=[*unknown.hints, *hints])
