"""The run manifest as typed values, with bytes where Git has bytes.

The fields are those of `schema/run-manifest-1.json`; None means null, or a field that the document omits.
"""

from __future__ import annotations

import binascii
import os
import re
import sys
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from git_coderepo.errors import InvalidManifest, NotReproducible
from git_coderepo.git.objects import ObjectId
from git_coderepo.manifest.codec import MANIFEST, shape_reasons
from git_coderepo.manifest.invariants import check
from git_coderepo.manifest.strict_json import document_of
from git_coderepo.manifest.writer import MANIFEST_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Contents may be megabytes: a `repr` shows at most this many bytes.
_SHOWN = 64
_ID_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")


def _short_repr(value: Any) -> str:
    """Return the `repr` of a named tuple with shortened contents."""

    def short(field: object) -> str:
        if isinstance(field, bytes) and len(field) > _SHOWN:
            return f"<{len(field)} bytes>"
        if isinstance(field, tuple) and type(field) is tuple:
            return "(" + ", ".join(map(short, field)) + ("," if len(field) == 1 else "") + ")"
        return repr(field)

    fields = ", ".join(f"{name}={short(field)}" for name, field in zip(value._fields, value, strict=True))
    return f"{type(value).__name__}({fields})"


class Run(NamedTuple):
    """A run: `id` and `parent` are UUIDs of version 7, `created_on` is `YYYY-MM-DDTHH:MM:SSZ`.

    `directory` is the directory of the command: `b"."` for the checkout's root, else a path from there.
    """

    id: str
    created_on: str
    name: str | None
    parent: str | None
    command: tuple[bytes, ...] | None
    directory: bytes


def is_id_prefix(word: str) -> bool:
    """Return whether a word may be the beginning of a run's id, which takes at least four characters."""
    return _ID_PREFIX.fullmatch(word) is not None


class Remote(NamedTuple):
    """The parts of a remote; `user` is for ssh only, `path` and `host` are those of `RemoteURL`."""

    transport: str
    host: str | None
    port: int | None
    user: str | None
    path: str


class Repository(NamedTuple):
    """A code repository: a platform's `type`, the name of a custom class as `source`, `options` by key (`apiUrl`)."""

    name: str
    type: str
    source: str | None
    remote: Remote | None
    options: Mapping[str, str]


class Head(NamedTuple):
    """HEAD when the run was recorded; `branch` is text as of `os.fsdecode`, and None if HEAD was detached."""

    commit: ObjectId
    tree: ObjectId
    branch: str | None
    web_url: str | None


class Changes(NamedTuple):
    """The numbers of staged, changed and untracked paths, and of commits that the base lacks (None without a base)."""

    staged: int
    unstaged: int
    untracked: int
    unpushed: int | None


class Base(NamedTuple):
    """The commit that the platform serves; `archive` is `exact`, or `altered` if attributes change an archive."""

    commit: ObjectId
    tree: ObjectId
    known_by: str
    archive: str


