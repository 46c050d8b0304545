"""Checks of git, of this program, and of the settings."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial

from git_coderepo import __version__
from git_coderepo.doctor.answers import Known
from git_coderepo.doctor.finding import CheckResult, from_error, note, ok, problem
from git_coderepo.doctor.place import CheckedPlace, attempt
from git_coderepo.errors import CodeRepoError, GitNotFound
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.process import shell_word
from git_coderepo.hooks.scripts import this_program
from git_coderepo.registration.mistyped import Mistyped, mistyped
from git_coderepo.settings import SETTINGS, Setting, Settings, variable_of

_SCOPES = {"system": "--system", "global": "--global", "local": "--local", "worktree": "--worktree"}
_KINDS = {"BOOL": Settings.flag, "SIZE": Settings.size}


def git(known: Known) -> Iterator[CheckResult]:
    """Check that git is installed and new enough."""
    place = known.place
    if place.git_problem is not None:
        line = "sudo apt-get install git" if isinstance(place.git_problem, GitNotFound) else "install git 2.34 or newer"
        yield problem(place.git_problem.message, line)
        return
    path = shutil.which("git", path=place.environment.get("PATH"))
    yield ok(f"{place.version}, {path}")


def program(known: Known) -> Iterator[CheckResult]:
    """Check that `git coderepo` finds this program, and no other version of it."""
    version = f"{__version__}, Python {sys.version.split()[0]}, {sys.executable}"
    found = shutil.which("git-coderepo", path=known.place.environment.get("PATH"))
    try:
        own = os.fsdecode(this_program())
    except CodeRepoError:
        own = None
    if found is None and own is None:
        yield note(f"{version}; 'git coderepo' does not find it", "pipx install git-coderepo")
    elif found is None:
        yield problem(f"{version}; its directory is not in PATH", _in_path(own))
    elif own is not None and os.path.realpath(own) != os.path.realpath(found):
        yield note(f"{version}; 'git coderepo' starts another one: '{found}'", _in_path(own))
    else:
        yield ok(version)


def _in_path(program: str | None) -> str:
    return f'export PATH={shell_word(os.path.dirname(program or ""))}:"$PATH"'


def configuration(known: Known) -> Iterator[CheckResult]:
    """Check that git can read its configuration, and that the team's file is in order."""
    error = known.place.settings_problem
    if error is not None:
        yield problem(error.message, _edit(error.message))
        return
    if known.place.git_problem is None:
        yield ok("git can read it")
    for warning in known.place.warnings:
        yield note(warning.removeprefix("warning: "), "git config --file .coderepo --edit")


def _edit(message: str) -> str:
    """Return the line that opens the broken file, which git names as `bad config line 3 in file PATH`."""
    if "current working directory" in message:
        return 'cd "$HOME"'
    before, _, path = message.partition(" in file ")
    number = before.rpartition(" ")[2]
    if not path or not number.isdigit():
        return "git config --global --edit"
    return f"${{EDITOR:-vi}} +{number} {shell_word(path)}"


def settings(known: Known) -> Iterator[CheckResult]:
    """Check for unknown settings and invalid values of `coderepo.*`."""
    place = known.place
    unknown = mistyped(place.settings)
    invalid = list(_invalid(place.settings))
    for each in unknown:
        yield _unknown(each, place)
    yield from invalid
    if not unknown and not invalid and place.settings_problem is None:
        number = len({each.name for each in place.settings.entries if each.section == "coderepo"})
        yield ok(f"{number} of coderepo.* set" if number else "none set")


def _unknown(each: Mistyped, place: CheckedPlace) -> CheckResult:
    option = _SCOPES.get(each.scope)
    wrong = shell_word(f"coderepo.{each.name}")
    if option is None:
        return problem(each.sentence, f"leave out the option -c {wrong}")
    if each.suggestion is None:
        return problem(each.sentence, f"git config {option} --unset-all {wrong}")
    right = f"coderepo.{each.suggestion}"
    taken = any(
        entry.section == "coderepo" and entry.name == each.suggestion.lower() for entry in place.settings.entries
    )
    values = place.git.start("config", option, "--null", "--get-all", wrong).checked(1).split(b"\0")[:-1]
    entry = next(entry for entry in reversed(place.settings.entries) if entry.name == each.name)
    if taken or len(values) != 1 or entry.value is None:
        return problem(each.sentence, f"git config {option} --edit")
    # The value is not shown: it could be a secret in a wrong place.
    line = f'git config {option} {right} "$(git config {option} {wrong})" && git config {option} --unset-all {wrong}'
    return problem(each.sentence, line, partial(_rename, place, wrong, right) if option == "--local" else None)


