"""Check whether a platform's archive of a tree would have other files or other bytes than the tree.

`git archive` leaves out and converts by the tree's own attributes: https://git-scm.com/docs/git-archive#ATTRIBUTES.
A platform has no commands for filters, so filters change nothing in its archives.
"""

from __future__ import annotations

import os
import stat
import sys

from git_coderepo.errors import CodeRepoError
from git_coderepo.git.attributes.conversion import CLEANING, Conversion
from git_coderepo.git.attributes.rules import Attributes
from git_coderepo.git.objects import ObjectId, blob_id
from git_coderepo.git.partial_clone import rows_here
from git_coderepo.git.process import read_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.settings import Settings

_EXPORT = frozenset((b"export-ignore", b"export-subst"))
# More files are not read to find out what an archive makes of them.
_READ = 200
_READ_BYTES = 16 << 20


def differs_in_archive(git: Git, listing: bytes, texts: Mapping[bytes, bytes]) -> bool:
    """Return whether an archive of a tree differs from it.

    `listing` has all rows of `ls-tree -r -z`, `texts` the contents of its attributes files by their directories. True
    if that is not known: runners use git first then, which is never wrong.
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


# --- What a tree's `.gitattributes` mean for an archive of it --------------------------------------------------------

# Attributes by which a file in the work tree differs from what Git stores.
CONVERTING = frozenset((b"filter", b"eol", b"ident", b"working-tree-encoding"))
_LARGEST = 1 << 20
_ETC = b"/etc/gitattributes"
_PROGRAM_FOLDERS = ("/bin", "/lib/git-core", "/libexec/git-core")
_ATTRIBUTES_NAME = b".gitattributes\0"


def attribute_files(listing: bytes) -> list[tuple[bytes, str]]:
    """Return (path, blob id) of each `.gitattributes` in the output of `ls-tree -r -z`, without parsing every row."""
    files = []
    start = 0
    while (at := listing.find(_ATTRIBUTES_NAME, start)) >= 0:
        start = at + len(_ATTRIBUTES_NAME)
        row = listing[listing.rfind(b"\0", 0, at) + 1 : start - 1]
        facts, _, path = row.partition(b"\t")
        mode, kind, id = facts.split(b" ")
        if path.rpartition(b"/")[2] == b".gitattributes" and kind == b"blob" and mode != b"120000":
            files.append((path, id.decode()))
    return files


def attributes_here(git: Git, settings: Settings, tree: ObjectId, listing: bytes) -> bytes:
    """Return the rows of a tree's listing whose objects are here: a partial clone may lack attributes files."""
    return rows_here(git, settings, tree.hex, listing) if attribute_files(listing) else listing


def attribute_texts(git: Git, toplevel: bytes, listing: bytes) -> dict[bytes, bytes]:
    """Return the contents of each `.gitattributes` in the bytes of `ls-tree -r -z`, by its directory."""
    files = attribute_files(listing)
    contents = attribute_contents(git, toplevel, files)
    return {path.rpartition(b"/")[0]: text for (path, _), text in zip(files, contents, strict=True)}


def system_attribute_files(environment: Mapping[str, str]) -> list[bytes] | None:
    """Return the possible paths of the system attributes file; None if they cannot be derived from git's location.

    git is built with `/etc` for the prefix `/usr`, else with `etc` below its prefix (`sysconfdir` in git's Makefile),
    and distributions that put it elsewhere build it with `/etc`. No process is started, as `git var GIT_ATTR_SYSTEM`
    would be.
    """
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    program = next((path for folder in folders if os.access(path := os.path.join(folder, "git"), os.X_OK)), None)
    if program is None or sys.platform != "linux":
        return None  # Apple's git starts another one
    program = os.path.realpath(program)
    with open(program, "rb", buffering=0) as file:
        if file.read(2) == b"#!":
            return None  # it starts another one
    folder = os.path.dirname(program)
    prefix = next((folder.removesuffix(end) for end in _PROGRAM_FOLDERS if folder.endswith(end)), None)
    if prefix is None:
        return None
    return [_ETC] if prefix in ("", "/usr") else [_ETC, os.fsencode(prefix) + b"/etc/gitattributes"]


