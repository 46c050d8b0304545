"""The meaning layer: what holds between the values of a manifest, and in its base64, where no schema looks."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from git_coderepo.errors import InvalidManifest
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.objects import ObjectId, hasher
from git_coderepo.manifest.shape import A_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from git_coderepo.manifest.model import Code, Lfs, Manifest, Overlay, Repository, Subdirectory

_UNSAFE_PARTS = frozenset((b"", b".", b".."))


def check(manifest: Manifest) -> None:
    """Raises InvalidManifest, in one line that names the field, where values contradict each other."""
    run = manifest.run
    try:
        datetime.fromisoformat(run.created_on.removesuffix("Z"))
    except ValueError:
        raise InvalidManifest(f"run.createdOn: there is no such time: {run.created_on}") from None
    _check_paths("run.directory", [run.directory], indexed=False, root_allowed=True)
    _check_arguments("run.command", run.command or ())
    _check_repository("repository", manifest.repository)
    _check_code("code", manifest.code)
    for index, each in enumerate(manifest.environment.imported):
        place = f"environment.imported[{index}]"
        if b"\0" in each.path:
            raise InvalidManifest(f"{place}.path: holds NUL")
        if each.remote is not None and "\0" in each.remote.path:
            raise InvalidManifest(f"{place}.remote.path: holds NUL")


def _check_repository(place: str, repository: Repository | None) -> None:
    if repository is None or repository.remote is None:
        return
    if "\0" in repository.remote.path:
        raise InvalidManifest(f"{place}.remote.path: holds NUL")
    if "{{" in repository.remote.path:
        raise InvalidManifest(f"{place}.remote.path: not free of '{{{{', which begins a reference to a secret")


def _check_code(place: str, code: Code) -> None:
    if code.head is not None and code.head.branch is not None and "\0" in code.head.branch:
        raise InvalidManifest(f"{place}.head.branch: holds NUL")
    if code.overlay is not None:
        _check_overlay(f"{place}.overlay", code.overlay, has_base=code.base is not None)
    if code.lfs is not None:
        _check_lfs(f"{place}.lfs", code.lfs)
    if code.special is not None:
        _check_paths(f"{place}.special", [entry.path for entry in code.special])
        _check_arguments(f"{place}.special", [entry.target or b"" for entry in code.special])
    _check_paths(f"{place}.scope", code.scope or ())
    _check_paths(f"{place}.omitted", [entry.path for entry in code.omitted], unique=False)
    _check_paths(f"{place}.outside", [entry.path for entry in code.outside], unique=False, root_allowed=True)
    _check_arguments(f"{place}.outside", [entry.detail or b"" for entry in code.outside])
    _check_subdirectory(f"{place}.subdirectory", code.subdirectory, code)
    _check_paths(f"{place}.submodules", [submodule.path for submodule in code.submodules])
    for index, submodule in enumerate(code.submodules):
        inner = f"{place}.submodules[{index}]"
        _check_repository(f"{inner}.repository", submodule.repository)
        if submodule.code is not None:
            _check_code(f"{inner}.code", submodule.code)


def _check_paths(
    place: str, paths: Iterable[bytes], *, unique: bool = True, indexed: bool = True, root_allowed: bool = False
) -> None:
    seen: set[bytes] = set()
    for index, path in enumerate(paths):
        inner = f"{place}[{index}]" if indexed else place
        if (b"\0" in path or not _UNSAFE_PARTS.isdisjoint(path.split(b"/"))) and not (root_allowed and path == b"."):
            raise InvalidManifest(f"{inner}: not {A_PATH}")
        if unique and path in seen:
            raise InvalidManifest(f"{inner}: the path {quoted(path)} is named twice")
        seen.add(path)


def _check_arguments(place: str, arguments: Iterable[bytes]) -> None:
    for index, argument in enumerate(arguments):
        if b"\0" in argument:
            raise InvalidManifest(f"{place}[{index}]: holds NUL")


def _check_overlay(place: str, overlay: Overlay, *, has_base: bool) -> None:
    _check_paths(f"{place}.deleted", overlay.deleted)
    if overlay.deleted and not has_base:
        raise InvalidManifest(f"{place}.deleted: there is no base to delete from")
    _check_data(place, overlay)


def _check_lfs(place: str, lfs: Lfs) -> None:
    seen: set[str] = set()
    for index, each in enumerate(lfs.objects):
        if each.oid in seen:
            raise InvalidManifest(f"{place}.objects[{index}]: the object {each.oid} is named twice")
        seen.add(each.oid)
    _check_data(place, lfs)


def _check_data(place: str, packed: Overlay | Lfs) -> None:
    """What stands in the manifest is what it says it is."""
    if packed.data is not None:
        if len(packed.data) != packed.size:
            raise InvalidManifest(f"{place}.data: {len(packed.data)} bytes, not the recorded {packed.size}")
        if sha256(packed.data).hexdigest() != packed.sha256:
            raise InvalidManifest(f"{place}.data: does not have the recorded sha256")


def _check_subdirectory(place: str, subdirectory: Subdirectory, code: Code) -> None:
    """The proof's tree objects lead from the snapshot's tree to the subdirectory's, one for each part of its path."""
    _check_paths(f"{place}.path", [subdirectory.path], indexed=False, root_allowed=True)
    names = [] if subdirectory.path == b"." else subdirectory.path.split(b"/")
    if len(names) != len(subdirectory.proof):
        raise InvalidManifest(
            f"{place}.proof: {len(subdirectory.proof)} tree objects for {len(names)} parts of the path"
        )
    tree: ObjectId | None = code.snapshot_tree
    for index, (name, contents) in enumerate(zip(names, subdirectory.proof, strict=True)):
        digest = hasher(code.object_format)
        digest.update(b"tree %d\0" % len(contents))
        digest.update(contents)
        if tree is None or tree.raw != digest.digest():
            raise InvalidManifest(f"{place}.proof[{index}]: is not the tree {tree}")
        tree = _directory_in(contents, name, digest.digest_size)
        if tree is None:
            raise InvalidManifest(f"{place}.proof[{index}]: has no directory {quoted(name)}")
    if tree != subdirectory.tree:
        raise InvalidManifest(f"{place}.tree: is not the tree {tree}, to which the proof leads")


def _directory_in(contents: bytes, name: bytes, id_length: int) -> ObjectId | None:
    """The id of a directory in a tree object: rows of `mode SP name NUL id`, the mode of a directory is 40000."""
    start = 0
    while start < len(contents):
        end = contents.find(b"\0", start)
        if end < 0 or end + 1 + id_length > len(contents):
            return None
        if contents[start:end] == b"40000 " + name:
            return ObjectId.from_raw(contents[end + 1 : end + 1 + id_length])
        start = end + 1 + id_length
    return None
