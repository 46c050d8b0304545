"""A part of a checkout: in a large repository only some paths are looked at, and nothing else can stop or change a run.

The model. A scope is a set of paths from the root, directories or files, none inside another; none at all means
everything. `part(T)` is the tree that holds of a tree T the paths of the scope, each in its place, and nothing else.

- What is looked at is the scope, and the `.gitattributes` of the directories above it, since they say what becomes of
  the files below. The snapshot's tree is the tree of that, as it is now.
- The base is found as ever; the runner takes `part(base)` of it, whatever else base and HEAD differ in.
- The overlay is what of the snapshot's tree is not in `part(base)`. So `part(base)` and the overlay make the
  snapshot's tree, and that is what a runner verifies: a directory it filled has no other path.

A scope of one directory is named in `subdirectory` too: its `proof` holds the tree objects from the snapshot's tree
down to it, each by its id in the one before, so that the part proves itself.
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
    """A tree that holds some paths of another: its `tree` id, and `objects`, its tree objects down to those paths.

    `objects` has the contents by directory (b"" the root); `rows` the mode and raw id of each path that is there.
    """

    __slots__ = ("objects", "rows", "tree")

    def __init__(self, tree: ObjectId, objects: Mapping[bytes, bytes], rows: Mapping[bytes, Row]) -> None:
        self.tree = tree
        self.objects = objects
        self.rows = rows

    def proof(self, directory: bytes) -> list[bytes]:
        """The contents of the tree objects from the root down to the one that names `directory`."""
        names = directory.split(b"/")
        return [self.objects[b"/".join(names[:depth])] for depth in range(len(names))]


def scope_of(layout: Layout, settings: Settings, given: Sequence[bytes]) -> tuple[bytes, ...]:
    """What is looked at: the paths `given`, as seen from where git was started, else those of `coderepo.scope`.

    Raises UsageError for a path outside of the checkout.
    """
    if given:
        start = os.path.join(layout.toplevel, layout.prefix)
        paths = [os.path.relpath(os.path.normpath(os.path.join(start, path)), layout.toplevel) for path in given]
    else:
        paths = [os.path.normpath(os.fsencode(text)) for text in settings.texts("scope") if text]
    for path in paths:
        if path == b".." or path.startswith((b"../", b"/")):
            raise UsageError(f"'{os.fsdecode(path)}' is no path inside the checkout")
    return normalised(paths)


def normalised(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    """The paths sorted, each once, none inside another; none at all where one of them is the root."""
    found: list[bytes] = []
    for path in sorted(set(paths), key=lambda path: path.split(b"/")):
        if path == b".":
            return ()
        if not found or not is_inside(path, found[-1:]):
            found.append(path)
    return tuple(found)


def directories_above(paths: Iterable[bytes]) -> set[bytes]:
    """Every directory above these paths, the root (b"") among them."""
    above = {b""}
    for path in paths:
        directory = path.rpartition(b"/")[0]
        while directory not in above:
            above.add(directory)
            directory = directory.rpartition(b"/")[0]
    return above


def is_inside(path: bytes, scope: Sequence[bytes]) -> bool:
    """Whether a path is one of the scope, or below one."""
    return any(path == each or path.startswith(each + b"/") for each in scope)


def inside(scope: Sequence[bytes]) -> Callable[[bytes], bool]:
    """The same question for many paths; everything is inside of no scope at all."""
    if not scope:
        return lambda path: True
    exact, below = frozenset(scope), tuple(each + b"/" for each in scope)
    return lambda path: path in exact or path.startswith(below)


def looked_at(scope: Sequence[bytes], more: Iterable[bytes] = ()) -> tuple[bytes, ...]:
    """The scope, the `.gitattributes` of the directories above it, and `more`."""
    if not scope:
        return ()
    above = {b"" if at < 0 else path[: at + 1] for path in scope for at in (-1, *_slashes(path))}
    return normalised([*scope, *(folder + b".gitattributes" for folder in above), *more])


def _slashes(path: bytes) -> list[int]:
    return [at for at, byte in enumerate(path) if byte == 0x2F]


def pathspecs(scope: Sequence[bytes]) -> list[bytes]:
    """The arguments with which git looks at these paths and no others; none for everything."""
    return [b"--", *(b":(top,literal)" + path for path in scope)] if scope else []


def common_directory(scope: Sequence[bytes]) -> bytes:
    """The deepest directory that holds every path of the scope; b"" for the root."""
    return os.path.commonpath([path.rpartition(b"/")[0] for path in scope]) if scope else b""


def rows_inside(listing: bytes, scope: Sequence[bytes]) -> bytes:
    """The rows of `ls-tree -r -z` that are inside."""
    if not scope:
        return listing
    holds = inside(scope)
    return b"".join(row + b"\0" for row in listing.split(b"\0") if row and holds(row.partition(b"\t")[2]))


def read_part(git: Git, tree: str, scope: Sequence[bytes], object_format: str) -> Part:
    """The part of a tree (or commit) that git has; its tree objects are written into `git`'s store.

    Raises GitFailed where the tree is not here.
    """
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
    """The part that holds these paths, none inside another, each with its mode and raw id; a directory has a tree's.

    The format of a tree object: rows `mode SP name NUL id`, a directory sorted as if its name ended in a slash.
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
    raise AssertionError("the root comes last")


def write_part(git: Git, part: Part) -> None:
    """Have the part's tree objects in the store; what they name need not be here."""
    if not part.objects[b""]:
        return  # git knows the empty tree without having it
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
    # Not synced: a tree that is here is compared before it serves again, see `Store.has_trees`.
    git = git.with_settings(("core.fsync", "none"), ("core.fsyncObjectFiles", "false"))
    made = git.run("mktree", "-z", "--missing", "--batch", stdin=b"\0".join(trees))
    if made.split()[-1:] != [part.tree.hex.encode()]:
        raise CodeRepoError(f"git made another tree of the part than {part.tree}")
