"""Tree objects of old histories that git would write differently today: zero-padded modes, modes like 100664.

Git checks such trees out like any other, so every blob, mode and name matches, but the tree id does not follow from
them. In this case each tree object is hashed as it is stored and compared entry by entry.
"""

from __future__ import annotations

from git_coderepo.errors import UnsafeTree
from git_coderepo.git.objects import DIRECTORY, ObjectId, canonical_mode, directory_trees, hasher, parse_tree
from git_coderepo.git.process import Git, read_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.fetching.listing import Listing
    from git_coderepo.platforms.base import BaseCodeRepository


def old_directory(platform: BaseCodeRepository, listing: Listing, root: ObjectId) -> bytes | None:
    """Return the directory whose tree object git would write differently today, by the platform's tree listings.

    `listing` should be the contents of the tree `root`; b"" is the root. None if the entries differ, or the platform
    does not list trees. Raises PlatformErrors.
    """
    trees = {path: id for path, id, _ in directory_trees(listing.directories, root.object_format)}
    below = listing.subdirectories()
    path, expected = b"", root
    while trees.get(path) != expected.raw:
        told = platform.tree_entries(expected)
        if told is None:
            return None
        found = {name: (int(packed[:6], 8), packed[6:]) for name, packed in listing.directories[path].items()}
        files = {name: (canonical_mode(mode), id) for name, (mode, id) in told.items() if mode != DIRECTORY}
        inside = {name: id for name, (mode, id) in told.items() if mode == DIRECTORY}
        if found != files or inside.keys() != below.get(path, set()):
            return None
        prefix = path + b"/" if path else b""
        odd = next((name for name, id in sorted(inside.items()) if trees.get(prefix + name) != id), None)
        if odd is None:
            return path
        path, expected = prefix + odd, ObjectId.from_raw(inside[odd])
    return None


def stored_trees(git: Git, name: str, object_format: str) -> Mapping[bytes, bytes]:
    """Return the contents of the old tree objects in a tree or commit that `git` has, by directory.

    git's listing is not trusted: each object is hashed here. Raises UnsafeTree for a damaged object, GitFailed.
    """
    rows = git.run("ls-tree", "-r", "-t", "-z", "--full-tree", name).split(b"\0")
    ids: dict[bytes, str] = {b"": tree_named(git, name).hex}
    children: dict[bytes, list[tuple[bytes, bytes]]] = {b"": []}
    for row in rows:
        if not row:
            continue
        facts, _, path = row.partition(b"\t")
        mode, _, id = facts.split(b" ")
        kind = canonical_mode(int(mode, 8))
        directory, _, leaf = path.rpartition(b"/")
        order = leaf
        if kind == DIRECTORY:
            ids[path] = id.decode()
            children.setdefault(path, [])
            order = leaf + b"/"  # git sorts a directory as if its name ended in a slash
        children.setdefault(directory, []).append((order, b"%o %b\0%b" % (kind, leaf, bytes.fromhex(id.decode()))))
    odd = [path for path, id in ids.items() if _id(_canonical(children[path]), object_format) != id]
    found: dict[bytes, bytes] = {}
    for path, (object, size, source) in zip(odd, read_blobs(git, [ids[path] for path in odd]), strict=True):
        contents = source.read(size)
        if _id(contents, object_format) != object:
            raise UnsafeTree(f"the tree object {object} is damaged")
        if parse_tree(contents, object_format) != parse_tree(_canonical(children[path]), object_format):
            raise UnsafeTree(f"the tree object {object} differs from git's listing of it")
        found[path] = contents
    return found


def _canonical(rows: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(row for _, row in sorted(rows))


def _id(contents: bytes, object_format: str) -> str:
    digest = hasher(object_format)
    digest.update(b"tree %d\0" % len(contents))
    digest.update(contents)
    return digest.hexdigest()


def tree_named(git: Git, name: str) -> ObjectId:
    """Return the id of the tree `name`, of the tree of the commit `name`, or of `COMMIT:PATH/`.

    Raises GitFailed.
    """
    peel = "" if ":" in name else "^{tree}"
    return ObjectId(git.line("rev-parse", "--verify", "--end-of-options", f"{name}{peel}"))
