"""What ssh makes of a host's name: `ssh -G`, asked only where the user's configuration could say something new."""

from __future__ import annotations

import os

from git_coderepo.errors import GitNotFound
from git_coderepo.git.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# What in ssh's configuration (ssh_config(5)) gives another host, port or user, and what could bring in more of it.
_RENAMING = frozenset((b"hostname", b"port", b"user", b"include", b"canonicalizehostname"))
_STANDARD_INCLUDE = b"include /etc/ssh/ssh_config.d/*.conf"


def ask_ssh(
    host: str, port: int | None, user: str | None, environment: Mapping[str, str], command: str | None = None
) -> tuple[str, int | None, str | None] | None:
    """The host, port (None: 22) and user (None: the login name) to which ssh would connect; None when not asked.

    `host` is as the user wrote it, since ssh_config(5) minds case; `command` is git's `core.sshCommand`. ssh is not
    asked where it is missing, where git is told to use another program or one that wants a shell, and where no
    configuration could change anything. A configured user that is also the login name counts as none: `ssh -G` does
    not tell them apart. `Match exec` of that configuration is run, as ssh itself does.
    """
    words = _ssh_command(environment, command)
    if words is None or (len(words) == 1 and not _configuration_renames()):
        return None
    if port is not None:
        words += ["-p", str(port)]
    if user is not None:
        words += ["-l", user]
    try:
        process = Process([*words, "-G", "--", host], environment, stdin=None, pipe=False).finish()
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
    """The words of the command by which git starts ssh; None for one that is not plainly ssh, or wants a shell."""
    command = environment.get("GIT_SSH_COMMAND", configured)
    words = [environment.get("GIT_SSH") or "ssh"] if command is None else command.split()
    if (
        not words
        or os.path.basename(words[0]) != "ssh"
        or any(char in "\"'`$\\;&|<>()*?[#!{" for char in command or "")
    ):
        return None
    home = environment.get("HOME", "~")  # a shell puts it in place of ~
    return [home + word[1:] if word.startswith("~/") else word for word in words]


def _configuration_renames() -> bool:
    """Whether anything in ssh's configuration could give a host another name, port or user: cheaper than to ask ssh."""
    import pwd

    try:
        # ssh looks there and not at $HOME.
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
    """Whether a file of ssh_config(5) has a line that gives some host another name, port or user."""
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
