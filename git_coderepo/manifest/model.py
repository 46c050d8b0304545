"""The run manifest as values: what `code`, `repository` and `run` say, bytes where Git has bytes.

Field by field this is `schema/run-manifest-1.json`; None stands where the document has null or leaves a field out.
"""

from __future__ import annotations

import re
import sys
from hashlib import sha256
from typing import Any, NamedTuple

from git_coderepo.errors import InvalidManifest, NotReproducible
from git_coderepo.manifest.writer import MANIFEST_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from git_coderepo.git.objects import ObjectId

# Contents may be megabytes: a `repr` shows that many bytes at the most.
_SHOWN = 64
_ID_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")


def _short_repr(value: Any) -> str:
    """Return the `repr` of a named tuple with its contents cut."""

    def short(field: object) -> str:
        if isinstance(field, bytes) and len(field) > _SHOWN:
            return f"<{len(field)} bytes>"
        if isinstance(field, tuple) and type(field) is tuple:
            return "(" + ", ".join(map(short, field)) + ("," if len(field) == 1 else "") + ")"
        return repr(field)

    fields = ", ".join(f"{name}={short(field)}" for name, field in zip(value._fields, value, strict=True))
    return f"{type(value).__name__}({fields})"


class Run(NamedTuple):
    """`id` and `parent` are UUIDs of version 7, `created_on` is `YYYY-MM-DDTHH:MM:SSZ`.

    `directory` is where the command ran: `b"."` for the checkout's root, else a path from there.
    """

    id: str
    created_on: str
    name: str | None
    parent: str | None
    command: tuple[bytes, ...] | None
    directory: bytes


def is_id_prefix(word: str) -> bool:
    """Return whether a word can be the beginning of a run's id: four characters at least."""
    return _ID_PREFIX.fullmatch(word) is not None


class Remote(NamedTuple):
    """A remote by its parts; `user` for ssh only, `path` and `host` as `RemoteURL` has them."""

    transport: str
    host: str | None
    port: int | None
    user: str | None
    path: str


class Repository(NamedTuple):
    """What serves the code: a platform's `type`, a custom class's name as `source`, `options` by key (`apiUrl`)."""

    name: str
    type: str
    source: str | None
    remote: Remote | None
    options: Mapping[str, str]


class Head(NamedTuple):
    """HEAD at that time; `branch` is None when it was detached (text as `os.fsdecode` gives it)."""

    commit: ObjectId
    tree: ObjectId
    branch: str | None
    web_url: str | None


class Changes(NamedTuple):
    """How many paths were staged, changed and untracked, and how many commits the base lacks (None without a base)."""

    staged: int
    unstaged: int
    untracked: int
    unpushed: int | None


class Base(NamedTuple):
    """The commit that the platform serves; `archive` is `exact`, or `altered` where attributes change an archive."""

    commit: ObjectId
    tree: ObjectId
    known_by: str
    archive: str


class Overlay(NamedTuple):
    """What the base lacks: a gzip tar of `size` bytes with `files` entries, and the paths to delete.

    `data` is the gzip itself, None where it is kept beside the manifest as `<sha256>.tar.gz`.
    """

    tar_sha256: str
    sha256: str
    size: int
    files: int
    deleted: tuple[bytes, ...]
    data: bytes | None

    def __repr__(self) -> str:
        return _short_repr(self)


class LfsObject(NamedTuple):
    """An object of Git LFS: `oid` is the sha256 of its contents in hex, `size` their bytes."""

    oid: str
    size: int


class Lfs(NamedTuple):
    """The objects of Git LFS that the server is not known to have: a gzip tar of `size` bytes with them by oid.

    `data` is the gzip itself, None where it is kept beside the manifest as `<sha256>.tar.gz`.
    """

    tar_sha256: str
    sha256: str
    size: int
    objects: tuple[LfsObject, ...]
    data: bytes | None

    def __repr__(self) -> str:
        return _short_repr(self)


class Special(NamedTuple):
    """A path that is no plain file: `mode` as an integer, `target` the bytes of a symbolic link, else None."""

    path: bytes
    mode: int
    target: bytes | None


class Subdirectory(NamedTuple):
    """The part that the run uses: `b"."` or a path, its tree, and the contents of the tree objects on the way."""

    path: bytes
    tree: ObjectId
    proof: tuple[bytes, ...]

    def __repr__(self) -> str:
        return _short_repr(self)


class Submodule(NamedTuple):
    """`commit` is the gitlink's; `state` is `fetched`, or `absent`, and then there is neither repository nor code."""

    path: bytes
    commit: ObjectId
    state: str
    repository: Repository | None
    code: Code | None


class Omitted(NamedTuple):
    """An untracked path that was left out, and why, in a word such as `secret-name`."""

    path: bytes
    reason: str


