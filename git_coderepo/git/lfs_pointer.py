"""Read Git LFS pointers, and find the objects of a checkout that the LFS server may not have.

A tree has pointers in the place of large files. An object that the base's tree names is assumed to be on the server;
one that only the snapshot's tree names may be here alone. Format of a pointer:
https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import os

from git_coderepo.errors import LfsPointerUnusable, NotReproducible
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.git.objects import EXECUTABLE, FILE
from git_coderepo.git.process import git_word, path_word, read_blobs, shell_word
from git_coderepo.git.tree_diff import blob_sizes, travelling
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from git_coderepo.git.attributes.rules import Attributes
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.store import Store
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.settings import Settings

# A pointer is shorter than this (docs/spec.md).
POINTER_BYTES = 1024
POINTER_BEGIN = b"version https://git-lfs.github.com/spec/"
_OLD_BEGINNINGS = (b"version https://hawser.github.com/spec/", b"version http://git-media.io/v/")
_HEX = frozenset(b"0123456789abcdef")
_LARGEST = (1 << 53) - 1  # bytes: the largest integer that all JSON readers agree on (RFC 7493, section 2.2)
_EMPTY_OID = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Pointer:
    """A pointer: `oid` is the sha256 (hex) of the contents, `size` their length in bytes."""

    __slots__ = ("oid", "size")

    def __init__(self, oid: str, size: int) -> None:
        self.oid = oid
        self.size = size

    def encode(self) -> bytes:
        """Return the pointer as git-lfs writes it; an empty file is its own pointer."""
        if self.size == 0 and self.oid == _EMPTY_OID:
            return b""
        return b"%b\noid sha256:%b\nsize %d\n" % (POINTER_BEGIN + b"v1", self.oid.encode(), self.size)


def read_pointer(contents: bytes, path: bytes, toplevel: bytes | None = None) -> Pointer | None:
    """Parse a blob as a pointer; return None if it is not a pointer (an empty file is not).

    Raises LfsPointerUnusable, which names `path` (raw, from the root), for a pointer with extensions, of another
    version or hash, or not written as git-lfs would: the file could not be verified. `toplevel` is the root of the
    checkout in which the user can rewrite the pointer, None on a runner.
    """
    if len(contents) >= POINTER_BYTES or not contents.startswith((POINTER_BEGIN, *_OLD_BEGINNINGS)):
        return None
    lines = contents.split(b"\n")
    if len(lines) == 4 and lines[1].startswith(b"oid sha256:") and lines[2].startswith(b"size "):
        oid, size = lines[1].removeprefix(b"oid sha256:"), lines[2].removeprefix(b"size ")
        if len(oid) == 64 and _HEX.issuperset(oid) and size.isdigit() and len(size) <= len(str(_LARGEST)):
            pointer = Pointer(oid.decode(), int(size))
            if pointer.encode() == contents and pointer.size <= _LARGEST:
                return pointer
    name = os.fsdecode(path)
    if any(line.startswith(b"ext-") for line in lines):
        raise LfsPointerUnusable(
            f"'{name}' is a Git LFS pointer with extensions: only the programs that wrote them can restore the file",
            hints=["fetch the pointers as they are: --no-lfs"],
        )
    raise LfsPointerUnusable(
        f"'{name}' is a Git LFS pointer that is not as git-lfs writes it",
        hints=[_rewriting_hint(path, toplevel), "fetch the pointers as they are: --no-lfs"],
    )


def _rewriting_hint(path: bytes, toplevel: bytes | None) -> str:
    """Return the command with which git-lfs rewrites a pointer; without `toplevel` it is for the checkout's root."""
    git, word = ("git", shell_word(path)) if toplevel is None else (git_word(toplevel), path_word(path, toplevel))
    return f"{git} lfs checkout {word} && {git} add --renormalize -- {word}"


class Unpushed:
    """An object that the server may not have: the `path` of its pointer (raw, from `toplevel`), and its `file` here."""

    __slots__ = ("file", "path", "pointer", "toplevel")

    def __init__(self, path: bytes, pointer: Pointer, file: bytes, toplevel: bytes) -> None:
        self.toplevel = toplevel
        self.path = path
        self.pointer = pointer
        self.file = file


def has_lfs(attributes: Attributes, path: bytes) -> bool:
    """Return whether the tree's own attributes put a path into Git LFS."""
    return attributes.of(path).get(b"filter") == b"lfs"


def read_pointers(
    git: Git, rows: Sequence[Difference], toplevel: bytes | None
) -> tuple[list[tuple[Difference, Pointer]], list[Difference]]:
    """Return (rows whose blobs are pointers, each with its pointer; rows with other contents); empty blobs are neither.

    `toplevel` is the root of the rows' checkout. Raises ObjectMissing, and NotReproducible for an invalid pointer.
    """
    sizes = blob_sizes(git, [row.id for row in rows])
    small = [row for row, size in zip(rows, sizes, strict=True) if size < POINTER_BYTES]
    plain = [row for row, size in zip(rows, sizes, strict=True) if size >= POINTER_BYTES]
    pointers = []
    for row, (_, size, source) in zip(small, read_blobs(git, [row.id for row in small]), strict=True):
        try:
            pointer = read_pointer(source.read(size), row.path, toplevel)
        except LfsPointerUnusable as error:
            hints = [hint for hint in error.hints if "--no-lfs" not in hint]  # an option of fetch alone
            raise NotReproducible(error.message, hints=hints, waived_as="lfs") from None
        if pointer is not None:
            pointers.append((row, pointer))
        elif size:
            plain.append(row)
    return pointers, plain