class Overlay(NamedTuple):
    """The overlay: a gzip tar of `size` bytes with `files` entries that the base lacks, and the paths to delete.

    `data` is the gzip file, or None if it is a file `<sha256>.tar.gz` next to the manifest.
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
    """The objects of Git LFS that the server may not have: a gzip tar of `size` bytes, with oids as names.

    `data` is the gzip file, or None if it is a file `<sha256>.tar.gz` next to the manifest.
    """

    tar_sha256: str
    sha256: str
    size: int
    objects: tuple[LfsObject, ...]
    data: bytes | None

    def __repr__(self) -> str:
        return _short_repr(self)


class Special(NamedTuple):
    """A path that is not a regular file: its `mode`, and for a symbolic link its `target` in bytes."""

    path: bytes
    mode: int
    target: bytes | None


class Subdirectory(NamedTuple):
    """The part of the snapshot that the run uses: `b"."` or a path, its tree, and the tree objects that lead to it."""

    path: bytes
    tree: ObjectId
    proof: tuple[bytes, ...]

    def __repr__(self) -> str:
        return _short_repr(self)


class Submodule(NamedTuple):
    """A submodule: the `commit` of its gitlink; `state` is `fetched`, or `absent` without repository and code."""

    path: bytes
    commit: ObjectId
    state: str
    repository: Repository | None
    code: Code | None


class Omitted(NamedTuple):
    """An untracked path that was left out, with a reason such as `secret-name`."""

    path: bytes
    reason: str


class Outside(NamedTuple):
    """A path with contents that Git does not store: a reason such as `git-annex`, and the target, key or filter.

    With `files` above 1 it is a directory (`b"."` for the root) with that many such files.
    """

    path: bytes
    reason: str
    detail: bytes | None
    files: int = 1


class Obstacle(NamedTuple):
    """A reason why no runner can fetch the code: a word such as `too-large`, and a line for people."""

    reason: str
    message: str


class Code(NamedTuple):
    """The snapshot, and everything that a runner needs to fetch it; all ids are of `object_format`.

    `snapshot_ref` and `snapshot_commit` are set if the run was published before its manifest was written.
    `unreproducible` is not empty if the run was recorded although no runner can fetch its code.
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
        """The reasons why no runner can fetch the code, including submodules."""
        inner = (each.code.obstacles for each in self.submodules if each.code is not None)
        return (*self.unreproducible, *(obstacle for obstacles in inner for obstacle in obstacles))

    def codes(self) -> Iterator[tuple[bytes, Code]]:
        """Yield (raw path with a final slash, code): this code with an empty path, and every recorded submodule."""
        yield b"", self
        for each in self.submodules:
            if each.code is not None:
                for path, code in each.code.codes():
                    yield each.path + b"/" + path, code

    @property
    def trees(self) -> tuple[tuple[bytes, str], ...]:
        """The (path, tree in hex) pairs of `codes`, which are equal for two runs with the same files."""
        return tuple((path, code.snapshot_tree.hex) for path, code in self.codes())

    @property
    def dirty_submodule(self) -> bool:
        """Whether a submodule is dirty, so that no commit of the superproject has this code."""
        return any(each.code is not None and each.code.dirty for each in self.submodules)


class Imported(NamedTuple):
    """Code outside the snapshot that the program imports: `path` is relative to the checkout, `via` a line for people.

    If it is another checkout, `commit`, `tree` and `dirty` are known, and its `remote` if it has one.
    """

    path: bytes
    via: str
    remote: Remote | None
    commit: ObjectId | None
    tree: ObjectId | None
    dirty: bool | None


class Environment(NamedTuple):
    """The image's build key and name, if they are known, and the code that is imported from elsewhere."""

    build_key: str | None
    image: str | None
    imported: tuple[Imported, ...] = ()


class Producer(NamedTuple):
    """The program that wrote the manifest, and its git; None if a hook did not ask git for its version."""

    name: str
    version: str
    git: str | None


class Manifest(NamedTuple):
    """A run manifest; `data` is the text from which it was read, byte for byte."""

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
        """The sha256 of the manifest's bytes in hex, by which receipts name it."""
        return sha256(self.data).hexdigest()

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Return the manifest in these bytes. Raises InvalidManifest, in one line that names the field."""
        manifest = read(document_of(data), data)
        check(manifest)
        return manifest

    @classmethod
    def load(cls, path: str) -> Manifest:
        """Return the manifest in a file, or on standard input for `-`. Raises InvalidManifest, with the file's name."""
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
            raise InvalidManifest(f"invalid manifest {shown}: {error.message}", hints=error.hints) from error


# --- Runs that were recorded as not reproducible ---------------------------------------------------------------------


def refuse_unreproducible(code: Code, run: str) -> None:
    """Raise NotReproducible, with the recorded reasons, if no runner can fetch a code; `run` is the run's id."""
    obstacles = code.obstacles
    if obstacles:
        reasons = "; ".join(each.message for each in obstacles)
        raise NotReproducible(f"the run {run} was recorded as not reproducible: {reasons}")


