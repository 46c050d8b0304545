"""Snapshot after snapshot of one changing checkout, each held against `git add -A` with an empty index.

`python -m tests.snapshot_fuzz COUNT [SEED]`: so many snapshots on each file system, and a line of counts. The edits are
those that a reuse of earlier hashes could miss: same size, restored times, swapped inodes, mappings whose dirty pages
change no time, seconds without a fraction, and writers that go on while the snapshot is taken.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from git_coderepo.errors import ChangedMeanwhile
from git_coderepo.git.process import Git
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request, Snapshot
from tests.support.coarse import whole_seconds
from tests.support.environment import clean_environment
from tests.support.repo import Repo, run_git

ODD = (b"plain", b"sp ace", b"-dash", b"new\nline", b"\xff\xfe", b"d/e/f", b"n" * 200, b"a.txt")
OLD = 1_000_000_000_123_456_789

# A writer of pairs: the first file may be one ahead of the second, and no other pair ever exists.
_WRITER = """
import mmap, os, sys, time
files = [open(name, "r+b") for name in sys.argv[2:]]
maps = [mmap.mmap(file.fileno(), 0) for file in files]
number = 0
while True:
    number += 1
    for file, mapping in zip(files, maps):
        if sys.argv[1] == "mapped":
            mapping[:8] = b"%08d" % number
        else:
            os.pwrite(file.fileno(), b"%08d" % number, 0)
    time.sleep(0.015)