def _rename(place: CheckedPlace, wrong: str, right: str) -> None:
    """Give a setting of the checkout's own configuration another name."""
    value = place.git.run("config", "--local", "--null", "--get", wrong).removesuffix(b"\0")
    place.git.run("config", "--local", right, value)
    place.git.run("config", "--local", "--unset-all", wrong)


def _invalid(settings: Settings) -> Iterator[CheckResult]:
    for setting in SETTINGS.values():
        read = Settings.choice if setting.choices else _KINDS.get(setting.value)
        if setting.value == "SECONDS":
            error = attempt(partial(settings.seconds, setting.name, 0.0))
        elif read is not None and settings.text(setting.name) is not None:
            error = attempt(partial(read, settings, setting.name))
        else:
            continue
        if error is None:
            continue
        if setting.choices:
            yield problem(f"{error.message}; {error.hints[0]}", _chosen(settings, setting))
        else:
            yield problem(error.message, _unset(settings, setting.name))


def _chosen(settings: Settings, setting: Setting) -> str:
    """Return the line that gives a setting its most careful value, where the last one is set.

    Without a value the default would apply, which may permit more than the user meant.
    """
    value = "refuse" if "refuse" in setting.choices else setting.default
    if setting.variable in settings.environment:
        return f"export {setting.variable}={value}"
    scopes = _scopes_of(settings, setting.name)
    if not scopes or scopes[-1] not in _SCOPES:
        return _unset(settings, setting.name)
    replace = "--replace-all " if scopes.count(scopes[-1]) > 1 else ""
    return f"git config {_SCOPES[scopes[-1]]} {replace}coderepo.{setting.name} {value}"


def _unset(settings: Settings, name: str) -> str:
    """Return the line that removes the value of a setting, from where the last one is."""
    if variable_of(name) in settings.environment:
        return f"unset {variable_of(name)}"
    scope = next(reversed(_scopes_of(settings, name)), None)
    if scope == "command":
        return f"leave out the option -c coderepo.{name}"
    file = f"git config {_SCOPES[scope]}" if scope in _SCOPES else "git config --file .coderepo"
    return f"{file} --unset-all coderepo.{name}"


def _scopes_of(settings: Settings, name: str) -> list[str]:
    key = ("coderepo", None, name.lower())
    return [each.scope for each in settings.entries if (each.section, each.subsection, each.name) == key]


def checkout(known: Known) -> Iterator[CheckResult]:
    """Check that the current directory belongs to the work tree that git reports."""
    place = known.place
    if place.outside is not None:
        yield from_error(place.outside, otherwise="cd to the root of the checkout")
    elif place.checkout is not None:
        layout = place.checkout.layout
        head = "no commit yet" if layout.head is None else f"HEAD at {layout.head.hex[:12]}"
        yield ok(f"{quoted(layout.toplevel)}, {head}")
    elif place.settings_problem is None and place.git_problem is None:
        yield note("not in a checkout: only this machine is checked")


def repository(known: Known) -> Iterator[CheckResult]:
    """Check that the checkout and its submodules have a code repository that a runner could use."""
    for part in known.place.parts:
        if part.problem is not None:
            finding = from_error(part.problem, otherwise="git coderepo list")
            yield finding._replace(detail=part.name + finding.detail)
        elif part.source is None:
            yield note(f"{part.name}none: the whole tree travels with each run", "git remote add origin URL")
        else:
            registration, remote = part.source.registration, part.source.remote
            url = remote.url() if remote is not None else "no remote"
            yield ok(f"{part.name}{registration.name}: {registration.type}, {url}")
