"""The build key: a digest of the dependencies in an image, without the code. Images with the same key are equal.

It is computed from the snapshot, which a runner would build, and does not depend on the machine: neither on its
interpreter, nor on its platform, nor on its locale.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.build_key.dockerfile import bases, copied, instructions
from git_coderepo.build_key.files import BuildFile, Remark, TreeFiles, build_files, levels, requirement_lines
from git_coderepo.build_key.python_dependencies import (
    dependency_files,
    dependency_tables,
    local_sources,
    parse_toml,
    required_python,
)
from git_coderepo.errors import NotReproducible, UsageError
from git_coderepo.manifest.writer import path_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from git_coderepo.build_key.files import BuildFile, TreeFiles
    from git_coderepo.snapshots.snapshot import Snapshot

KEY_VERSION = 1
PLATFORM = "linux/amd64"
# os/arch[/variant]: https://github.com/opencontainers/image-spec/blob/main/image-index.md
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?")


class Input(NamedTuple):
    """A file in the key: raw path, hex sha256 of the part that counts, and whether only its dependency tables count."""

    path: bytes
    sha256: str
    tables_only: bool


class BuildKey(NamedTuple):
    """A build key: `digest` is 64 hex digits; the other fields are its input, and `remarks` on what it cannot cover.

    `python` is a version or a range as written in `python_from` (a raw path; None for the option). `base_images` holds
    (raw path, line, image as written).
    """

    digest: str
    inputs: tuple[Input, ...]
    base_images: tuple[tuple[bytes, int, str], ...]
    python: str | None
    python_from: bytes | None
    platform: str
    remarks: tuple[Remark, ...]

    def document(self) -> dict[str, object]:
        """Return the build key as JSON values."""
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
    """Return the build key of a snapshot; None if it has no files from which to build, or no stored contents.

    `files` (raw paths, relative to the run's directory) replace the files that are found by name. Raises
    NotReproducible for a file that the snapshot does not have, UsageError for an invalid platform or Python version.
    """
    platform = PLATFORM if platform is None else platform
    if not _PLATFORM.fullmatch(platform):
        raise UsageError(
            f"invalid platform '{platform}'", hints=["write OS/ARCHITECTURE, such as linux/amd64 or linux/arm64"]
        )
    if python is not None and (not python.strip() or not python.isprintable()):
        raise UsageError(f"invalid Python version '{python}'")
    if not snapshot.is_stored:
        return None
    directory = snapshot.checkout.prefix.rstrip(b"/")
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
        raise NotReproducible(f"'{os.fsdecode(path)}' is outside the checkout")
    return below


def _with_dynamic(found: list[BuildFile], tree: TreeFiles) -> tuple[list[BuildFile], list[Remark]]:
    """Return the files, and those from which a `pyproject.toml` among them reads its dependencies; and remarks."""
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
                remarks.append(Remark(each.path, None, f"'{name}' is not a file of the snapshot"))
                continue
            more, their_remarks = build_files(tree, b"", only=[path])
            by_path.update((one.path, one) for one in more)
            remarks += their_remarks
    return [by_path[path] for path in sorted(by_path)], remarks


def _input(file: BuildFile) -> Input:
    document = parse_toml(file.data) if file.name == b"pyproject.toml" else None
    counted = file.data if document is None else dependency_tables(document)
    return Input(file.path, hashlib.sha256(counted).hexdigest(), document is not None)


def _python(found: Sequence[BuildFile], directory: bytes) -> tuple[str | None, bytes | None]:
    """Return the version in the nearest `.python-version`, else in the nearest `requires-python`, and its path."""
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


# --- Dependencies that the key does not cover ------------------------------------------------------------------------

_EDITABLE = re.compile(r"(?:^|\s)(?:-e|--editable)(?:[\s=]|$)")
_LOCAL_INSTALL = re.compile(r"\b(?:pip3?|uv\s+pip)\s+install\b[^&|;]*\s(\.{1,2}(?:[/\[][^\s&|;]*)?)(?=[\s&|;]|$)")


def remarks_on(build: Sequence[BuildFile], files: TreeFiles) -> list[Remark]:
    """Return a remark for each part of the image that depends on the code, or can change by itself."""
    known = {each.path for each in build}
    result: list[Remark] = []
    for each in build:
        if each.is_image_file:
            result += _on_image_file(each, known, files)
        elif each.name == b"pyproject.toml":
            result += _on_pyproject(each)
        elif each.name.endswith((b".txt", b".in")):
            result += _on_requirements(each)
        elif each.name.endswith((b".yml", b".yaml")):
            result += [
                Remark(each.path, number, "an editable install puts the code into the image")
                for number, line in enumerate(each.data.decode("utf-8", "replace").splitlines(), 1)
                if re.match(r"\s*-\s+[\"']?(-e|--editable)[\s=]", line)
            ]
    return result


def _on_image_file(file: BuildFile, known: set[bytes], files: TreeFiles) -> Iterator[Remark]:
    for base in bases(file.data):
        if base.image is None:
            yield Remark(file.path, base.line, f"the base image '{base.written}' depends on a build argument")
        elif "@sha256:" not in base.image and base.image.lower() != "scratch":
            tag = base.image.rpartition("/")[2].partition(":")[2]
            what = f"the tag '{tag}' may move" if tag else "no tag means 'latest', which moves"
            yield Remark(file.path, base.line, f"the base image '{base.written}' is floating: {what}; pin '@sha256:…'")
    for each in instructions(file.data):
        for source in copied(each):
            if not _is_input(source, file, known, files):
                text = f"{each.word} {source} copies files into the image that the build key does not cover"
                yield Remark(file.path, each.line, text)
        if each.word == "RUN" and "install" in each.rest:
            if _EDITABLE.search(each.rest):
                yield Remark(file.path, each.line, "an editable install puts the code into the image")
            elif _LOCAL_INSTALL.search(each.rest):
                yield Remark(file.path, each.line, "an install of the checkout puts the code into the image")


def _is_input(source: str, file: BuildFile, known: set[bytes], files: TreeFiles) -> bool:
    """Return whether all files of a COPY source are inputs, relative to the Dockerfile's directory or one above it."""
    name = posixpath.normpath(source.lstrip("/") or ".").encode("utf-8", "surrogateescape")
    for context in levels(os.path.dirname(file.path)):
        path = os.path.join(context, name)
        if path in known:
            return True
        folder, pattern = os.path.split(path)
        if not any(char in pattern for char in b"*?["):
            continue
        listed = files.find(folder)
        if listed is None:
            continue
        matching = [os.path.join(folder, each) for each in files.entries(listed[1]) if fnmatchcase(each, pattern)]
        if matching and known.issuperset(matching):
            return True
    return False


def _on_requirements(file: BuildFile) -> Iterator[Remark]:
    for number, raw in requirement_lines(file.data):
        line = raw.decode("utf-8", "replace")
        if _EDITABLE.match(line):
            yield Remark(file.path, number, "an editable install puts the code into the image")
        elif line.startswith((".", "/", "file:")) or " @ file:" in line:
            yield Remark(file.path, number, f"'{line}' is a directory or file that the build key does not cover")


def _on_pyproject(file: BuildFile) -> Iterator[Remark]:
    document = parse_toml(file.data)
    if document is None:
        yield Remark(file.path, None, "is not valid TOML: the whole file counts")
        return
    for name in local_sources(document):
        yield Remark(file.path, None, f"'{name}' is installed from a directory that the build key does not cover")
