"""What the completion scripts offer for RUN: short ids and names of the newest runs.

A shell waits for this while TAB is pressed, so neither typer nor the reader of manifests is imported.
"""

from __future__ import annotations

import json
import os
import re

from git_coderepo.cli import output
from git_coderepo.errors import CodeRepoError
from git_coderepo.filesystem.atomic import names_in
from git_coderepo.git.process import Git
from git_coderepo.git.repository import read_layout, start_layout
from git_coderepo.runs.record_files import Runs

_NEWEST = 50
_MANIFEST = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\.json")
# The name is among the first fields of a manifest, before the command.
_HEAD = 2048
_NAME = re.compile(rb'"run": \{\s*"id": "[^"]*",\s*"createdOn": "[^"]*",\s*"name": ("(?:[^"\\]|\\.)*")')


def print_run_words() -> None:
    """Print the ids and names, one a line; nothing outside of a repository."""
    try:
        git = Git()
        runs = Runs(read_layout(start_layout(git), git, bare_allowed=True))
    except CodeRepoError:
        return
    for word in run_words(runs):
        output.line(word)


def run_words(runs: Runs) -> list[str]:
    """Return the short ids of the newest runs, and then their names, the newest first and each once."""
    ids: list[str] = []
    names: list[str] = []
    for path in _newest(runs):
        ids.append(output.short_id(os.path.basename(path).decode()))
        name = _name(path)
        if name is not None:
            names.append(name)
    return [*ids, *dict.fromkeys(names)]


def _newest(runs: Runs) -> list[bytes]:
    found: list[bytes] = []
    for month in reversed(names_in(runs.directory)):
        folder = runs.directory + b"/" + month
        found += [folder + b"/" + name for name in reversed(names_in(folder)) if _MANIFEST.fullmatch(name)]
        if len(found) >= _NEWEST:
            break
    return found[:_NEWEST]


def _name(path: bytes) -> str | None:
    """Return the name of a run, None for a run without one, or for a file that is gone or has another form."""
    try:
        with open(path, "rb") as file:
            name = _NAME.search(file.read(_HEAD))
        return None if name is None else str(json.loads(name[1]))
    except (OSError, ValueError):
        return None
