"""Validate files without typer, so that a script can quickly validate thousands of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from git_coderepo.cli import output
from git_coderepo.errors import NegativeAnswer, UsageError
from git_coderepo.manifest.validate import problems


def validate_files(files: Sequence[str]) -> None:
    """Print whether each file is valid, or its problems; `-` is standard input. Raises NegativeAnswer, UsageError."""
    invalid = []
    for file, found in problems_of_files(files):
        if not found:
            output.line(f"'{file}' is valid")
            continue
        invalid.append(file)
        for problem in found:
            output.line(problem if len(files) == 1 else f"{file}: {problem}")
    refuse_invalid(invalid, len(files))


def problems_of_files(files: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return the problems of each file. Raises OSError, UsageError."""
    if files.count("-") > 1:
        raise UsageError("standard input can be read only once: '-' is given twice")
    contents = [(file, _contents(file)) for file in files]
    return [(file, list(problems(data))) for file, data in contents]


def refuse_invalid(invalid: Sequence[str], number: int) -> None:
    """Raise NegativeAnswer if any of `number` files is invalid."""
    if not invalid:
        return
    what = f"'{invalid[0]}' is" if len(invalid) == 1 else f"{len(invalid)} of {number} files are"
    raise NegativeAnswer(f"{what} not valid")


def _contents(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    with open(file, "rb") as opened:
        return opened.read()
