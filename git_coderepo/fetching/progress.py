"""How a fetch reports its progress: it hands out a function that whoever draws it calls as often as it likes."""

from __future__ import annotations

from collections.abc import Callable

# Returns the number of files and of bytes so far.
Counts = Callable[[], tuple[int, int]]
# Takes the counts to show from now on.
Progress = Callable[[Counts], None]
