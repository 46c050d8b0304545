"""The tables: what is compared with what."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.measure import Contestant, Timing, in_turns
from bench.repositories import make_dirty, make_repository
from tests.forge import Forge

STATUS_SIZES = (10, 1_000, 20_000, 100_000)
FETCH_SIZES = (2_000, 20_000)
ROUND_TRIP = 0.030


def status_table(scratch: Path, environment: Mapping[str, str], rounds: int) -> Iterator[str]:
    """`status`, `snapshot` and the pre-run hook's program beside `git status`, clean and dirty."""
    yield "| files | state | `git status`, ms | `status`, ms | × | `snapshot`, ms | × | `hook pre-run`, ms | × |"
    yield "|---:|---|---:|---:|---:|---:|---:|---:|---:|"
    for size in STATUS_SIZES:
        path = scratch / f"status{size}"
        make_repository(path, size, environment)
        for state in ("clean", "dirty"):
            if state == "dirty":
                make_dirty(path)
            git, status, snapshot, hook = in_turns(
                [
                    Contestant(
                        "git status",
                        ["git", "status", "--porcelain=v2", "--untracked-files=all"],
                        str(path),
                        environment,
                    ),
                    Contestant("status", ["git-coderepo", "status"], str(path), environment),
                    Contestant("snapshot", ["git-coderepo", "snapshot"], str(path), environment),
                    Contestant("hook", ["git-coderepo", "hook", "pre-run"], str(path), environment),
                ],
                rounds,
            )
            yield (
                f"| {size:,} | {state} | {_ms(git)} | {_ms(status)} | {status.ratio_to(git):.2f} "
                f"| {_ms(snapshot)} | {snapshot.ratio_to(git):.2f} | {_ms(hook)} | {hook.ratio_to(git):.2f} |"
            )
        shutil.rmtree(path)
        shutil.rmtree(path.with_suffix(".git"))


def start_table(scratch: Path, environment: Mapping[str, str], rounds: int) -> Iterator[str]:
    """What starting costs before anything is done."""
    python = [sys.executable, "-c", "pass"]
    timings = in_turns(
        [
            Contestant("`python -c pass`", python, str(scratch), environment),
            Contestant("`git --version`", ["git", "--version"], str(scratch), environment),
            Contestant("`git coderepo --version`", ["git-coderepo", "--version"], str(scratch), environment),
        ],
        rounds * 2,
    )
    yield "| command | ms |"
    yield "|---|---:|"
    for timing in timings:
        yield f"| {timing.name} | {_ms(timing)} |"


def fetch_table(scratch: Path, environment: Mapping[str, str], rounds: int, latency: float) -> Iterator[str]:
    """A verified fetch beside `curl | tar xz`, which verifies nothing, and beside git's own ways."""
    yield "| files | archive, MB | way | s | × `curl` | peak, MiB |"
    yield "|---:|---:|---|---:|---:|---:|"
    for size in FETCH_SIZES:
        checkout = scratch / f"fetch{size}"
        make_repository(checkout, size, environment, size=5_000)
        with Forge(latency=latency, cache_archives=True) as forge:
            repository = forge.add_repository("acme/widgets", source=checkout)
            token = forge.add_token("github")
            world = _FetchWorld(scratch, checkout, forge, token, environment)
            world.prepare()
            megabytes = len(next(iter(forge.archive_cache.values()))) / 1e6
            del repository
            timings = in_turns(world.contestants(), rounds)
            inside = world.seconds_inside
            curl = timings[0]
            for timing in timings:
                yield (
                    f"| {size:,} | {megabytes:.1f} | {timing.name} | {timing.median:.3f} "
                    f"| {timing.ratio_to(curl):.2f} | {timing.peak:.0f} |"
                )
            # Each round's receipt, the uncounted first one left out.
            receipts = Timing("receipt", inside[1:])
            yield (
                f"| {size:,} | {megabytes:.1f} | the same, without start-up (its receipt's seconds) "
                f"| {receipts.median:.3f} | {receipts.ratio_to(curl):.2f} | |"
            )
        for path in (checkout, checkout.with_suffix(".git")):
            shutil.rmtree(path)


class _FetchWorld:
    """One repository on the forge, and the ways to get it."""

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
        self.commit = ""

    def prepare(self) -> None:
        """Register, write the manifest, and have the archive made once."""
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

        def clean() -> None:
            shutil.rmtree(self.target, ignore_errors=True)
            os.sync()  # one that has its tree on the disk at the end must not wait for what others left to be written

        def after_ours() -> None:
            if receipt.exists():
                self.seconds_inside.append(json.loads(receipt.read_text())["seconds"])
                receipt.unlink()
            clean()

        manifest = str(self.scratch / "run.json")
        return [
            self._contestant("`curl \\| tar xz` (verifies nothing)", ["sh", "-c", untar], clean),
            self._contestant(
                "`git coderepo fetch` (archive)", [*ours, "--method", "archive", manifest, str(self.target)], clean
            ),
            self._contestant("`git clone --depth 1`", clone, after_ours),
            self._contestant("`git fetch --depth 1 SHA`, checkout", ["sh", "-c", fetch], clean),
            self._contestant(
                "`git coderepo fetch --method git`",
                ["git-coderepo", "fetch", "--quiet", "--method", "git", manifest, str(self.target)],
                clean,
            ),
        ]

    def _contestant(self, name: str, command: list[str], before: Callable[[], None]) -> Contestant:
        return Contestant(name, command, str(self.scratch), self.environment, before)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.checkout, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{shlex.join(command)}: {done.stderr}")
        return done.stdout


def _ms(timing: Timing) -> str:
    return f"{timing.median * 1000:.0f}"


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
