"""Which verbs there are, and in which module. To add one, write its module and name both here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

# In the order in which they are listed.
VERBS = {
    "register": "git_coderepo.cli.register",
    "list": "git_coderepo.cli.listing",
    "describe": "git_coderepo.cli.describe",
    "update": "git_coderepo.cli.update",
    "remove": "git_coderepo.cli.remove",
    "login": "git_coderepo.cli.login",
    "logout": "git_coderepo.cli.login",
    "secret": "git_coderepo.cli.secret",
    "status": "git_coderepo.cli.status",
    "snapshot": "git_coderepo.cli.snapshot",
    "hooks": "git_coderepo.cli.hooks",
    "run": "git_coderepo.cli.run",
    "ignore": "git_coderepo.cli.ignore",
    "log": "git_coderepo.cli.log",
    "show": "git_coderepo.cli.show",
    "diff": "git_coderepo.cli.diff",
    "publish": "git_coderepo.cli.publish",
    "prune": "git_coderepo.cli.prune",
    "fetch": "git_coderepo.cli.fetch",
    "exec": "git_coderepo.cli.exec",
    "verify": "git_coderepo.cli.verify",
    "validate": "git_coderepo.cli.validate",
    "build-key": "git_coderepo.cli.build_key",
    "cache": "git_coderepo.cli.cache",
    "demo": "git_coderepo.cli.demo",
    "help": "git_coderepo.cli.help",
    "completion": "git_coderepo.cli.completion",
}


def load() -> None:
    """Import every verb's module, each of which adds itself to the application."""
    for module in dict.fromkeys(VERBS.values()):
        importlib.import_module(module)


def load_for(arguments: Iterable[str]) -> None:
    """Import the module of the verb that a command line names; all of them where none can be told, as for `--help`."""
    for word in arguments:
        if word == "--version":
            return
        if word in VERBS:
            importlib.import_module(VERBS[word])
            return
        if word not in ("-v", "--verbose"):
            break
    load()