"""


class Checkout:
    """A checkout with untracked files, tracked ones that are never as committed, and staged ones; and its edits.

    Only the first two are written through mappings and get old times: whether a file that is as in the user's index
    changed is git's word, which those can deceive.
    """

    def __init__(self, place: Path, home: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.repo = Repo.init(place / "checkout", clean_environment(home))
        self.maps: dict[bytes, mmap.mmap] = {}
        self.number = 0
        for name in ODD:
            self.repo.write(b"dirty/" + name, b"committed")
            self.repo.write(b"staged/" + name, b"committed")
        self.repo.write("dirty/pair 1", "00000000")
        self.repo.write("dirty/pair 2", "00000000")
        self.repo.commit()
        for name in ODD:
            self.repo.write(b"dirty/" + name, self.contents())
            self.repo.write(b"new/" + name, self.contents())
        self.repo.write("new/pair 1", "00000000")
        self.repo.write("new/pair 2", "00000000")

    def contents(self) -> bytes:
        """Never the same twice, and often of one size."""
        self.number += 1
        return b"%08d" % self.number + bytes(self.random.choice((1000, 1000, 1000, 0, 5000)))

    def edit(self) -> str:
        """One edit; gives its name."""
        edits = [
            self.write_in_place, self.write_with_old_times, self.write_mapped, self.write_mapped, self.replace,
            self.rename, self.swap, self.remove, self.mode, self.link, self.touch, self.stage, self.commit,
            self.attributes, self.unmap, self.make, self.clone_times,
        ]  # fmt: skip
        chosen = self.random.choice(edits)
        chosen()
        return chosen.__name__

    def free(self) -> list[bytes]:
        """The untracked and dirty files that are here."""
        found = []
        for folder in (b"dirty", b"new"):
            for above, _, names in os.walk(self.repo.file(folder)):
                for name in names:
                    path = os.path.relpath(os.path.join(above, name), self.repo.file(b""))
                    if not os.path.islink(self.repo.file(path)) and not name.startswith((b"pair", b".git")):
                        found.append(path)
        return sorted(found) or [self.make()]

    def pick(self) -> bytes:
        return self.random.choice(self.free())

    def make(self) -> bytes:
        path = b"new/" + self.random.choice(ODD)
        if not os.path.lexists(self.repo.file(path)):
            self.repo.write(path, self.contents())
        return path

    def write_in_place(self) -> None:
        with open(self.repo.file(self.pick()), "r+b") as file:
            file.write(self.contents()[:8])

    def write_with_old_times(self) -> None:
        path = self.repo.file(self.pick())
        facts = os.lstat(path)
        with open(path, "r+b") as file:
            file.write(self.contents()[:8])
        at = self.random.choice((facts.st_mtime_ns, OLD))
        os.utime(path, ns=(at, at))

    def write_mapped(self) -> None:
        if not self.maps or self.random.random() < 0.3:
            path = self.pick()
            if path not in self.maps and os.path.getsize(self.repo.file(path)):
                with open(self.repo.file(path), "r+b") as file:
                    self.maps[path] = mmap.mmap(file.fileno(), 0)
        for each in self.maps.values():
            if self.random.random() < 0.7:
                self.number += 1
                each[:8] = b"%08d" % self.number

    def unmap(self) -> None:
        if self.maps:
            each = self.maps.pop(self.random.choice(sorted(self.maps)))
            if self.random.random() < 0.5:
                self.number += 1
                each[:8] = b"%08d" % self.number
            each.close()

    def replace(self) -> None:
        path = self.pick()
        self.repo.write("between", self.contents())
        os.rename(self.repo.file("between"), self.repo.file(path))

    def rename(self) -> None:
        self.make()
        path = self.pick()
        other = path + b" moved" if not path.endswith(b" moved") else path[:-6]
        if len(os.path.basename(other)) < 250:
            os.rename(self.repo.file(path), self.repo.file(other))

    def swap(self) -> None:
        first, second = self.pick(), self.pick()
        if first != second:
            facts = [os.lstat(self.repo.file(path)) for path in (first, second)]
            os.rename(self.repo.file(first), self.repo.file("between"))
            os.rename(self.repo.file(second), self.repo.file(first))
            os.rename(self.repo.file("between"), self.repo.file(second))
            for path, each in zip((first, second), facts, strict=True):
                os.utime(self.repo.file(path), ns=(each.st_atime_ns, each.st_mtime_ns))

    def clone_times(self) -> None:
        first, second = (self.repo.file(self.pick()) for _ in range(2))
        facts = os.lstat(second)
        os.utime(first, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    def remove(self) -> None:
        os.unlink(self.repo.file(self.pick()))
        self.make()

    def mode(self) -> None:
        path = self.repo.file(self.pick())
        os.chmod(path, os.stat(path).st_mode ^ 0o111)

    def link(self) -> None:
        path = b"new/link"
        if os.path.lexists(self.repo.file(path)):
            os.unlink(self.repo.file(path))
        os.symlink(b"%d" % self.random.randrange(3), self.repo.file(path))

    def touch(self) -> None:
        os.utime(self.repo.file(self.pick()))

    def stage(self) -> None:
        path = b"staged/" + self.random.choice(ODD)
        self.repo.write(path, self.contents())
        if self.random.random() < 0.5:
            self.repo.git("add", "--", path)
            if self.random.random() < 0.5:
                self.repo.write(path, self.contents())

    def commit(self) -> None:
        self.repo.git("commit", "-q", "--allow-empty", "-m", "c")

    def attributes(self) -> None:
        self.repo.write("new/.gitattributes", self.random.choice(("", "* -text\n", "*.txt text\n")))

    def pause(self) -> None:
        time.sleep(self.random.choice((0, 0, 0, 0.005, 0.03, 0.06)))

    def reference(self) -> str:
        """The tree of `git add -A` with an index that was never there, and an object folder of its own."""
        with tempfile.TemporaryDirectory() as scratch:
            env = {
                **self.repo.env,
                "GIT_INDEX_FILE": scratch + "/index",
                "GIT_OBJECT_DIRECTORY": scratch + "/objects",
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.repo.git_dir() / "objects"),
            }
            os.mkdir(scratch + "/objects")
            run_git("-c", "core.looseCompression=0", "add", "-A", cwd=self.repo.path, env=env)
            return run_git("write-tree", cwd=self.repo.path, env=env).decode().strip()

    def snapshot(self) -> Snapshot:
        return take_snapshot(Git(str(self.repo.path), environment=self.repo.env), Request(here=True))


class Stale(AssertionError):
    """A snapshot that is not what lies on the disk."""


def run(place: Path, home: Path, count: int, seed: int) -> Counter[str]:
    """Take `count` snapshots in a checkout below `place`; counts by kind. Raises Stale with the last edits."""
    checkout = Checkout(place, home, seed)
    counts: Counter[str] = Counter()
    log: list[str] = []
    while counts["snapshots"] < count:
        if counts["rounds"] % 40 == 20:
            _concurrent(checkout, counts)
            log.append("concurrent")
        for _ in range(checkout.random.choice((0, 1, 1, 2, 3))):
            log.append(checkout.edit())
            counts["edits"] += 1
            counts[log[-1]] += 1
            checkout.pause()
        taken = checkout.snapshot()
        counts["snapshots"] += 1
        counts["rounds"] += 1
        counts["reused files"] += _reused(checkout, taken)
        want = checkout.reference()
        if taken.tree is None or taken.tree.hex != want:
            raise Stale(f"seed {seed}, snapshot {counts['snapshots']}: {taken.tree}, not {want}, after {log[-12:]}")
    return counts


def _reused(checkout: Checkout, taken: Snapshot) -> int:
    """How many entries the private index has that would serve now: to see that reuse is exercised at all."""
    from git_coderepo.snapshots.tree.reuse import Reuse
    from git_coderepo.snapshots.tree.worktree_stat import Found

    assert taken.layout is not None and taken.store is not None and taken.settings is not None
    found = Found(taken.layout, taken.changes)
    found.judge()
    return len(Reuse(taken.layout, taken.store, taken.settings, found, {}).entries)


def _concurrent(checkout: Checkout, counts: Counter[str]) -> None:
    """Some snapshots while a writer goes on: each pair is one that existed, or the snapshot was refused."""
    folder = checkout.random.choice(("dirty", "new"))
    way = checkout.random.choice(("mapped", "written"))
    names = [f"{folder}/pair {number}" for number in (1, 2)]
    paths = [os.fsdecode(checkout.repo.file(name)) for name in names]
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, way, *paths])
    try:
        for _ in range(4):
            try:
                taken = checkout.snapshot()
            except ChangedMeanwhile:
                counts["refused under writes"] += 1
                continue
            assert taken.tree is not None
            first, second = (
                int(taken.git_with_store.run("cat-file", "blob", f"{taken.tree.hex}:{name}")) for name in names
            )
            if first - second not in (0, 1):
                raise Stale(f"a pair that never existed, {way}: {first}, {second}")
            counts["taken under writes"] += 1
    finally:
        writer.kill()
        writer.wait()


@contextmanager
def places(scratch: Path) -> Iterator[dict[str, Path | None]]:
    """A folder on each kind of file system; None where this machine has none."""
    with ExitStack() as stack:
        disk, mounted = scratch / "disk", scratch / "seconds"
        disk.mkdir()
        mounted.mkdir()
        seconds = stack.enter_context(whole_seconds(mounted, 256))
        memory = Path("/dev/shm")
        tmpfs = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory))) if memory.is_dir() else None
        yield {"disk": disk, "whole seconds": seconds, "tmpfs": tmpfs}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    scratch = Path(tempfile.mkdtemp(prefix="snapshot-fuzz-"))
    try:
        with places(scratch) as found:
            for name, place in found.items():
                if place is None:
                    print(f"{name}: skipped, none can be had here", flush=True)
                    continue
                done: Counter[str] = Counter()
                while done["snapshots"] < count:
                    part = min(300, count - done["snapshots"])
                    folder = place / str(seed)
                    folder.mkdir()
                    done += run(folder, scratch / "home", part, seed)
                    shutil.rmtree(folder)
                    seed += 1
                print(f"{name}: 0 stale; " + ", ".join(f"{done[key]} {key}" for key in sorted(done)), flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