def find_here(
    layout: Layout, store: Store, settings: Settings, refused: Mapping[str, tuple[bytes, Pointer, str]]
) -> list[Unpushed]:
    """Return the local copies of the objects that the server refused.

    `refused` has, by oid, the raw path, the pointer and the server's reason. Raises NotReproducible for an object that
    is not here.
    """
    folders = object_folders(layout, store, settings)
    unpushed = []
    for path, pointer, why in refused.values():
        file = _object_file(folders, pointer, layout.toplevel + b"/" + path)
        if file is None:
            raise NotReproducible(
                f"'{os.fsdecode(path)}' is kept in Git LFS, but the platform does not serve it ({why}), and its "
                "contents are not here",
                hints=["in a clone that has them: git lfs push --all REMOTE"],
                waived_as="lfs",
            )
        unpushed.append(Unpushed(path, pointer, file, layout.toplevel))
    return unpushed


class LfsCheckout(Value):
    """A checkout with Git LFS.

    `edited` are the raw paths that differ from HEAD. `base_listing` returns `ls-tree -r -z` of the base's tree, b""
    without a base.
    """

    git: Git
    layout: Layout
    store: Store
    settings: Settings
    attributes: Attributes
    edited: frozenset[bytes]
    base_listing: Callable[[], bytes]


def find_unpushed(
    checkout: LfsCheckout, differences: Sequence[Difference], notify: Callable[[str], None]
) -> list[Unpushed]:
    """Return the objects that the overlay names and the base does not, each once, sorted by oid.

    `differences` are those between base and snapshot. `notify` receives a warning about edited files that are not
    pointers because git-lfs is not set up: the tree then has their contents, as after `git add`. Raises NotReproducible
    for an object that is not here, and for an invalid pointer.
    """
    layout = checkout.layout
    in_overlay = travelling(differences)
    rows = [row for row in in_overlay if row.mode in (FILE, EXECUTABLE) and has_lfs(checkout.attributes, row.path)]
    if not rows:
        return []
    pointers, plain = read_pointers(checkout.git, rows, layout.toplevel)
    _warn_of_contents(checkout, plain, notify)
    known = checkout.base_listing() if pointers else b""
    folders = object_folders(layout, checkout.store, checkout.settings)
    unpushed: dict[str, Unpushed] = {}
    for row, pointer in pointers:
        if pointer.oid in unpushed or pointer.size == 0 or b" blob %b\t" % row.id.encode() in known:
            continue
        file = _object_file(folders, pointer, layout.toplevel + b"/" + row.path)
        if file is None:
            raise NotReproducible(
                f"'{os.fsdecode(row.path)}' is kept in Git LFS, but its contents are not here, and may not be on the "
                "platform",
                hints=["git lfs pull", "or, if it was pushed meanwhile: git fetch"],
                waived_as="lfs",
            )
        unpushed[pointer.oid] = Unpushed(row.path, pointer, file, layout.toplevel)
    return [unpushed[oid] for oid in sorted(unpushed)]


def _warn_of_contents(checkout: LfsCheckout, plain: Sequence[Difference], notify: Callable[[str], None]) -> None:
    """Warn of edited files that git-lfs would have replaced by pointers."""
    settings = checkout.settings
    if any(settings.value("filter", name, "lfs") for name in ("clean", "process")):
        return
    paths = sorted(row.path for row in plain if row.path in checkout.edited)
    if paths:
        inside = b"" if settings.outer is None else settings.path + b"/"
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        notify(
            f"warning: Git LFS is configured for '{os.fsdecode(inside + paths[0])}'{more}, but git-lfs is not set up "
            "here: the whole contents are stored with the run"
        )


def object_folders(layout: Layout, store: Store, settings: Settings) -> list[bytes]:
    """Return the folders (raw absolute paths) that may have LFS objects.

    These are our own, the user's (`lfs.storage`) and those of the repository's alternates.
    """
    configured = settings.value("lfs", "storage")
    own = os.path.join(layout.common_dir, os.fsencode(configured)) if configured else layout.common_dir + b"/lfs"
    folders = [store.directory + b"/lfs", own]
    try:
        with open(layout.objects + b"/info/alternates", "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        lines = []
    others = [line for line in lines if line and not line.startswith((b"#", b'"'))]
    folders += [os.path.dirname(os.path.join(layout.objects, line)) + b"/lfs" for line in others]
    return [folder + b"/objects" for folder in folders]


def object_path(folder: bytes, oid: str) -> bytes:
    """Return the path of an object in a folder of objects: `aa/bb/aabb…`."""
    name = oid.encode()
    return b"/".join((folder, name[:2], name[2:4], name))


def _object_file(folders: Sequence[bytes], pointer: Pointer, work_tree_file: bytes) -> bytes | None:
    """Return the file with an object's contents: in a folder of objects, or else in the work tree; None for neither."""
    for folder in folders:
        path = object_path(folder, pointer.oid)
        if _size(path) == pointer.size:
            return path
    if _size(work_tree_file) != pointer.size:
        return None
    try:
        with open(work_tree_file, "rb") as file:
            return work_tree_file if sha256_of(file) == pointer.oid else None
    except OSError:
        return None


def _size(path: bytes) -> int:
    import stat

    try:
        facts = os.lstat(path)
    except OSError:
        return -1
    return facts.st_size if stat.S_ISREG(facts.st_mode) else -1
