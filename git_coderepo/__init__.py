"""Know exactly which code made a run, and get exactly that code back on any machine.

    import git_coderepo as coderepo

    manifest = coderepo.snapshot(".")
    coderepo.fetch(manifest, "code")

Each name is imported when it is first used, because hooks and runners need only a small part of the package.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.api import fetch, run, snapshot, verify
    from git_coderepo.errors import CodeRepoError, InvalidRemoteURL
    from git_coderepo.fetching.receipt import Receipt
    from git_coderepo.git.url.remote import RemoteURL
    from git_coderepo.launch.notebook import ActiveRun
    from git_coderepo.manifest.model import Manifest
    from git_coderepo.platforms.base import BaseCodeRepository, Option

__version__ = "0.1.0"

try:
    # A runner starts the program in this directory, even if a framework changes the working directory later.
    STARTED_IN: str | None = posix.getcwd()
except OSError:
    STARTED_IN = None

__all__ = [
    "ActiveRun", "BaseCodeRepository", "CodeRepoError", "InvalidRemoteURL", "Manifest", "Option", "Receipt",
    "RemoteURL", "fetch", "run", "snapshot", "verify",
]  # fmt: skip

_HOMES = {
    "ActiveRun": "git_coderepo.launch.notebook",
    "BaseCodeRepository": "git_coderepo.platforms.base",
    "CodeRepoError": "git_coderepo.errors",
    "InvalidRemoteURL": "git_coderepo.errors",
    "Manifest": "git_coderepo.manifest.model",
    "Option": "git_coderepo.platforms.base",
    "Receipt": "git_coderepo.fetching.receipt",
    "RemoteURL": "git_coderepo.git.url.remote",
    "fetch": "git_coderepo.api",
    "run": "git_coderepo.api",
    "snapshot": "git_coderepo.api",
    "verify": "git_coderepo.api",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
