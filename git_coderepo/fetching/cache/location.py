"""Where the cache lies: the first directory that can be used, and this user's own part of it."""

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

# The number changes with the form of what is below.
_PART = "trees-2-"
_OLD_PARTS = ("trees-1-",)


class CachePlace(NamedTuple):
    """This user's part of the cache: `path` for people and for commands, `descriptor` for everything else.

    The directory is this user's alone (0700), and no other user can exchange it or a directory above it, so that
    `path` goes on naming what `descriptor` has open, which it has until the process ends.
    """

    path: str
    descriptor: int


def cache_place(settings: Settings, *, notify: Callable[[str], None]) -> CachePlace:
    """Return this user's part of the cache, which exists and is writable.

    Tried in this order: `coderepo.cacheDir` (`CODEREPO_CACHE_DIR`), the user's cache directory, the one for temporary
    files. `notify` hears of one that was named and cannot be used. Raises TargetUnusable where none can.
    """
    reasons = []
    for directory, named, alone in _candidates(settings):
        try:
            return _own_part(directory, make=True, alone=alone)
        except OSError as error:
            reasons.append(f"{quoted(os.fsencode(directory))} ({_reason(error)})")
            if named:
                notify(f"warning: the cache cannot be in {reasons[-1]}")
    tried = f": not {', not '.join(reasons)}" if reasons else ""
    raise TargetUnusable(
        f"there is no place for a cache{tried}",
        hints=["name a directory that can be written to: CODEREPO_CACHE_DIR"],
    )


def known_cache_place(settings: Settings) -> CachePlace | None:
    """Return the same where there is such a part already, else None: nothing is made."""
    for directory, _, alone in _candidates(settings):
        try:
            return _own_part(directory, make=False, alone=alone)
        except OSError:
            continue
    return None


class OldPart(NamedTuple):
    """A user's part of the cache in the form of an older release, which nothing uses any more.

    `size` is in bytes on the disk, `used` when anything was added to it last, in seconds since 1970.
    """

    parent: str
    name: str
    size: int
    used: float

    @property
    def directory(self) -> str:
        return os.path.join(self.parent, self.name)

    def remove(self) -> bool:
        """Remove it with all in it; whether it is gone."""
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
    """Return this user's parts of older forms in every directory where a cache may be; raises nothing for the rest."""
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
    return reason if error.errno == errno.EPERM else reason.lower()  # EPERM is ours, and names a directory


def _candidates(settings: Settings) -> Iterator[tuple[str, bool, bool]]:
    """Yield (directory, whether the user named it, whether it has to be this user's own)."""
    named = settings.text("cacheDir")
    if named:
        expanded = os.path.expanduser(named)
        if not os.path.isabs(expanded):
            raise CodeRepoError(f"'coderepo.cacheDir' is no absolute path: '{named}'")
        yield expanded, True, False
    from platformdirs import user_cache_path

    try:
        users = str(user_cache_path("git-coderepo"))
    except RuntimeError:
        users = ""  # neither a HOME nor an entry in passwd(5), say newer releases of platformdirs
    if os.path.isabs(users) and users.count("/") > 1:  # and older ones `~/…`; with `/` as HOME it is `/.cache/…`
        yield users, False, False
    temporary = temporary_place()
    if temporary is not None:
        yield os.path.join(temporary, f"git-coderepo-{os.geteuid()}"), False, True


def _own_part(directory: str, *, make: bool, alone: bool) -> CachePlace:
    """Return this user's part; `make` creates it if absent; `alone`: `directory` itself has to be this user's, too.

    Raises OSError, PermissionError where others could put something else in its place.
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
        # On a full file system the trees that lie here already can be used, and can make room.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            os.close(own)
            raise
    return CachePlace(os.path.join(directory, name), own)
