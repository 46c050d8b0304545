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
from git_coderepo.filesystem.paths import quoted
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
    places = _checkouts(seconds)
    return [hide(_anonymous(_without_places(line, places), environment)) for line in lines]


def _checkouts(seconds: float) -> list[bytes]:
    """Return the directories whose names are often those of repositories: the checkout, and what it belongs to."""
    git = bounded_git(Git(), seconds)
    found: set[bytes] = set()
    for option in ("--show-toplevel", "--git-common-dir", "--show-superproject-working-tree"):
        try:
            answer = within(seconds, partial(git.start, "rev-parse", "--path-format=absolute", option)).finish()
        except CodeRepoError:
            continue
        if answer.status == 0:
            found.add(answer.stdout.removesuffix(b"\n").removesuffix(b"/.git"))
    return sorted(found - {b"", b"/"}, key=len, reverse=True)


def _without_places(text: str, places: Iterable[bytes]) -> str:
    for place in places:
        for form in (os.fsdecode(place), quoted(place)[1:-1]):
            text = re.sub(re.escape(form) + r"(?=[/'\s:]|$)", "CHECKOUT", text)
    return text


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
