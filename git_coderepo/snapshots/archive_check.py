"""Check whether a platform's archive of a tree would have other files or other bytes than the tree.

`git archive` leaves out and converts by the tree's own attributes: https://git-scm.com/docs/git-archive#ATTRIBUTES.
A platform has no commands for filters, so that a filter changes nothing there.
"""

from __future__ import annotations

from git_coderepo.errors import CodeRepoError
from git_coderepo.git.attributes.conversion import CLEANING, Conversion
from git_coderepo.git.attributes.rules import Attributes
from git_coderepo.git.process import read_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from git_coderepo.git.process import Git

_EXPORT = frozenset((b"export-ignore", b"export-subst"))
# More files are not read to find out what an archive makes of them.
_READ = 200
_READ_BYTES = 16 << 20


def differs_in_archive(git: Git, listing: bytes, texts: Mapping[bytes, bytes]) -> bool:
    """Return whether an archive of a tree differs from it.

    `listing` has all rows of `ls-tree -r -z`, `texts` the contents of its attributes files by their directories. True
    where that is not known: git is asked first then, which is never wrong.
    """
    attributes = Attributes(texts).only(CLEANING | _EXPORT)
    changed = []
    rows = [row.partition(b"\t") for row in listing.split(b"\0") if row]
    for facts, _, path in rows:
        found = attributes.of(path)
        if not found:
            continue
        if found.get(b"export-ignore") is True:
            return True
        if facts.startswith(b"100") and (found.get(b"export-subst") is True or Conversion(found).changes):
            changed.append((path, facts[12:].decode()))
    if _leaves_out_a_directory([path for _, _, path in rows], texts):
        return True
    if len(changed) > _READ:
        return True
    return bool(changed) and _changes_contents(git, attributes, changed)


def _leaves_out_a_directory(paths: Sequence[bytes], texts: Mapping[bytes, bytes]) -> bool:
    """Return whether `export-ignore` names a directory; a pattern for directories alone ends in a slash."""
    attributes = Attributes({directory: _without_slashes(text) for directory, text in texts.items()}).only(_EXPORT)
    if b"export-ignore" not in attributes.names():
        return False
    directories: set[bytes] = set()
    for path in paths:
        directory = path.rpartition(b"/")[0]
        while directory and directory not in directories:
            directories.add(directory)
            directory = directory.rpartition(b"/")[0]
    return any(attributes.of(directory).get(b"export-ignore") is True for directory in directories)


def _without_slashes(text: bytes) -> bytes:
    """Return an attributes file whose patterns for directories are patterns for anything of that name."""
    import re

    return re.sub(rb'(?m)^([ \t]*(?:"(?:[^"\\\n]|\\.)*?|[^"\s]\S*?))/("?[ \t])', rb"\1\2", text)


def _changes_contents(git: Git, attributes: Attributes, rows: Sequence[tuple[bytes, str]]) -> bool:
    """Return whether the attributes change the contents of some (path, blob id) when they are checked out."""
    left = _READ_BYTES
    try:
        blobs = read_blobs(git, [id for _, id in rows])
        for (path, id), (_, size, source) in zip(rows, blobs, strict=True):
            left -= size
            if left < 0:
                return True
            contents = source.read(size)
            found = attributes.of(path)
            if found.get(b"export-subst") is True and b"$Format:" in contents:
                return True
            conversion = Conversion(found)
            if conversion.changes and conversion.checked_out(contents, id) != contents:
                return True
    except (CodeRepoError, ValueError):
        return True  # a partial clone lacks it, or it has no such encoding
    return False
