"""Find the objects that a partial clone lacks, without fetching them.

https://git-scm.com/docs/partial-clone
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.settings import Settings


def is_partial(settings: Settings) -> bool:
    """Return whether the repository is a partial clone."""
    return settings.value("extensions", "partialClone") is not None or any(
        entry.section == "remote" and entry.name == "promisor" for entry in settings.entries
    )


def missing_objects(git: Git, tree: str) -> frozenset[str]:
    """Return the ids (hex) of the trees and blobs of `tree` (hex) that are not here. Raises GitFailed."""
    output = git.run("rev-list", "--objects", "--no-object-names", "--missing=print", tree)
    return frozenset(line[1:].decode() for line in output.split(b"\n") if line.startswith(b"?"))


def rows_here(git: Git, settings: Settings, tree: str, listing: bytes) -> bytes:
    """Return the rows of `listing`, from `ls-tree -r -z` of `tree`, whose objects are here. Raises GitFailed."""
    missing = missing_objects(git, tree) if is_partial(settings) else frozenset[str]()
    if not missing:
        return listing
    rows = (row.partition(b"\t") for row in listing.split(b"\0") if row)
    return b"".join(b"%s\t%s\0" % (facts, path) for facts, _, path in rows if facts[12:].decode() not in missing)
