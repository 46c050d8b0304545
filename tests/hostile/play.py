"""How a case is played: a runner of its own, a platform that answers with what the case makes, and what must hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from git_coderepo import api
from git_coderepo.cli.output import clean
from git_coderepo.errors import CodeRepoError
from git_coderepo.trace import redact
from tests.e2e.support import World, lines, load, world
from tests.forge.http import Request, Response
from tests.forge.misbehaviour import Proceed
from tests.hostile.archives import Honest, honest
from tests.raw_tar import everything_below
from tests.support.program import Result

if TYPE_CHECKING:
    from tests.forge.server import Forge

FILES: Mapping[bytes, bytes] = {
    b"train.py": b"lr = 0.1\n",
    b"data/weights.bin": bytes(range(256)) * 16,
    b"docs/read me.txt": b"caf\xc3\xa9\n",
    b"run.sh": b"#!/bin/sh\n",
}
TOP = b"acme-widgets-1234567/"
TARGET = "inner/code"
# What a case may take at most, in seconds and bytes; what it takes is not looked at otherwise.
SECONDS = 100
MEMORY = 200 << 20
# Where archives of these cases would write, if they could.
ABROAD = ("/tmp/evil", "/tmp/evil.py", "/evil")

Document = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """`name` says what it tries; `prepare` makes the manifest, in the place, and what the platform answers.

    `slow` plays it in `make test-all` alone.
    """

    group: str
    name: str
    prepare: Callable[[Place], None]
    method: str = "auto"
    slow: bool = False


@dataclass(frozen=True)
class Served:
    """The platform's archive, whatever was asked for."""

    data: bytes

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        response.content()
        return response.with_body(self.data)


class Place:
    """A hosted repository with FILES, and a runner; `clean` and `dirty` are honest manifests of it.

    The dirty one has an overlay with `train.py` and `new.txt`, and `data/weights.bin` is deleted in it.
    """

    def __init__(self, hosted: World) -> None:
        self.world = hosted
        self.runner = hosted.runner
        self.home = hosted.runner.home
        hosted.register()
        self._clean = load(hosted.manifest(name="clean.json"))
        hosted.checkout.write("train.py", "lr = 0.2\n")
        hosted.checkout.write("new.txt", "new\n")
        hosted.checkout.remove("data/weights.bin")
        self._dirty = load(hosted.manifest(name="dirty.json"))
        for name in ("clean.json", "dirty.json"):
            (self.home / name).unlink()
        (self.home / "outside").mkdir()
        (self.home / "outside" / "file").write_text("precious")
        (self.home / "inner").mkdir()

    @property
    def honest(self) -> Honest:
        """The archive of the base."""
        return honest(TOP, FILES)

    def clean(self) -> Document:
        return json.loads(json.dumps(self._clean))  # type: ignore[no-any-return]

    def dirty(self) -> Document:
        return json.loads(json.dumps(self._dirty))  # type: ignore[no-any-return]

    def serve(self, archive: bytes) -> None:
        self.world.forge.misbehave("archive", Served(archive), times=None)

    def write(self, manifest: Document | bytes) -> None:
        data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        (self.home / "run.json").write_bytes(data)

    def beside(self, name: str, data: bytes) -> None:
        """A file in the manifest's folder."""
        (self.home / name).write_bytes(data)

    def tidy(self) -> None:
        """Takes away what `prepare` made."""
        self.world.forge.behave()
        for path in self.home.iterdir():
            if path.name == "run.json" or path.name.endswith(".tar.gz"):
                path.unlink()

    def told(self, text: str) -> str:
        """A message as the table has it: without what differs from one place to the next."""
        text = text.replace(f"{self.home}/", "").replace(str(self.world.repository.path), "REPOSITORY")
        text = re.sub(r"(127\.0\.0\.1|localhost):\d+", "HOST", text)
        return re.sub(r"\b[0-9a-f]{40}([0-9a-f]{24})?\b", "ID", text)


@contextmanager
def place(root: Path) -> Iterator[Place]:
    with world(root, "github", files={os.fsdecode(path): data for path, data in FILES.items()}) as hosted:
        yield Place(hosted)


def played_in_process(case: Case, here: Place) -> str:
    """What the error says; everything around the target is as it was, and there is no target."""
    case.prepare(here)
    before = everything_below(here.home)
    with _in_its_place(here):
        try:
            api.fetch("run.json", TARGET, method=case.method)
        except CodeRepoError as error:
            said = clean(redact(error.message))
        else:
            raise AssertionError(f"{case.name}: not refused")
    _check_untouched(here, before)
    here.tidy()
    return here.told(said)


@contextmanager
def _in_its_place(here: Place) -> Iterator[None]:
    """Give this process the runner's environment and HOME; pauses before another request are short."""
    kept, cwd, sleep = dict(os.environ), os.getcwd(), time.sleep
    os.environ.clear()
    os.environ.update(here.runner.env)
    os.chdir(here.home)
    time.sleep = lambda seconds: sleep(min(float(seconds), 0.001))
    try:
        yield
    finally:
        time.sleep = sleep
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(kept)


def played_by_program(case: Case, here: Place) -> str:
    """The same through the program as it is installed: its one line, its status, its memory."""
    case.prepare(here)
    before = everything_below(here.home)
    here.world.forge.forget_requests()
    result, peak = _measured(here, ["fetch", "--method", case.method, "run.json", TARGET])
    text = f"{case.name}: {result.text}{result.errors}"
    assert result.status in (4, 128), text
    assert result.stdout == b"", text
    assert len(lines(result, "fatal")) == 1, text
    for line in result.errors.splitlines():
        assert line.startswith(("fatal: ", "hint: ", "warning: ", "using the overlay ")), text
    assert "Traceback" not in text and "fatal: unexpected" not in text, text
    assert peak <= MEMORY, f"{case.name}: {peak >> 20} MiB"
    _check_untouched(here, before)
    here.tidy()
    return here.told(lines(result, "fatal")[0])


def _check_untouched(here: Place, before: dict[str, tuple[object, ...]]) -> None:
    assert everything_below(here.home) == before, "something was written, or left behind"
    assert not any(os.path.lexists(path) for path in ABROAD)
    strangers = here.world.forge.origins_that_saw(here.world.token)
    assert strangers <= {here.world.forge.url, here.world.forge.codeload_url}, strangers


# Started by a small process, since a child of this one would begin with this one's peak.
_MEASURE = """
import os, resource, sys
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status if status >= 0 else 128 - status)
"""


def _measured(here: Place, words: list[str]) -> tuple[Result, int]:
    """What the program left, and the most memory (bytes) that it, or a git of its own, had at a time."""
    peak = here.world.root / "peak"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _MEASURE, peak, here.runner.program.executable(), *words],
        cwd=here.home,
        env=here.runner.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
    )
    return Result(done.returncode, done.stdout, done.stderr), int(peak.read_text()) * 1024
