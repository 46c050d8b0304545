"""Whether to colour, as git decides it: `color.coderepo`, else `color.ui`, a terminal or git's pager; never with
NO_COLOR (https://no-color.org) or on a dumb terminal.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from git_coderepo.settings import Settings

_CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


class Palette:
    """Paints pieces of text, or leaves them as they are."""

    def __init__(self, on: bool) -> None:
        self.on = on

    @classmethod
    def of(cls, settings: Settings) -> Palette:
        """The palette for standard output."""
        return cls(_wanted(settings))

    def paint(self, colour: str, text: str) -> str:
        """The text in a colour: red, green, yellow, bold, dim."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[m" if self.on and text else text


def _wanted(settings: Settings) -> bool:
    word = settings.value("color", "coderepo") or settings.value("color", "ui") or "auto"
    if word.lower() == "always":
        return True
    if word.lower() in ("never", "false", "no", "off", "0"):
        return False
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    in_pager = os.environ.get("GIT_PAGER_IN_USE", "").lower() in ("1", "true", "yes", "on")
    return sys.stdout.isatty() or (in_pager and (settings.value("color", "pager") or "true").lower() != "false")
