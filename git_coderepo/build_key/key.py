"""The build key: a digest of what goes into an image, not of the code. Same key, same image.

It is made from the snapshot, so that it says what a runner would build, and from nothing of the machine that makes it:
neither its interpreter, nor its platform, nor its locale.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.build_key.dockerfile import bases
from git_coderepo.build_key.files import BuildFile, Remark, TreeFiles, build_files, levels
from git_coderepo.build_key.python_dependencies import dependency_files, dependency_tables, parse_toml, required_python
from git_coderepo.build_key.warnings import remarks_on
from git_coderepo.errors import NotReproducible, UsageError
from git_coderepo.manifest.writer import path_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.snapshots.snapshot import Snapshot

KEY_VERSION = 1
PLATFORM = "linux/amd64"
# os/arch[/variant]: https://github.com/opencontainers/image-spec/blob/main/image-index.md
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?")


class Input(NamedTuple):
    """A file that counts: raw path, hex sha256 of what counts of it, and whether that is its dependency tables only."""

    path: bytes
    sha256: str
    tables_only: bool


class BuildKey(NamedTuple):
    """`digest` is the key, 64 hex digits; the rest is what it was made of, and `remarks` on what it cannot hold.

    `python` is a version or a range as it is written in `python_from` (a raw path; None for the option); `base_images`
    holds (raw path, line, image as written).
    """

    digest: str
    inputs: tuple[Input, ...]
    base_images: tuple[tuple[bytes, int, str], ...]
    python: str | None
    python_from: bytes | None
    platform: str
    remarks: tuple[Remark, ...]

    def document(self) -> dict[str, object]:
        """All of it as plain values."""
        return {
            "buildKey": self.digest,
            "platform": self.platform,
            "python": self.python,
            "pythonFrom": None if self.python_from is None else path_value(self.python_from),
            "baseImages": [
                {"path": path_value(path), "line": line, "image": image} for path, line, image in self.base_images
            ],
            "inputs": [
                {"path": path_value(each.path), "sha256": each.sha256, "dependencyTablesOnly": each.tables_only}
                for each in self.inputs
            ],
            "warnings": [
                {"path": path_value(each.path), "line": each.line, "message": each.text} for each in self.remarks
            ],
        }


def build_key(
    snapshot: Snapshot, *, files: Sequence[bytes] = (), python: str | None = None, platform: str | None = None
) -> BuildKey | None:
    """The key of what a snapshot would be built from, None where nothing in it says what an image is made of, and
    where what changed was not kept, since nobody could build from it.

    `files` (raw, as seen from the run's directory) are taken instead of those that are found by name.
    Raises NotReproducible for one of them that the snapshot does not have, UsageError for a platform or a version
    that is none.
    """
    assert snapshot.tree is not None and snapshot.layout is not None and snapshot.settings is not None
    platform = PLATFORM if platform is None else platform
    if not _PLATFORM.fullmatch(platform):
        raise UsageError(
            f"'{platform}' is no platform", hints=["write OS/ARCHITECTURE, such as linux/amd64 or linux/arm64"]
        )
    if python is not None and (not python.strip() or not python.isprintable()):
        raise UsageError(f"'{python}' is no version of Python")
    if not snapshot.keeps_contents:
        return None
    directory = snapshot.layout.prefix.rstrip(b"/")
    tree = TreeFiles(snapshot.git_with_store, snapshot.tree.hex)
    only = [_from_root(directory, path) for path in files]
    found, remarks = build_files(tree, directory, patterns=snapshot.settings.texts("buildFile"), only=only)
    if not found:
        return None
    found, more = _with_dynamic(found, tree)
    remarks += more
    inputs = tuple(_input(each) for each in found)
    images = tuple(
        (each.path, base.line, base.written) for each in found if each.is_image_file for base in bases(each.data)
    )
    python_from = None
    if python is None:
        python, python_from = _python(found, directory)
    made_of = {
        "version": KEY_VERSION,
        "platform": platform,
        "python": python,
        "baseImages": [image for _, _, image in images],
        "inputs": [[path_value(each.path), each.sha256] for each in inputs],
    }
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    remarks += remarks_on(found, tree)
    return BuildKey(digest, inputs, images, python, python_from, platform, tuple(remarks))


def _from_root(directory: bytes, path: bytes) -> bytes:
    below = os.path.normpath(os.path.join(directory, path))
    if path.startswith(b"/") or below == b".." or below.startswith(b"../"):
        raise NotReproducible(f"'{os.fsdecode(path)}' is outside of the checkout")
    return below


def _with_dynamic(found: list[BuildFile], tree: TreeFiles) -> tuple[list[BuildFile], list[Remark]]:
    """The files, and those that a `pyproject.toml` among them has its dependencies in."""
    by_path = {each.path: each for each in found}
    remarks: list[Remark] = []
    for each in found:
        if each.name != b"pyproject.toml":
            continue
        for name in dependency_files(parse_toml(each.data) or {}):
            path = os.path.normpath(os.path.join(os.path.dirname(each.path), name.encode()))
            if path in by_path:
                continue
            if tree.read(path) is None:
                remarks.append(Remark(each.path, None, f"'{name}' is no file of the snapshot"))
                continue
            below, said = build_files(tree, b"", only=[path])
            by_path.update((one.path, one) for one in below)
            remarks += said
    return [by_path[path] for path in sorted(by_path)], remarks


def _input(file: BuildFile) -> Input:
    document = parse_toml(file.data) if file.name == b"pyproject.toml" else None
    counted = file.data if document is None else dependency_tables(document)
    return Input(file.path, hashlib.sha256(counted).hexdigest(), document is not None)


def _python(found: Sequence[BuildFile], directory: bytes) -> tuple[str | None, bytes | None]:
    """The version that the nearest `.python-version`, else the nearest `requires-python`, asks for, and where."""
    by_path = {each.path: each for each in found}
    near = levels(directory)
    for level in near:
        file = by_path.get(os.path.join(level, b".python-version"))
        for line in file.data.decode("utf-8", "replace").splitlines() if file is not None else ():
            if line.strip() and not line.strip().startswith("#"):
                return line.strip(), os.path.join(level, b".python-version")
    for level in near:
        file = by_path.get(os.path.join(level, b"pyproject.toml"))
        version = required_python(parse_toml(file.data) or {}) if file is not None else None
        if version is not None:
            return version, os.path.join(level, b"pyproject.toml")
    return None, None
