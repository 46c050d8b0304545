"""Random trees, random edits on a random base: recorded, fetched by another machine, and named by git.

`python -m tests.fidelity.random_trees [EXAMPLES [SEED]]` tries more of them than a test does, and prints the seed.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import git_coderepo
from tests.fidelity.case import room
from tests.support.edits import Edit, apply, edits
from tests.support.environment import clean_environment
from tests.support.repo import Repo, run_git

STEPS = st.lists(
    st.one_of(
        st.lists(edits(), max_size=8),
        st.lists(edits(), min_size=4, max_size=12),
        st.sampled_from(["commit", "commit", "push"]),
    ),
    max_size=8,
)
Steps = Sequence[str | list[Edit]]


class Bench:
    """A checkout, its remote and a runner, each made anew for every example in the same place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = clean_environment(root / "user")
        self.runner_env = {**clean_environment(root / "runner"), "CODEREPO_ALLOW_PROTOCOL": "file"}
        template = root / "template"
        (root / "no template").mkdir()
        plain = {**self.env, "GIT_TEMPLATE_DIR": str(root / "no template")}
        Repo.init(template / "remote.git", plain, bare=True)
        checkout = Repo.init(template / "checkout", plain)
        checkout.git("remote", "add", "origin", f"file://{root}/now/remote.git")
        run_git("init", "--quiet", "--bare", root / "judge", cwd=root, env=plain)
        self.examples = 0

    def round_trip(self, steps: Steps) -> None:
        """One example; an AssertionError, or the program's error, where what comes back is not what was there."""
        repo = self.start()
        commits = 0
        for step in steps:
            if not isinstance(step, str):
                apply(repo, step)
            elif step == "commit":
                repo.commit()
                commits += 1
            elif commits:
                repo.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
        self.check(repo)
        self.examples += 1

    def start(self) -> Repo:
        """An empty checkout whose remote is as empty; the one before is gone."""
        shutil.rmtree(self.root / "now", ignore_errors=True)
        shutil.copytree(self.root / "template", self.root / "now")
        return Repo(self.root / "now" / "checkout", self.env)

    def check(self, repo: Repo) -> None:
        """Record, fetch with the checkout out of reach, compare; the checkout is then as it was."""
        now = self.root / "now"
        expected = repo.tree()
        with _environment(self.env):
            manifest = git_coderepo.snapshot(str(repo.path))
        apart = None
        if manifest.code.overlay is not None and manifest.code.overlay.data is None:
            apart = str(now / "overlay.tar.gz")
            shutil.copy(repo.path / f".git/coderepo/overlays/{manifest.code.overlay.sha256}.tar.gz", apart)
        repo.path.rename(now / "out of reach")
        try:
            receipt = git_coderepo.fetch(manifest, str(now / "code"), overlay=apart, environment=self.runner_env)
        finally:
            (now / "out of reach").rename(repo.path)
        assert str(manifest.code.snapshot_tree) == expected, "what git says of the checkout"
        assert str(receipt.tree) == expected
        assert self._judged(now / "code") == expected, "what git says of what came"
        shutil.rmtree(now / "code")

    def _judged(self, directory: Path) -> str:
        judge = self.root / "judge"
        (judge / "index").unlink(missing_ok=True)
        env = {**self.env, "GIT_DIR": str(judge), "GIT_WORK_TREE": str(directory)}
        run_git("-c", "core.bare=false", "add", "-A", "--force", cwd=directory, env=env)
        return run_git("write-tree", cwd=directory, env=env).decode().strip()


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench that is taken away at the end."""
    with room() as root:
        yield Bench(root)


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def property_of(made: Bench, examples: int, number: int | None = None) -> Callable[[], None]:
    """The property over so many random examples, by the seed `number` if it is given."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(steps=STEPS)
    def what_comes_back_is_what_was_there(steps: Steps) -> None:
        made.round_trip(steps)

    if number is not None:
        what_comes_back_is_what_was_there = seed(number)(what_comes_back_is_what_was_there)
    return what_comes_back_is_what_was_there


def main(words: Sequence[str]) -> None:
    """See the module."""
    examples = int(words[0]) if words else 20_000
    number = int(words[1]) if len(words) > 1 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {number}, {examples} examples", flush=True)
    with bench() as made:
        property_of(made, examples, number)()
        print(f"seed {number}: {made.examples} of {made.examples} came back as they were")


if __name__ == "__main__":
    main(sys.argv[1:])
