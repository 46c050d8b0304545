"""Run a command in a read-only copy of its snapshot, so that the checkout can be edited meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from git_coderepo.errors import TargetUnusable
from git_coderepo.fetching.cache.cached_fetch import cached_tree, open_cache
from git_coderepo.fetching.fetch import FetchOptions
from git_coderepo.fetching.plan import Runner, plan_manifest
from git_coderepo.launch.command_environment import python_path, working_directory
from git_coderepo.launch.run_directory import RunDirectory
from git_coderepo.manifest.model import Manifest
from git_coderepo.runs.command import CommandContext
from git_coderepo.runs.lifecycle import Recording
from git_coderepo.settings import runner_settings


@contextmanager
def frozen_place(running: Recording, *, notify: Callable[[str], None]) -> Iterator[CommandContext]:
    """Put the tree of a run that was just recorded into the cache, and keep it there while its command runs.

    The tree is made from local objects, without the platform. Raises what `fetch` raises.
    """
    settings = runner_settings(running.git)
    manifest = Manifest.parse(running.record.data)
    plan = plan_manifest(manifest, Runner(running.git, settings, notify))
    cache = open_cache(settings, notify=notify)
    cached = cached_tree(plan.root, cache, FetchOptions())
    with RunDirectory(plan.root, cache, cached, notify=notify) as place:
        try:
            directory = working_directory(place.tree, manifest.run.directory, make=False)
        except TargetUnusable as error:
            raise error.replace(hints=["start it in a directory that holds code"]) from None
        variables = {
            "PYTHONPATH": python_path(place.tree, directory, running.environment, notify=notify),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        notify(place.describe(directory, advice="write outputs elsewhere"))
        yield CommandContext(directory, variables, (place.descriptor,))
        place.report()
