"""Write registrations to the checkout's own `.git/config`, which linked worktrees share.

git itself changes the lines in a copy. The copy is renamed over the file under git's own lock (`config.lock`), so that
other lines, comments and their order stay as they are, and a killed process leaves the old file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from git_coderepo.credentials.secret import parse_reference
from git_coderepo.errors import RegistrationError
from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.git.process import shell_word
from git_coderepo.registration.config import Registration, registrations
from git_coderepo.registration.infer import literal_secret
from git_coderepo.registration.options import config_key, is_secret, platform_of
from git_coderepo.settings import Settings
from git_coderepo.similar import closest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from git_coderepo.git.process import Git

_ATTEMPTS = 5


def config_file(git: Git) -> str:
    """Return the absolute path of the configuration that all worktrees of a checkout share."""
    return os.path.join(git.line("rev-parse", "--path-format=absolute", "--git-common-dir"), "config")


def check_name(name: str) -> None:
    """Raise RegistrationError for an invalid name of a code repository."""
    invalid = "://" in name or "{{" in name or not all(char.isprintable() for char in name)
    if not name or name.startswith("-") or invalid:
        raise RegistrationError(
            f"invalid name {name!r} of a code repository",
            hints=["choose a name without '://', '{{' and control characters that does not begin with '-'"],
        )


def lines_of(registration: Registration) -> list[tuple[str, str]]:
    """Return the (key, value) lines of a registration's section, in the order in which they are written.

    Raises RegistrationError for a secret in plain text.
    """
    platform = platform_of(registration.type, registration.source)
    lines = [("type", registration.type)]
    for key, value in (
        ("source", registration.source),
        ("remote", registration.remote),
        ("description", registration.description),
        ("logoUrl", registration.logo_url),
    ):
        if value is not None:
            lines.append((key, value))
    for name, value in registration.options.items():
        key = config_key(platform, name)
        if is_secret(platform, name) and parse_reference(value) is None:
            raise literal_secret(registration.name, key)
        lines.append((key, value))
    return lines


def add(git: Git, registration: Registration) -> list[tuple[str, str]]:
    """Write a new section and return its (key, value) lines.

    Raises RegistrationError for an invalid or existing name, and for a secret in plain text.
    """
    check_name(registration.name)
    refuse_existing(git, registration.name)
    lines = lines_of(registration)
    _check_lines(lines)

    def write(copy: Git) -> None:
        for key, value in lines:
            _set(copy, registration.name, key, value)

    _edit(git, write)
    return lines


def update(
    git: Git,
    name: str,
    *,
    new_name: str | None = None,
    options: Mapping[str, str] | None = None,
    unset: Iterable[str] = (),
    remote: str | None = None,
    source: str | None = None,
    description: str | None = None,
    logo_url: str | None = None,
) -> Registration:
    """Change the given values of a registration, and return the new registration.

    `options` are merged; `unset` names values to remove, by Python name, including `remote`, `description` and
    `logo_url`. Raises RegistrationError for an unknown name, an existing new name, and a secret in plain text.
    """
    known = registered_here(git, name)
    if new_name is not None and new_name != name:
        check_name(new_name)
        refuse_existing(git, new_name)
    platform = platform_of(known.type, source or known.source)
    changes = [("source", source), ("remote", remote), ("description", description), ("logoUrl", logo_url)]
    lines = [(key, value) for key, value in changes if value is not None]
    for option, value in (options or {}).items():
        key = config_key(platform, option)
        if is_secret(platform, option) and parse_reference(value) is None:
            raise literal_secret(name, key)
        lines.append((key, value))
    _check_lines(lines)
    removed_keys = [{"logo_url": "logoUrl"}.get(option) or config_key(platform, option) for option in unset]

    def write(copy: Git) -> None:
        for key, value in lines:
            _set(copy, name, key, value)
        for key in removed_keys:
            _unset(copy, name, key)
        if new_name is not None and new_name != name:
            copy.run("config", "--file", "config", "--rename-section", f"coderepo.{name}", f"coderepo.{new_name}")

    _edit(git, write)
    return registered_here(git, new_name or name)


def remove(git: Git, name: str) -> Registration:
    """Remove a section, and return its registration. Old runs keep their record (Z7 in docs/design/faults.md)."""
    known = registered_here(git, name)
    _edit(git, lambda copy: _remove_section(copy, name))
    return known


def registered_here(git: Git, name: str) -> Registration:
    """Return the registration of that name in the checkout's own configuration. Raises RegistrationError."""
    settings = Settings.read(git)
    local = {entry.subsection for entry in settings.entries if entry.section == "coderepo" and entry.scope == "local"}
    for each in registrations(settings):
        if each.name == name:
            if name not in local:
                raise RegistrationError(
                    f"'{name}' is registered outside of this checkout",
                    hints=[f"git config --show-origin --get-regexp {shell_word(_pattern(name))}"],
                )
            return each
    near = closest(name, [each.name for each in registrations(settings)])
    raise RegistrationError(
        f"code repository not found: '{name}'",
        hints=[f"did you mean '{near[0]}'?"] if near else ["git coderepo list"],
    )


