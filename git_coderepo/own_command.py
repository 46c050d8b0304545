"""How this program is started once more: by the module's name, or from the one file that it came in."""

from __future__ import annotations

import os
import sys
import zipimport


def own_command() -> list[str]:
    """The words that start this program with the interpreter that runs it now; its arguments follow.

    Out of a zip file (`git-coderepo.pyz`) it is that file, with the switches that keep a site's packages away, where
    they were given.
    """
    import git_coderepo

    loader = getattr(git_coderepo.__spec__, "loader", None)
    if not isinstance(loader, zipimport.zipimporter):
        return [sys.executable, "-m", "git_coderepo"]
    switches = [*(["-I"] if sys.flags.isolated else []), *(["-S"] if sys.flags.no_site else [])]
    return [sys.executable, *switches, os.path.abspath(loader.archive)]
