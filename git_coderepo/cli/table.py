"""The verbs: for each its module, which is imported only where it runs, and its line in the list of verbs.

Command line, completion and manual page derive from this table. To add a verb, write its module and name both here.
"""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """`summary` is the first sentence of the verb's help, at most 62 characters."""

    module: str
    summary: str


# In the order in which they are listed.
VERBS = {
    "register": Verb(
        "git_coderepo.cli.repositories.register", "Tie this checkout to the platform that serves its code."
    ),
    "list": Verb("git_coderepo.cli.repositories.list", "List the code repositories of this checkout."),
    "describe": Verb("git_coderepo.cli.repositories.describe", "Describe a code repository, but never its secret."),
    "update": Verb("git_coderepo.cli.repositories.update", "Rename a registration, or merge options into it."),
    "remove": Verb("git_coderepo.cli.repositories.remove", "Take a registration out of the configuration."),
    "login": Verb("git_coderepo.cli.repositories.login", "Keep a token in the keyring, after trying it."),
    "logout": Verb("git_coderepo.cli.repositories.login", "Take a token out of the keyring."),
    "secret": Verb("git_coderepo.cli.repositories.secret", "Keep named secrets in the keyring."),
    "status": Verb("git_coderepo.cli.record.status", "Say what would be recorded now, and if a runner can get it."),
    "snapshot": Verb("git_coderepo.cli.record.snapshot", "Print the run manifest of what would run now."),
    "hooks": Verb("git_coderepo.cli.record.hooks", "Install, take out, or look at git's hooks."),
    "run": Verb("git_coderepo.cli.record.run", "Record a run and start it; its status is the command's."),
    "ignore": Verb("git_coderepo.cli.record.ignore", "Have git ignore untracked paths here."),
    "log": Verb("git_coderepo.cli.history.log", "List the recorded runs, newest first."),
    "show": Verb("git_coderepo.cli.history.show", "Show a run: its code, where that is, and how the run ended."),
    "diff": Verb("git_coderepo.cli.history.diff", "Show what changed in the code since a run, or between two."),
    "publish": Verb("git_coderepo.cli.history.publish", "Push a run's code to its platform, as a commit of its own."),
    "prune": Verb("git_coderepo.cli.history.prune", "Remove old runs, and what no run needs."),
    "fetch": Verb("git_coderepo.cli.runner.fetch", "Materialise the code of a run in a directory, and prove it."),
    "exec": Verb("git_coderepo.cli.runner.exec", "Fetch the code of a run, and run a command in it."),
    "verify": Verb("git_coderepo.cli.runner.verify", "Check whether a directory is still the recorded tree."),
    "validate": Verb("git_coderepo.cli.runner.validate", "Check whether run manifests and receipts are valid."),
    "build-key": Verb("git_coderepo.cli.images.build_key", "Print the digest of what an image is built from."),
    "cache": Verb("git_coderepo.cli.runner.cache", "Manage the local tree cache."),
    "demo": Verb("git_coderepo.cli.help.demo", "Show the whole way, without a network or an account."),
    "help": Verb("git_coderepo.cli.help.help", "Show the manual page, or the help of one verb."),
    "completion": Verb("git_coderepo.cli.help.completion", "Print the completion script for a shell."),
}
