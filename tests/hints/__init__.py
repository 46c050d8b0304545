"""Every hint that the program prints, and the test that follows it: a hint must cure what it is printed for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., object])


def cures(*templates: str) -> Callable[[Test], Test]:
    """Mark a test that provokes the message, follows the hint as a user would and sees the trouble gone.

    `templates` are hints as `python -m tests.hints.extract` lists them. `test_table.py` reads these marks.
    """

    def mark(test: Test) -> Test:
        return test

    return mark
