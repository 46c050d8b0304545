"""Time commands as whole processes, in turns, so that changes of the machine's speed affect all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contestant:
    """A command and its name in the table. `before` runs untimed before each run, `after` after each counted run."""

    name: str
    command: Sequence[str]
    directory: str
    environment: Mapping[str, str]
    before: Callable[[], None] = field(default=lambda: None)
    after: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True)
class Timing:
    """Wall times in seconds, one per round. `peak` is the memory of the largest process in MiB, from a separate run."""

    name: str
    seconds: list[float]
    peak: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def ratio_to(self, *others: Timing) -> float:
        """Return the median over the rounds of the ratio to the sum of the others."""
        rounds = zip(self.seconds, *(other.seconds for other in others), strict=True)
        ratios: list[float] = [mine / sum(theirs) for mine, *theirs in rounds]
        return statistics.median(ratios)

    def over(self, other: Timing) -> float:
        """Return the median over the rounds of the difference, in seconds."""
        return statistics.median(mine - theirs for mine, theirs in zip(self.seconds, other.seconds, strict=True))


def in_turns(contestants: Sequence[Contestant], rounds: int) -> list[Timing]:
    """Run each contestant once per round, after a round that is not counted. Raises if a command fails."""
    timings = []
    for contestant in contestants:
        contestant.before()
        timings.append(Timing(contestant.name, [], _peak(contestant)))
    os.sync()  # commands that sync must not wait for the writes that created the repository
    for _ in range(rounds):
        for contestant, timing in zip(contestants, timings, strict=True):
            contestant.before()
            timing.seconds.append(_run(contestant.command, contestant)[0])
            contestant.after()
    return timings


# The memory of a process includes that of its parent at the fork, so a small process starts the command.
_MEASURE = """
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print("\\n%d" % usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _peak(contestant: Contestant) -> float:
    """Return the memory of the largest process of a command in MiB. Linux counts in KiB, macOS in bytes."""
    _, output = _run([sys.executable, "-IS", "-c", _MEASURE, *contestant.command], contestant)
    number = int(output.split()[-1])
    return number / 1024 if os.uname().sysname == "Linux" else number / 1024**2


def _run(command: Sequence[str], contestant: Contestant) -> tuple[float, bytes]:
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=contestant.directory,
        env=dict(contestant.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(f"{contestant.name}: status {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return seconds, done.stdout