def _pattern(name: str) -> str:
    """Return the extended regular expression for all settings of a registration."""
    literal = "".join(f"\\{char}" if char in "\\.[]()*+?{}|^$" else char for char in name)
    return f"^coderepo\\.{literal}\\."


def refuse_existing(git: Git, name: str) -> None:
    """Raise RegistrationError if a section of that name exists."""
    if name in Settings.read(git).subsections("coderepo"):
        raise RegistrationError(
            f"a code repository '{name}' is already registered",
            hints=[f"git coderepo update {shell_word(name)}", f"git coderepo remove {shell_word(name)}"],
        )


def _check_lines(lines: Iterable[tuple[str, str]]) -> None:
    for key, value in lines:
        if any(char in value for char in "\r\n\0"):
            raise RegistrationError(f"invalid value of '{key}': it contains a line break or a NUL byte")


def _set(copy: Git, name: str, key: str, value: str) -> None:
    copy.run("config", "--file", "config", "--replace-all", f"coderepo.{name}.{key}", value)


def _unset(copy: Git, name: str, key: str) -> None:
    # Status 5: there is no such line.
    copy.start("config", "--file", "config", "--unset-all", f"coderepo.{name}.{key}").checked(5)


def _remove_section(copy: Git, name: str) -> None:
    copy.run("config", "--file", "config", "--remove-section", f"coderepo.{name}")


def _edit(git: Git, change: Callable[[Git], None]) -> None:
    edit_file(git, config_file(git), change)


def edit_file(git: Git, path: str, change: Callable[[Git], None]) -> None:
    """Replace a configuration file by a copy that `change` has edited: `config` in the directory of its Git.

    The lock is held only while the file is replaced, so that a killed process hardly ever leaves it behind. Raises
    RegistrationError if another process keeps changing the file, OSError.
    """
    path = os.path.realpath(path)
    for _ in range(_ATTEMPTS):
        with scratch_directory() as directory:
            copy = os.path.join(directory, "config")
            before = _contents(path)
            with open(copy, "wb") as file:
                file.write(before)
            change(git.foreign(directory))
            after = _contents(copy)
        if _replaced(path, before, after):
            return
    raise RegistrationError(f"cannot write '{path}': other processes keep changing it", hints=["try again"])


def _replaced(path: str, before: bytes, after: bytes) -> bool:
    """Replace the contents `before` of a file by `after`; return False if another process has changed the file."""
    lock = path + ".lock"
    try:
        descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        raise RegistrationError(
            f"another git process is changing '{path}'", hints=[f"if none is: rm {shell_word(lock)}"]
        ) from None
    except OSError as error:
        raise RegistrationError(f"cannot write '{path}': {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            if _contents(path) != before:
                os.unlink(lock)
                return False
            file.write(after)
            file.flush()
            os.fchmod(file.fileno(), os.stat(path).st_mode & 0o7777)
            os.fsync(file.fileno())
        os.rename(lock, path)
    except BaseException:
        if os.path.exists(lock):
            os.unlink(lock)
        raise
    return True


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
