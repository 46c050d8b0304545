"""Compute the ids of blobs and trees as Git does, and read tree objects.

Format of a tree object: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects and `gitformat-pack(5)`;
sha256 repositories: `hash-function-transition` in Git's technical documentation.
"""

from __future__ import annotations

from git_coderepo.errors import InvalidObjectId, UnsafeTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from hashlib import _Hash

FILE = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000
GITLINK = 0o160000
DIRECTORY = 0o040000
MODES = frozenset((FILE, EXECUTABLE, SYMLINK, GITLINK))

_HEX_LENGTHS = {40: "sha1", 64: "sha256"}
ID_LENGTHS = {"sha1": 20, "sha256": 32}  # raw, by object format
_HEX_DIGITS = frozenset("0123456789abcdef")


class ObjectId:
    """The id of a Git object: 40 (sha1) or 64 (sha256) lower-case hex digits.

    Raises InvalidObjectId for anything else, abbreviations included.
    """

    __slots__ = ("hex",)

    def __init__(self, hex: str) -> None:
        if len(hex) not in _HEX_LENGTHS or not _HEX_DIGITS.issuperset(hex):
            raise InvalidObjectId(f"not a full object id: {hex[:80]!r}")
        self.hex = hex

    @classmethod
    def from_raw(cls, raw: bytes) -> ObjectId:
        """Return the id with these 20 or 32 raw bytes."""
        return cls(raw.hex())

    @property
    def raw(self) -> bytes:
        """The 20 or 32 bytes of the id."""
        return bytes.fromhex(self.hex)

    @property
    def object_format(self) -> str:
        """`sha1` or `sha256`."""
        return _HEX_LENGTHS[len(self.hex)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectId) and other.hex == self.hex

    def __hash__(self) -> int:
        return hash(self.hex)

    def __repr__(self) -> str:
        return f"ObjectId({self.hex!r})"

    def __str__(self) -> str:
        return self.hex


class TreeEntry:
    """A path of a tree: `path` raw, from the root, separated by `/`; `mode` one of MODES; `id` raw."""

    __slots__ = ("id", "mode", "path")

    def __init__(self, path: bytes, mode: int, id: bytes) -> None:
        self.path = path
        self.mode = mode
        self.id = id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeEntry) and (self.path, self.mode, self.id) == (other.path, other.mode, other.id)

    def __hash__(self) -> int:
        return hash((self.path, self.mode, self.id))

    def __repr__(self) -> str:
        return f"TreeEntry({self.path!r}, {self.mode:o}, {self.id.hex()})"


_new_hashers: dict[str, _Hash] = {}


def hasher(object_format: str) -> _Hash:
    """Return a new hash object for `sha1` or `sha256`, the object format of the repository."""
    new = _new_hashers.get(object_format)
    if new is None:
        import hashlib

        new = hashlib.sha1(usedforsecurity=False) if object_format == "sha1" else hashlib.sha256()
        _new_hashers[object_format] = new
    return new.copy()  # a third of the time of creating one


def blob_hasher(size: int, object_format: str) -> _Hash:
    """Return a hash object for a blob of `size` bytes, with the header hashed; update it with the contents."""
    digest = hasher(object_format)
    digest.update(b"blob %d\0" % size)
    return digest


def blob_id(contents: bytes, object_format: str) -> bytes:
    """Return the raw id of a blob."""
    digest = hasher(object_format)
    digest.update(b"blob %d\0" % len(contents))
    digest.update(contents)
    return digest.digest()


def empty_tree_id(object_format: str) -> ObjectId:
    """Return the id of the empty tree."""
    digest = hasher(object_format)
    digest.update(b"tree 0\0")
    return ObjectId(digest.hexdigest())


def tree_objects(entries: Iterable[TreeEntry], object_format: str) -> Mapping[bytes, tuple[bytes, bytes]]:
    """Return the tree objects for these paths: directory (`b""` is the root) to (raw id, contents without header).

    Raises UnsafeTree if a path is named twice, or is a file and a directory.
    """
    children: dict[bytes, dict[bytes, bytes]] = {b"": {}}
    for entry in entries:
        directory, _, name = entry.path.rpartition(b"/")
        siblings = children.get(directory)
        if siblings is None:
            siblings = children[directory] = {}
            while (directory := directory.rpartition(b"/")[0]) not in children:
                children[directory] = {}
        if name in siblings:
            raise UnsafeTree(f"the path {entry.path!r} is named twice")
        siblings[name] = b"%o%b" % (entry.mode, entry.id)
    return {directory: (id, contents) for directory, id, contents in directory_trees(children, object_format)}


