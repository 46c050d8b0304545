"""Restrict a snapshot to a part of the checkout (`coderepo.scope`), so that nothing else can stop or change a run.

A scope is a set of paths from the root, directories or files, none inside another; the empty scope means everything.
`part(T)` is the tree with the paths of the scope in a tree T, each in its place, and nothing else.

- The snapshot has the paths of the scope, and the `.gitattributes` of the directories above, which apply to them.
- The base is chosen as without a scope; the runner takes `part(base)` of it.
- The overlay is the difference between `part(base)` and the snapshot's tree, which the runner verifies.

For a scope of one directory, the manifest's `subdirectory` has a `proof`: the tree objects from the snapshot's tree
down to that directory, each with its id in the one before.
"""

from __future__ import annotations

import os

from git_coderepo.errors import CodeRepoError, UsageError
from git_coderepo.git.objects import DIRECTORY, ObjectId, hasher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.settings import Settings

Row = tuple[int, bytes]


class Part:
    """A tree with some paths of another: its `tree` id, and `objects`, the contents of its tree objects by directory.

    The root is b"". `rows` has the mode and raw id of each path.
    """

    __slots__ = ("objects", "rows", "tree")

    def __init__(self, tree: ObjectId, objects: Mapping[bytes, bytes], rows: Mapping[bytes, Row]) -> None:
        self.tree = tree
        self.objects = objects
        self.rows = rows

    def proof(self, directory: bytes) -> list[bytes]:
        """Return the contents of the tree objects from the root down to the one with `directory`."""
        names = directory.split(b"/")
        return [self.objects[b"/".join(names[:depth])] for depth in range(len(names))]


