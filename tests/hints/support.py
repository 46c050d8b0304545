"""A message of the program, and its hints followed as a user follows them: typed into a shell."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from tests.e2e.support import lines
from tests.support.program import Program, Result
from tests.support.repo import PathLike


def typed(command: str, cwd: PathLike, env: Mapping[str, str], *, check: bool = True, input: bytes = b"") -> Result:
    """Type a line into bash; with `check` it must end with 0."""
    done = subprocess.run(["bash", "-c", command], cwd=cwd, env=dict(env), input=input, capture_output=True, timeout=60)
    result = Result(done.returncode, done.stdout, done.stderr)
    assert not check or result.status == 0, f"{command}: {result.text}{result.errors}"
    return result


def stopped(program: Program, *arguments: PathLike, cwd: PathLike, says: str, **options: object) -> list[str]:
    """Run what must fail and say this; its hints."""
    result = program.run(*arguments, cwd=cwd, check=False, **options)  # type: ignore[arg-type]
    assert result.status != 0, result.text
    assert says in result.errors, result.errors
    return lines(result, "hint")


def tail(hint: str) -> str:
    """The command that stands behind the last `: ` of a hint."""
    return hint.rpartition(": ")[2]
