"""RUN, as the verbs of a runner take it: a run or a revision, and what a fetch needs to know of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from git_coderepo.errors import InvalidManifest
from git_coderepo.fetching.plan import (
    FetchPlan,
    directory_named,
    named_revision,
    plan_manifest,
    plan_published,
    plan_revision,
)
from git_coderepo.git.process import Git
from git_coderepo.runs.find import find_run
from git_coderepo.settings import Settings, runner_settings


def plan_fetch(
    run: str,
    *,
    overlay: str | Sequence[str] | None = None,
    code_repository: str | None = None,
    subdirectory: str | None = None,
    environment: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    submodules: bool = True,
) -> FetchPlan:
    """Read RUN: a manifest's path, `-` for standard input, a run of the record, or `NAME@REVISION[:PATH]`.

    `subdirectory` is the directory that is planned of it, from the root; `settings` are `runner_settings`, where they
    were read already. `submodules` False leaves those of a revision empty; a manifest says itself which there are.

    Raises InvalidManifest, UnknownRun, UsageError, RegistrationError, and what asking a platform for a commit's tree
    raises.
    """
    git = Git(environment=environment)
    settings = runner_settings(git) if settings is None else settings
    keep = directory_named(subdirectory)
    named = named_revision(run, settings)
    if named is not None:
        return plan_revision(named, git, settings, keep=keep, submodules=submodules)
    try:
        found = find_run(run, git, code_repository)
    except InvalidManifest as error:
        if os.path.exists(run):
            hint = f"git coderepo validate {run} lists all that is wrong"
            raise error.replace(hints=[*error.hints, hint]) from error
        raise
    manifest = found.named.manifest
    if found.platform is not None and found.commit is not None:
        return plan_published(manifest, found.platform, found.commit, git, settings, keep)
    plan = plan_manifest(
        manifest,
        git,
        settings,
        folder=found.named.folder,
        overlay=overlay,
        code_repository=code_repository,
        keep=keep,
    )
    return plan._replace(manifest_path=found.named.path)