def scope_of(layout: Layout, settings: Settings, given: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the scope: the paths `given`, from where git was started, or else those of `coderepo.scope`.

    Raises UsageError for a path outside the checkout.
    """
    if given:
        start = os.path.join(layout.toplevel, layout.prefix)
        paths = [os.path.relpath(os.path.normpath(os.path.join(start, path)), layout.toplevel) for path in given]
    else:
        paths = [os.path.normpath(os.fsencode(text)) for text in settings.texts("scope") if text]
    for path in paths:
        if path == b".." or path.startswith((b"../", b"/")):
            raise UsageError(f"'{os.fsdecode(path)}' is not inside the checkout")
    return normalised(paths)


def normalised(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the paths sorted, each once, without those inside another; empty if one of them is the root."""
    outermost: list[bytes] = []
    for path in sorted(set(paths), key=lambda path: path.split(b"/")):
        if path == b".":
            return ()
        if not outermost or not is_inside(path, outermost[-1:]):
            outermost.append(path)
    return tuple(outermost)


def directories_above(paths: Iterable[bytes]) -> set[bytes]:
    """Return every directory above these paths, and the root (b"")."""
    above = {b""}
    for path in paths:
        directory = path.rpartition(b"/")[0]
        while directory not in above:
            above.add(directory)
            directory = directory.rpartition(b"/")[0]
    return above


def is_inside(path: bytes, scope: Sequence[bytes]) -> bool:
    """Return whether a path is one of the scope, or below one."""
    return any(path == each or path.startswith(each + b"/") for each in scope)


def inside(scope: Sequence[bytes]) -> Callable[[bytes], bool]:
    """Return a fast `is_inside` for many paths; with an empty scope every path is inside."""
    if not scope:
        return lambda path: True
    exact, below = frozenset(scope), tuple(each + b"/" for each in scope)
    return lambda path: path in exact or path.startswith(below)


def looked_at(scope: Sequence[bytes], more: Iterable[bytes] = ()) -> tuple[bytes, ...]:
    """Return the paths to inspect: the scope, `.gitattributes` files above it, and `more`; empty means everything."""
    if not scope:
        return ()
    above = {b"" if at < 0 else path[: at + 1] for path in scope for at in (-1, *_slashes(path))}
    return normalised([*scope, *(folder + b".gitattributes" for folder in above), *more])


def _slashes(path: bytes) -> list[int]:
    return [at for at, byte in enumerate(path) if byte == 0x2F]


def pathspecs(scope: Sequence[bytes]) -> list[bytes]:
    """Return the arguments that restrict a git command to these paths; none for everything."""
    return [b"--", *(b":(top,literal)" + path for path in scope)] if scope else []


def common_directory(scope: Sequence[bytes]) -> bytes:
    """Return the deepest directory with every path of the scope; b"" is the root."""
    return os.path.commonpath([path.rpartition(b"/")[0] for path in scope]) if scope else b""


def rows_inside(listing: bytes, scope: Sequence[bytes]) -> bytes:
    """Return the rows of `ls-tree -r -z` that are inside the scope."""
    if not scope:
        return listing
    is_in_scope = inside(scope)
    return b"".join(row + b"\0" for row in listing.split(b"\0") if row and is_in_scope(row.partition(b"\t")[2]))


def read_part(git: Git, tree: str, scope: Sequence[bytes], object_format: str) -> Part:
    """Return the part of a tree (or commit), and write its tree objects with `git`. Raises GitFailed."""
    listed = git.run("ls-tree", "-z", "--full-tree", tree, *pathspecs(scope))
    rows: dict[bytes, Row] = {}
    for row in listed.split(b"\0")[:-1]:
        facts, _, path = row.partition(b"\t")
        mode, _, id = facts.split(b" ")
        rows[path] = (int(mode, 8), bytes.fromhex(id.decode()))
    part = assemble(rows, object_format)
    write_part(git, part)
    return part


def assemble(rows: Mapping[bytes, Row], object_format: str) -> Part:
    """Return the part with these paths, none inside another, each with its mode and raw id (a tree's for a directory).

    Format of a tree object: rows `mode SP name NUL id`; a directory is sorted as if its name ended in a slash.
    """
    children: dict[bytes, dict[bytes, Row]] = {b"": {}}
    for path, row in rows.items():
        directory, _, name = path.rpartition(b"/")
        while directory not in children:
            children[directory] = {}
            directory = directory.rpartition(b"/")[0]
        children[path.rpartition(b"/")[0]][name] = row
    objects: dict[bytes, bytes] = {}
    for directory in sorted(children, key=lambda path: -(path.count(b"/") + bool(path))):
        entries = sorted(children[directory].items(), key=lambda entry: entry[0] + b"/" * (entry[1][0] == DIRECTORY))
        contents = b"".join(b"%o %b\0%b" % (mode, name, id) for name, (mode, id) in entries)
        objects[directory] = contents
        digest = hasher(object_format)
        digest.update(b"tree %d\0" % len(contents))
        digest.update(contents)
        if directory:
            above, _, name = directory.rpartition(b"/")
            children[above][name] = (DIRECTORY, digest.digest())
        else:
            return Part(ObjectId.from_raw(digest.digest()), objects, rows)
    raise AssertionError("the root is the last directory")


def write_part(git: Git, part: Part) -> None:
    """Write the part's tree objects with `git`; the objects that they name need not be here. Raises GitFailed."""
    if not part.objects[b""]:
        return  # git has the empty tree built in
    trees = []
    id_length = len(part.tree.raw)
    for directory in part.objects:  # the deepest first
        rows, at, contents = [], 0, part.objects[directory]
        while at < len(contents):
            end = contents.index(0, at)
            mode, _, name = contents[at:end].partition(b" ")
            kind = {b"40000": b"tree", b"160000": b"commit"}.get(mode, b"blob")
            rows.append(b"%b %b %b\t%b\0" % (mode, kind, contents[end + 1 : end + 1 + id_length].hex().encode(), name))
            at = end + 1 + id_length
        trees.append(b"".join(rows))
    # Not synced: an existing tree is compared before it is used again, see `Store.has_trees`.
    git = git.with_settings(("core.fsync", "none"), ("core.fsyncObjectFiles", "false"))
    made = git.run("mktree", "-z", "--missing", "--batch", stdin=b"\0".join(trees))
    if made.split()[-1:] != [part.tree.hex.encode()]:
        raise CodeRepoError(f"git wrote another tree than {part.tree} for the part")
