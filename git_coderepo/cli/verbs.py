"""Which verbs there are. To add one, write its file and name it here."""

from __future__ import annotations

import importlib

MODULES = (
    "register", "listing", "describe", "update", "remove", "login", "secret",
    "status", "snapshot", "hooks", "run", "ignore",
    "log", "show", "diff", "publish", "prune", "fetch", "exec", "verify", "validate", "build_key", "cache",
    "demo", "help", "completion",
)  # fmt: skip


def load() -> None:
    """Import every verb's file, each of which adds itself to the application."""
    for name in MODULES:
        importlib.import_module(f"git_coderepo.cli.{name}")
