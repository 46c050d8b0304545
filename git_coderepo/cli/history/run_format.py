"""The placeholders of `log --format`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from git_coderepo.cli import output
from git_coderepo.errors import UsageError
from git_coderepo.runs.history import RecordedRun
from git_coderepo.runs.result import seconds_of


class Placeholder(NamedTuple):
    """What a placeholder stands for: `help` is for the manual, `value` returns the text for a run."""

    help: str
    value: Callable[[RecordedRun], str | None]


def local_time(text: str) -> str:
    """Convert an ISO 8601 time to local time, as `YYYY-MM-DD HH:MM:SS +HHMM`."""
    seconds = seconds_of(text)
    return text if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))


def command_line(each: RecordedRun) -> str:
    """Return the command quoted for a shell, or an empty string if none was recorded."""
    import shlex

    return shlex.join(os.fsdecode(word) for word in each.manifest.run.command or ())


def title_of(each: RecordedRun) -> str:
    """Return the name and the command of a run, if they were recorded."""
    name, command = each.manifest.run.name, command_line(each)
    return f"{name}: {command}" if name and command else name or command


def _commit(each: RecordedRun) -> str | None:
    head = each.manifest.code.head
    return None if head is None else head.commit.hex


def _branch(each: RecordedRun) -> str | None:
    head = each.manifest.code.head
    return None if head is None else head.branch


def _status(each: RecordedRun) -> str | None:
    return None if each.result is None or each.result.status is None else str(each.result.status)


# `short` depends on the ids beside it: see `formatted`.
PLACEHOLDERS = {
    "id": Placeholder("the id", lambda each: each.id),
    "short": Placeholder("the abbreviated id", lambda each: each.id),
    "name": Placeholder("the name, or nothing", lambda each: each.manifest.run.name),
    "command": Placeholder("the command, quoted for a shell", command_line),
    "title": Placeholder("the name and the command", title_of),
    "state": Placeholder("`ok`, `exit 3`, `running` and so on", lambda each: each.state),
    "status": Placeholder("the exit status of the command, or nothing", _status),
    "date": Placeholder("the start, in local time", lambda each: local_time(each.manifest.run.created_on)),
    "utc": Placeholder("the start, in UTC (ISO 8601)", lambda each: each.manifest.run.created_on),
    "commit": Placeholder("the commit of HEAD, or nothing", _commit),
    "branch": Placeholder("the branch, or nothing", _branch),
    "tree": Placeholder("the tree id of the snapshot", lambda each: each.manifest.code.snapshot_tree.hex),
    "dirty": Placeholder("`+` if the checkout was dirty, or nothing", lambda each: "+" * each.manifest.code.dirty),
    "parent": Placeholder("the id of the run that started it, or nothing", lambda each: each.manifest.run.parent),
    "manifest": Placeholder(
        "the path of the manifest, or nothing", lambda each: None if each.path is None else os.fsdecode(each.path)
    ),
}

_IN_FORMAT = re.compile(r"%(?:(%)|\(([^)]*)\)|([A-Za-z]+))?")


def check_format(text: str) -> None:
    """Raise UsageError for a placeholder that does not exist."""
    for found in _IN_FORMAT.finditer(text):
        if found[1] is None and (found[2] or found[3]) not in PLACEHOLDERS:
            known = ", ".join(f"%{name}" for name in PLACEHOLDERS)
            raise UsageError(
                f"invalid placeholder '{found[0]}' in --format",
                hints=[f"choose from {known}", "write %% for a percent sign, and %(NAME) before a letter"],
            )


def formatted(each: RecordedRun, text: str, short: str) -> str:
    """Return a run in a format that `check_format` accepts; `short` is its abbreviated id."""

    def value(found: re.Match[str]) -> str:
        name = found[2] or found[3]
        if name is None:
            return "%"
        return output.clean(short if name == "short" else PLACEHOLDERS[name].value(each) or "")

    return _IN_FORMAT.sub(value, text)
