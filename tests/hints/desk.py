"""A checkout with a shell: where a test is refused something, reads the hint and types it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.support import lines
from tests.support.program import Program, Result
from tests.support.repo import PathLike, Repo


class Desk:
    """The program and a shell in the directory `here`, with the environment `env`, which a test may change."""

    def __init__(self, here: Path, env: Mapping[str, str]) -> None:
        self.here = here
        self.env = dict(env)

    @classmethod
    def of(cls, repo: Repo) -> Desk:
        return cls(repo.path, repo.env)

    def run(self, *words: PathLike, check: bool = True, input: bytes = b"", cwd: Path | None = None) -> Result:
        return Program(self.env).run(*words, cwd=cwd or self.here, check=check, input=input)

    def refused(self, *words: PathLike, says: str, input: bytes = b"", cwd: Path | None = None) -> list[str]:
        """Run what must fail with a message that holds `says`; give its hints."""
        result = self.run(*words, check=False, input=input, cwd=cwd)
        message = [*lines(result, "fatal"), *lines(result, "error")]
        assert result.status != 0 and len(message) == 1, result.text + result.errors
        assert says in message[0], result.errors
        return lines(result, "hint")

    def types(self, command: str, *, check: bool = True, input: bytes = b"") -> Result:
        """Run a command line as bash takes it."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.here, env=self.env, input=input, capture_output=True, timeout=120
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        assert not check or result.status == 0, f"{command}: status {result.status}\n{result.text}{result.errors}"
        return result

    def config(self, *words: str) -> None:
        self.types(f"git config {' '.join(words)}")


def hint(hints: list[str], start: str) -> str:
    """The one hint that begins so."""
    (found,) = [each for each in hints if each.startswith(start)]
    return found


def quoted(text: str) -> str:
    """What stands between the first pair of single quotes."""
    return text.split("'")[1]
