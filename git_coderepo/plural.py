"""A number with its unit, in words."""

from __future__ import annotations


def count(number: int, word: str) -> str:
    """Return a number with its unit: `1 file`, `2 files`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