# --- From a document to these values: its shape is checked by the schema, and bytes are bytes where Git has bytes -----

T = TypeVar("T")
# A value of a document that fits the schema, so that every field that is read below exists and has its type.
Value = Any

_VERSION = re.compile(r"[0-9]{1,8}[.][0-9]{1,8}")


def read(document: object, data: bytes) -> Manifest:
    """Return the manifest in a document; `data` is the text from which the document was read.

    Raises InvalidManifest, with the first reason, if the document does not fit the schema. `invariants` checks the
    meaning of the values.
    """
    _check_version(document)
    for reason in shape_reasons(MANIFEST, document):
        raise InvalidManifest(reason)
    root: Value = document
    return Manifest(
        run=_run(root["run"]),
        repository=_nullable(_repository, root["repository"]),
        code=_code(root["code"]),
        environment=_environment(root["environment"]),
        producer=_producer(root["producer"]),
        data=data,
    )


def _check_version(document: object) -> None:
    """Check the version before the schema, since a manifest of another major version may have another shape.

    Raises InvalidManifest.
    """
    if not isinstance(document, dict) or "manifestVersion" not in document:
        raise InvalidManifest("not a run manifest: it has no 'manifestVersion'")
    version = document["manifestVersion"]
    if isinstance(version, str) and _VERSION.fullmatch(version) and not version.startswith("1."):
        raise InvalidManifest(
            f"manifestVersion: {version} is another major version, this program reads 1.x",
            hints=["pipx upgrade git-coderepo"],
        )


# --- Values of the schema's definitions ---


def _nullable(convert: Callable[[Value], T], value: Value) -> T | None:
    return None if value is None else convert(value)


def _tuple(convert: Callable[[Value], T], values: Value) -> tuple[T, ...]:
    return tuple([convert(value) for value in values])


def _raw(value: Value) -> bytes:
    """Return a path or an argument in bytes, from a string or from `{"base64": …}`."""
    return value.encode() if isinstance(value, str) else _base64(value["base64"])


def _system_text(value: Value) -> str:
    """Return a name of the file system or of Git as text, like `os.fsdecode` (UTF-8, surrogateescape)."""
    return _raw(value).decode("utf-8", "surrogateescape")


def _base64(value: Value) -> bytes:
    return binascii.a2b_base64(value)


# JSON may spell an integer as 1.0, which `int` converts.


def _run(run: Value) -> Run:
    return Run(
        id=run["id"],
        created_on=run["createdOn"],
        name=run["name"],
        parent=run["parent"],
        command=_nullable(lambda words: _tuple(_raw, words), run["command"]),
        directory=_raw(run["directory"]),
    )


def _repository(repository: Value) -> Repository:
    return Repository(
        name=repository["name"],
        type=repository["type"],
        source=repository["source"],
        remote=_nullable(_remote, repository["remote"]),
        options=dict(repository["options"]),
    )


def _remote(remote: Value) -> Remote:
    return Remote(
        transport=remote["transport"],
        host=remote["host"],
        port=_nullable(int, remote["port"]),
        user=remote["user"],
        path=_system_text(remote["path"]),
    )


def _code(code: Value) -> Code:
    snapshot = code["snapshot"]
    return Code(
        object_format=code["objectFormat"],
        head=_nullable(_head, code["head"]),
        dirty=code["dirty"],
        changes=_changes(code["changes"]),
        base=_nullable(_base, code["base"]),
        snapshot_tree=ObjectId(snapshot["tree"]),
        snapshot_ref=snapshot["ref"],
        snapshot_commit=_nullable(ObjectId, snapshot.get("commit")),
        overlay=_nullable(_overlay, code["overlay"]),
        special=_nullable(lambda entries: _tuple(_special, entries), code["special"]),
        subdirectory=_subdirectory(code["subdirectory"]),
        scope=_nullable(lambda paths: _tuple(_raw, paths), code["scope"]),
        submodules=_tuple(_submodule, code["submodules"]),
        omitted=_tuple(_omitted, code["omitted"]),
        unreproducible=_tuple(_obstacle, code.get("unreproducible", ())),
        lfs=_nullable(_lfs, code.get("lfs")),
        outside=_tuple(_outside, code.get("outside", ())),
    )


