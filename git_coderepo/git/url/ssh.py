"""Resolve a host with ssh's configuration: `ssh -G`, started only if the configuration could change it."""

from __future__ import annotations

import os

from git_coderepo.errors import GitNotFound
from git_coderepo.git.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Keywords of ssh_config(5) that set another host, port or user, or include other files.
_RENAMING = frozenset((b"hostname", b"port", b"user", b"include", b"canonicalizehostname"))
_STANDARD_INCLUDE = b"include /etc/ssh/ssh_config.d/*.conf"


def ask_ssh(
    host: str, port: int | None, user: str | None, environment: Mapping[str, str], command: str | None = None
) -> tuple[str, int | None, str | None] | None:
    """Return the host, port (None for 22) and user (None for the login name) to which ssh would connect.

    `host` is as the user wrote it, because ssh_config(5) is case-sensitive; `command` is git's `core.sshCommand`.
    Returns None if ssh is missing, if git uses another program or one that needs a shell, and if no configuration could
    change the host. A configured user equal to the login name is returned as None, because `ssh -G` does not
    distinguish them. `Match exec` in the configuration is run, as ssh does.
    """
    words = _ssh_command(environment, command)
    if words is None or (len(words) == 1 and not _configuration_renames()):
        return None
    if port is not None:
        words += ["-p", str(port)]
    if user is not None:
        words += ["-l", user]
    try:
        process = Process.start([*words, "-G", "--", host], environment).finish()
    except (GitNotFound, OSError):
        return None
    if process.status != 0:
        return None
    answer: dict[str, str] = {}
    for line in os.fsdecode(process.stdout).splitlines():
        key, _, value = line.partition(" ")
        answer.setdefault(key, value)
    if port is None and answer.get("port", "22") != "22":
        port = int(answer["port"])
    if user is None and answer.get("user") != _login_name():
        user = answer.get("user")
    return answer.get("hostname", host), port, user


def _ssh_command(environment: Mapping[str, str], configured: str | None) -> list[str] | None:
    """Return the words of the command with which git starts ssh; None if it is another program or needs a shell."""
    command = environment.get("GIT_SSH_COMMAND", configured)
    words = [environment.get("GIT_SSH") or "ssh"] if command is None else command.split()
    if (
        not words
        or os.path.basename(words[0]) != "ssh"
        or any(char in "\"'`$\\;&|<>()*?[#!{" for char in command or "")
    ):
        return None
    home = environment.get("HOME", "~")  # a shell expands ~
    return [home + word[1:] if word.startswith("~/") else word for word in words]


def _configuration_renames() -> bool:
    """Return whether ssh's configuration could change a host, port or user, which is faster than starting ssh."""
    import pwd

    try:
        # ssh uses this directory and ignores $HOME.
        paths = [pwd.getpwuid(os.getuid()).pw_dir + "/.ssh/config", "/etc/ssh/ssh_config"]
        paths += ["/etc/ssh/ssh_config.d/" + name for name in os.listdir("/etc/ssh/ssh_config.d")]
    except (KeyError, OSError):
        paths = ["/etc/ssh/ssh_config"]
    for path in paths:
        try:
            with open(path, "rb") as file:
                if renames(file.read()):
                    return True
        except OSError:
            continue
    return False


def renames(configuration: bytes) -> bool:
    """Return whether a file of ssh_config(5) sets another name, port or user for some host."""
    for line in configuration.lower().splitlines():
        words = line.replace(b"=", b" ").replace(b'"', b" ").split()
        if words and words[0] in _RENAMING and b" ".join(words) != _STANDARD_INCLUDE:
            return True
    return False


def _login_name() -> str | None:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None
