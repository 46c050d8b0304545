"""Commands timed as whole processes, in turns, so that a drift of the machine's speed hits all of them alike."""

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
    """A command by its `name` in the table; `before` prepares each run, untimed; `after` follows each counted one."""

    name: str
    command: Sequence[str]
    directory: str
    environment: Mapping[str, str]
    before: Callable[[], None] = field(default=lambda: None)
    after: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True)
class Timing:
    """Seconds of wall time, a number for each round; `peak` is the largest process's memory in MiB, in one more run."""

    name: str
    seconds: list[float]
    peak: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def ratio_to(self, *others: Timing) -> float:
        """The median of the ratios, round by round, to the sum of the others."""
        rounds = zip(self.seconds, *(other.seconds for other in others), strict=True)
        ratios: list[float] = [mine / sum(theirs) for mine, *theirs in rounds]
        return statistics.median(ratios)

    def over(self, other: Timing) -> float:
        """The median of the differences in seconds, round by round."""
        return statistics.median(mine - theirs for mine, theirs in zip(self.seconds, other.seconds, strict=True))


def in_turns(contestants: Sequence[Contestant], rounds: int) -> list[Timing]:
    """Each contestant once a round, after one round that is not counted. A command that fails ends the benchmark."""
    timings = []
    for contestant in contestants:
        contestant.before()
        timings.append(Timing(contestant.name, [], _peak(contestant)))
    os.sync()  # whoever waits for the disk is not to wait for what made the repository
    for _ in range(rounds):
        for contestant, timing in zip(contestants, timings, strict=True):
            contestant.before()
            timing.seconds.append(_run(contestant.command, contestant)[0])
            contestant.after()
    return timings


# A process counts the memory of whoever forked it, so a small one starts the command and measures it.
_MEASURE = """
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print("\\n%d" % usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _peak(contestant: Contestant) -> float:
    """MiB of the largest process of a command; Linux counts in KiB, macOS in bytes."""
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
