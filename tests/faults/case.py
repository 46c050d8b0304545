"""One fault: a runner that has a manifest, something that goes wrong, and what its user reads, is told and finds."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.support import World, can_mount, everything, load, until
from tests.fidelity.case import room
from tests.forge import Misbehaviour
from tests.support.program import Result
from tests.support.repo import PathLike

PLATFORMS = ("git", "github", "gitlab")
VERBS = ("fetch", "exec")
NOTHING = "nothing"
# By which kinds of requests the code itself comes, see `Forge`.
CODE = ("archive", "git/upload-pack")


@dataclass(frozen=True)
class Cell:
    """What happened: the lines that the user reads, the exit status, and what is left behind."""

    reads: tuple[str, ...]
    status: int
    left: tuple[str, ...]


@dataclass
class Wrong:
    """How the program is started while something is wrong.

    `env` is added to its environment, `manifest` is what it is given, `under` are words before it, `place` is the
    directory in which the target and the cache are to be, by default the runner's HOME. `meanwhile` is given the
    running program; what `afterwards` gives, once it has ended, is said of what is left.
    """

    env: dict[str, str] = field(default_factory=dict)
    manifest: str = "run.json"
    under: Sequence[str] = ()
    place: str = ""
    meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None
    afterwards: Callable[[list[str]], list[str]] | None = None


class Stage:
    """A runner with the manifest `run.json`, and the platform that serves its code.

    The manifest has an edited file in its overlay, that of `large.json` one of 200 kB too; `disk` is an empty directory
    to mount something on; `verb` and `platform` are the ones that are played.
    """

    def __init__(self, root: Path, platform: str) -> None:
        self.platform = platform
        self.place = World(root / platform, platform)
        self.verb = ""
        self.place.checkout.git("config", "--global", f"coderepo.{self.place.forge.url}/.type", platform)
        self.place.checkout.write("train.py", "lr = 0.2\n")
        self.tree = self.place.checkout.tree()
        self.place.manifest()
        self.place.checkout.write("large.bin", random.Random(1).randbytes(200_000))
        self.place.manifest(name="large.json")
        self.place.checkout.remove("large.bin")
        (self.home / "disk").mkdir()
        # The cache's own place is there already: what is looked for is what a fault leaves in it.
        os.makedirs(self.cache / f"trees-2-{os.geteuid()}", 0o700)
        self.before = everything(self.home)

    @property
    def home(self) -> Path:
        return self.place.runner.home

    @property
    def cache(self) -> Path:
        return self.home / ".cache/git-coderepo"

    def everywhere(self, misbehaviour: Misbehaviour, *, times: int | None = None) -> Wrong:
        """Whatever is asked is answered so; `times` counts the answers."""
        self.place.forge.misbehave("*", misbehaviour, times=times)
        return Wrong()

    def at_home(self, misbehaviour: Misbehaviour) -> Wrong:
        """Whatever is asked of the platform itself is answered so, and what is asked of others is not."""
        for kind in ("meta", "access", "commit", "link", *CODE, "git/refs"):
            self.place.forge.misbehave(kind, misbehaviour, times=None)
        return Wrong()

    def code(self, misbehaviour: Misbehaviour, *, times: int | None = None) -> Wrong:
        """Only what the code itself comes in is answered so."""
        for kind in CODE:
            self.place.forge.misbehave(kind, misbehaviour, times=times)
        return Wrong()

    def words(self, wrong: Wrong) -> list[PathLike]:
        """The command line."""
        if self.verb == "fetch":
            return ["fetch", "--receipt", "receipt.json", wrong.manifest, os.path.join(wrong.place, "code")]
        return ["exec", "--quiet", "--receipt", "receipt.json", wrong.manifest, "--", "true"]

    def run(self, wrong: Wrong) -> Result:
        """Runs to the end, with nothing but files for its output: a process that is left does not keep us waiting."""
        program = self.place.runner.program
        env = {**self.place.runner.env, **wrong.env}
        if wrong.place:
            env["CODEREPO_CACHE_DIR"] = str(self.home / wrong.place / "cache")
        with open(self.home / "said", "w+b") as said:
            running = subprocess.Popen(
                [*wrong.under, os.fsdecode(program.executable()), *map(os.fsdecode, self.words(wrong))],
                cwd=self.home,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            try:
                if wrong.meanwhile is not None:
                    wrong.meanwhile(running)
                running.wait(timeout=200)
            finally:
                running.kill()
                running.wait()
            said.seek(0)
            text = said.read()
        (self.home / "said").unlink()
        return Result(running.returncode, b"", text)

    def clean(self) -> None:
        """As it was, with a platform that behaves."""
        self.place.forge.behave()
        self.place.forge.forget_requests()
        self.place.forge.certify()
        self.place.forge.archive_limit = None
        self.place.forge.archive_times.clear()
        shutil.rmtree(self.home / "code", ignore_errors=True)
        subprocess.run(["chmod", "-R", "u+w", self.cache], check=True)
        shutil.rmtree(self.cache)
        os.makedirs(self.cache / f"trees-2-{os.geteuid()}", 0o700)
        for path in sorted(everything(self.home) - self.before, reverse=True):
            full = self.home / path
            full.rmdir() if full.is_dir() and not full.is_symlink() else full.unlink()

    def left(self) -> list[str]:
        """What is there that was not, below the runner's HOME (TMPDIR, cache and target are in it)."""
        return sorted(everything(self.home) - self.before)

    def received(self) -> str:
        """The method by which the code came: it is the recorded tree, and is taken away again."""
        receipt = load(self.home / "receipt.json")
        assert receipt["tree"] == self.tree
        if self.verb == "fetch":
            assert self.place.runner.tree("code") == self.tree
        else:
            # What the cache has now is what it is for; whatever else is there is not.
            (generation,) = self.cache.glob("trees-*/*/[0-9a-f]*")
            assert self.place.runner.tree(generation.relative_to(self.home) / "tree") == self.tree
            assert sorted(os.listdir(generation)) == ["listing", "size", "tree", "use"]
            assert sorted(os.listdir(generation.parent)) == sorted([generation.name, "lock"])
        self.forget_what_came()
        return str(receipt["method"])

    def forget_what_came(self) -> None:
        """Take away the receipt and the tree, in the target or in the cache."""
        (self.home / "receipt.json").unlink()
        if self.verb == "fetch":
            shutil.rmtree(self.home / "code")
            return
        subprocess.run(["chmod", "-R", "u+w", self.cache], check=True)
        for kept in self.cache.glob("trees-*/*"):
            shutil.rmtree(kept)


