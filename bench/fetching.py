"""Compare a verified fetch with `curl | tar xz`, which verifies nothing, and with git's own commands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.measure import Contestant, Timing, in_turns
from bench.repositories import make_large_repository, make_repository
from tests.forge import Forge

FETCH_SIZES = (2_000, 20_000, 100_000)
LARGE = 2_000_000_000  # bytes of the large file
LARGE_ROUNDS = 3
ROUND_TRIP = 0.030

HEADING = (
    "| files | archive, MB | way | s | × `curl` | to the first request, s | from there to DIR, s | × `curl` "
    "| peak, MiB |",
    "|---:|---:|---|---:|---:|---:|---:|---:|---:|",
)


def fetch_table(
    scratch: Path,
    environment: Mapping[str, str],
    rounds: int,
    latency: float,
    sizes: Sequence[int] = FETCH_SIZES,
) -> Iterator[str]:
    """Measure each way to fetch repositories of these sizes."""
    yield from HEADING
    for size in sizes:
        checkout = scratch / f"fetch{size}"
        make_repository(checkout, size, environment, size=5_000)
        yield from _rows(scratch, checkout, f"{size:,}", environment, rounds, latency)


def large_table(scratch: Path, environment: Mapping[str, str], rounds: int, size: int) -> Iterator[str]:
    """Measure a repository with one file of `size` bytes, mainly for the memory."""
    yield from HEADING
    checkout = scratch / "fetch-large"
    make_large_repository(checkout, size, environment)
    yield from _rows(scratch, checkout, f"one of {size / 1e9:.1f} GB", environment, rounds, 0.0)


def _rows(
    scratch: Path, checkout: Path, files: str, environment: Mapping[str, str], rounds: int, latency: float
) -> Iterator[str]:
    with Forge(latency=latency, cache_archives=True) as forge:
        forge.add_repository("acme/widgets", source=checkout)
        token = forge.add_token("github")
        world = _FetchWorld(scratch, checkout, forge, token, environment)
        world.prepare()
        megabytes = len(next(iter(forge.archive_cache.values()))) / 1e6
        timings = in_turns(world.contestants(), rounds)
        curl, visible = timings[0], world.visible
        for timing in timings:
            asked, mine, theirs = world.asked[timing.name], visible[timing.name], visible[curl.name]
            yield (
                f"| {files} | {megabytes:.1f} | {timing.name} | {timing.median:.3f} | {timing.ratio_to(curl):.2f} "
                f"| {asked.median:.3f} | {mine.median:.3f} | {mine.ratio_to(theirs):.2f} | {timing.peak:.0f} |"
            )
        inside = Timing("receipt", world.seconds_inside)
        yield (
            f"| {files} | {megabytes:.1f} | `git coderepo fetch` (archive), its receipt's seconds "
            f"| {inside.median:.3f} | {inside.ratio_to(curl):.2f} | | | | |"
        )
    for path in (checkout, checkout.with_suffix(".git"), world.target):
        shutil.rmtree(path, ignore_errors=True)


class _FetchWorld:
    """One repository on the forge, and the ways to get it.

    `asked` are the seconds of each way from its start to the first request that reached the server, `visible` those
    from there to the directory with all its files: for ours, until it got its name; for the others, which fill one that
    has its name already, until their end.
    """

    def __init__(self, scratch: Path, checkout: Path, forge: Forge, token: str, environment: Mapping[str, str]) -> None:
        self.scratch = scratch
        self.checkout = checkout
        self.forge = forge
        self.token = token
        self.environment = {
            **environment,
            **forge.env,
            "CODEREPO_TOKEN": token,
            "CODEREPO_TOKEN_ORIGIN": forge.url,
        }
        self.target = scratch / "target"
        self.seconds_inside: list[float] = []
        self.asked: dict[str, Timing] = {}
        self.visible: dict[str, Timing] = {}
        self.begun = 0.0
        self.commit = ""

    def prepare(self) -> None:
        """Register the checkout, write its manifest, and let the server create its archive."""
        shutil.rmtree(self.target, ignore_errors=True)
        self._run("git", "remote", "set-url", "origin", f"{self.forge.url}/acme/widgets.git")
        self._run("git-coderepo", "register", "--type", "github")
        self._run("git-coderepo", "snapshot", "-o", str(self.scratch / "run.json"))
        self.commit = self._run("git", "rev-parse", "HEAD").strip()
        self._run("git-coderepo", "fetch", "--method", "archive", str(self.scratch / "run.json"), str(self.target))

    def contestants(self) -> list[Contestant]:
        url = f"{self.forge.api_url('github')}/repos/acme/widgets/tarball/{self.commit}"
        header = f"Authorization: Bearer {self.token}"
        curl = [
            "curl",
            "--silent",
            "--fail",
            "--location-trusted",
            "--cacert",
            str(self.forge.ca_file),
            "-H",
            header,
            url,
        ]
        untar = f"mkdir {self.target} && {shlex.join(curl)} | tar xz -C {self.target} --strip-components=1"
        credential = (
            'credential.helper=!f() { test "$1" = get && printf \'username=x\\npassword=%s\\n\' "$CODEREPO_TOKEN"; }; f'
        )
        remote = f"{self.forge.url}/acme/widgets.git"
        clone = ["git", "-c", credential, "clone", "--quiet", "--depth=1", remote, str(self.target)]
        fetch = (
            f"git init --quiet {self.target} && cd {self.target} && "
            f"git -c {shlex.quote(credential)} fetch --quiet --depth=1 {remote} {self.commit} && "
            "git checkout --quiet FETCH_HEAD"
        )
        receipt = self.scratch / "receipt.json"
        ours = ["git-coderepo", "fetch", "--quiet", "--receipt", str(receipt)]

        ours_again = ["git-coderepo", "fetch", "--quiet", "--method", "git"]
        manifest, target = str(self.scratch / "run.json"), str(self.target)
        return [
            self._contestant("`curl \\| tar xz` (verifies nothing)", ["sh", "-c", untar], self._ended),
            self._contestant(
                "`git coderepo fetch` (archive)",
                [*ours, "--method", "archive", manifest, target],
                lambda: self._named(receipt),
            ),
            self._contestant("`git clone --depth 1`", clone, self._ended),
            self._contestant("`git fetch --depth 1 SHA`, checkout", ["sh", "-c", fetch], self._ended),
            self._contestant("`git coderepo fetch --method git`", [*ours_again, manifest, target], self._named),
        ]

    def _clean(self) -> None:
        shutil.rmtree(self.target, ignore_errors=True)
        os.sync()  # a fetch that syncs its tree must not wait for the writes of earlier commands
        self.forge.forget_requests()
        self.begun = time.time()

    def _ended(self) -> float:
        return time.time()

    def _named(self, receipt: Path | None = None) -> float:
        """Return when the target was renamed into place: the directory's time of change."""
        if receipt is not None:
            self.seconds_inside.append(json.loads(receipt.read_text(encoding="utf-8"))["seconds"])
            receipt.unlink()
        return self.target.stat().st_ctime

    def _contestant(self, name: str, command: list[str], visible: Callable[[], float]) -> Contestant:
        asked, timing = self.asked[name], self.visible[name] = Timing(name, []), Timing(name, [])

        def after() -> None:
            first = min(entry.at for entry in self.forge.requests())
            asked.seconds.append(first - self.begun)
            timing.seconds.append(visible() - first)

        return Contestant(name, command, str(self.scratch), self.environment, self._clean, after)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.checkout, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{shlex.join(command)}: {done.stderr}")
        return done.stdout
