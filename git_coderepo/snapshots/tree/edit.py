"""A tree with some of its paths changed: only the directories above them are read and written.

https://git-scm.com/docs/git-cat-file#_batch_output; the format of a tree object: see `subtree.assemble`.
"""

from __future__ import annotations

import stat

from git_coderepo.errors import ObjectMissing
from git_coderepo.git.objects import DIRECTORY, EXECUTABLE, FILE, GITLINK, MODES, SYMLINK, ObjectId, empty_tree_id
from git_coderepo.git.subtree import assemble, directories_above, write_part
from git_coderepo.git.tree_diff import Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.store import Store
    from git_coderepo.git.subtree import Row

_MODES = {b"%o" % mode: mode for mode in (*MODES, DIRECTORY)}


class Directories:
    """The directories of a tree (None: without entries) that are above some paths, read by one process."""

    __slots__ = ("_empty", "_git", "_id_length", "_names", "_process", "_tree", "above")

    def __init__(self, git: Git, tree: ObjectId | None, paths: Iterable[bytes]) -> None:
        self._git = git
        self._tree = tree
        self._id_length = 0
        self._empty = b""
        self._process = None
        self.above = directories_above(paths)
        self._names: list[bytes] = []
        if tree is not None:
            self._id_length = len(tree.raw)
            self._empty = empty_tree_id(tree.object_format).raw
            self._names = sorted(self.above)
            names = b"".join(self._name(directory) + b"\n" for directory in self._names)
            self._process = git.start("cat-file", "--batch", "--buffer", stdin=names)

    def read(self) -> dict[bytes, Row]:
        """Return the entries of these directories by path, without subdirectories in the list. Call this only once.

        Raises ObjectMissing where one of them is not here, as in a partial clone; GitFailed.
        """
        if self._process is None:
            return {}
        output = self._process.checked()
        rows: dict[bytes, Row] = {}
        expected = {b""}
        at = 0
        for directory in self._names:
            end = output.index(b"\n", at)
            words = output[at:end].split(b" ")
            at = end + 1
            if words[-1] == b"missing":
                if directory in expected:
                    raise ObjectMissing(self._name(directory).decode("utf-8", "replace"), stderr=output[:end])
                continue
            size = int(words[2])
            if words[1] == b"tree":
                expected.update(self._take(rows, directory, output[at : at + size]))
            at += size + 1
        return rows

    def end(self) -> None:
        """Kill the process, if it still runs."""
        if self._process is not None:
            self._process.kill()

    def _name(self, directory: bytes) -> bytes:
        """What `cat-file` finds a directory by: its path below the tree, which may hold no line break; else its id.

        Without the final slash git takes `v1-2-g1a2b3c4` for what `git describe` gives, a commit, and loses a final CR.
        """
        assert self._tree is not None
        name = b"%s:%s" % (self._tree.hex.encode(), directory and directory + b"/")
        if b"\n" not in directory:
            return name
        found = self._git.start("rev-parse", "--verify", "--quiet", name).finish()
        return found.stdout.strip() if found.status == 0 else b"0" * len(self._tree.hex)

    def _take(self, rows: dict[bytes, Row], directory: bytes, contents: bytes) -> list[bytes]:
        """Put the entries of a directory into `rows`; return the directories that are read themselves.

        Modes are those of git's index: old trees may have others (100664, 040000), or directories without files.
        """
        prefix = directory and directory + b"/"
        within = []
        at, length = 0, self._id_length
        while at < len(contents):
            end = contents.index(0, at)
            octal, _, name = contents[at:end].partition(b" ")
            path = prefix + name
            mode, id = _MODES.get(octal) or _canonical(int(octal, 8)), contents[end + 1 : end + 1 + length]
            if mode != DIRECTORY:
                rows[path] = (mode, id)
            elif path in self.above:
                within.append(path)
            elif id != self._empty:
                rows[path] = (mode, id)
            at = end + 1 + length
        return within


def _canonical(mode: int) -> int:
    """Return the mode in git's index for a mode in a tree: for a file only the owner's execute bit counts."""
    if stat.S_ISREG(mode):
        return EXECUTABLE if mode & 0o100 else FILE
    return stat.S_IFMT(mode)


