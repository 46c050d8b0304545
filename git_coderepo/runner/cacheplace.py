"""Where the cache lies: the first directory that can be used, and this user's own part of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from git_coderepo.errors import CodeRepoError, TargetUnusable
from git_coderepo.paths import quoted
from git_coderepo.runner.temporary import temporary_place
from git_coderepo.settings import Settings

# The number changes with the form of what is below.
_PART = "trees-1-"


def cache_place(settings: Settings, *, notify: Callable[[str], None]) -> str:
    """The absolute path of this user's part of the cache, which exists and is writable.

    Tried in this order: `coderepo.cacheDir` (`CODEREPO_CACHE_DIR`), the user's cache directory, the one for temporary
    files. `notify` hears of one that was named and cannot be used. Raises TargetUnusable where none can.
    """
    reasons = []
    for directory, mode, named in _candidates(settings):
        try:
            return _own_part(directory, mode)
        except OSError as error:
            reasons.append(f"{quoted(os.fsencode(directory))} ({(error.strerror or str(error)).lower()})")
            if named:
                notify(f"warning: the cache cannot be in {reasons[-1]}")
    tried = f": not {', not '.join(reasons)}" if reasons else ""
    raise TargetUnusable(
        f"there is no place for a cache{tried}",
        hints=["name a directory that can be written to: CODEREPO_CACHE_DIR"],
    )


def known_cache_place(settings: Settings) -> str | None:
    """The same where there is such a part already, else None: nothing is made."""
    for directory, _, _ in _candidates(settings):
        own = os.path.join(directory, f"{_PART}{os.geteuid()}")
        if os.path.isdir(own):
            try:
                return _own_part(directory, 0o700)
            except OSError:
                continue
    return None


def other_parts(place: str) -> list[str]:
    """The parts of the same cache that belong to others."""
    above, own = os.path.split(place)
    names = sorted(name for name in os.listdir(above) if name.startswith(_PART) and name != own)
    return [os.path.join(above, name) for name in names]


def _candidates(settings: Settings) -> Iterator[tuple[str, int, bool]]:
    """(directory, the mode of a part that is made in it, whether the user named it)."""
    named = settings.text("cacheDir")
    if named:
        expanded = os.path.expanduser(named)
        if not os.path.isabs(expanded):
            raise CodeRepoError(f"'coderepo.cacheDir' is no absolute path: '{named}'")
        yield expanded, 0o755, True
    from platformdirs import user_cache_path

    try:
        users = str(user_cache_path("git-coderepo"))
    except RuntimeError:
        users = ""  # neither a HOME nor an entry in passwd(5), say newer releases of platformdirs
    if os.path.isabs(users) and users.count("/") > 1:  # and older ones `~/…`; with `/` as HOME it is `/.cache/…`
        yield users, 0o700, False
    temporary = temporary_place()
    if temporary is not None:
        yield os.path.join(temporary, f"git-coderepo-{os.geteuid()}"), 0o700, False


def _own_part(directory: str, mode: int) -> str:
    """This user's part, made where it is not there; raises OSError, PermissionError where others could replace it."""
    try:
        os.makedirs(directory, 0o777 if mode & 0o077 else 0o700)
    except FileExistsError:
        pass
    around = os.stat(directory)
    if around.st_mode & 0o022 and not around.st_mode & stat.S_ISVTX:
        raise PermissionError(0, "others can replace what lies there, it has no sticky bit")
    own = os.path.join(directory, f"{_PART}{os.geteuid()}")
    try:
        os.mkdir(own, mode)
    except FileExistsError:
        pass
    facts = os.lstat(own)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise PermissionError(0, "somebody else may write there")
    probe = os.path.join(own, f".probe-{os.getpid()}-{os.urandom(4).hex()}")
    os.mkdir(probe)
    os.rmdir(probe)
    return own
