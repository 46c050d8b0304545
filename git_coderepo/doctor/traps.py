"""Checks for what often makes a run of this checkout differ from what its user expects."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial

from git_coderepo.doctor.answers import Known
from git_coderepo.doctor.finding import CheckResult, note, ok, problem
from git_coderepo.doctor.place import CheckedRepository, Link
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.partial_clone import is_partial
from git_coderepo.git.process import git_word, ignore_command, path_word, shell_word
from git_coderepo.plural import count
from git_coderepo.settings import Settings
from git_coderepo.snapshots.secret_scan import secret_by_name
from git_coderepo.snapshots.tree.likely_mistakes import unusual_directories

# What is installed is large, and another machine cannot use it.
_WRONG = ("a virtual environment", "installed packages")
# A file of attributes is short.
_MOST_ATTRIBUTES = 1 << 20


def submodules(known: Known) -> Iterator[CheckResult]:
    """Check that each submodule is initialised and listed in `.gitmodules`."""
    good = 0
    for link in known.place.links:
        finding = _submodule(link)
        if finding is None:
            good += 1
        else:
            yield finding
    if good:
        yield ok(f"{good} initialised")


def _submodule(link: Link) -> CheckResult | None:
    name = quoted(link.path)
    if not link.is_listed:
        return problem(
            f"{name} is not in .gitmodules, so no clone can fetch it",
            f"git submodule add --force URL {shell_word(link.path)}",
        )
    if link.is_initialised and link.problem is None:
        return None
    if link.is_empty:
        return note(f"{name} is not initialised: runs record it as an empty directory", link.command)
    aside = link.root + b".without-git"
    why = "has files but no '.git', so git does not look at them"
    return problem(
        f"{name} {why}" if link.problem is None else f"{name} cannot be read: {link.problem.message}",
        f"mv -- {shell_word(link.root)} {shell_word(aside)} && {link.command}",
    )


def untracked(known: Known) -> Iterator[CheckResult]:
    """Look for untracked directories that would travel with each run and rarely should."""
    checkout = known.place.checkout
    if checkout is None:
        return
    top = checkout.layout.toplevel
    paths = _listed(checkout, "--others", "--exclude-standard")
    found = list(unusual_directories(paths, {}))
    for directory, words in found:
        finding = problem if words in _WRONG else note
        yield finding(
            f"{quoted(directory + b'/')} is untracked and travels with each run: it looks like {words}",
            ignore_command(directory + b"/", top),
        )
    if not found:
        yield ok(f"{count(len(paths), 'untracked file')}, nothing unusual")


def secrets(known: Known) -> Iterator[CheckResult]:
    """Name the files that hold secrets by their names: an untracked one is left out, and a tracked one travels."""
    checkout = known.place.checkout
    if checkout is None:
        return
    top = checkout.layout.toplevel
    found = False
    for path in filter(secret_by_name, _listed(checkout, "--others", "--exclude-standard")):
        found = True
        yield note(
            f"{quoted(path)} is left out of runs, since such files hold secrets; a runner does not get it",
            ignore_command(path, top),
        )
    for path in filter(secret_by_name, _listed(checkout, "--cached")):
        found = True
        yield problem(
            f"{quoted(path)} is tracked, so it travels with each run; such files hold secrets",
            f"{git_word(top)} rm --cached -- {path_word(path, top)}",
        )
    if not found:
        yield ok("no '.env', private key or password file in the tree")


def _listed(checkout: CheckedRepository, *options: str) -> list[bytes]:
    """Return the raw paths that `git ls-files` lists, from the root."""
    listing = checkout.git.at(checkout.layout.toplevel).run("ls-files", "-z", *options)
    return [path for path in listing.split(b"\0") if path]


# --- how it was cloned ---


def clone(known: Known) -> Iterator[CheckResult]:
    """Name what this clone lacks: objects, history, or files of the work tree."""
    for part in known.place.parts:
        found = list(_lacking(part))
        yield from found
        if not found and not part.path:
            yield ok("complete: neither partial, nor shallow, nor sparse")


def _lacking(part: CheckedRepository) -> Iterator[CheckResult]:
    directory = f"-C {shell_word(part.layout.toplevel)} " if part.path else ""
    if is_partial(part.settings):
        yield note(f"{part.name}partial clone: git fetches missing objects from the remote when they are needed")
    if part.layout.shallow:
        yield note(
            f"{part.name}shallow clone: commits that the remote has may count as unpushed",
            f"git {directory}fetch --unshallow",
        )
    if part.settings.git_flag("core", "sparseCheckout", False):
        yield note(
            f"{part.name}sparse checkout: files outside of it are recorded as they are in the index",
            f"git {directory}sparse-checkout disable",
        )


# --- what git does not store ---


def lfs(known: Known) -> Iterator[CheckResult]:
    """Check that Git LFS is installed and configured, if `.gitattributes` uses it."""
    for part in known.place.parts:
        if not _uses_lfs(part):
            continue
        directory = f"-C {shell_word(part.layout.toplevel)} " if part.path else ""
        version = part.git.start("lfs", "version").finish()
        if version.status != 0:
            yield problem(f"{part.name}the tree uses Git LFS, which is not installed", "sudo apt-get install git-lfs")
        elif not _has_filters(part.settings):
            yield problem(
                f"{part.name}the tree uses Git LFS, and its filters are not configured",
                f"git {directory}lfs install --local --skip-repo",
                partial(part.git.run, "lfs", "install", "--local", "--skip-repo"),
            )
        else:
            yield ok(f"{part.name}{os.fsdecode(version.stdout).split(' ')[0]}")


def _has_filters(settings: Settings) -> bool:
    return all(settings.value("filter", name, "lfs") for name in ("clean", "smudge"))


def _uses_lfs(part: CheckedRepository) -> bool:
    patterns = (":(glob).gitattributes", ":(glob)**/.gitattributes")
    top = part.layout.toplevel
    for path in part.git.at(top).run("ls-files", "-z", "--", *patterns).split(b"\0")[:-1]:
        try:
            descriptor = os.open(top + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if b"filter=lfs" in os.read(descriptor, _MOST_ATTRIBUTES):
                return True
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return False


def annex(known: Known) -> Iterator[CheckResult]:
    """Check that git-annex is installed, if the repository uses it."""
    for part in known.place.parts:
        branches = part.git.run("for-each-ref", "--count=1", "refs/heads/git-annex", "refs/remotes/*/git-annex")
        if not branches:
            continue
        if shutil.which("git-annex", path=part.git.environment.get("PATH")) is None:
            yield problem(
                f"{part.name}the repository uses git-annex, which is not installed", "sudo apt-get install git-annex"
            )
        else:
            yield ok(f"{part.name}installed")
