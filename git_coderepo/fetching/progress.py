"""Progress of a fetch: the fetch passes on a function, and the progress line calls it whenever it redraws."""

from __future__ import annotations

from collections.abc import Callable

# Returns the number of files and of bytes so far.
Counts = Callable[[], tuple[int, int]]
# Takes the counts to show from now on.
Progress = Callable[[Counts], None]
