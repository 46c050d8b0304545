"""The installed program, started as a user starts it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.fork_server import fork_server
from tests.support.repo import PathLike


@dataclass(frozen=True)
class Result:
    """What a command left: its status (negative for a signal) and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "surrogateescape")

    @property
    def errors(self) -> str:
        """stderr as text."""
        return self.stderr.decode("utf-8", "surrogateescape")

    def json(self) -> Any:
        return json.loads(self.stdout)


class Program:
    """Runs `git-coderepo` with `env`; without `cwd` in its HOME, never in the developer's checkout."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)

    def run(
        self,
        *arguments: PathLike,
        cwd: PathLike | None = None,
        input: bytes = b"",
        check: bool = True,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Runs to the end; `env` is added to the program's. With `check` another status than 0 fails the test."""
        done = self._run(
            [self.executable(), *map(os.fsencode, arguments)],
            cwd=os.fsencode(cwd if cwd is not None else self.env["HOME"]),
            env={**self.env, **(env or {})},
            input=input,
            timeout=timeout,
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        if check and result.status != 0:
            words = " ".join(os.fsdecode(argument) for argument in arguments)
            raise AssertionError(f"git-coderepo {words}: status {result.status}\n{result.text}\n{result.errors}")
        return result

    def start(self, *arguments: PathLike, cwd: PathLike | None = None) -> subprocess.Popen[bytes]:
        """The running program, for tests that kill it; its three streams are pipes."""
        return subprocess.Popen(
            [self.executable(), *map(os.fsencode, arguments)],
            cwd=os.fsencode(cwd if cwd is not None else self.env["HOME"]),
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def _run(
        self, argv: list[bytes], *, cwd: bytes, env: Mapping[str, str], input: bytes, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        server = None if argv[1:2] == [b"hook"] else fork_server(argv[0], env)
        if server is not None:
            return server.run(argv, cwd=cwd, env=env, input=input, timeout=timeout)
        return subprocess.run(argv, cwd=cwd, env=env, input=input, capture_output=True, timeout=timeout)

    def executable(self) -> bytes:
        found = shutil.which("git-coderepo", path=self.env["PATH"])
        assert found, "git-coderepo is not installed in the environment that runs the tests"
        return os.fsencode(found)