def canonical_mode(mode: int) -> int:
    """Return the mode that Git uses for one from an old history, such as 100664 (`canon_mode` in Git's cache.h)."""
    kind = mode & 0o170000
    if kind == 0o100000:
        return EXECUTABLE if mode & 0o100 else FILE
    return kind if kind in (SYMLINK, DIRECTORY) else GITLINK


def parse_tree(contents: bytes, object_format: str) -> dict[bytes, tuple[int, bytes]]:
    """Return (canonical mode, raw id) by the names in a tree object, given without its header.

    Modes may have leading zeros, as in many old histories. Raises UnsafeTree if the contents are not a tree.
    """
    length = 20 if object_format == "sha1" else 32
    rows: dict[bytes, tuple[int, bytes]] = {}
    position = 0
    try:
        while position < len(contents):
            space = contents.index(b" ", position)
            end = contents.index(b"\0", space)
            name, id = contents[space + 1 : end], contents[end + 1 : end + 1 + length]
            mode = contents[position:space]
            if len(id) != length or not name or name in rows or not mode.isdigit() or len(mode) > 7:
                raise ValueError
            rows[name] = (canonical_mode(int(mode, 8)), id)
            position = end + 1 + length
    except ValueError:
        raise UnsafeTree("malformed tree object") from None
    return rows


def directory_trees(
    children: Mapping[bytes, Mapping[bytes, bytes]], object_format: str, stored: Mapping[bytes, bytes] | None = None
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield the tree objects of nested directories, the deepest first: (directory, raw id, contents without header).

    `children` has every directory from the root (`b""`) on, with its files by name: six octal digits of the mode,
    followed by the raw id. Empty directories other than the root give no tree. `stored` has tree objects of an old
    history, which git would write differently today, by directory: each is used if it has the same entries. Raises
    UnsafeTree if a path is a file and a directory.
    """
    subtrees: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for directory in sorted(children, key=lambda path: -(path.count(b"/") + bool(path))):
        files = children[directory]
        # Git sorts a directory as if its name ended in a slash.
        rows = [(name, b"%b %b\0%b" % (entry[:6], name, entry[6:])) for name, entry in files.items()]
        for name, id in subtrees.pop(directory, ()):
            if name in files:
                raise UnsafeTree(f"the path {(directory and directory + b'/') + name!r} is both a file and a directory")
            rows.append((name + b"/", b"40000 %b\0%b" % (name, id)))
        if directory and not rows:
            continue
        rows.sort()
        contents = b"".join([row for _, row in rows])
        if stored is not None and directory in stored:
            object = stored[directory]
            if parse_tree(object, object_format) == parse_tree(contents, object_format):
                contents = object
        digest = hasher(object_format)
        digest.update(b"tree %d\0" % len(contents))
        digest.update(contents)
        id = digest.digest()
        yield directory, id, contents
        if directory:
            parent, _, name = directory.rpartition(b"/")
            subtrees.setdefault(parent, []).append((name, id))


def one_tree_id(rows: Iterable[tuple[bytes, int, bytes]], object_format: str) -> ObjectId:
    """Return the id of a tree object from its own rows: (name, mode, raw id), directories (DIRECTORY) included."""
    # Git sorts a directory as if its name ended in a slash.
    ordered = sorted(rows, key=lambda row: row[0] + b"/" if row[1] == DIRECTORY else row[0])
    contents = b"".join([b"%o %b\0%b" % (mode, name, id) for name, mode, id in ordered])
    digest = hasher(object_format)
    digest.update(b"tree %d\0" % len(contents))
    digest.update(contents)
    return ObjectId(digest.hexdigest())


def tree_id(entries: Iterable[TreeEntry], object_format: str) -> ObjectId:
    """Return the id of the tree with these paths, as `git write-tree` does. Raises as `tree_objects`."""
    return ObjectId.from_raw(tree_objects(entries, object_format)[b""][0])
