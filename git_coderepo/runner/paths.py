"""Which paths a tree may have: safety rule 3, as git's own `verify_path` sees it on every system at once.

Git's rules depend on `core.protectHFS` and `core.protectNTFS`; here both always hold, so a tree that one
machine may take in is a tree that every machine may take in.
"""

from __future__ import annotations

import os
import re

from git_coderepo.errors import UnsafeTree
from git_coderepo.objects import FILE, SYMLINK

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


def check_path(path: bytes, mode: int = FILE) -> None:
    """Raise UnsafeTree unless `path` (raw bytes from the root, parted by `/`) may be written below a target.

    Refused: empty and absolute paths, `.`, `..` and empty segments, NUL, `.git` in any spelling that HFS+ or NTFS
    takes for it, and a symbolic link (`mode` 0o120000) in the place of `.gitmodules`.
    """
    # The one look that nearly every path costs: whatever is refused below has something of this in it.
    if (
        path.isascii()
        and b"/." not in path
        and b"//" not in path
        and b"~" not in path
        and b"\\" not in path
        and b"\0" not in path
        and path[:1] not in (b"", b".", b"/")
        and path[-1] != 0x2F
    ):
        return
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
        if mode == SYMLINK and name == b".gitmodules":
            raise UnsafeTree(f"the path {quoted(path)} is a symbolic link in the place of '.gitmodules'")
    if mode == SYMLINK and any(map(_ntfs_takes_for_gitmodules, segment.split(b"\\"))):
        raise UnsafeTree(f"the path {quoted(path)} is a symbolic link in the place of '.gitmodules'")


def _ntfs_takes_for_gitmodules(name: bytes) -> bool:
    if _NTFS_GITMODULES.match(name):
        return True
    hashed = _NTFS_HASHED.fullmatch(name[:8]) if _NTFS_END.match(name, 8) else None
    return len(name) >= 8 and hashed is not None and b"gi7eba".startswith(hashed[1].lower())


def _as_hfs_reads(name: bytes) -> bytes:
    if name.isascii():
        return name.lower()
    text = _HFS_END.split(name.decode("utf-8", "surrogateescape"), maxsplit=1)[0]
    return _HFS_IGNORABLE.sub("", text).encode().lower()


def quoted(path: bytes) -> str:
    """The path in single quotes for a message; nothing in it can steer a terminal or break the line."""
    text = path.decode("utf-8", "backslashreplace") if len(path) <= 4096 else path[:4096].decode("utf-8", "backslashreplace") + "…"
    return "'" + "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in text]) + "'"


def leaves_the_tree(path: bytes, links: dict[bytes, bytes]) -> bool:
    """Whether the symbolic link at `path` leads out of the tree, followed through the tree's own links.

    `links` has the target of each link of the tree by its path. A link that leads in circles stays inside.
    """
    here = path.split(b"/")[:-1]
    ahead = links[path].split(b"/")[::-1]
    hops = 0
    if links[path].startswith(b"/"):
        return True
    while ahead:
        name = ahead.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            if not here:
                return True
            here.pop()
            continue
        here.append(name)
        target = links.get(b"/".join(here))
        if target is not None:
            hops += 1
            if hops > 40:  # as many as Linux follows
                return False
            if target.startswith(b"/"):
                return True
            here.pop()
            ahead += target.split(b"/")[::-1]
    return False


def shown_directory(directory: str | bytes) -> str:
    """A directory of this machine as messages name it."""
    return quoted(os.fsencode(directory))
