"""Where temporary files can lie: a pod may have no such place at all."""

from __future__ import annotations

import os

from git_coderepo.errors import TargetUnusable

_USUAL = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108


def temporary_place() -> str | None:
    """The directory for temporary files, None where there is none that can be written to.

    Python falls back to the current directory; ours may be the target, and is not taken unless TMPDIR names it.
    """
    import tempfile

    try:
        place = tempfile.gettempdir()
    except FileNotFoundError:
        return None
    named = [os.path.abspath(path) for name in ("TMPDIR", "TEMP", "TMP") if (path := os.environ.get(name))]
    return place if place in (*_USUAL, *named) else None


def temporary_directory() -> str:
    """The same; raises TargetUnusable where there is none."""
    place = temporary_place()
    if place is None:
        raise TargetUnusable(
            "there is no directory for temporary files that can be written to",
            hints=["name one: TMPDIR=/path/to/a/directory"],
        )
    return place