def _head(head: Value) -> Head:
    return Head(
        commit=ObjectId(head["commit"]),
        tree=ObjectId(head["tree"]),
        branch=_nullable(_system_text, head["branch"]),
        web_url=head["webUrl"],
    )


def _changes(changes: Value) -> Changes:
    return Changes(
        staged=int(changes["staged"]),
        unstaged=int(changes["unstaged"]),
        untracked=int(changes["untracked"]),
        unpushed=_nullable(int, changes["unpushed"]),
    )


def _base(base: Value) -> Base:
    return Base(
        commit=ObjectId(base["commit"]),
        tree=ObjectId(base["tree"]),
        known_by=base["knownBy"],
        archive=base["archive"],
    )


def _overlay(overlay: Value) -> Overlay:
    return Overlay(
        tar_sha256=overlay["tarSha256"],
        sha256=overlay["sha256"],
        size=int(overlay["size"]),
        files=int(overlay["files"]),
        deleted=_tuple(_raw, overlay["deleted"]),
        data=_nullable(_base64, overlay.get("data")),
    )


def _lfs(lfs: Value) -> Lfs:
    return Lfs(
        tar_sha256=lfs["tarSha256"],
        sha256=lfs["sha256"],
        size=int(lfs["size"]),
        objects=_tuple(lambda each: LfsObject(oid=each["oid"], size=int(each["size"])), lfs["objects"]),
        data=_nullable(_base64, lfs.get("data")),
    )


def _special(entry: Value) -> Special:
    target = _raw(entry["target"]) if "target" in entry else None
    return Special(path=_raw(entry["path"]), mode=int(entry["mode"], 8), target=target)


def _subdirectory(subdirectory: Value) -> Subdirectory:
    return Subdirectory(
        path=_raw(subdirectory["path"]),
        tree=ObjectId(subdirectory["tree"]),
        proof=_tuple(_base64, subdirectory["proof"]),
    )


def _submodule(submodule: Value) -> Submodule:
    return Submodule(
        path=_raw(submodule["path"]),
        commit=ObjectId(submodule["commit"]),
        state=submodule["state"],
        repository=_nullable(_repository, submodule["repository"]),
        code=_nullable(_code, submodule["code"]),
    )


def _omitted(omitted: Value) -> Omitted:
    return Omitted(path=_raw(omitted["path"]), reason=omitted["reason"])


def _outside(outside: Value) -> Outside:
    return Outside(
        path=_raw(outside["path"]),
        reason=outside["reason"],
        detail=_nullable(_raw, outside["detail"]),
        files=int(outside.get("files", 1)),
    )


def _obstacle(obstacle: Value) -> Obstacle:
    return Obstacle(reason=obstacle["reason"], message=obstacle["message"])


def _environment(environment: Value) -> Environment:
    return Environment(
        build_key=environment["buildKey"],
        image=environment["image"],
        imported=_tuple(_imported, environment.get("imported", ())),
    )


def _imported(imported: Value) -> Imported:
    return Imported(
        path=os.fsencode(_system_text(imported["path"])),
        via=imported["via"],
        remote=_nullable(_remote, imported["remote"]),
        commit=_nullable(ObjectId, imported["commit"]),
        tree=_nullable(ObjectId, imported["tree"]),
        dirty=imported["dirty"],
    )


def _producer(producer: Value) -> Producer:
    return Producer(name=producer["name"], version=producer["version"], git=producer["git"])
