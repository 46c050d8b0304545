"""The command that starts this program again, from an installed package or from `git-coderepo.pyz`."""

from __future__ import annotations

import os
import sys
import zipimport

# The file `git-coderepo.pyz`, where the program was started from it: it sets this, for it runs an unpacked copy.
archive: str | None = None


def own_command() -> list[str]:
    """Return the command that starts this program with the current interpreter; arguments can be appended.

    In a zip file (`git-coderepo.pyz`), the command runs that file, with the options -I and -S if they are in effect.
    """
    import git_coderepo

    loader = getattr(git_coderepo.__spec__, "loader", None)
    file = loader.archive if isinstance(loader, zipimport.zipimporter) else archive
    if file is None:
        return [sys.executable, "-m", "git_coderepo"]
    switches = [*(["-I"] if sys.flags.isolated else []), *(["-S"] if sys.flags.no_site else [])]
    return [sys.executable, *switches, os.path.abspath(file)]
