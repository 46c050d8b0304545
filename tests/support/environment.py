"""The environment of a user who has just got a machine: nothing of the developer's own, nothing of a CI's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_GITCONFIG = """\
[user]
\tname = Ada Lovelace
\temail = ada@example.org
[init]
\tdefaultBranch = main
[protocol "file"]
\tallow = always
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""


def clean_environment(home: Path) -> dict[str, str]:
    """A complete environment for a subprocess, with `home` as its HOME.

    `home` is made, with a `.gitconfig` unless there is one. Nothing is inherited but where programs are found:
    no `GIT_*`, no variable of a CI, no proxy, no CA setting. `TEST_GIT` in the outer environment names a directory
    with the git to use.
    """
    folders = {
        "TMPDIR": home / "tmp",
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_CACHE_HOME": home / ".cache",
        "XDG_DATA_HOME": home / ".local" / "share",
        "XDG_STATE_HOME": home / ".local" / "state",
        "XDG_RUNTIME_DIR": home / ".run",
    }
    for name in ("TMPDIR", "XDG_RUNTIME_DIR"):
        folders[name].mkdir(mode=0o700, parents=True, exist_ok=True)
    gitconfig = home / ".gitconfig"
    if not gitconfig.exists():
        gitconfig.write_text(_GITCONFIG, encoding="utf-8")
    return {
        "HOME": str(home),
        "PATH": program_path(),
        **{name: str(folder) for name, folder in folders.items()},
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(gitconfig),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_DATE": "2026-01-02T03:04:05+00:00",
        "GIT_COMMITTER_DATE": "2026-01-02T03:04:05+00:00",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def program_path() -> str:
    """PATH: the git of `TEST_GIT`, then this interpreter's environment (`git-coderepo`), then what was there."""
    first = [os.environ["TEST_GIT"]] if os.environ.get("TEST_GIT") else []
    return os.pathsep.join([*first, os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
