"""Git LFS in a checkout: pointers, where their objects lie here, and those that the server may not have.

The tree holds pointers, and the snapshot with it. An object that the base's tree names is taken to be on the server;
one that only the snapshot names is not known to be there. Pointers:
https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import os

from git_coderepo.errors import LfsPointerUnusable, NotReproducible
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.git.objects import EXECUTABLE, FILE
from git_coderepo.git.process import git_word, path_word, read_blobs, shell_word
from git_coderepo.git.tree_diff import blob_sizes, travelling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from git_coderepo.git.attributes.rules import Attributes
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.store import Store
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.settings import Settings

# A pointer is shorter than this.
POINTER_BYTES = 1024
_BEGIN = b"version https://git-lfs.github.com/spec/"
_OLD_BEGINNINGS = (b"version https://hawser.github.com/spec/", b"version http://git-media.io/v/")
_HEX = frozenset(b"0123456789abcdef")
_LARGEST = (1 << 53) - 1  # bytes; what every JSON reader has exactly (RFC 7493, section 2.2)
_EMPTY_OID = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Pointer:
    """What a pointer says of its object: the `oid` is the sha256 of the contents in hex, `size` their bytes."""

    __slots__ = ("oid", "size")

    def __init__(self, oid: str, size: int) -> None:
        self.oid = oid
        self.size = size

    def encode(self) -> bytes:
        """The pointer as git-lfs writes it; an empty file is its own pointer."""
        if self.size == 0 and self.oid == _EMPTY_OID:
            return b""
        return b"%b\noid sha256:%b\nsize %d\n" % (_BEGIN + b"v1", self.oid.encode(), self.size)


def read_pointer(contents: bytes, path: bytes, toplevel: bytes | None = None) -> Pointer | None:
    """The pointer that a blob is, None for one that is no pointer (an empty file is none, it stays as it is).

    Raises LfsPointerUnusable, naming `path`, for a pointer with extensions, of another version or hash, or one that
    git-lfs would write otherwise: what it stands for could not be proved. `toplevel` is the checkout's root, if this is
    where the pointer can be written again.
    """
    if len(contents) >= POINTER_BYTES or not contents.startswith((_BEGIN, *_OLD_BEGINNINGS)):
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
            f"'{name}' is a Git LFS pointer with extensions, and only the programs behind them could make the file",
            hints=["fetch the pointers as they are: --no-lfs"],
        )
    raise LfsPointerUnusable(
        f"'{name}' is a Git LFS pointer that is not as git-lfs writes it",
        hints=[_rewriting_hint(path, toplevel), "fetch the pointers as they are: --no-lfs"],
    )


def _rewriting_hint(path: bytes, toplevel: bytes | None) -> str:
    """Return the command by which git-lfs writes a pointer again; without a checkout here it is typed at the root."""
    git, word = ("git", shell_word(path)) if toplevel is None else (git_word(toplevel), path_word(path, toplevel))
    return f"{git} lfs checkout {word} && {git} add --renormalize -- {word}"


class Unpushed:
    """An object that is not known to be on the server: the `path` that names it, and the file that holds it here.

    The path is from the root of the checkout, at `toplevel`.
    """

    __slots__ = ("file", "path", "pointer", "toplevel")

    def __init__(self, path: bytes, pointer: Pointer, file: bytes, toplevel: bytes) -> None:
        self.toplevel = toplevel
        self.path = path
        self.pointer = pointer
        self.file = file


def has_lfs(attributes: Attributes, path: bytes) -> bool:
    """Whether the tree's own attributes give a path to Git LFS."""
    return attributes.of(path).get(b"filter") == b"lfs"


def read_pointers(
    git: Git, rows: Sequence[Difference], toplevel: bytes | None
) -> tuple[list[tuple[Difference, Pointer]], list[Difference]]:
    """(those rows whose blobs are pointers, with these; those with other contents); an empty blob is neither.

    The rows are of the checkout with its root at `toplevel`.

    Raises NotReproducible for a pointer that cannot be used, ObjectMissing.
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
    """The objects that the server was asked for and does not give, where they lie here.

    `refused` has, by oid, the raw path, the pointer and the server's reason. Raises NotReproducible for one that is
    not here either.
    """
    places = object_folders(layout, store, settings)
    found = []
    for path, pointer, why in refused.values():
        file = _object_file(places, pointer, layout.toplevel + b"/" + path)
        if file is None:
            raise NotReproducible(
                f"'{os.fsdecode(path)}' is kept in Git LFS, the platform does not give it ({why}), and its contents "
                "are not here",
                hints=["in a clone that has them: git lfs push --all REMOTE"],
                waived_as="lfs",
            )
        found.append(Unpushed(path, pointer, file, layout.toplevel))
    return found


def find_unpushed(
    git: Git,
    layout: Layout,
    store: Store,
    settings: Settings,
    found: Sequence[Difference],
    attributes: Attributes,
    *,
    edited: frozenset[bytes],
    base_listing: Callable[[], bytes],
    notify: Callable[[str], None],
) -> list[Unpushed]:
    """The objects that what travels (`found`) names and the base does not, each once; sorted by oid.

    `edited` are the paths that are not as HEAD has them; `base_listing` gives `ls-tree -r -z` of the base's tree, b""
    without one. `notify` hears of edited files that git-lfs would have made pointers of, were it here: without it git
    takes their contents into the tree, and so does the snapshot. Raises NotReproducible for an object that is not here
    either.
    """
    rows = [row for row in travelling(found) if row.mode in (FILE, EXECUTABLE) and has_lfs(attributes, row.path)]
    if not rows:
        return []
    pointers, plain = read_pointers(git, rows, layout.toplevel)
    if not any(settings.value("filter", name, "lfs") for name in ("clean", "process")):
        raw = sorted(row.path for row in plain if row.path in edited)
        if raw:
            inside = b"" if settings.outer is None else settings.path + b"/"
            more = f" and {len(raw) - 1} more" if len(raw) > 1 else ""
            notify(
                f"warning: '{os.fsdecode(inside + raw[0])}'{more} would be in Git LFS, and git-lfs is not set up here: "
                "as with git itself, what the tree holds are the contents, and they travel with the run"
            )
    known = base_listing() if pointers else b""
    places = object_folders(layout, store, settings)
    missing: dict[str, Unpushed] = {}
    for row, pointer in pointers:
        if pointer.oid in missing or pointer.size == 0 or b" blob %b\t" % row.id.encode() in known:
            continue
        file = _object_file(places, pointer, layout.toplevel + b"/" + row.path)
        if file is None:
            raise NotReproducible(
                f"'{os.fsdecode(row.path)}' is kept in Git LFS, and its contents are neither here nor known to be on "
                "the platform",
                hints=["git lfs pull", "or, if it was pushed meanwhile: git fetch"],
                waived_as="lfs",
            )
        missing[pointer.oid] = Unpushed(row.path, pointer, file, layout.toplevel)
    return [missing[oid] for oid in sorted(missing)]


def object_folders(layout: Layout, store: Store, settings: Settings) -> list[bytes]:
    """Where LFS objects may lie here, raw absolute paths: ours, the user's (`lfs.storage`), those of alternates."""
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
    """Where a folder of objects keeps one: `aa/bb/aabb…`."""
    name = oid.encode()
    return b"/".join((folder, name[:2], name[2:4], name))


def _object_file(folders: Sequence[bytes], pointer: Pointer, work_tree_file: bytes) -> bytes | None:
    """The file with an object's contents; last of all the one of the work tree, if it is that."""
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
