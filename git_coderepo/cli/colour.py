"""Coloured output, decided as in git: by `color.coderepo`, else by `color.ui`.

The default is to colour a terminal or git's pager, but not a dumb terminal, and not if NO_COLOR is set (see
https://no-color.org).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from git_coderepo.settings import Settings

_CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


class Palette:
    """Colour text, or leave it unchanged if `on` is false."""

    def __init__(self, on: bool) -> None:
        self.on = on

    @classmethod
    def of(cls, settings: Settings) -> Palette:
        """Return the palette for standard output."""
        return cls(_is_coloured(settings))

    def paint(self, colour: str, text: str) -> str:
        """Return the text in a colour: red, green, yellow, bold or dim."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[m" if self.on and text else text


def _is_coloured(settings: Settings) -> bool:
    word = settings.value("color", "coderepo") or settings.value("color", "ui") or "auto"
    if word.lower() == "always":
        return True
    if word.lower() in ("never", "false", "no", "off", "0"):
        return False
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    in_pager = os.environ.get("GIT_PAGER_IN_USE", "").lower() in ("1", "true", "yes", "on")
    return sys.stdout.isatty() or (in_pager and (settings.value("color", "pager") or "true").lower() != "false")
