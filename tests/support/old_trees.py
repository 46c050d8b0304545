"""Tree objects as old histories have them, which git would write otherwise today."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from tests.support.repo import Repo


class Rows(NamedTuple):
    """A tree object as it is to be stored: (mode in octal, name, id in hex) in its own order."""

    rows: tuple[tuple[str, bytes, str], ...]

    def write(self, repo: Repo) -> str:
        contents = b"".join(b"%b %b\0%b" % (mode.encode(), name, bytes.fromhex(id)) for mode, name, id in self.rows)
        return repo.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", input=contents).decode().strip()


def rows_of(repo: Repo, tree: str) -> list[tuple[str, bytes, str]]:
    found = []
    for row in repo.git("ls-tree", "-z", tree).split(b"\0")[:-1]:
        facts, _, name = row.partition(b"\t")
        mode, _, id = facts.decode().split(" ")
        found.append((mode.lstrip("0"), name, id))
    return found


def padded(repo: Repo, tree: str) -> str:
    return Rows(tuple((mode.zfill(6), name, id) for mode, name, id in rows_of(repo, tree))).write(repo)


def group_writable(repo: Repo, tree: str) -> str:
    """git before 1.0.3 recorded the umask: 100664."""
    rows = tuple(("100664" if mode == "100644" else mode, name, id) for mode, name, id in rows_of(repo, tree))
    return Rows(rows).write(repo)


def replaced(repo: Repo, tree: str, path: str, by: str) -> str:
    """The tree with another tree at a path, all else as it is stored."""
    if not path:
        return by
    first, _, rest = path.partition("/")
    rows = [
        (mode, name, replaced(repo, id, rest, by) if name == os.fsencode(first) else id)
        for mode, name, id in rows_of(repo, tree)
    ]
    return Rows(tuple(rows)).write(repo)


def commit_old(repo: Repo, path: str, how: Callable[[Repo, str], str]) -> None:
    """Commit the same files, with the tree object of the directory `path` made by `how` ("" is the root)."""
    inner = how(repo, repo.line("rev-parse", f"HEAD:{path}"))
    tree = replaced(repo, repo.line("rev-parse", "HEAD^{tree}"), path, inner)
    assert tree != repo.line("rev-parse", "HEAD^{tree}")
    repo.git("reset", "--quiet", "--hard", repo.line("commit-tree", tree, "-p", "HEAD", "-m", "of old"))
    assert repo.git("status", "--porcelain") == b""
