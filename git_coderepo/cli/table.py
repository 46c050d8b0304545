"""The table of verbs: the module of each, which is imported only when the verb runs, and its summary.

The command line, the completion scripts and the manual page are generated from this table. To add a verb, write its
module and add it to a group here.
"""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """A module and the first sentence of its help, at most 62 characters."""

    module: str
    summary: str


# In the order of `git coderepo -h`.
GROUPS = {
    "Everyday": {
        "run": Verb("git_coderepo.cli.record.run", "Record a run and start its command."),
        "log": Verb("git_coderepo.cli.history.log", "List the recorded runs, newest first."),
        "show": Verb("git_coderepo.cli.history.show", "Show a run: its code, where the code is, and its result."),
        "diff": Verb("git_coderepo.cli.history.diff", "Show code changes since a run, or between two runs."),
        "report": Verb("git_coderepo.cli.history.report", "Write an HTML report of recorded runs."),
        "fetch": Verb("git_coderepo.cli.runner.fetch", "Fetch a run's code into a directory and verify it."),
        "status": Verb("git_coderepo.cli.record.status", "Show what a run would record and if a runner can fetch it."),
    },
    "Record code without a command": {
        "snapshot": Verb("git_coderepo.cli.record.snapshot", "Print a manifest of the current code; record no run."),
        "hooks": Verb("git_coderepo.cli.record.hooks", "Manage hooks that record runs."),
        "ignore": Verb("git_coderepo.cli.record.ignore", "Ignore untracked paths in this checkout."),
    },
    "On another machine": {
        "exec": Verb("git_coderepo.cli.runner.exec", "Fetch a run's code and run a command in it."),
        "verify": Verb("git_coderepo.cli.runner.verify", "Check whether a directory still matches a run's code."),
        "validate": Verb("git_coderepo.cli.runner.validate", "Check whether run manifests and receipts are valid."),
        "cache": Verb("git_coderepo.cli.runner.cache", "Manage the local tree cache."),
    },
    "Share, continue and clean up runs": {
        "publish": Verb("git_coderepo.cli.history.publish", "Push the code of runs to the platform."),
        "restore": Verb("git_coderepo.cli.history.restore", "Continue from a run on a new branch or in a worktree."),
        "prune": Verb("git_coderepo.cli.history.prune", "Remove old runs, and data that no run needs."),
    },
    "Where the code is hosted": {
        "register": Verb(
            "git_coderepo.cli.repositories.register", "Register where the code of this checkout is hosted."
        ),
        "list": Verb("git_coderepo.cli.repositories.list", "List the code repositories of this checkout."),
        "describe": Verb("git_coderepo.cli.repositories.describe", "Show the details of a code repository."),
        "update": Verb("git_coderepo.cli.repositories.update", "Change the name or the options of a registration."),
        "remove": Verb("git_coderepo.cli.repositories.remove", "Remove a registration."),
        "login": Verb("git_coderepo.cli.repositories.login", "Save a token in the keyring."),
        "logout": Verb("git_coderepo.cli.repositories.login", "Remove a token from the keyring."),
        "secret": Verb("git_coderepo.cli.repositories.secret", "Manage named secrets in the keyring."),
    },
    "Images": {
        "build-key": Verb("git_coderepo.cli.images.build_key", "Print a digest of the inputs of a dependency image."),
    },
    "Help": {
        "doctor": Verb("git_coderepo.cli.help.doctor", "Find what is wrong with this machine and this checkout."),
        "demo": Verb("git_coderepo.cli.help.demo", "Demonstrate the workflow, without a network or an account."),
        "help": Verb("git_coderepo.cli.help.help", "Show the manual page of the program or a command, or a topic."),
        "completion": Verb("git_coderepo.cli.help.completion", "Print the completion script for a shell."),
    },
}
VERBS = {name: verb for group in GROUPS.values() for name, verb in group.items()}
