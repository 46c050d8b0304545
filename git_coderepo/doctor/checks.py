"""The table of checks, in the order in which their findings are shown. To add a check, add its row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from git_coderepo.doctor import installation, installed_hooks, servers, storage, traps
from git_coderepo.doctor.answers import Known
from git_coderepo.doctor.finding import CheckResult


class Check(NamedTuple):
    """A check: its `name` in the output, a `title` for the manual, and the function that makes its findings."""

    name: str
    title: str
    function: Callable[[Known], Iterable[CheckResult]]


CHECKS = (
    Check("git", "git is installed, in version 2.34 or later", installation.git),
    Check("program", "`git coderepo` finds this program", installation.program),
    Check("config", "git can read its configuration, and the file `.coderepo`", installation.configuration),
    Check("settings", "no unknown setting and no invalid value of `coderepo.*`", installation.settings),
    Check("checkout", "the current directory is in the work tree that git reports", installation.checkout),
    Check("repository", "the checkout has a code repository that runners can use", installation.repository),
    Check("credential", "the credential of each host: its source, what it may do, until when", servers.credential),
    Check("keyring", "the keyring is usable", servers.keyring),
    Check("remote", "the platform and git reach the code repository", servers.remote),
    Check("refspec", "`git fetch` updates remote-tracking branches", servers.refspec),
    Check("network", "proxy and certificate authorities of each host", servers.network),
    Check("clock", "this machine's clock agrees with the platform's", servers.clock),
    Check("hooks", "installed hooks are current and executable, and git looks for them there", installed_hooks.hooks),
    Check("submodules", "submodules are initialised, and listed in `.gitmodules`", traps.submodules),
    Check("untracked", "no untracked virtual environment, packages or dataset travels with runs", traps.untracked),
    Check("secrets", "no tracked `.env`, private key or password file; untracked ones are left out", traps.secrets),
    Check("clone", "whether the clone is partial, shallow or sparse", traps.clone),
    Check("lfs", "Git LFS is installed and configured, if the tree uses it", traps.lfs),
    Check("annex", "git-annex is installed, if the repository uses it", traps.annex),
    Check("record", "runs can be recorded", storage.record),
    Check("store", "the shared store answers", storage.store),
    Check("cache", "place, size and permissions of the tree cache", storage.cache),
    Check("temporary", "there is a directory for temporary files", storage.temporary),
    Check("space", "free space on each of these file systems", storage.space),
)
