"""The sources in the order in which they are tried; command line, engine, manual and receipt use this table.

To add one, write its module with a `SOURCE`, and name both here.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.fetching.planned_tree import PlannedTree
    from git_coderepo.fetching.sources.source import Source

# The module by the word that `--method` takes and the receipt records; a module is imported when it is needed.
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
# A receipt may also name a tree that is entirely in its overlay, and one from the cache.
RECORDED = (*SOURCES, "overlay", "cache")


def source(name: str) -> Source:
    """Return the source of that name. Raises KeyError for another one."""
    found: Source = importlib.import_module(SOURCES[name]).SOURCE
    return found


def sources_to_try(planned: PlannedTree, method: str) -> list[Source]:
    """Return the sources to try for a tree, in order; only the one that `method` names, unless that is `auto`.

    If attributes alter the archives of a tree, git comes before the archive.
    """
    if method != AUTO:
        return [source(method)]
    found = [each for each in map(source, SOURCES) if each.applies_to(planned)]
    archive = source("archive")
    if archive in found and not planned.archive_exact:
        found.remove(archive)
        found.insert(found.index(source("git")) + 1, archive)
    of_base = [each for each in found if each.gives_base]
    if planned.problem is not None:  # each of them would fail with it
        found = [each for each in found if each not in of_base[1:]]
    return found
