"""Find the files of a snapshot from which an image is built; they are read from its tree, not from the work tree.

Files are found by name, in the run's directory and in those above it, and by `coderepo.buildFile`. Files that a
requirements file includes (`-r`, `-c`: https://pip.pypa.io/en/stable/reference/requirements-file-format/) follow.
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
# Linux follows as many symbolic links in one path (path_resolution(7)).
_LINKS = 40
_INCLUDES = (b"--requirement", b"--constraint", b"-r", b"-c")


class BuildFile(NamedTuple):
    """A file from which an image is built: its raw path from the root, and its contents in the snapshot."""

    path: bytes
    data: bytes

    @property
    def name(self) -> bytes:
        """The last component of the path."""
        return self.path.rpartition(b"/")[2]

    @property
    def is_image_file(self) -> bool:
        """Whether the file is read as a Dockerfile."""
        return b"dockerfile" in self.name.lower() or b"containerfile" in self.name.lower()


class Remark(NamedTuple):
    """A dependency that the build key cannot cover: a raw path, a line from 1 or None, and a text for people."""

    path: bytes
    line: int | None
    text: str


class TreeFiles:
    """The files of a tree in the object store of `git`, by path; symbolic links inside the tree are followed."""

    def __init__(self, git: Git, tree: str) -> None:
        self.git = git
        self.tree = tree
        self._listed: dict[str, dict[bytes, tuple[int, str]]] = {}
        self._contents: dict[str, bytes] = {}

    def entries(self, tree: str) -> dict[bytes, tuple[int, str]]:
        """Return (mode, id) of each name in a tree object."""
        if tree not in self._listed:
            entries = {}
            for row in self.git.run("ls-tree", "-z", "--full-tree", tree).split(b"\0")[:-1]:
                facts, _, name = row.partition(b"\t")
                mode, _, id = facts.split(b" ")
                entries[name] = (int(mode, 8), id.decode())
            self._listed[tree] = entries
        return self._listed[tree]

    def find(self, path: bytes) -> tuple[int, str] | None:
        """Return (mode, id) of the entry at a path from the root; None if it is missing or leads out of the tree."""
        parts, trees, links = path.split(b"/"), [self.tree], 0
        while parts:
            part = parts.pop(0)
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
                parts[:0] = target.split(b"/")
            elif mode == DIRECTORY:
                trees.append(id)
            elif mode in (0, GITLINK) or parts:
                return None
            else:
                return mode, id
        return DIRECTORY, trees[-1]

    def contents(self, id: str) -> bytes:
        """Return the bytes of a blob."""
        if id not in self._contents:
            self._contents[id] = self.git.run("cat-file", "blob", id)
        return self._contents[id]

    def read(self, path: bytes) -> bytes | None:
        """Return the bytes of the file at a path, or None."""
        entry = self.find(path)
        return None if entry is None or entry[0] == DIRECTORY else self.contents(entry[1])

    def paths(self) -> Iterator[bytes]:
        """Yield the paths of all files."""
        listing = self.git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", self.tree)
        return iter(listing.split(b"\0")[:-1])


def build_files(
    files: TreeFiles, directory: bytes, *, patterns: Sequence[str] = (), only: Sequence[bytes] = ()
) -> tuple[list[BuildFile], list[Remark]]:
    """Return the files from which the image of a run in `directory` is built, sorted by path, and remarks.

    `directory` is raw, from the root, and b"" for the root. `patterns` are those of `coderepo.buildFile`: a name, or
    with a slash a path from the root, or a folder. `only` replaces all these files by the given paths from the root.
    Raises NotReproducible if the snapshot lacks one of `only`.
    """
    remarks: list[Remark] = []
    result: dict[bytes, BuildFile] = {}
    queue = list(only) if only else _by_name(files, directory, patterns)
    included: set[bytes] = set()
    while queue:
        path = queue.pop(0)
        if path in result:
            continue
        data = files.read(path)
        if data is None:
            if path in only:
                added = f"git add --force -- {shell_word(b':(top,literal)' + path)}"
                raise NotReproducible(
                    f"file not found in the snapshot: '{os.fsdecode(path)}'",
                    hints=["check the spelling", f"or where git ignores it: {added}"],
                )
            if path not in included:  # for an included file there is a remark already
                remarks.append(Remark(path, None, "is a symbolic link that leads to nothing in the snapshot"))
            continue
        result[path] = BuildFile(path, data)
        if fnmatchcase(result[path].name, b"requirements*.txt") or path in included:
            for line, name in _includes(data):
                other = os.path.normpath(os.path.join(os.path.dirname(path), name))
                if b"://" in name or name.startswith(b"/") or files.read(other) is None:
                    remarks.append(Remark(path, line, f"'{os.fsdecode(name)}' is not a file of the snapshot"))
                else:
                    included.add(other)
                    queue.append(other)
    return [result[path] for path in sorted(result)], remarks


def levels(directory: bytes) -> list[bytes]:
    """Return a directory and those above it, up to the root (b"")."""
    result = [directory]
    while result[-1]:
        result.append(os.path.dirname(result[-1]))
    return result


def _by_name(files: TreeFiles, directory: bytes, patterns: Sequence[str]) -> list[bytes]:
    own = [os.fsencode(pattern) for pattern in patterns if pattern.strip("/")]
    names = [*NAMES, *(pattern for pattern in own if b"/" not in pattern)]
    paths = [
        os.path.join(level, name)
        for level in levels(directory)
        for name in _file_names(files, level)
        if any(fnmatchcase(name, pattern) for pattern in names)
    ]
    from_root = [pattern.strip(b"/") for pattern in own if b"/" in pattern]
    if from_root:
        paths += [path for path in files.paths() if _below(path, from_root)]
    return paths


def _file_names(files: TreeFiles, directory: bytes) -> list[bytes]:
    """Return the names of the files in a directory; none if the tree does not have the directory."""
    entry = files.find(directory)
    if entry is None or entry[0] != DIRECTORY:
        return []
    return [name for name, (mode, _) in files.entries(entry[1]).items() if mode not in (DIRECTORY, GITLINK)]


def _below(path: bytes, patterns: Sequence[bytes]) -> bool:
    return any(fnmatchcase(level, pattern) for level in levels(path)[:-1] for pattern in patterns)


def logical_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, text) of each line; a line that ends with a backslash continues on the next one."""
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
    """Yield (number from 1, text) of each requirement, without comments and empty lines."""
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
