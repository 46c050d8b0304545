"""One case of the table: a checkout that is really made, a snapshot, a fetch on another machine, and git's own verdict.

A cell is `same tree`, or `refused before the run: ` and the program's own words.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.support import World, lines, load
from tests.support.program import Program, Result
from tests.support.repo import PathLike, Repo

PLATFORMS = ("git", "github", "gitlab")
SAME = "same tree"
REFUSED = "refused before the run: "


@dataclass
class Wanted:
    """What is recorded, and what a runner must get.

    `tree` is git's own word for the checkout, None for what `git add -A` and `git write-tree` make of it; `files` that
    for the runner's directory, None where it is the same (contents of submodules and of Git LFS are in no tree: see
    `files_of`), and `received` that for the receipt where only a part was asked for. `arguments`
    follow `snapshot`, `fetch` those of `fetch`; `cwd` is below the checkout; `under` stands before the program.
    `meanwhile` runs while the snapshot is taken; `recorded` and `got` are told the manifest and the runner's directory
    and may assert more.
    """

    place: World
    checkout: Repo
    tree: str | None = None
    files: str | None = None
    received: str | None = None
    object_format: str = "sha1"
    arguments: Sequence[PathLike] = ()
    fetch: Sequence[PathLike] = ()
    cwd: PathLike = ""
    env: Mapping[str, str] = field(default_factory=dict)
    under: Sequence[str] = ()
    meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None
    recorded: Callable[[Any], None] | None = None
    got: Callable[[Path], None] | None = None
    refused: Callable[[Result], None] | None = None


class Stage:
    """Where a case plays: an empty directory and a platform; `world` is the `World` that it is closed with."""

    def __init__(self, root: Path, platform: str) -> None:
        self.root = root
        self.platform = platform
        self.worlds: list[World] = []

    def world(self, *, platform: str = "", **options: Any) -> World:
        """A repository on the platform, and a checkout of it on a machine that knows what kind of host it is.

        `platform` is another one than the row's; `options` are those of `World`.
        """
        made = World(self.root / f"world {len(self.worlds) + 1}", platform or self.platform, **options)
        self.worlds.append(made)
        made.checkout.git("config", "--global", f"coderepo.{made.forge.url}/.type", made.platform)
        return made


@dataclass(frozen=True)
class Case:
    """A row: `group` and `name` as the table has them; `slow` runs in `make test-all` only.

    `needs` is a program without which the case cannot be made; then it is not played, and its cells stay as they are.

    `ready` is false for what the program does not do yet: it is in no table, and played only when it is named.
    """

    group: str
    name: str
    make: Callable[[Stage], Wanted]
    slow: bool
    ready: bool
    needs: str

    @property
    def lacks(self) -> str:
        """Why it cannot be played on this machine; empty where it can."""
        return f"{self.needs} is not installed" if self.needs and shutil.which(self.needs) is None else ""

    @property
    def slug(self) -> str:
        """The row as a test's id."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.group} {self.name}".lower()).strip("-")


CASES: list[Case] = []


@contextmanager
def room() -> Iterator[Path]:
    """An empty directory, in memory where there is such a place: none of this is a test of the disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as root:
        yield Path(root)


def files_of(place: World, checkout: Repo) -> str:
    """The tree id of a checkout's files as they lie on the disk, those of its submodules as well."""
    copy = place.scratch.home / "files"
    shutil.copytree(checkout.path, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    return place.scratch.tree(copy)


Make = Callable[[Stage], Wanted]


def case(group: str, name: str, *, slow: bool = False, ready: bool = True, needs: str = "") -> Callable[[Make], None]:
    """Enter a function into the table."""

    def enter(make: Make) -> None:
        CASES.append(Case(group, name, make, slow, ready, needs))

    return enter


def play(row: Case, platform: str, root: Path) -> str:
    """The cell: makes the checkout, records it, fetches it with the checkout out of reach, and asks git."""
    stage = Stage(root, platform)
    checked = False
    try:
        cell = _cell(row.make(stage))
        checked = True
        return cell
    finally:
        for place in stage.worlds:
            place.forge.close(check=checked)


def _cell(wanted: Wanted) -> str:
    place = wanted.place
    expected = wanted.tree
    if expected is None and not wanted.meanwhile and not wanted.refused:
        expected = wanted.checkout.tree()
    sent = place.user.path("to send")
    sent.mkdir()
    said = _run(wanted, "snapshot", "-o", os.fspath(sent / "run.json"), *wanted.arguments)
    if said.status != 0:
        _check_refusal(wanted, said)
        if wanted.refused is not None:
            wanted.refused(said)
        return REFUSED + _without_places(lines(said, "fatal")[0], place)
    document = load(sent / "run.json")
    recorded = document["code"]["snapshot"]["tree"]
    if document["repository"] is not None:
        assert document["repository"]["type"] == place.platform
    if expected is None:
        expected = recorded
    if wanted.recorded is not None:
        wanted.recorded(document)
    for file in sent.iterdir():
        file.rename(place.runner.home / file.name)
    # Nothing of what the snapshot was taken from is to be found any more.
    for folder in ("user", "scratch home"):
        if (place.root / folder).exists():
            (place.root / folder).rename(place.root / f"{folder} out of reach")
    receipt = place.runner.run("fetch", "--json", *wanted.fetch, "run.json", "code", timeout=600).json()
    got = place.runner.tree("code", wanted.object_format)
    if wanted.got is not None:
        wanted.got(place.runner.path("code"))
    right = (expected, wanted.received or expected, wanted.files or expected)
    if (recorded, receipt["tree"], got) != right:
        return f"differs: git said {expected}, recorded {recorded}, received {receipt['tree']}, git says {got}"
    return SAME


def _run(wanted: Wanted, *arguments: PathLike) -> Result:
    user = wanted.place.user
    cwd = os.path.join(os.fsencode(wanted.checkout.path), os.fsencode(wanted.cwd))
    if wanted.meanwhile is None and not wanted.under:
        return Program(user.env).run(*arguments, cwd=cwd, env=wanted.env, check=False, timeout=600)
    running = subprocess.Popen(
        [*map(os.fsencode, wanted.under), user.program.executable(), *map(os.fsencode, arguments)],
        cwd=cwd,
        env={**user.env, **wanted.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if wanted.meanwhile is not None:
        wanted.meanwhile(running)
    stdout, stderr = running.communicate(timeout=600)
    return Result(running.returncode, stdout, stderr)


def _check_refusal(wanted: Wanted, said: Result) -> None:
    """What is refused is refused as the house has it, leaves nothing half-done, and `status` does not say yes."""
    assert said.status == 128, said.errors
    assert said.stdout == b"", said.text
    assert "unexpected" not in said.errors and "Traceback" not in said.errors, said.errors
    assert len(lines(said, "fatal")) == 1 and lines(said, "hint"), said.errors
    assert all(line.startswith(("fatal: ", "hint: ", "warning: ")) for line in said.errors.splitlines()), said.errors
    assert list(wanted.place.user.path("to send").iterdir()) == []
    if wanted.meanwhile is None and not wanted.arguments:
        status = _run(wanted, "status", "--exit-code")
        assert status.status != 0, "`status` says that it could be recorded"


def _without_places(text: str, place: World) -> str:
    """The words without what differs from one machine, or one day, to the next."""
    text = text.replace(str(place.user.home), "~")
    return re.sub(r"\b[0-9a-f]{40,64}\b", "…", text)
