"""Check the paths of a tree (rule 3 in docs/design/safety.md) as `verify_path` in Git's read-cache.c does everywhere.

Git applies its rules for HFS+ and NTFS by `core.protectHFS` and `core.protectNTFS`; here they always apply, so that a
tree is accepted on every machine or on none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from git_coderepo.errors import UnsafeTree

# Matches nearly every path: no part begins with a dot, and all characters are ordinary.
_ORDINARY = re.compile(rb"(?:[\w +,=@-][\w .+,=@-]*/)*[\w +,=@-][\w .+,=@-]*")

# Code points that HFS+ ignores in names (those that `next_hfs_char` in Git's utf8.c skips).
_HFS_IGNORABLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# Git stops reading a name at an undecodable byte (here a lone surrogate) and at two code points.
_HFS_END = re.compile("[\ud800-\udfff\ufffe\uffff]")

# `.git` and its short name; NTFS drops final dots and spaces, and a colon begins the name of a stream.
_NTFS_GIT = re.compile(rb"(?:\.git|git~1)[. ]*(?:\Z|:)", re.IGNORECASE)
_NTFS_GITMODULES = re.compile(rb"(?:\.gitmodules|gitmod~[1-4])[. ]*(?:\Z|:)", re.IGNORECASE)
# If those four exist, NTFS makes short names from a hash: a part of `gi7eba`, a tilde and a number, eight bytes.
_NTFS_HASHED = re.compile(rb"([^~]{0,6})~[1-9][0-9]*")
_NTFS_END = re.compile(rb"[. ]*(?:\Z|:)")

# Longer than any system accepts in one call (4,096), and short enough to check quickly.
_MOST_BYTES = 1 << 14
# The default of `core.maxTreeDepth` in git 2.43 and later.
_MOST_LEVELS = 2048
_MOST_HOPS = 40  # the limit of Linux
_MOST_STEPS = 20_000_000


def check_path(path: bytes, *, is_link: bool = False) -> None:
    """Raise UnsafeTree unless `path` (raw, from the root, separated by `/`) is safe to write below a target.

    Refused are empty and absolute paths, the parts `.`, `..` and "", NUL, `.git` in any spelling of HFS+ or NTFS, a
    symbolic link (`is_link`) called `.gitmodules`, and more than 2,048 levels.
    """
    if len(path) < 2 * _MOST_LEVELS and _ORDINARY.fullmatch(path):
        return
    _check_shape(path)
    for segment in path.split(b"/"):
        if segment in (b"", b".", b".."):
            raise UnsafeTree(f"the path {quoted(path)} has an empty part, '.' or '..'")
        name = _as_hfs_reads(segment)
        # NTFS also separates names by a backslash, and Git does so in this check.
        if name == b".git" or any(map(_NTFS_GIT.match, segment.split(b"\\"))):
            raise UnsafeTree(f"the path {quoted(path)} enters '.git'")
        if is_link and name == b".gitmodules":
            raise UnsafeTree(f"the path {quoted(path)} is a symbolic link in place of '.gitmodules'")
    if is_link and _has_ntfs_gitmodules(path):
        raise UnsafeTree(f"the path {quoted(path)} is a symbolic link in place of '.gitmodules'")


def _check_shape(path: bytes) -> None:
    if len(path) > _MOST_BYTES:
        raise UnsafeTree(f"a path is longer than {_MOST_BYTES} bytes: {quoted(path)}")
    if path.count(b"/") >= _MOST_LEVELS:
        raise UnsafeTree(f"a path has more than {_MOST_LEVELS} levels: {quoted(path)}")
    if b"\0" in path:
        raise UnsafeTree(f"the path {quoted(path)} contains a NUL byte")
    if not path or path.startswith(b"/"):
        raise UnsafeTree(f"the path {quoted(path)} is {'absolute' if path else 'empty'}")


def _has_ntfs_gitmodules(path: bytes) -> bool:
    """Return whether NTFS reads some part of a path as `.gitmodules`.

    git checks whatever follows a slash or backslash: the name of a stream, after a colon, may contain slashes.
    """
    starts = [0, *(at + 1 for at, byte in enumerate(path) if byte in b"/\\")]
    return any(_is_ntfs_gitmodules(path, start) for start in starts)


def _is_ntfs_gitmodules(path: bytes, start: int) -> bool:
    if _NTFS_GITMODULES.match(path, start):
        return True
    name = path[start : start + 8]
    hashed = _NTFS_HASHED.fullmatch(name) if len(name) == 8 and _NTFS_END.match(path, start + 8) else None
    return hashed is not None and b"gi7eba".startswith(hashed[1].lower())


def _as_hfs_reads(name: bytes) -> bytes:
    if name.isascii():
        return name.lower()
    text = _HFS_END.split(name.decode("utf-8", "surrogateescape"), maxsplit=1)[0]
    return _HFS_IGNORABLE.sub("", text).encode().lower()


def is_within(path: bytes, folder: bytes) -> bool:
    """Return whether a path is this folder or below it."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def quoted(path: bytes) -> str:
    """Return a path for a message: in single quotes, shortened in the middle, without terminal control characters."""
    if len(path) > 400:
        path = path[:200] + "…".encode() + path[-100:]
    text = path.decode("utf-8", "backslashreplace")
    return "'" + "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in text]) + "'"


def links_that_leave(links: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    """Return the symbolic links (path to target) that point outside the tree, directly or through other links.

    Absolute links do. Raises UnsafeTree if resolving the links would take too long.
    """
    leaving = []
    steps = _MOST_STEPS
    for path in links:
        here, _, name = path.rpartition(b"/")
        ahead = [name]
        hops = 0
        while ahead:
            steps -= 1 + len(here) // 256
            if steps < 0:
                raise UnsafeTree("the tree's symbolic links take too long to resolve")
            name = ahead.pop()
            if name == b"..":
                if not here:
                    leaving.append(path)
                    break
                here = here.rpartition(b"/")[0]
            elif name not in (b"", b"."):
                entry = here + b"/" + name if here else name
                target = links.get(entry)
                if target is None:
                    here = entry
                    continue
                hops += 1
                if target.startswith(b"/"):
                    leaving.append(path)
                    break
                if hops > _MOST_HOPS:
                    break
                ahead += target.split(b"/")[::-1]
                steps -= len(target) // 8
    return tuple(sorted(leaving))