def outside_texts(layout: Layout, settings: Settings) -> list[bytes]:
    """Return the contents of the attributes files outside the tree that convert some path.

    https://git-scm.com/docs/gitattributes#_description: the repository's own, the user's, the system's.
    """
    environment = settings.environment
    home, named = environment.get("HOME", ""), settings.value("core", "attributesFile")
    if named is None:
        named = (environment.get("XDG_CONFIG_HOME") or home + "/.config") + "/git/attributes"
    elif named.startswith("~"):
        named = home + named[1:] if named.startswith("~/") else os.path.expanduser(named)
    files = [layout.common_dir + b"/info/attributes", os.path.join(layout.toplevel, os.fsencode(named))]
    if not environment.get("GIT_ATTR_NOSYSTEM"):
        files += system_attribute_files(environment) or [_ETC]
    found = []
    for path in files:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # git does not read it either
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            continue
        with open(descriptor, "rb") as file:
            contents = file.read()
        if any(name in CONVERTING for name, _ in words_of([contents])) or taken_back([contents]):
            found.append(contents)
    return found


def taken_back(contents: Iterable[bytes]) -> set[bytes]:
    """Return the converting attributes that these files unset for some paths: `-filter`, `!eol`, `binary`."""
    found = set()
    for file in contents:
        for word in _attribute_words(file):
            name = b"text" if word == b"binary" else word[1:] if word.startswith((b"-", b"!")) else b""
            if name in CONVERTING or name == b"text":
                found.add(name)
    return found


def words_of(contents: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, value) of each attribute that these files set; the value is b"" if the attribute has none."""
    for file in contents:
        for word in _attribute_words(file):
            if not word.startswith((b"-", b"!")):
                name, _, value = word.partition(b"=")
                yield name, value


def attribute_contents(git: Git, toplevel: bytes, files: Sequence[tuple[bytes, str]]) -> list[bytes]:
    """Return the contents of these files (path, blob id), in their order.

    The work tree mostly has them: a file that hashes to the id is the blob, which saves a process.
    """
    known = {id: contents for path, id in files if (contents := _file_of(toplevel + b"/" + path, id)) is not None}
    missing = sorted({id for _, id in files}.difference(known))
    known.update((id, source.read(size)) for id, size, source in read_blobs(git, missing))
    return [known[id] for _, id in files]


def _file_of(path: bytes, id: str) -> bytes | None:
    """Return the contents of a file in the work tree; None if they are not those of the blob."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)  # a directory, say, that Python makes no file of
        return None
    with open(descriptor, "rb") as file:
        contents = file.read(_LARGEST + 1)
    same = len(contents) <= _LARGEST and blob_id(contents, ObjectId(id).object_format).hex() == id
    return contents if same else None


def gitlinks(listing: bytes) -> list[tuple[bytes, str]]:
    """Return (path, commit id) of each submodule in the output of `ls-tree -r -z`."""
    if b"160000 commit " not in listing:
        return []
    rows = (row.partition(b"\t") for row in listing.split(b"\0") if row.startswith(b"160000 commit "))
    return [(path, facts.split(b" ")[2].decode()) for facts, _, path in rows]


def alters_archive(contents: Iterable[bytes]) -> bool:
    """Return whether one of these `.gitattributes` files could make an archive differ from its tree.

    A filter cannot: no platform has its command.
    """
    return any(_alters(word) for file in contents for word in _attribute_words(file))


def lfs_attributes(texts: Mapping[bytes, bytes]) -> Attributes | None:
    """Return the attributes of a tree with these files, by directory; None if none gives a path to Git LFS."""
    uses_lfs = any(word == b"filter=lfs" for file in texts.values() for word in _attribute_words(file))
    return Attributes(texts) if uses_lfs else None


def _attribute_words(contents: bytes) -> Iterable[bytes]:
    """Yield the words after the pattern of each line; a pattern with a space costs no more than a `git fetch`."""
    for line in contents.splitlines():
        words = line.split()
        if words and not words[0].startswith(b"#"):
            yield from words[1:]


def _alters(word: bytes) -> bool:
    if word.startswith((b"-", b"!")):
        return False
    name, _, value = word.partition(b"=")
    return (
        name in (b"export-ignore", b"export-subst", b"ident", b"working-tree-encoding")
        or (name in (b"eol", b"crlf") and value not in (b"lf", b"input"))
        # An attribute macro's own name says nothing; what it stands for is in its `[attr]` line, read as any other.
    )
