"""Which verbs there are, and in which module. To add one, write its module and name both here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

# In the order in which they are listed.
VERBS = {
    "register": "git_coderepo.cli.repositories.register",
    "list": "git_coderepo.cli.repositories.list",
    "describe": "git_coderepo.cli.repositories.describe",
    "update": "git_coderepo.cli.repositories.update",
    "remove": "git_coderepo.cli.repositories.remove",
    "login": "git_coderepo.cli.repositories.login",
    "logout": "git_coderepo.cli.repositories.login",
    "secret": "git_coderepo.cli.repositories.secret",
    "status": "git_coderepo.cli.record.status",
    "snapshot": "git_coderepo.cli.record.snapshot",
    "hooks": "git_coderepo.cli.record.hooks",
    "run": "git_coderepo.cli.record.run",
    "ignore": "git_coderepo.cli.record.ignore",
    "log": "git_coderepo.cli.history.log",
    "show": "git_coderepo.cli.history.show",
    "diff": "git_coderepo.cli.history.diff",
    "publish": "git_coderepo.cli.history.publish",
    "prune": "git_coderepo.cli.history.prune",
    "fetch": "git_coderepo.cli.runner.fetch",
    "exec": "git_coderepo.cli.runner.exec",
    "verify": "git_coderepo.cli.runner.verify",
    "validate": "git_coderepo.cli.runner.validate",
    "build-key": "git_coderepo.cli.images.build_key",
    "cache": "git_coderepo.cli.runner.cache",
    "demo": "git_coderepo.cli.help.demo",
    "help": "git_coderepo.cli.help.help",
    "completion": "git_coderepo.cli.help.completion",
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
