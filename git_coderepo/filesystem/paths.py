"""Paths that a tree may have (rule 3 in docs/design/safety.md): those that git's `verify_path` takes on every system.

Git's rules depend on `core.protectHFS` and `core.protectNTFS`; here both always hold, so a tree that one
machine may take in is a tree that every machine may take in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from git_coderepo.errors import UnsafeTree

# The one look that nearly every path costs: no part of it begins with a dot, and nothing in it is odd.
_ORDINARY = re.compile(rb"(?:[\w +,=@-][\w .+,=@-]*/)*[\w +,=@-][\w .+,=@-]*")

# What HFS+ leaves out when it compares names (the code points that `next_hfs_char` in git's utf8.c skips).
_HFS_IGNORABLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# Where git's reading of a name ends: an undecodable byte (a lone surrogate here) and two code points it refuses.
_HFS_END = re.compile("[\ud800-\udfff\ufffe\uffff]")

# `.git` and its short name; NTFS drops dots and spaces at the end, and what follows a colon names a stream.
_NTFS_GIT = re.compile(rb"(?:\.git|git~1)[. ]*(?:\Z|:)", re.IGNORECASE)
_NTFS_GITMODULES = re.compile(rb"(?:\.gitmodules|gitmod~[1-4])[. ]*(?:\Z|:)", re.IGNORECASE)
# The short names NTFS hashes when those four are taken: some of `gi7eba`, a tilde and a number, eight bytes in all.
_NTFS_HASHED = re.compile(rb"([^~]{0,6})~[1-9][0-9]*")
_NTFS_END = re.compile(rb"[. ]*(?:\Z|:)")

# Longer than any system takes in one call (4,096), far shorter than what costs time.
_MOST_BYTES = 1 << 14
# git's own measure, from 2.43 on (`core.maxTreeDepth`).
_MOST_LEVELS = 2048
_MOST_HOPS = 40  # as many as Linux follows
_MOST_STEPS = 20_000_000


def check_path(path: bytes, *, is_link: bool = False) -> None:
    """Raise UnsafeTree unless `path` (raw bytes from the root, parted by `/`) may be written below a target.

    Refused: empty and absolute paths, `.`, `..` and empty segments, NUL, `.git` in any spelling that HFS+ or NTFS
    takes for it, a symbolic link (`is_link`) in the place of `.gitmodules`, more than 2,048 levels.
    """
    if len(path) < 2 * _MOST_LEVELS and _ORDINARY.fullmatch(path):
        return
    if len(path) > _MOST_BYTES:
        raise UnsafeTree(f"a path is longer than {_MOST_BYTES} bytes: {quoted(path)}")
    if path.count(b"/") >= _MOST_LEVELS:
        raise UnsafeTree(f"a path has more than {_MOST_LEVELS} levels: {quoted(path)}")
    if b"\0" in path:
        raise UnsafeTree(f"the path {quoted(path)} holds a NUL byte")
    if not path or path.startswith(b"/"):
        raise UnsafeTree(f"the path {quoted(path)} is {'absolute' if path else 'empty'}")
    for segment in path.split(b"/"):
        if segment in (b"", b".", b".."):
            raise UnsafeTree(f"the path {quoted(path)} leaves the tree or has an empty part")
        name = _as_hfs_reads(segment)
        # NTFS also parts names at a backslash, and so does git for this check.
        if name == b".git" or any(map(_NTFS_GIT.match, segment.split(b"\\"))):
            raise UnsafeTree(f"the path {quoted(path)} goes into '.git'")
        if is_link and name == b".gitmodules":
            raise UnsafeTree(f"the path {quoted(path)} is a symbolic link in the place of '.gitmodules'")
    # git looks at all that follows a slash or backslash: a stream's name after a colon may hold slashes.
    starts = [0, *(at + 1 for at, byte in enumerate(path) if byte in b"/\\")] if is_link else []
    if any(_ntfs_takes_for_gitmodules(path, start) for start in starts):
        raise UnsafeTree(f"the path {quoted(path)} is a symbolic link in the place of '.gitmodules'")


def _ntfs_takes_for_gitmodules(path: bytes, start: int) -> bool:
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
    """Return whether a path is this folder or lies below it."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def quoted(path: bytes) -> str:
    """The path in single quotes for a message, shortened in the middle; nothing in it steers a terminal."""
    if len(path) > 400:
        path = path[:200] + "…".encode() + path[-100:]
    text = path.decode("utf-8", "backslashreplace")
    return "'" + "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in text]) + "'"


def links_that_leave(links: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    """The symbolic links (path to target) that lead out of their tree, absolute ones and through other links, too.

    Raises UnsafeTree where links lead through one another without measure.
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
                raise UnsafeTree("the tree has symbolic links that lead through one another without measure")
            name = ahead.pop()
            if name == b"..":
                if not here:
                    leaving.append(path)
                    break
                here = here.rpartition(b"/")[0]
            elif name not in (b"", b"."):
                there = here + b"/" + name if here else name
                target = links.get(there)
                if target is None:
                    here = there
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
