"""A team's settings: the file `.coderepo` at the root of the work tree, which is tracked, in the syntax of git-config.

It comes with the repository, so it may come from anybody: it may say what is left out and looked at, and of which
platform a host is, and nothing that runs a program or names a credential. What the user's own configuration or the
environment says wins, setting by setting. It is read in the user's checkout only, never on a runner.

Syntax: https://git-scm.com/docs/git-config#_syntax, read by git itself, without includes.
"""

from __future__ import annotations

import os
import stat

from git_coderepo.errors import NotReproducible
from git_coderepo.settings import TEAM, Entry, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from git_coderepo.git.process import Git, Process
    from git_coderepo.git.repository import Layout

NAME = b".coderepo"
# A file of settings is some lines; who has more in it has something else.
LIMIT = 64 << 10
# `coderepo.NAME`, in lower case as git gives it.
SETTINGS = frozenset(("allowsecret", "exclude", "scope", "buildfile", "inlinelimit", "overlaylimit"))
# Of these the team's count beside the user's own.
_TOGETHER = frozenset(("allowsecret",))
_READ = ("config", "--null", "--no-includes")


def start_team(git: Git, toplevel: bytes) -> Process | None:
    """git on its way to read the file in the work tree as it is now; None where there is none: then nothing is started.

    Raises NotReproducible for one that is no regular file, or none of settings.
    """
    try:
        descriptor = os.open(toplevel + b"/" + NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        link = os.path.islink(toplevel + b"/" + NAME)
        raise _unusable("it is a symbolic link" if link else (error.strerror or str(error)).lower()) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            return None
        if not stat.S_ISREG(mode):
            raise _unusable("it is no plain file")
        contents = os.read(descriptor, LIMIT + 1)
    finally:
        os.close(descriptor)
    return _started(git, contents)


def start_team_of(git: Git, listing: bytes) -> Process | None:
    """The same for the file in a tree, whose `ls-tree -r -z` is `listing`."""
    end = b"\t" + NAME + b"\0"
    at = listing.find(end)
    if at < 0:
        return None
    mode, kind, id = listing[listing.rfind(b"\0", 0, at) + 1 : at].split(b" ")
    if kind != b"blob" or mode == b"120000":
        raise _unusable("it is no plain file")
    size = int(git.line("cat-file", "-s", id.decode()))
    return _started(git, git.run("cat-file", "blob", id.decode()) if size <= LIMIT else bytes(LIMIT + 1))


def with_team(settings: Settings, process: Process | None, notify: Callable[[str], None]) -> Settings:
    """The user's settings, and beneath them the team's; `notify` hears of each line that is passed over.

    Raises NotReproducible where git cannot read the file.
    """
    if process is None:
        return settings
    if process.finish().status != 0:
        words = os.fsdecode(process.stderr).strip().rpartition("fatal: ")[2]
        raise _unusable(words.replace(" in standard input", "") or f"git ended with status {process.status}")
    known = {(entry.section, entry.subsection, entry.name) for entry in settings.entries}
    added = []
    refused: dict[str, None] = {}
    for line in os.fsdecode(process.stdout).split("\0")[:-1]:
        entry = Entry.parse(line, TEAM)
        if not is_allowed(entry):
            refused[".".join(part for part in (entry.section, entry.subsection, entry.name) if part is not None)] = None
        elif (entry.section, entry.subsection, entry.name) not in known or entry.name in _TOGETHER:
            added.append(entry)
    for name in refused:
        notify(f"warning: '{name}' in '.coderepo' is passed over: a team's file may not set it")
    return Settings([*settings.entries, *added], settings.environment)


def team_settings(git: Git, layout: Layout, settings: Settings, notify: Callable[[str], None]) -> Settings:
    """The settings that hold in this checkout, the team's among them. Raises NotReproducible."""
    return with_team(settings, start_team(git, layout.toplevel), notify)


def is_allowed(entry: Entry) -> bool:
    """Whether a team's file may say this: what is left out or looked at, a limit, or a host's platform."""
    if entry.section != "coderepo":
        return False
    if entry.subsection is None:
        return entry.name in SETTINGS
    authority = entry.subsection.removeprefix("https://").removesuffix("/")
    return (
        entry.name == "type"
        and entry.subsection == f"https://{authority}/"
        and bool(authority)
        and not set(authority) & set("/@?#\\ ")
        # A custom class is code of somebody's choosing.
        and entry.value not in (None, "custom")
    )


def _started(git: Git, contents: bytes) -> Process:
    if len(contents) > LIMIT:
        raise _unusable(f"it is larger than {LIMIT >> 10} KiB")
    return git.start(*_READ, "--file", "-", "--list", stdin=contents)


def _unusable(reason: str) -> NotReproducible:
    return NotReproducible(
        f"the team's settings in '.coderepo' cannot be read: {reason}",
        hints=["make it a regular file of at most 64 KiB that git reads: git config --file .coderepo --list"],
    )
