"""Start the program from an unpacked copy of its one file: out of a zip file Python compiles each module at each start.

This module is in the file itself, beside `__main__.py`. The copy lies in the user's own cache directory, named by the
digest of the file; Python puts bytecode beside the modules as they are imported. Where no directory is safe, or nothing
may be written, the program starts out of the zip file.
"""

from __future__ import annotations

import os
import stat
import sys

# In a copy: the number of its files, and the size and name of each.
_CONTENTS = "contents.txt"


def start(archive: str) -> None:
    """Run the program of the zip file `archive`, which is the first entry of `sys.path`."""
    archive = os.path.abspath(archive)
    copy = unpacked(archive)
    if copy is not None:
        sys.path[0] = copy
    from git_coderepo import own_command

    own_command.archive = archive
    from git_coderepo.__main__ import main

    main()


def unpacked(archive: str) -> str | None:
    """Return the directory that has the content of `archive`, unpacked if it was not yet; None without a safe place."""
    caches = _caches()
    if caches is None:
        return None
    try:
        folder = _private_folder(caches, "git-coderepo", "pyz")
        if folder is None:
            return None
        copy = os.path.join(folder, _digest(archive))
        if os.path.lexists(copy) and not _is_private(copy):
            return None
        if not _is_whole(copy):
            if sys.dont_write_bytecode:
                return None
            _unpack(archive, copy)
        return copy
    except OSError:
        return None


def _caches() -> str | None:
    """Return the user's cache directory, as `platformdirs` names it; None without a HOME."""
    home = os.environ.get("HOME", "")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches") if os.path.isabs(home) else None
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return named
    return os.path.join(home, ".cache") if os.path.isabs(home) else None


def _private_folder(caches: str, *names: str) -> str | None:
    """Return a folder below the caches that nobody else can write to or replace, made if need be; None if it is not."""
    folder = os.path.realpath(os.path.join(caches, *names))
    if not os.path.isdir(folder):
        missing = []
        above = folder
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above)
        if sys.dont_write_bytecode or not _is_safe(above):
            return None
        for each in reversed(missing):
            try:
                os.mkdir(each, 0o700)
            except FileExistsError:
                pass  # another start made it
    return folder if _is_private(folder) and _is_safe(os.path.dirname(folder)) else None


def _is_private(folder: str) -> bool:
    """Return whether this is a directory of this user, with mode 0700, and not a link to one."""
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700


def _is_safe(folder: str) -> bool:
    """Return whether only this user and root can rename what lies in a directory, or the directories above it."""
    while True:
        found = os.stat(folder)
        others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
        if others or found.st_uid not in (0, os.geteuid()):
            return False
        above = os.path.dirname(folder)
        if above == folder:
            return True
        folder = above


def _digest(archive: str) -> str:
    """Return 32 hexadecimal digits of the BLAKE2b digest of a file; hashlib would load OpenSSL for it."""
    try:
        from _blake2 import blake2b
    except ImportError:
        from hashlib import blake2b
    with open(archive, "rb") as file:
        return str(blake2b(file.read(), digest_size=16).hexdigest())


def _is_whole(copy: str) -> bool:
    """Return whether every file has its size: a cleaner may have deleted one, a power failure emptied one."""
    try:
        with open(os.path.join(copy, _CONTENTS), encoding="utf-8") as file:
            count, *lines = file.read().splitlines()
        sizes = [line.split(" ", 1) for line in lines]
        return len(sizes) == int(count) and all(os.stat(f"{copy}/{name}").st_size == int(size) for size, name in sizes)
    except (OSError, ValueError):
        return False


def _unpack(archive: str, copy: str) -> None:
    """Unpack to a temporary name and rename; where another start was faster, its copy stays."""
    import shutil
    import tempfile
    import zipfile

    made = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(copy))
    try:
        new = os.path.join(made, "new")
        os.mkdir(new, 0o700)
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            for entry in entries:
                opened.extract(entry, new)
        with open(os.path.join(new, _CONTENTS), "w", encoding="utf-8") as file:
            lines = [f"{len(entries)}", *(f"{entry.file_size} {entry.filename}" for entry in entries)]
            file.write("\n".join(lines) + "\n")
        if os.path.lexists(copy):
            os.rename(copy, os.path.join(made, "damaged"))
        os.rename(new, copy)
    except OSError:
        if not _is_whole(copy):
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