class Outside(NamedTuple):
    """A path with contents that Git does not store: why, in a word such as `git-annex`, and the target, key or filter.

    With `files` above 1 it is a directory (`b"."` for the root) that holds so many of them.
    """

    path: bytes
    reason: str
    detail: bytes | None
    files: int = 1


class Obstacle(NamedTuple):
    """Why no runner can get the code back: a word such as `too-large`, and the same in a line for people."""

    reason: str
    message: str


class Code(NamedTuple):
    """The snapshot and all that a runner needs to get it back; all ids are of `object_format`.

    `snapshot_ref` and `snapshot_commit` are those of a run that was published before its manifest was written.
    `unreproducible` is empty but where the run was recorded although nobody can get its code back.
    """

    object_format: str
    head: Head | None
    dirty: bool
    changes: Changes
    base: Base | None
    snapshot_tree: ObjectId
    snapshot_ref: str | None
    snapshot_commit: ObjectId | None
    overlay: Overlay | None
    special: tuple[Special, ...] | None
    subdirectory: Subdirectory
    scope: tuple[bytes, ...] | None
    submodules: tuple[Submodule, ...]
    omitted: tuple[Omitted, ...]
    lfs: Lfs | None = None
    unreproducible: tuple[Obstacle, ...] = ()
    outside: tuple[Outside, ...] = ()

    @property
    def obstacles(self) -> tuple[Obstacle, ...]:
        """Why no runner can get it back, its submodules included."""
        inner = (each.code.obstacles for each in self.submodules if each.code is not None)
        return (*self.unreproducible, *(obstacle for found in inner for obstacle in found))

    def codes(self) -> Iterator[tuple[bytes, Code]]:
        """(raw path with a final slash, code) of it, under an empty path, and of every submodule that is recorded."""
        yield b"", self
        for each in self.submodules:
            if each.code is not None:
                for path, code in each.code.codes():
                    yield each.path + b"/" + path, code

    @property
    def trees(self) -> tuple[tuple[bytes, str], ...]:
        """(path, tree in hex) of `codes`: two runs for which they are equal had the same files."""
        return tuple((path, code.snapshot_tree.hex) for path, code in self.codes())

    @property
    def dirty_submodule(self) -> bool:
        """Whether a submodule is dirty: then no commit of the superproject has this code."""
        return any(each.code is not None and each.code.dirty for each in self.submodules)


class Imported(NamedTuple):
    """Code outside the snapshot that the program imports: `path` is relative to the checkout, `via` a line for people.

    Of another checkout `commit`, `tree` and `dirty` are known, and its `remote` where it has one.
    """

    path: bytes
    via: str
    remote: Remote | None
    commit: ObjectId | None
    tree: ObjectId | None
    dirty: bool | None


class Environment(NamedTuple):
    """The image's build key and name, where they are known, and what is imported from elsewhere."""

    build_key: str | None
    image: str | None
    imported: tuple[Imported, ...] = ()


class Producer(NamedTuple):
    """The program that wrote the manifest, and the git that it used: None where a hook had no time to ask."""

    name: str
    version: str
    git: str | None


class Manifest(NamedTuple):
    """A run manifest; `data` is the text that it was read from, byte for byte."""

    run: Run
    repository: Repository | None
    code: Code
    environment: Environment
    producer: Producer
    data: bytes

    def __repr__(self) -> str:
        return _short_repr(self)

    @property
    def digest(self) -> str:
        """The sha256 of the manifest's bytes, in hex: its name in receipts."""
        return sha256(self.data).hexdigest()

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The manifest in these bytes. Raises InvalidManifest, one line that names the field, for whatever is wrong."""
        from git_coderepo.manifest.invariants import check
        from git_coderepo.manifest.reader import read
        from git_coderepo.manifest.strict_json import document_of

        manifest = read(document_of(data), data)
        check(manifest)
        return manifest

    @classmethod
    def load(cls, path: str) -> Manifest:
        """The manifest in a file, or on standard input for `-`. Raises InvalidManifest, with the file's name."""
        try:
            if path == "-":
                data = sys.stdin.buffer.read(MANIFEST_LIMIT + 1)
            else:
                with open(path, "rb") as file:
                    data = file.read(MANIFEST_LIMIT + 1)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise InvalidManifest(f"cannot read the manifest {path!a}: {reason}") from error
        try:
            return cls.parse(data)
        except InvalidManifest as error:
            shown = "standard input" if path == "-" else ascii(path)
            raise InvalidManifest(f"{shown} is no valid manifest: {error.message}", hints=error.hints) from error


# --- What was recorded as not reproducible is refused to whoever asks for it -----------------------------------------


def refuse_unreproducible(code: Code, run: str) -> None:
    """Raises NotReproducible, with the reasons of the record, for a `code` nobody can get back; `run` is its id."""
    obstacles = code.obstacles
    if obstacles:
        reasons = "; ".join(each.message for each in obstacles)
        raise NotReproducible(f"the run {run} was recorded as not reproducible: {reasons}")
