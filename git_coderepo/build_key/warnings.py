"""What makes an image depend on more than its key holds: code that is copied in, editable installs, moving tags."""

from __future__ import annotations

import os
import posixpath
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from git_coderepo.build_key.dockerfile import bases, copied, instructions
from git_coderepo.build_key.files import Remark, levels, requirement_lines
from git_coderepo.build_key.python_dependencies import local_sources, parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from git_coderepo.build_key.files import BuildFile, TreeFiles

_EDITABLE = re.compile(r"(?:^|\s)(?:-e|--editable)(?:[\s=]|$)")
_LOCAL_INSTALL = re.compile(r"\b(?:pip3?|uv\s+pip)\s+install\b[^&|;]*\s(\.{1,2}(?:[/\[][^\s&|;]*)?)(?=[\s&|;]|$)")


def remarks_on(build: Sequence[BuildFile], files: TreeFiles) -> list[Remark]:
    """One remark for each thing that a change of the code would change in the image, or that changes by itself."""
    known = {each.path for each in build}
    found: list[Remark] = []
    for each in build:
        if each.is_image_file:
            found += _on_image_file(each, known, files)
        elif each.name == b"pyproject.toml":
            found += _on_pyproject(each)
        elif each.name.endswith((b".txt", b".in")):
            found += _on_requirements(each)
        elif each.name.endswith((b".yml", b".yaml")):
            found += [
                Remark(each.path, number, "an editable install takes the code into the image")
                for number, line in enumerate(each.data.decode("utf-8", "replace").splitlines(), 1)
                if re.match(r"\s*-\s+[\"']?(-e|--editable)[\s=]", line)
            ]
    return found


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
                text = f"{each.word} {source} takes what is no input of the key into the image"
                yield Remark(file.path, each.line, text)
        if each.word == "RUN" and "install" in each.rest:
            if _EDITABLE.search(each.rest):
                yield Remark(file.path, each.line, "an editable install takes the code into the image")
            elif _LOCAL_INSTALL.search(each.rest):
                yield Remark(file.path, each.line, "an install of the checkout takes the code into the image")


def _is_input(source: str, file: BuildFile, known: set[bytes], files: TreeFiles) -> bool:
    """Whether all that a source means is an input, seen from the Dockerfile's directory or one above it."""
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
            yield Remark(file.path, number, "an editable install takes the code into the image")
        elif line.startswith((".", "/", "file:")) or " @ file:" in line:
            yield Remark(file.path, number, f"'{line}' is a folder or a file that is no input of the key")


def _on_pyproject(file: BuildFile) -> Iterator[Remark]:
    document = parse_toml(file.data)
    if document is None:
        yield Remark(file.path, None, "is no TOML: all of it counts")
        return
    for name in local_sources(document):
        yield Remark(file.path, None, f"'{name}' is installed from a folder, which is no input of the key")