def edited_tree(
    git: Git, store: Store, directories: Directories, edits: Mapping[bytes, Row | None], object_format: str
) -> tuple[ObjectId, list[Difference] | None]:
    """Return the id of a tree after `edits`, which map a raw path to its new mode and raw id (None to delete it).

    With it the differences in git's order; None if git has to be asked. The new tree objects are in `store`. Raises as
    `Directories.read`.
    """
    rows = directories.read()
    differences = _apply(rows, edits)
    rows, is_replaced = _without_replaced(rows, directories, edits)
    part = assemble(rows, object_format)
    if not store.has_trees(part.objects.values()):
        write_part(store.git(git), part)
    return part.tree, None if is_replaced else differences


def _apply(rows: dict[bytes, Row], edits: Mapping[bytes, Row | None]) -> list[Difference] | None:
    """Change the rows; return the differences, None where a directory became something else."""
    differences: list[Difference] = []
    is_known = True
    for path, old in {path: rows.get(path) for path in sorted(edits)}.items():
        new = edits[path]
        if old is not None and old[0] == DIRECTORY:
            if new is None:
                continue  # its files are deleted one by one
            is_known = False
        if new is None:
            rows.pop(path, None)
        else:
            rows[path] = new
        if new != old:
            mode, id = (0, "") if new is None else (new[0], new[1].hex())
            differences.append(Difference(path, 0 if old is None else old[0], mode, id))
    return differences if is_known else None


def _without_replaced(
    rows: dict[bytes, Row], directories: Directories, edits: Mapping[bytes, Row | None]
) -> tuple[dict[bytes, Row], bool]:
    """Return the rows without those that an edit replaces, and whether there were any.

    A file may replace a directory whose files git was told to ignore, and the other way round.
    """
    is_replaced = False
    for directory in [path for path in directories.above if path in rows]:
        if edits.get(directory) is not None:
            rows = {path: row for path, row in rows.items() if not path.startswith(directory + b"/")}
            is_replaced = True
        elif any(new is not None and path.startswith(directory + b"/") for path, new in edits.items()):
            del rows[directory]
            is_replaced = True
    return rows, is_replaced


# --- The rows of a tree from those of another one and what differs ---------------------------------------------------

# For more differences it is cheaper to split all rows than to search for each path.
_FEW = 256


def patched(listing: bytes, differences: Sequence[Difference]) -> bytes:
    """Return the output of `ls-tree -r -z` with the differences applied, in git's order: by path."""
    if len(differences) > _FEW:
        paths = {difference.path for difference in differences}
        rows = [row for row in listing.split(b"\0")[:-1] if _path_of(row) not in paths]
        rows += [_row(difference) for difference in differences if difference.mode]
        rows.sort(key=_path_of)
        return b"".join([row + b"\0" for row in rows])
    pieces: list[bytes] = []
    done = 0
    for difference in sorted(differences, key=lambda difference: difference.path):
        start, end = _place(listing, difference.path, done)
        pieces.append(listing[done:start])
        if difference.mode:
            pieces.append(_row(difference) + b"\0")
        done = end
    pieces.append(listing[done:])
    return b"".join(pieces)


def telling(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences, deletions included, that may affect other paths: attributes files and submodules."""
    return [
        each for each in differences if GITLINK in (each.mode, each.old_mode) or each.path.endswith(b".gitattributes")
    ]


def linking(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences, deletions included, that may lead outside the tree: symbolic links and DVC files."""
    return [
        each for each in differences if SYMLINK in (each.mode, each.old_mode) or each.path.endswith((b".dvc", b".lock"))
    ]


def _row(difference: Difference) -> bytes:
    kind = b"commit" if difference.mode == GITLINK else b"blob"
    return b"%06o %s %s\t%s" % (difference.mode, kind, difference.id.encode(), difference.path)


def _path_of(row: bytes) -> bytes:
    return row[row.index(b"\t") + 1 :]


def _place(listing: bytes, path: bytes, low: int) -> tuple[int, int]:
    """Return where the row of `path` begins and ends, searched from `low` on, the beginning of a row.

    Both are the place where it belongs if there is none.
    """
    high = len(listing)
    while low < high:
        start = listing.rfind(b"\0", low, (low + high) // 2) + 1 or low
        end = listing.index(b"\0", start) + 1
        here = listing[listing.index(b"\t", start) + 1 : end - 1]
        if here == path:
            return start, end
        if here < path:
            low = end
        else:
            high = start
    return low, low
