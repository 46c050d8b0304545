"""What goes wrong on the runner itself: its disk, its clock, and who ends it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from tests.e2e.support import until
from tests.faults.case import CODE, NOTHING, Fault, Stage, Wrong
from tests.forge import Stall

# A small file system of one's own, and what is in it at the end.
_MOUNTED = """
mount -t tmpfs -o "$1" none disk || exit 99
own=disk/cache/trees-2-$(id -u)
mkdir -p -m 700 disk/cache "$own"
test "$2" = rw || mount -o remount,ro disk || exit 99
shift 2
"$@"
status=$?
find disk -mindepth 1 ! -path disk/cache ! -path "$own" | sed 's/^/left: /' >&2
exit $status
"""


def _mounted(options: str, *, mode: str = "rw", manifest: str = "large.json") -> Callable[[Stage], Wrong]:
    under = ("unshare", "--mount", "sh", "-c", _MOUNTED, "sh", options, mode)
    return lambda on: Wrong(under=under, place="disk", manifest=manifest)


def _no_temporary_room(on: Stage) -> Wrong:
    under = ("unshare", "--mount", "sh", "-c", _MOUNTED, "sh", "size=12k", "rw")
    return Wrong(under=under, env={"TMPDIR": str(on.home / "disk")})


def _certificate(not_before: int, not_after: int) -> Callable[[Stage], Wrong]:
    def make(on: Stage) -> Wrong:
        begins, ends = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (not_before, not_after))
        on.place.forge.certify(begins, ends)
        return Wrong()

    return make


def _dated(year: int) -> Callable[[Stage], Wrong]:
    """What is in the cache, and what a dead process left, has a date that cannot be."""

    def make(on: Stage) -> Wrong:
        on.place.runner.run("exec", "run.json", "--", "true")
        kept = set(on.left())
        dead = on.home / ".code.coderepo-999999999-0123456789abcdef"
        (dead / "half a file").mkdir(parents=True)
        moment = datetime(year, 1, 1, tzinfo=timezone.utc).timestamp()
        for folder, folders, names in os.walk(on.cache):
            for name in [*folders, *names]:
                os.utime(Path(folder, name), (moment, moment), follow_symlinks=False)
        os.utime(dead, (moment, moment))
        swept = dead.name if on.verb == "exec" else ""  # another command does not look there
        return Wrong(afterwards=lambda left: [path for path in left if path not in kept and not _below(path, swept)])

    return make


def _below(path: str, top: str) -> bool:
    return top != "" and (path == top or path.startswith(top + "/"))


def _ended(number: signal.Signals) -> Callable[[Stage], Wrong]:
    """The blow falls while the code arrives."""

    def make(on: Stage) -> Wrong:
        on.code(Stall(after=100))

        def blow(running: subprocess.Popen[bytes]) -> None:
            until(lambda: any(on.place.forge.requests(kind) for kind in CODE) or running.poll() is not None)
            running.send_signal(number)

        def afterwards(left: list[str]) -> list[str]:
            on.place.forge.behave()
            again = on.run(Wrong())
            assert again.status == 0, again.errors
            on.forget_what_came()
            assert on.left() == [], "the next one trips over it, or leaves it"
            tops = sorted({path for path in left if not any(_below(path, other) for other in left if other != path)})
            return [f"'{path}', until the next one comes" for path in tops if path != NOTHING]

        # Where git dies before it knows its own child, that one waits for the silent server until it gives that up.
        return Wrong(meanwhile=blow, afterwards=afterwards, env={"GIT_HTTP_LOW_SPEED_TIME": "8"})

    return make


def faults() -> Iterator[Fault]:
    group = "The disk"
    yield Fault(group, "full", _mounted("size=96k"), mounts=True)
    yield Fault(group, "no inode left", _mounted("size=8m,nr_inodes=8"), mounts=True)
    yield Fault(group, "read-only", _mounted("size=8m", mode="ro", manifest="run.json"), mounts=True)
    yield Fault(group, "full where temporary files go", _no_temporary_room, mounts=True)

    group = "The clock"
    yield Fault(group, "the certificate has expired", _certificate(2019, 2020))
    yield Fault(group, "the certificate is not yet valid", _certificate(2080, 2081), slow=True)
    yield Fault(group, "the cache and a dead process's files are of the year 2100", _dated(2100))
    yield Fault(group, "the cache and a dead process's files are of the year 1980", _dated(1980), slow=True)

    group = "Signals"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        yield Fault(group, number.name, _ended(number))
