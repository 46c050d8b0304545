"""`git coderepo build-key`: the digest of what goes into an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.options import Json
from git_coderepo.errors import NegativeAnswer

if TYPE_CHECKING:
    from git_coderepo.build_key.key import BuildKey


@app.command(cls=Verb, name="build-key")
def build_key(
    files: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="PATH", help="Only this file, instead of what is found; can be repeated."),
    ] = None,
    python: Annotated[
        str | None, typer.Option("--python", metavar="VERSION", help="The Python of the image, whatever files say.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option("--platform", metavar="OS/ARCH", help="The image's platform (default linux/amd64).")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="List what it is made of, and what it misses.")] = False,
    as_json: Json = False,
) -> None:
    """Print the digest of what an image is built from.

    Editing code keeps it, editing a Dockerfile, a list of dependencies or a lock file changes it: same key, same image.
    It is made from the snapshot, and of nothing that this machine or its Python is. Looked for are Dockerfile,
    Containerfile, requirements*.txt and what they include, the tables of dependencies in pyproject.toml, uv.lock,
    poetry.lock, conda's files, .python-version, setup.cfg and setup.py, in this directory and those above it.
    """
    from git_coderepo.build_key.key import build_key as key_of
    from git_coderepo.git.process import Git, check_version
    from git_coderepo.snapshots.pipeline import take_snapshot
    from git_coderepo.snapshots.snapshot import Request

    git = Git()
    check_version(git)
    taken = take_snapshot(git, Request())
    key = key_of(taken, files=[os.fsencode(path) for path in files or ()], python=python, platform=platform)
    if key is None:
        raise NegativeAnswer(
            "nothing here says what an image is built from",
            hints=["git coderepo build-key --file PATH", "git config coderepo.buildFile PATTERN"],
        )
    if as_json:
        output.json_data(key.document())
    elif explain:
        show(key)
    else:
        output.line(key.digest)


def show(key: BuildKey) -> None:
    """The key and what it is made of; what it misses is talk."""
    rows = [("build key", key.digest), ("platform", key.platform)]
    if key.python is not None:
        origin = os.fsdecode(key.python_from) if key.python_from is not None else "--python"
        rows.append(("python", f"{key.python} ({origin})"))
    rows += [("base image", f"{image} ({os.fsdecode(path)}:{line})") for path, line, image in key.base_images]
    for each in key.inputs:
        part = " (dependency tables)" if each.tables_only else ""
        rows.append(("input", f"{each.sha256}  {os.fsdecode(each.path)}{part}"))
    output.table(rows)
    for remark in key.remarks:
        place = os.fsdecode(remark.path) + (f":{remark.line}" if remark.line is not None else "")
        output.warn(f"{place}: {remark.text}")
