"""`git coderepo build-key`: print a digest of the inputs of a dependency image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.build_key.key import build_key as key_of
from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.errors import NegativeAnswer
from git_coderepo.git.process import Git, check_version
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request

if TYPE_CHECKING:
    from git_coderepo.build_key.key import BuildKey


@app.command(cls=Verb, name="build-key")
def build_key(
    files: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="PATH", help="Use only this file; can be repeated."),
    ] = None,
    python: Annotated[
        str | None, typer.Option("--python", metavar="VERSION", help="The Python version of the image.")
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option("--platform", metavar="OS/ARCH", help="The platform of the image (default: linux/amd64)."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="List the inputs, and warn of what the key does not cover.")
    ] = False,
    as_json: Json = None,
) -> None:
    """Print a digest of the inputs of a dependency image.

    Editing a Dockerfile, a dependency list or a lock file changes the key; editing other code does not. The same key
    means the same image. The key depends on the snapshot only, not on this machine or its Python. The inputs are
    Dockerfile, Containerfile, requirements*.txt and the files they include, the dependency tables of pyproject.toml,
    uv.lock, poetry.lock, conda's files, .python-version, setup.cfg and setup.py, in this directory and its parents.
    """
    git = Git()
    check_version(git)
    taken = take_snapshot(git, Request())
    key = key_of(taken, files=[os.fsencode(path) for path in files or ()], python=python, platform=platform)
    if key is None:
        raise NegativeAnswer(
            "no inputs of a dependency image found",
            hints=["git coderepo build-key --file PATH", "git config coderepo.buildFile PATTERN"],
        )
    if as_json:
        print_json(key.document(), as_json)
    elif explain:
        show(key)
    else:
        output.line(key.digest)


def show(key: BuildKey) -> None:
    """Print the key and its inputs; warn of what it does not cover."""
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
