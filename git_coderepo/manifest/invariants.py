"""The meaning layer: rules between the values of a manifest, and for its base64, which no schema can express."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from git_coderepo.errors import InvalidManifest
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.objects import ObjectId, hasher

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from git_coderepo.manifest.model import Code, Lfs, Manifest, Overlay, Repository, Subdirectory

_A_PATH = "a relative path without empty, '.' or '..' parts"
_UNSAFE_PARTS = frozenset((b"", b".", b".."))


def check(manifest: Manifest) -> None:
    """Raise InvalidManifest, in one line that names the field, if values contradict each other."""
    for reason in reasons(manifest):
        raise InvalidManifest(reason)


def reasons(manifest: Manifest) -> Iterator[str]:
    """Yield a line `PLACE: REASON` for each contradiction between values."""
    run = manifest.run
    try:
        datetime.fromisoformat(run.created_on.removesuffix("Z"))
    except ValueError:
        yield f"run.createdOn: invalid time {run.created_on}"
    yield from _path_reasons("run.directory", [run.directory], indexed=False, root_allowed=True)
    yield from _argument_reasons("run.command", run.command or ())
    yield from _repository_reasons("repository", manifest.repository)
    yield from _code_reasons("code", manifest.code)
    for index, each in enumerate(manifest.environment.imported):
        place = f"environment.imported[{index}]"
        if b"\0" in each.path:
            yield f"{place}.path: contains NUL"
        if each.remote is not None and "\0" in each.remote.path:
            yield f"{place}.remote.path: contains NUL"


def _repository_reasons(place: str, repository: Repository | None) -> Iterator[str]:
    if repository is None or repository.remote is None:
        return
    if "\0" in repository.remote.path:
        yield f"{place}.remote.path: contains NUL"
    if "{{" in repository.remote.path:
        yield f"{place}.remote.path: not free of '{{{{', which begins a reference to a secret"


def _code_reasons(place: str, code: Code) -> Iterator[str]:
    if code.head is not None and code.head.branch is not None and "\0" in code.head.branch:
        yield f"{place}.head.branch: contains NUL"
    if code.overlay is not None:
        yield from _overlay_reasons(f"{place}.overlay", code.overlay, has_base=code.base is not None)
    if code.lfs is not None:
        yield from _lfs_reasons(f"{place}.lfs", code.lfs)
    if code.special is not None:
        yield from _path_reasons(f"{place}.special", [entry.path for entry in code.special])
        yield from _argument_reasons(f"{place}.special", [entry.target or b"" for entry in code.special])
    yield from _path_reasons(f"{place}.scope", code.scope or ())
    yield from _path_reasons(f"{place}.omitted", [entry.path for entry in code.omitted], unique=False)
    yield from _path_reasons(
        f"{place}.outside", [entry.path for entry in code.outside], unique=False, root_allowed=True
    )
    yield from _argument_reasons(f"{place}.outside", [entry.detail or b"" for entry in code.outside])
    yield from _subdirectory_reasons(f"{place}.subdirectory", code.subdirectory, code)
    yield from _path_reasons(f"{place}.submodules", [submodule.path for submodule in code.submodules])
    for index, submodule in enumerate(code.submodules):
        inner = f"{place}.submodules[{index}]"
        yield from _repository_reasons(f"{inner}.repository", submodule.repository)
        if submodule.code is not None:
            yield from _code_reasons(f"{inner}.code", submodule.code)


def _path_reasons(
    place: str, paths: Iterable[bytes], *, unique: bool = True, indexed: bool = True, root_allowed: bool = False
) -> Iterator[str]:
    seen: set[bytes] = set()
    for index, path in enumerate(paths):
        inner = f"{place}[{index}]" if indexed else place
        if (b"\0" in path or not _UNSAFE_PARTS.isdisjoint(path.split(b"/"))) and not (root_allowed and path == b"."):
            yield f"{inner}: not {_A_PATH}"
        elif unique and path in seen:
            yield f"{inner}: the path {quoted(path)} is named twice"
        seen.add(path)


def _argument_reasons(place: str, arguments: Iterable[bytes]) -> Iterator[str]:
    for index, argument in enumerate(arguments):
        if b"\0" in argument:
            yield f"{place}[{index}]: contains NUL"


def _overlay_reasons(place: str, overlay: Overlay, *, has_base: bool) -> Iterator[str]:
    yield from _path_reasons(f"{place}.deleted", overlay.deleted)
    if overlay.deleted and not has_base:
        yield f"{place}.deleted: requires a base"
    yield from _data_reasons(place, overlay)


def _lfs_reasons(place: str, lfs: Lfs) -> Iterator[str]:
    seen: set[str] = set()
    for index, each in enumerate(lfs.objects):
        if each.oid in seen:
            yield f"{place}.objects[{index}]: the object {each.oid} is named twice"
        seen.add(each.oid)
    yield from _data_reasons(place, lfs)


def _data_reasons(place: str, packed: Overlay | Lfs) -> Iterator[str]:
    """Yield reasons if the data in the manifest does not have the recorded size and sha256."""
    if packed.data is not None:
        if len(packed.data) != packed.size:
            yield f"{place}.data: {len(packed.data)} bytes, not the recorded {packed.size}"
        elif sha256(packed.data).hexdigest() != packed.sha256:
            yield f"{place}.data: does not have the recorded sha256"


def _subdirectory_reasons(place: str, subdirectory: Subdirectory, code: Code) -> Iterator[str]:
    """Yield reasons if the tree objects of the proof do not lead from the snapshot's tree to the subdirectory's.

    There is one tree object for each part of the path.
    """
    yield from _path_reasons(f"{place}.path", [subdirectory.path], indexed=False, root_allowed=True)
    names = [] if subdirectory.path == b"." else subdirectory.path.split(b"/")
    if len(names) != len(subdirectory.proof):
        yield f"{place}.proof: {len(subdirectory.proof)} tree objects for {len(names)} parts of the path"
        return
    tree: ObjectId | None = code.snapshot_tree
    for index, (name, contents) in enumerate(zip(names, subdirectory.proof, strict=True)):
        digest = hasher(code.object_format)
        digest.update(b"tree %d\0" % len(contents))
        digest.update(contents)
        if tree is None or tree.raw != digest.digest():
            yield f"{place}.proof[{index}]: is not the tree {tree}"
            return
        tree = _directory_in(contents, name, digest.digest_size)
        if tree is None:
            yield f"{place}.proof[{index}]: has no directory {quoted(name)}"
            return
    if tree != subdirectory.tree:
        yield f"{place}.tree: is not the tree {tree}, to which the proof leads"


def _directory_in(contents: bytes, name: bytes, id_length: int) -> ObjectId | None:
    """Return the id of a directory in a tree object, or None.

    A tree object has rows of `mode SP name NUL id`, and the mode of a directory is 40000:
    https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    start = 0
    while start < len(contents):
        end = contents.find(b"\0", start)
        if end < 0 or end + 1 + id_length > len(contents):
            return None
        if contents[start:end] == b"40000 " + name:
            return ObjectId.from_raw(contents[end + 1 : end + 1 + id_length])
        start = end + 1 + id_length
    return None
