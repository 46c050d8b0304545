"""Which sources there are, in the order in which they are tried: command line, engine, manual and receipt ask here.

To add one, write its module, which has a `SOURCE`, and name both here.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.fetching.planned_tree import PlannedTree
    from git_coderepo.fetching.sources.source import Source

# By the word that `--method` takes and the receipt names; each is imported when it is asked for.
SOURCES = {
    "local": "git_coderepo.fetching.sources.local",
    "store": "git_coderepo.fetching.sources.shared_store",
    "archive": "git_coderepo.fetching.sources.archive",
    "git": "git_coderepo.fetching.sources.git",
    "files": "git_coderepo.fetching.sources.files",
    "published": "git_coderepo.fetching.sources.published_run",
}
AUTO = "auto"
METHODS = (AUTO, *SOURCES)
# What a receipt may also name: a tree that travelled whole with its manifest, and one that was in the cache.
RECORDED = (*SOURCES, "overlay", "cache")


def source(name: str) -> Source:
    """Return the source of that name."""
    found: Source = importlib.import_module(SOURCES[name]).SOURCE
    return found


def sources_to_try(planned: PlannedTree, method: str) -> list[Source]:
    """Return the sources to ask for a tree, in their order; the one that `method` names alone, unless that is `auto`.

    Where attributes alter the archives of a tree, git precedes them.
    """
    if method != AUTO:
        return [source(method)]
    found = [each for each in map(source, SOURCES) if each.applies_to(planned)]
    archive = source("archive")
    if archive in found and not planned.archive_exact:
        found.remove(archive)
        found.insert(found.index(source("git")) + 1, archive)
    of_base = [each for each in found if each.gives_base]
    if planned.problem is not None:  # it is the same, whatever is tried
        found = [each for each in found if each not in of_base[1:]]
    return found
