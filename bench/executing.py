"""Compare `exec` with cached code and `git worktree add` of the same commit."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.measure import Contestant, in_turns
from bench.repositories import make_repository

EXEC_SIZES = (20_000,)


def exec_table(
    scratch: Path, environment: Mapping[str, str], rounds: int, sizes: Sequence[int] = EXEC_SIZES
) -> Iterator[str]:
    """Return the contestants: `exec RUN -- true` in the cache, `git worktree add --detach`, and both with one file."""
    yield "| files | `git worktree add --detach DIR`, s | `exec`, s | × | start-up, s | without it, s | × |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    variables = {**environment, "CODEREPO_ALLOW_PROTOCOL": "file", "CODEREPO_CACHE_DIR": str(scratch / "cache")}
    one = scratch / "exec1"
    make_repository(one, 1, variables)
    small = _in_the_cache(one, variables)
    for size in sizes:
        path = scratch / f"exec-of-{size}"
        make_repository(path, size, variables)
        manifest = _in_the_cache(path, variables)
        aside = scratch / "aside"

        def without_work_tree(path: Path = path, aside: Path = aside) -> None:
            shutil.rmtree(aside, ignore_errors=True)
            subprocess.run(["git", "worktree", "prune"], cwd=path, env=variables, check=True)

        add = ["git", "worktree", "add", "--quiet", "--detach", str(aside)]
        tree, hit, start = in_turns(
            [
                Contestant("git worktree add", add, str(path), variables, without_work_tree),
                Contestant("exec", _exec(manifest), str(scratch), variables),
                Contestant("exec of one file", _exec(small), str(scratch), variables),
            ],
            rounds,
        )
        rest = hit.over(start)
        yield (
            f"| {size:,} | {tree.median:.3f} | {hit.median:.3f} | {hit.ratio_to(tree):.2f} | {start.median:.3f} "
            f"| {rest:.3f} | {rest / tree.median:.2f} |"
        )
        without_work_tree()
        for each in (path, path.with_suffix(".git")):
            shutil.rmtree(each)


def _exec(manifest: Path, *options: str) -> list[str]:
    return ["git-coderepo", "exec", "--quiet", *options, str(manifest), "--", "true"]


def _in_the_cache(path: Path, environment: Mapping[str, str]) -> Path:
    """Write a manifest beside the checkout at `path`, and put its tree into the cache."""
    manifest = path.with_suffix(".json")
    subprocess.run(["git-coderepo", "snapshot", "-o", manifest], cwd=path, env=environment, check=True)
    for hit in (False, True):
        receipt = path.with_suffix(".receipt")
        command = _exec(manifest, "--receipt", str(receipt))
        subprocess.run(command, cwd=path.parent, env=environment, check=True, stdout=subprocess.DEVNULL)
        if ('"cacheHit": true' in receipt.read_text(encoding="utf-8")) != hit:
            raise RuntimeError(f"the cache: a hit was {not hit}, and {hit} is expected")
    return manifest
