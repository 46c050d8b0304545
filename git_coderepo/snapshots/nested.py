"""Hints for a Git repository inside a checkout that is not one of its submodules."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.git.exclude import ignore_command
from git_coderepo.git.process import shell_word
from git_coderepo.git.url.remote import RemoteURL

if TYPE_CHECKING:
    from git_coderepo.git.process import Git


def nested_repository_hints(git: Git, toplevel: bytes, path: bytes) -> list[str]:
    """Return the hints for the repository at a raw path from the root: it is left out, or becomes a submodule."""
    name = os.fsdecode(path)
    hints = [f"leave it out: {ignore_command(path + b'/')}"]
    inner = git.submodule(toplevel + b"/" + path)
    if path.startswith(b"-"):
        return hints  # `git submodule add` takes it for an option, even after `--`
    if not inner.succeeds("rev-parse", "--verify", "--quiet", "HEAD"):
        return hints  # git makes no submodule of what has no commit
    asked = inner.start("config", "--get", "remote.origin.url").finish()
    url = os.fsdecode(asked.stdout.removesuffix(b"\n")) if asked.status == 0 else ""
    if _can_be_recorded(url):
        return [*hints, f"git submodule add -- {shell_word(url)} {shell_word(name)}"]
    return [*hints, f"or push it to a remote of its own, and then: git submodule add -- URL {shell_word(name)}"]


def _can_be_recorded(url: str) -> bool:
    """Return whether a URL means the same for others, and holds no secret: it would stand in `.gitmodules`."""
    try:
        remote = RemoteURL.parse(url)
    except InvalidRemoteURL:
        return False
    if remote.transport == "ssh":
        return True  # a user name belongs to the address there
    has_user = "@" in url.partition("://")[2].partition("/")[0]
    return remote.transport in ("https", "http", "git", "file") and not has_user
