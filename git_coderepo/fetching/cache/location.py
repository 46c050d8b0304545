"""The location of the cache: the first usable directory, and this user's own part in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError, TargetUnusable
from git_coderepo.filesystem.directories import remove_tree, size_on_disk
from git_coderepo.filesystem.paths import quoted
from git_coderepo.filesystem.private import check_own, open_private, open_unexchangeable
from git_coderepo.filesystem.scratch import temporary_place
from git_coderepo.settings import Settings

# The number changes with the format of the files below.
_PART = "trees-2-"
_OLD_PARTS = ("trees-1-",)


class CachePlace(NamedTuple):
    """This user's part of the cache: `path` for messages and commands, `descriptor` for everything else.

    Only this user can enter the directory (0700), and no other user can replace it or a directory above it. So `path`
    keeps naming the directory that `descriptor` has open, which stays open until the process ends.
    """

    path: str
    descriptor: int


def cache_place(settings: Settings, *, notify: Callable[[str], None]) -> CachePlace:
    """Return this user's part of the cache, which exists and is writable.

    Tried in this order: `coderepo.cacheDir` (`CODEREPO_CACHE_DIR`), the user's cache directory, the directory for
    temporary files. `notify` receives a warning about a configured directory that cannot be used. Raises TargetUnusable
    if none can be used, CodeRepoError for a relative `coderepo.cacheDir`.
    """
    reasons = []
    for directory, named, alone in _candidates(settings):
        try:
            return _own_part(directory, make=True, alone=alone)
        except OSError as error:
            reasons.append(f"{quoted(os.fsencode(directory))} ({_reason(error)})")
            if named:
                notify(f"warning: cannot use {reasons[-1]} for the cache")
    tried = f": not {', not '.join(reasons)}" if reasons else ""
    raise TargetUnusable(
        f"there is no place for a cache{tried}",
        hints=["name a directory that can be written to: CODEREPO_CACHE_DIR"],
    )


def known_cache_place(settings: Settings) -> CachePlace | None:
    """Return this user's part of the cache if it exists, else None; nothing is created."""
    for directory, _, alone in _candidates(settings):
        try:
            return _own_part(directory, make=False, alone=alone)
        except OSError:
            continue
    return None


class CandidatePlace(NamedTuple):
    """A directory that may hold the cache, in which `path` is this user's part.

    `is_configured` says whether the user named it; `alone` whether it must belong to this user.
    """

    directory: str
    path: str
    is_configured: bool
    alone: bool

    def look(self) -> CachePlace:
        """Return this user's part, without creating it. Raises OSError."""
        return _own_part(self.directory, make=False, alone=self.alone)


def candidate_places(settings: Settings) -> list[CandidatePlace]:
    """Return the directories that `cache_place` tries, in its order. Raises CodeRepoError as it does."""
    name = f"{_PART}{os.geteuid()}"
    return [
        CandidatePlace(directory, os.path.join(directory, name), named, alone)
        for directory, named, alone in _candidates(settings)
    ]


class OldPart(NamedTuple):
    """A user's part of the cache in a format that only older releases use.

    `size` is in bytes on the disk; `used` is the time of the last addition, in seconds since the epoch.
    """

    parent: str
    name: str
    size: int
    used: float

    @property
    def directory(self) -> str:
        """The path of the part."""
        return os.path.join(self.parent, self.name)

    def remove(self) -> bool:
        """Remove the part with everything in it, and return whether it is gone."""
        try:
            around = open_unexchangeable(self.parent, make=False)
        except OSError:
            return False
        try:
            remove_tree(self.name, parent=around)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        finally:
            os.close(around)
        return True


def old_parts(settings: Settings) -> list[OldPart]:
    """Return this user's parts in older formats, from every directory that may hold a cache and can be read."""
    found = []
    for directory, _, _ in _candidates(settings):
        for name in _OLD_PARTS:
            name = f"{name}{os.geteuid()}"
            try:
                around = open_unexchangeable(directory, make=False)
                try:
                    own = open_private(name, around, make=False)
                finally:
                    os.close(around)
            except OSError:
                continue
            try:
                found.append(OldPart(directory, name, size_on_disk(own), os.fstat(own).st_mtime))
            finally:
                os.close(own)
    return found


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason if error.errno == errno.EPERM else reason.lower()  # an EPERM of `private` names a directory


def _candidates(settings: Settings) -> Iterator[tuple[str, bool, bool]]:
    """Yield (directory, whether the user configured it, whether it must belong to this user)."""
    named = settings.text("cacheDir")
    if named:
        expanded = os.path.expanduser(named)
        if not os.path.isabs(expanded):
            raise CodeRepoError(f"invalid coderepo.cacheDir '{named}': use an absolute path")
        yield expanded, True, False
    from platformdirs import user_cache_path

    try:
        users = str(user_cache_path("git-coderepo"))
    except RuntimeError:
        users = ""  # newer releases of platformdirs: neither HOME nor an entry in passwd(5)
    if os.path.isabs(users) and users.count("/") > 1:  # older releases return `~/…`; with HOME=/ it is `/.cache/…`
        yield users, False, False
    temporary = temporary_place()
    if temporary is not None:
        yield os.path.join(temporary, f"git-coderepo-{os.geteuid()}"), False, True


def _own_part(directory: str, *, make: bool, alone: bool) -> CachePlace:
    """Return this user's part of the cache in `directory`; `make` creates it if it is absent.

    With `alone`, `directory` itself must belong to this user. Raises OSError, and PermissionError if another user could
    replace the directory.
    """
    name = f"{_PART}{os.geteuid()}"
    around = open_unexchangeable(directory, make=make)
    try:
        if alone:
            check_own(os.fstat(around), directory)
        own = open_private(name, around, make=make)
    finally:
        os.close(around)
    try:
        probe = f".probe-{os.getpid()}-{os.urandom(4).hex()}"
        os.mkdir(probe, 0o700, dir_fd=own)
        os.rmdir(probe, dir_fd=own)
    except OSError as error:
        # On a full file system, the cached trees can still be used, and removed to make room.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            os.close(own)
            raise
    return CachePlace(os.path.join(directory, name), own)
