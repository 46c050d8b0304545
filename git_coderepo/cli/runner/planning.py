"""The first steps of each verb that takes RUN: plan the fetch and report which commit RUN is."""

from __future__ import annotations

import os

from git_coderepo.cli import output
from git_coderepo.errors import UsageError
from git_coderepo.fetching.plan import FetchPlan, Runner
from git_coderepo.git.process import Git
from git_coderepo.manifest.output_file import OutputFile
from git_coderepo.runs.plan_fetch import FetchRequest, plan_fetch
from git_coderepo.settings import runner_settings
from git_coderepo.trace import silent


def plan_request(
    request: FetchRequest, *, receipt: OutputFile | None = None, quiet: bool = False
) -> tuple[Runner, FetchPlan]:
    """Return this machine as a runner, and its plan for a request.

    Messages for people, such as the full id of the commit that a branch named, go to standard error unless `quiet`.
    Raises UsageError if `receipt` would replace a file that the fetch reads, and what `plan_fetch` raises.
    """
    git = Git()
    runner = Runner(git, runner_settings(git), silent if quiet else output.say)
    plan = plan_fetch(request, runner)
    if plan.resolved is not None:
        revision, commit = plan.resolved
        runner.notify(f"'{revision}' is commit {commit}")
    if receipt is not None:
        _refuse_input(receipt, plan)
    return runner, plan


def _refuse_input(receipt: OutputFile, plan: FetchPlan) -> None:
    """Raise UsageError if the receipt would replace the manifest or an overlay that is read."""
    for path in (plan.manifest_path, *plan.overlay_paths, *plan.lfs_paths):
        if path is not None and os.path.realpath(path) == receipt.path:
            name = os.fsdecode(receipt.name)
            raise UsageError(f"cannot write the receipt to '{name}': it is the manifest or an overlay")
