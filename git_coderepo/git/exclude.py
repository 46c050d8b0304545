"""Make git ignore paths in this repository alone: lines of `info/exclude`.

Format: https://git-scm.com/docs/gitignore#_pattern_format
"""

from __future__ import annotations

import os

from git_coderepo.errors import UsageError
from git_coderepo.filesystem.atomic import sweep, write_whole
from git_coderepo.filesystem.locks import wait_for_lock
from git_coderepo.git.process import exclude_command, git_word, path_word
from git_coderepo.git.repository import read_layout, start_layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.git.process import Git


def exclude(git: Git, paths: Sequence[bytes]) -> list[bytes]:
    """Add a line for each path that has none; return the lines added. Paths are raw, from where `git` starts.

    Raises UsageError for a path outside the checkout, and for one that git tracks, which cannot be ignored.
    """
    layout = read_layout(start_layout(git), git)
    lines = []
    for path in paths:
        absolute = os.path.normpath(os.path.join(layout.toplevel, layout.prefix, path))
        below = os.path.relpath(absolute, layout.toplevel)
        shown = os.fsdecode(path)
        if below in (b".", b"..") or below.startswith(b"../"):
            raise UsageError(f"'{shown}' is not inside the checkout")
        if b"\n" in below or b"\r" in below:
            raise UsageError(
                f"cannot add '{shown}' to 'info/exclude': the path contains a line break",
                hints=["rename it", f"or: {exclude_command(below)}"],
            )
        if git.at(layout.toplevel).run("ls-files", "-z", "--", b":(top,literal)" + below):
            command, word = git_word(layout.toplevel), path_word(below, layout.toplevel)
            raise UsageError(f"cannot ignore '{shown}': git tracks it", hints=[f"{command} rm -r --cached -- {word}"])
        folder = os.path.isdir(absolute) and not os.path.islink(absolute)
        lines.append(b"/" + _escaped(below) + (b"/" if folder else b""))
    file = git.run("rev-parse", "--path-format=absolute", "--git-path", "info/exclude").removesuffix(b"\n")
    # If it is a link, as tools for dotfiles create them, it remains one.
    file = os.path.realpath(file)
    folder_of_file = os.path.dirname(file)
    os.makedirs(folder_of_file, exist_ok=True)
    with _Locked(folder_of_file):
        sweep(folder_of_file, os.path.basename(file))
        try:
            with open(file, "rb") as opened:
                before = opened.read()
        except FileNotFoundError:
            before = b""
        known = set(before.split(b"\n"))
        new = [line for line in dict.fromkeys(lines) if line not in known]
        if new:
            start = before if not before or before.endswith(b"\n") else before + b"\n"
            write_whole(file, start + b"\n".join(new) + b"\n")
    return new


class _Locked:
    """Hold a folder's lock (flock(2)), so that processes change a file in it one after the other.

    The lock ends with the process. On a file system without locks nothing is held.
    """

    __slots__ = ("_descriptor", "_folder")

    def __init__(self, folder: bytes) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            wait_for_lock(self._descriptor)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _escaped(path: bytes) -> bytes:
    """Return a path as a pattern that matches only itself."""
    escaped = b"".join(b"\\" + bytes((byte,)) if byte in b"\\*?[" else bytes((byte,)) for byte in path)
    bare = escaped.rstrip(b" ")
    return bare + b"\\ " * (len(escaped) - len(bare))
