"""A place where commands of the documentation run: an empty home directory and a clean environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_GITCONFIG = """\
[user]
\tname = Ada Lovelace
\temail = ada@example.org
[init]
\tdefaultBranch = main
[gc]
\tauto = 0
"""
_DATE = "2026-01-02T03:04:05+00:00"
_MARK = "--- the command has ended ---"


class Output(NamedTuple):
    """What a command printed on both streams, in order, and its exit status."""

    text: str
    status: int


class Sandbox:
    """Run commands as a reader does: one after the other in one shell, which begins in an empty home directory."""

    def __init__(self, home: Path, *, colour: bool = False) -> None:
        self.home = home.resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / ".gitconfig").write_text(_GITCONFIG, encoding="utf-8")
        temporary = self.home.parent / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
        self.environment = {
            "HOME": str(self.home),
            "TMPDIR": str(temporary),
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_DATE": _DATE,
            "GIT_COMMITTER_DATE": _DATE,
            "GIT_PAGER": "cat",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "TERM": "dumb",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
        if colour:
            self.environment.update(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="color.ui", GIT_CONFIG_VALUE_0="always")
        self._directory = str(self.home)

    def run(self, command: str) -> Output:
        """Run a command; a `cd` and exported variables in it also hold for the next command."""
        script = f'{command}\nstatus=$?\nprintf "%s\\n" "{_MARK}" "$status" "$PWD"\nexport -p\n'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        text, mark, after = done.stdout.decode("utf-8", "replace").rpartition(_MARK + "\n")
        if not mark:
            raise RuntimeError(f"the shell ended in {command!r}: {after}")
        status, self._directory, exported = after.split("\n", 2)
        for name, value in re.findall(r'(?m)^declare -x (\w+)="([^"\\\n]*)"$', exported):
            if name not in ("PWD", "OLDPWD", "SHLVL", "_"):
                self.environment[name] = value
        return Output(text.replace(str(self.home), "/home/you"), int(status))
