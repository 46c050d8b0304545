"""A report of the findings for an issue: with versions, and without secrets, user names and names of repositories."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable, Mapping
from functools import partial

from git_coderepo.crash_report import redaction, versions
from git_coderepo.doctor.bounded import bounded_git, within
from git_coderepo.doctor.examine import Checked
from git_coderepo.errors import CodeRepoError
from git_coderepo.git.process import Git

_HOMES = re.compile(r"(?<![\w.])(/home/|/Users/)[^/\s']+")
# The path of a URL, or of the short form of ssh, names an owner and a repository.
_URL = re.compile(r"\b([a-z0-9+]+://)(?:[^/@\s']*@)?([^/\s']+)/[^\s']+")
_SHORT_SSH = re.compile(r"\b[\w.-]+@([\w.-]+):[\w./~-]+")
_SHORTEST_NAME = 3


def bug_report(findings: Iterable[Checked], environment: Mapping[str, str], seconds: float) -> list[str]:
    """Return the lines of the report."""
    facts = [*versions(), ("git-lfs", _lfs(seconds))]
    width = max(len(name) for name, _ in facts)
    lines = [f"{name:<{width}}  {value}" for name, value in facts]
    lines.append("")
    lines += [f"{each.finding.state:<8} {each.name:<{width}} {each.finding.detail}" for each in findings]
    hide = redaction([], environment)
    return [hide(_anonymous(line, environment)) for line in lines]


def _lfs(seconds: float) -> str:
    try:
        found = within(seconds, partial(bounded_git(Git(), seconds).start, "lfs", "version")).finish()
    except CodeRepoError:
        return "unknown"
    return os.fsdecode(found.stdout).split(" ")[0].removeprefix("git-lfs/") if found.status == 0 else "not installed"


def _anonymous(text: str, environment: Mapping[str, str]) -> str:
    """Return a text without home directories, user names, and the paths of URLs."""
    home = environment.get("HOME", "").rstrip("/")
    if home:
        text = re.sub(re.escape(home) + r"(?=[/'\s:]|$)", "~", text)
    text = _HOMES.sub(r"\1USER", text)
    text = _SHORT_SSH.sub(r"\1:…", _URL.sub(r"\1\2/…", text))
    name = _user_name()
    if len(name) >= _SHORTEST_NAME and name != "root":
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "USER", text)
    return text


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
