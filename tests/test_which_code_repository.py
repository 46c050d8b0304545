"""Which code repository a run uses where several could be meant, and what `register` says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_coderepo.errors import RegistrationError
from git_coderepo.git.process import Git
from git_coderepo.registration.register import Registered, Registering, register_repository
from git_coderepo.registration.resolve import source_here
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request, Snapshot
from tests.support.program import Program
from tests.support.repo import Repo


class Place:
    """A checkout whose branch is pushed to `origin`, and more platforms beside it."""

    def __init__(self, repo: Repo, root: Path) -> None:
        self.repo, self.root = repo, root
        self.git = Git(str(repo.path), environment=repo.env)
        repo.write("train.py", "lr = 0.1\n")
        repo.commit("first")
        self.add("origin")
        repo.git("push", "--quiet", "--set-upstream", "origin", "HEAD:refs/heads/main")

    def add(self, name: str, *, pushed: bool = False) -> None:
        bare = self.root / f"{name} of its own.git"
        Repo.init(bare, self.repo.env, bare=True)
        self.repo.git("remote", "add", name, f"file://{bare}")
        if pushed:
            self.repo.git("push", "--quiet", name, "HEAD:refs/heads/main")

    def register(self, remote: str | None = None, name: str | None = None) -> Registered:
        wanted = Registering(name=name, remote=remote, verify=False)
        return register_repository(self.git, wanted, standard_input=lambda: b"")

    def follow(self, branch: str, remote: str | None) -> None:
        """Be on a branch that follows this remote, or none."""
        self.repo.git("checkout", "--quiet", "--no-track", "-B", branch)
        if remote is not None:
            self.repo.git("config", f"branch.{branch}.remote", remote)
            self.repo.git("config", f"branch.{branch}.merge", "refs/heads/main")

    def snapshot(self) -> Snapshot:
        return take_snapshot(self.git, Request())

    def used(self) -> str:
        """The remote that a run uses; every verb that asks for no snapshot has to agree."""
        taken = self.snapshot()
        assert taken.source is not None
        assert source_here(self.git, None).registration.name == taken.source.registration.name
        return str(taken.source.remote_name)


@pytest.fixture
def place(repo: Repo, tmp_path: Path) -> Place:
    return Place(repo, tmp_path / "platforms")


def test_the_remote_that_the_branch_follows_wins_over_a_registered_one(place: Place) -> None:
    place.add("deploy")
    done = place.register("deploy")

    assert place.used() == "origin"
    assert place.snapshot().base is not None
    assert "runs here use 'origin', not 'deploy'" in done.warnings[0]
    place.register()
    assert place.used() == "origin"


def test_the_hint_of_register_makes_the_registration_the_one_that_is_used(place: Place) -> None:
    place.add("deploy")
    done = place.register("deploy")

    place.repo.git(*done.warnings[0].rpartition(": git ")[2].split())

    assert place.used() == "deploy"


@pytest.mark.parametrize("unpushed", [False, True])
@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_without_a_branch_that_follows_one_the_remote_that_holds_head_or_has_a_base_wins(
    place: Place, unpushed: bool, detached: bool, both: bool
) -> None:
    place.add("deploy")
    place.register("deploy")
    if both:
        place.register("origin")
    place.follow("topic", None)
    if unpushed:
        place.repo.write("more.py", "1\n")
        place.repo.commit("second")
    if detached:
        place.repo.git("checkout", "--quiet", "--detach")

    assert place.used() == "origin"


def test_the_remote_that_holds_head_wins_over_one_with_an_older_base(place: Place) -> None:
    place.add("deploy", pushed=True)
    place.register("deploy")
    place.repo.write("more.py", "1\n")
    place.repo.commit("second")
    place.repo.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    place.follow("topic", None)

    assert place.used() == "origin"


def test_a_registered_remote_wins_where_both_hold_head(place: Place) -> None:
    place.add("deploy", pushed=True)
    done = place.register("deploy")
    place.follow("topic", None)

    assert place.used() == "deploy"
    assert "runs here use 'origin'" in done.warnings[0]  # the branch it was registered on follows origin


def test_a_followed_remote_without_a_base_loses_to_one_that_has_a_base(place: Place) -> None:
    place.add("deploy")
    place.follow("topic", "deploy")
    place.register("deploy")

    assert place.used() == "origin"


def test_a_remote_that_nothing_names_is_found_by_its_references(place: Place) -> None:
    place.add("deploy")
    place.register("deploy")
    place.repo.git("remote", "rename", "origin", "somewhere")
    place.follow("topic", None)

    assert place.used() == "somewhere"


def test_a_change_of_the_choice_is_said(place: Place) -> None:
    place.add("deploy", pushed=True)
    place.follow("topic", None)
    assert place.used() == "origin"

    done = place.register("deploy")

    assert place.used() == "deploy"
    assert done.warnings[0].startswith("runs here now use 'deploy' and no longer 'origin'")
    place.repo.git(*done.warnings[0].rpartition(": git ")[2].split())
    assert place.used() == "origin"


def test_what_blurs_the_choice_is_said_and_the_hint_cures_it(place: Place) -> None:
    place.add("deploy", pushed=True)
    place.follow("topic", None)
    place.register("deploy")

    done = place.register("origin")

    assert done.warnings[0].startswith("runs here cannot choose a code repository: several code repositories match")
    with pytest.raises(RegistrationError) as failure:
        place.snapshot()
    assert failure.value.hints[0] == "git config coderepo.default origin"
    place.repo.git(*failure.value.hints[0].split()[1:])
    assert place.used() == "origin"


@pytest.mark.slow
def test_with_fifty_registrations_a_refusal_is_five_lines(place: Place, program: Program) -> None:
    place.follow("topic", None)
    url = place.repo.line("remote", "get-url", "origin")
    for number in range(50):
        place.repo.git("config", f"coderepo.r{number:02}.type", "git")
        place.repo.git("config", f"coderepo.r{number:02}.remote", f"m{number:02}")
        place.repo.git("config", f"remote.m{number:02}.url", f"{url}{number}")
        place.repo.git("update-ref", f"refs/remotes/m{number:02}/main", "HEAD")
        place.repo.git("config", f"remote.m{number:02}.fetch", f"+refs/heads/*:refs/remotes/m{number:02}/*")
    place.repo.git("remote", "remove", "origin")

    refused = program.run("snapshot", cwd=place.repo.path, check=False)

    assert refused.status == 128
    assert len(refused.errors.splitlines()) <= 5, refused.errors
    assert "'r00', 'r01', 'r02' and 47 more" in refused.errors
    # What it says to type works.
    assert len(program.run("list", "--json", cwd=place.repo.path).json()) == 50
    for number in range(50):
        place.repo.git("config", "--remove-section", f"coderepo.r{number:02}")
    assert len(program.run("list", "--json", cwd=place.repo.path).json()) == 50
    assert len(program.run("snapshot", cwd=place.repo.path, check=False).errors.splitlines()) <= 5
