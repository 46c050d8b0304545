"""What a start costs, beside `import typer` and `import requests` in the same interpreter."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.measure import Contestant, Timing, in_turns
from bench.repositories import make_repository
from tests.forge import Forge

TYPER, REQUESTS = "`python -c 'import typer'`", "`python -c 'import requests'`"
VERBS = (
    ("status",), ("list",), ("log",), ("show", "@{-1}"), ("run", "--quiet", "--", "true"), ("hook", "pre-run"),
)  # fmt: skip


def start_table(scratch: Path, environment: Mapping[str, str], rounds: int) -> Iterator[str]:
    """Each command as a whole process in a clean checkout of ten files; of a fetch the time to its first request."""
    checkout = scratch / "start"
    make_repository(checkout, 10, environment)
    with Forge() as forge:
        forge.add_repository("acme/widgets", source=checkout)
        token = forge.add_token("github")
        told = {
            **environment,
            **forge.env,
            "CODEREPO_TOKEN": token,
            "CODEREPO_TOKEN_ORIGIN": forge.url,
            "CODEREPO_CACHE_DIR": str(scratch / "start-cache"),
        }
        manifest = scratch / "start.json"
        for command in (
            ["git", "remote", "set-url", "origin", f"{forge.url}/acme/widgets.git"],
            ["git-coderepo", "register", "--type", "github"],
            ["git-coderepo", "run", "--", "true"],
            ["git-coderepo", "snapshot", "-o", str(manifest)],
            ["git-coderepo", "exec", str(manifest), "--", "true"],
        ):
            subprocess.run(command, cwd=checkout, env=told, check=True, capture_output=True)
        yield from _rows(_contestants(checkout, manifest, told), _Fetch(scratch, forge, manifest, told), rounds)


def _contestants(checkout: Path, manifest: Path, environment: Mapping[str, str]) -> list[Contestant]:
    def python(name: str, program: str) -> Contestant:
        return Contestant(name, [sys.executable, "-c", program], str(checkout), environment)

    def ours(*words: str) -> Contestant:
        shown = " ".join(word if word != str(manifest) else "FILE" for word in words)
        return Contestant(f"`git-coderepo {shown}`", ["git-coderepo", *words], str(checkout), environment)

    return [
        python("`python -c pass`", "pass"),
        python(TYPER, "import typer"),
        python(REQUESTS, "import requests"),
        ours("--version"),
        ours("validate", str(manifest)),
        *(ours(*words) for words in VERBS),
        ours("exec", "--quiet", str(manifest), "--", "true"),
    ]


class _Fetch:
    """A fetch; `asked` are the seconds from its start to the first request that reached the server."""

    def __init__(self, scratch: Path, forge: Forge, manifest: Path, environment: Mapping[str, str]) -> None:
        self._target = scratch / "start-target"
        self._forge = forge
        self.asked: list[float] = []
        self.begun = 0.0
        command = ["git-coderepo", "fetch", "--quiet", "--method", "archive", str(manifest), str(self._target)]
        self.contestant = Contestant("", command, str(scratch), environment, self._before, self._after)

    def _before(self) -> None:
        shutil.rmtree(self._target, ignore_errors=True)
        self._forge.forget_requests()
        self.begun = time.time()

    def _after(self) -> None:
        self.asked.append(min(entry.at for entry in self._forge.requests()) - self.begun)


def _rows(contestants: list[Contestant], fetch: _Fetch, rounds: int) -> Iterator[str]:
    *timings, _ = in_turns([*contestants, fetch.contestant], rounds)
    timings.append(Timing("`git-coderepo fetch FILE DIR`, to its first request", fetch.asked))
    by_name = {timing.name: timing for timing in timings}
    yield "| command | ms | × `import typer` | × `import requests` |"
    yield "|---|---:|---:|---:|"
    for timing in timings:
        ratios = [f"{timing.ratio_to(by_name[name]):.2f}" for name in (TYPER, REQUESTS)]
        yield f"| {timing.name} | {timing.median * 1000:.0f} | {' | '.join(ratios)} |"