@dataclass(frozen=True)
class Fault:
    """A row: `group` and `name` as the table has them, and what makes it happen.

    `slow` is played in `make test-all` only; `mounts` says that only one who may mount can play it.
    """

    group: str
    name: str
    make: Callable[[Stage], Wrong]
    platforms: tuple[str, ...] = PLATFORMS
    slow: bool = False
    mounts: bool = False

    @property
    def slug(self) -> str:
        """The row as a test's id."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.group} {self.name}".lower()).strip("-")

    @property
    def playable(self) -> bool:
        return not self.mounts or can_mount()


@contextmanager
def stage(platform: str) -> Iterator[Stage]:
    """A stage, for as many faults as one likes."""
    with room() as root:
        made = Stage(root, platform)
        try:
            yield made
        except BaseException:
            made.place.forge.close(check=False)
            raise
        made.place.forge.close()


def play(fault: Fault, verb: str, on: Stage) -> Cell:
    """The cell: what is wrong is made wrong, the program runs, and everything is looked for that it may have left."""
    on.verb = verb
    try:
        wrong = fault.make(on)
        mark = uuid.uuid4().hex
        wrong.env["PLAYED"] = mark
        said = on.run(wrong)
        reads = [_shown(line, on) for line in said.errors.splitlines() if line and not line.startswith("left: ")]
        left = [line.removeprefix("left: ") for line in said.errors.splitlines() if line.startswith("left: ")]
        strangers = on.place.forge.origins_that_saw(on.place.token) - {on.place.forge.url}
        assert not strangers, f"the token was sent to {strangers}"
        assert "Traceback" not in said.errors and "unexpected" not in said.errors, said.errors
        if said.status == 0:
            reads.append(f"(the recorded tree, by {on.received()})")
        else:
            _check_refusal(said, verb)
        left += on.left()
        running = _running(mark)
        if wrong.afterwards is not None:
            left = wrong.afterwards(left)
        left += [f"the process '{name}'" for name in running.values()]
        return Cell(tuple(reads) or (NOTHING,), said.status, tuple(_shown(path, on) for path in left) or (NOTHING,))
    finally:
        on.clean()


def _check_refusal(said: Result, verb: str) -> None:
    """One `fatal:` line in the user's words, a hint; but a signal needs no words."""
    if said.status < 0 or said.status > 128 + 1:
        return
    words = [line for line in said.errors.splitlines() if not line.startswith("left: ")]
    assert said.status == 125 if verb == "exec" else said.status in (4, 128), said.errors
    assert len([line for line in words if line.startswith("fatal: ")]) == 1, said.errors
    assert [line for line in words if line.startswith("hint: ")], said.errors
    assert "failed with status" not in said.errors, "git's words in place of ours"


def _running(mark: str) -> dict[int, str]:
    """The processes that were started with the mark and have not ended within some seconds; then they are ended."""
    found: dict[int, str] = {}

    def all_gone() -> bool:
        found.clear()
        for each in Path("/proc").iterdir():
            try:
                if each.name.isdigit() and mark.encode() in (each / "environ").read_bytes():
                    words = (each / "cmdline").read_bytes().split(b"\0")
                    found[int(each.name)] = " ".join(os.fsdecode(os.path.basename(word)) for word in words[:2])
            except OSError:
                continue
        return not found

    try:
        until(all_gone, seconds=30)
    except AssertionError:
        for number in found:
            os.kill(number, signal.SIGKILL)
    return found


def _shown(text: str, on: Stage) -> str:
    """The words without what differs from one machine, or one day, to the next."""
    forge = on.place.forge
    for what, name in (
        (forge.codeload_url, "https://ARCHIVES"),
        (forge.evil_url, "https://ELSEWHERE"),
        (forge.plain_url, "http://HOST"),
        (f"{forge.host}:{forge.port}", "HOST"),
        (str(on.home), "~"),
        (on.place.base, "COMMIT"),
        (on.tree, "TREE"),
    ):
        text = text.replace(what, name)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    text = re.sub(r"\b[0-9a-f]{40}\b", "TREE", text)
    text = re.sub(r"(coderepo-(?:[a-z]+-)?)\d+-[0-9a-f]{16}", r"\1N", text)
    text = re.sub(r"\b\d+ bytes\b", "N bytes", text)
    text = re.sub(r"\b\d+ seconds?\b", "N seconds", text)
    text = re.sub(r"(MAX_WAIT=|maxWait )\d+", r"\1N", text)
    return re.sub(r"trees-2-\d+", "trees-2-UID", text)
