"""Plan the fetch of RUN, as the verbs of a runner take it: a run or a revision."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from git_coderepo.errors import InvalidManifest, UnknownRun
from git_coderepo.fetching.plan import (
    FetchPlan,
    NamedPublishedRun,
    Runner,
    directory_named,
    named_published_run,
    named_revision,
    plan_manifest,
    plan_published,
    plan_revision,
    platform_named,
)
from git_coderepo.runs.find import find_on_platform, find_run


class FetchRequest(NamedTuple):
    """What the user asks a fetch for.

    `run` is a manifest's path, `-` for standard input, a recorded run, `NAME@run:RUN` for a published one,
    or `NAME@REVISION[:PATH]`. `overlay` names files
    with overlays, `code_repository` the registration, remote or URL to ask instead of the recorded one, and
    `subdirectory` the one directory to keep, from the root. With `submodules` False, the submodules of a revision stay
    empty; a manifest lists its own.
    """

    run: str
    overlay: str | Sequence[str] | None = None
    code_repository: str | None = None
    subdirectory: str | None = None
    submodules: bool = True


def plan_fetch(request: FetchRequest, runner: Runner) -> FetchPlan:
    """Return the plan for a request.

    Raises InvalidManifest, UnknownRun, UsageError, RegistrationError, and what a platform raises that is asked for a
    commit or its tree.
    """
    run, code_repository = request.run, request.code_repository
    keep = directory_named(request.subdirectory)
    elsewhere = named_published_run(run, runner.settings)
    if elsewhere is not None:
        return _plan_published_run(elsewhere, runner, keep)
    named = named_revision(run, runner.settings)
    if named is not None:
        return plan_revision(named, runner, keep=keep, submodules=request.submodules)
    try:
        found = find_run(run, runner.git, code_repository, notify=runner.notify)
    except InvalidManifest as error:
        if os.path.exists(run):
            hint = f"git coderepo validate {run} lists all errors"
            raise error.replace(hints=[*error.hints, hint]) from error
        raise
    manifest = found.named.manifest
    if found.platform is not None and found.commit is not None:
        return plan_published(manifest, found.platform, found.commit, runner, keep)
    plan = plan_manifest(
        manifest,
        runner,
        folder=found.named.folder,
        overlay=request.overlay,
        code_repository=code_repository,
        keep=keep,
    )
    return plan._replace(manifest_path=found.named.path)


def _plan_published_run(named: NamedPublishedRun, runner: Runner, keep: bytes) -> FetchPlan:
    platform = platform_named(named.name, runner)
    found = find_on_platform(platform, runner.git, named.run)
    if found is None or found.commit is None:
        raise UnknownRun(
            f"no published run '{named.run}' on '{platform.name}'",
            hints=["list the published runs in a clone: git coderepo log --remote"],
        )
    return plan_published(found.named.manifest, platform, found.commit, runner, keep)
