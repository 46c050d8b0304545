"""Which files of a snapshot say what an image is made of: read from its tree, so that the work tree cannot lie.

By their names, in the run's directory and in those above it; by `coderepo.buildFile`; and what such a file itself
takes in: `-r` and `-c` of a requirements file (https://pip.pypa.io/en/stable/reference/requirements-file-format/).
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.errors import NotReproducible
from git_coderepo.git.objects import DIRECTORY, GITLINK, SYMLINK
from git_coderepo.git.process import shell_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from git_coderepo.git.process import Git

NAMES = (
    b"Dockerfile", b"Containerfile", b"requirements*.txt", b"pyproject.toml", b"uv.lock", b"poetry.lock",
    b"environment.yml", b"environment.yaml", b"conda.yml", b"conda.yaml", b"conda-lock.yml", b"conda-*.lock",
    b".python-version", b"setup.cfg", b"setup.py",
)  # fmt: skip
# As many as Linux follows (path_resolution(7)).
_LINKS = 40
_INCLUDES = (b"--requirement", b"--constraint", b"-r", b"-c")


class BuildFile(NamedTuple):
    """A file that goes into an image: its raw path from the root, and its bytes as the snapshot has them."""

    path: bytes
    data: bytes

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]

    @property
    def is_image_file(self) -> bool:
        """Whether it is read as a Dockerfile."""
        return b"dockerfile" in self.name.lower() or b"containerfile" in self.name.lower()


class Remark(NamedTuple):
    """Something that the key cannot hold: where (raw path, line from 1 or None), and what."""

    path: bytes
    line: int | None
    text: str


class TreeFiles:
    """The files of one tree of `git`, by path; links are followed as long as they stay inside."""

    def __init__(self, git: Git, tree: str) -> None:
        self.git = git
        self.tree = tree
        self._listed: dict[str, dict[bytes, tuple[int, str]]] = {}
        self._contents: dict[str, bytes] = {}

    def entries(self, tree: str) -> dict[bytes, tuple[int, str]]:
        """(mode, id) of each name in a tree object."""
        if tree not in self._listed:
            found = {}
            for row in self.git.run("ls-tree", "-z", "--full-tree", tree).split(b"\0")[:-1]:
                facts, _, name = row.partition(b"\t")
                mode, _, id = facts.split(b" ")
                found[name] = (int(mode, 8), id.decode())
            self._listed[tree] = found
        return self._listed[tree]

    def find(self, path: bytes) -> tuple[int, str] | None:
        """(mode, id) of what stands at a path from the root; None where nothing does, or it leads out of the tree."""
        wanted, trees, links = path.split(b"/"), [self.tree], 0
        while wanted:
            part = wanted.pop(0)
            if part in (b"", b"."):
                continue
            if part == b"..":
                if len(trees) == 1:
                    return None
                trees.pop()
                continue
            mode, id = self.entries(trees[-1]).get(part, (0, ""))
            if mode == SYMLINK:
                links += 1
                target = self.contents(id)
                if links > _LINKS or target.startswith(b"/"):
                    return None
                wanted[:0] = target.split(b"/")
            elif mode == DIRECTORY:
                trees.append(id)
            elif mode in (0, GITLINK) or wanted:
                return None
            else:
                return mode, id
        return DIRECTORY, trees[-1]

    def contents(self, id: str) -> bytes:
        """The bytes of a blob."""
        if id not in self._contents:
            self._contents[id] = self.git.run("cat-file", "blob", id)
        return self._contents[id]

    def read(self, path: bytes) -> bytes | None:
        """The bytes of the file at a path; None where there is none."""
        found = self.find(path)
        return None if found is None or found[0] == DIRECTORY else self.contents(found[1])

    def paths(self) -> Iterator[bytes]:
        """Every path, folders apart."""
        listing = self.git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", self.tree)
        return iter(listing.split(b"\0")[:-1])


def build_files(
    files: TreeFiles, directory: bytes, *, patterns: Sequence[str] = (), only: Sequence[bytes] = ()
) -> tuple[list[BuildFile], list[Remark]]:
    """What goes into the image of a run in `directory` (raw, from the root, b"" for it), sorted by path, and remarks.

    `patterns` are those of `coderepo.buildFile`: one without a slash is one more name, one with a slash is a path from
    the root, or a folder. With `only` these paths from the root are taken instead of all that.
    Raises NotReproducible for one of `only` that the snapshot does not have.
    """
    remarks: list[Remark] = []
    found: dict[bytes, BuildFile] = {}
    wanted = list(only) if only else _by_name(files, directory, patterns)
    included: set[bytes] = set()
    while wanted:
        path = wanted.pop(0)
        if path in found:
            continue
        data = files.read(path)
        if data is None:
            if path in only:
                added = f"git add --force -- {shell_word(b':(top,literal)' + path)}"
                raise NotReproducible(
                    f"the snapshot has no file '{os.fsdecode(path)}'",
                    hints=["check the spelling", f"or where git ignores it: {added}"],
                )
            if path not in included:  # else its reader has been told
                remarks.append(Remark(path, None, "is a link to nothing in the snapshot"))
            continue
        found[path] = BuildFile(path, data)
        if fnmatchcase(found[path].name, b"requirements*.txt") or path in included:
            for line, name in _includes(data):
                other = os.path.normpath(os.path.join(os.path.dirname(path), name))
                if b"://" in name or name.startswith(b"/") or files.read(other) is None:
                    remarks.append(Remark(path, line, f"'{os.fsdecode(name)}' is no file of the snapshot"))
                else:
                    included.add(other)
                    wanted.append(other)
    return [found[path] for path in sorted(found)], remarks


def levels(directory: bytes) -> list[bytes]:
    """A directory and those above it, up to the root (b"")."""
    found = [directory]
    while found[-1]:
        found.append(os.path.dirname(found[-1]))
    return found


def _by_name(files: TreeFiles, directory: bytes, patterns: Sequence[str]) -> list[bytes]:
    own = [os.fsencode(pattern) for pattern in patterns if pattern.strip("/")]
    names = [*NAMES, *(pattern for pattern in own if b"/" not in pattern)]
    wanted = []
    for level in levels(directory):
        here = files.find(level)
        if here is None or here[0] != DIRECTORY:
            continue  # of a commit that does not have it
        for name, (mode, _) in files.entries(here[1]).items():
            if mode not in (DIRECTORY, GITLINK) and any(fnmatchcase(name, pattern) for pattern in names):
                wanted.append(os.path.join(level, name))
    from_root = [pattern.strip(b"/") for pattern in own if b"/" in pattern]
    if from_root:
        wanted += [path for path in files.paths() if _below(path, from_root)]
    return wanted


def _below(path: bytes, patterns: Sequence[bytes]) -> bool:
    places = [path]
    while places[-1]:
        places.append(os.path.dirname(places[-1]))
    return any(fnmatchcase(place, pattern) for place in places[:-1] for pattern in patterns)


def logical_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number from 1, text) of each line, one that a backslash carries on as one."""
    start, text = 0, b""
    for number, line in enumerate(data.splitlines(), 1):
        start = start or number
        if line.endswith(b"\\"):
            text += line[:-1]
            continue
        yield start, text + line
        start, text = 0, b""
    if text:
        yield start, text


def requirement_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a requirements file without comments and empty ones."""
    for number, line in logical_lines(data):
        bare = line.strip()
        if bare.startswith(b"#"):
            continue
        bare = bare.partition(b" #")[0].rstrip()
        if bare:
            yield number, bare


def _includes(data: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in requirement_lines(data):
        for option in _INCLUDES:
            if line.startswith(option):
                rest = line[len(option) :]
                if option.startswith(b"--") and rest[:1] not in (b" ", b"=", b"\t"):
                    continue
                yield number, rest.lstrip(b"= \t").strip(b"\"'")
                break
