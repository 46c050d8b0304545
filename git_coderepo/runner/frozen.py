"""A run in a read-only copy of its own snapshot, so that one may go on editing while it runs or waits in a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from git_coderepo.errors import TargetUnusable
from git_coderepo.manifest.model import Manifest
from git_coderepo.record.process import Place
from git_coderepo.record.recording import Recording
from git_coderepo.runner.cache import Cache
from git_coderepo.runner.cached import CacheRules, cached_tree
from git_coderepo.runner.cacheplace import cache_place
from git_coderepo.runner.execution import python_path, working_directory
from git_coderepo.runner.order import order_by_manifest
from git_coderepo.settings import runner_settings


@contextmanager
def frozen_place(running: Recording, *, notify: Callable[[str], None]) -> Iterator[Place]:
    """The tree of a run that was just recorded, in the cache, held for as long as its command runs.

    It is made of the objects that are here: the platform is asked for nothing. Raises what `fetch` raises.
    """
    settings = runner_settings(running.git)
    manifest = Manifest.parse(running.record.data)
    order = order_by_manifest(manifest, running.git, settings)
    cache = Cache(cache_place(settings, notify=notify), notify=notify)
    entry, _ = cached_tree(order.wanted, cache, CacheRules())
    with entry:
        try:
            directory = working_directory(entry.tree, manifest.run.directory, make=False)
        except TargetUnusable as error:
            error.hints = ("start it in a directory that holds code",)
            raise
        variables = {
            "PYTHONPATH": python_path(entry.tree, directory, running.environment),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        yield Place(directory, variables, (entry.descriptor,))
