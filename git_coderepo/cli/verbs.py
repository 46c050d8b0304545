"""Which verbs there are, and in which file. To add one, write its file and name both here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

# In the order in which they are listed.
VERBS = {
    "register": "register", "list": "listing", "describe": "describe", "update": "update", "remove": "remove",
    "login": "login", "logout": "login", "secret": "secret",
    "status": "status", "snapshot": "snapshot", "hooks": "hooks", "run": "run", "ignore": "ignore",
    "log": "log", "show": "show", "diff": "diff", "publish": "publish", "prune": "prune", "fetch": "fetch",
    "exec": "exec", "verify": "verify", "validate": "validate", "build-key": "build_key", "cache": "cache",
    "demo": "demo", "help": "help", "completion": "completion",
}  # fmt: skip


def load() -> None:
    """Import every verb's file, each of which adds itself to the application."""
    for file in dict.fromkeys(VERBS.values()):
        _import(file)


def load_for(arguments: Iterable[str]) -> None:
    """Import the file of the verb that a command line names; all of them where none can be told, as for `--help`."""
    for word in arguments:
        if word == "--version":
            return
        if word in VERBS:
            _import(VERBS[word])
            return
        if word not in ("-v", "--verbose"):
            break
    load()


def _import(file: str) -> None:
    importlib.import_module(f"git_coderepo.cli.{file}")
