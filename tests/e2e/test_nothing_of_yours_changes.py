"""P9: index, objects, references, stash, HEAD, work tree, hooks and configuration stay byte for byte as they were."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, contents, world

OURS = (".git/coderepo",)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """A checkout in which everything lies about that somebody could step on."""
    with world(tmp_path, "file") as made:
        repo = made.checkout
        repo.write("stashed.txt", "for later\n")
        repo.git("stash", "--include-untracked", "--quiet")
        repo.git("branch", "topic")
        repo.git("tag", "-a", "-m", "a tag", "v1")
        repo.write(".git/hooks/pre-commit", "#!/bin/sh\necho ran >> ../hook-ran\nexit 1\n", mode=0o755)
        for hook in ("post-checkout", "reference-transaction", "post-index-change", "pre-push"):
            repo.write(f".git/hooks/{hook}", f"#!/bin/sh\necho {hook} >> '{made.user.home}/hook-ran'\n", mode=0o755)
        repo.git("config", "alias.coderepo", "!echo mine")
        repo.write("staged.txt", "one\n")
        repo.git("add", "staged.txt")
        repo.write("staged.txt", "two\n")
        repo.write("train.py", "lr = 0.2\n")
        repo.write(b"caf\xe9", "untracked\n")
        repo.remove("docs/read me.txt")
        (made.user.home / "hook-ran").unlink(missing_ok=True)
        # A time that git has to look at again: it would like to refresh the index.
        os.utime(repo.file("run.sh"), (1_700_000_000, 1_700_000_000))
        yield made


def test_looking_recording_and_fetching_change_nothing(place: World) -> None:
    checkout: dict[str, Any] = {"cwd": place.checkout.path}
    before = contents(place.checkout.path, without=OURS)
    outside = set(os.listdir(place.user.home))

    for words in (
        ["status"],
        ["status", "--check", "--json"],
        ["snapshot", "-o", "../run.json"],
        ["snapshot", "HEAD", "-o", "../commit.json"],
        ["fetch", "../run.json", "../code"],
        ["fetch", f"origin@{place.base}", "../commit"],
        ["verify", "../run.json", "../code"],
        ["verify", "../run.json", "."],
        ["list"],
        ["describe"],
        ["validate", "../run.json"],
        ["demo", "--here"],
    ):
        place.user.run(*words, **checkout)
        assert contents(place.checkout.path, without=OURS) == before, words
    assert set(os.listdir(place.user.home)) - outside == {"run.json", "commit.json", "code", "commit"}
    assert os.listdir(place.user.env["TMPDIR"]) == []
    assert place.user.tree("code") == place.checkout.tree()


def test_publishing_moves_no_reference_here_and_sends_nothing_else(place: World) -> None:
    # Settings for the user's own pushes, each of which would do more than was asked.
    for name, value in (
        ("remote.origin.fetch", "+refs/*:refs/*"), ("remote.origin.mirror", "true"), ("push.followTags", "true"),
        ("push.gpgSign", "true"), ("push.recurseSubmodules", "on-demand"), ("push.pushOption", "merge"),
    ):  # fmt: skip
        place.checkout.git("config", name, value)
    place.user.run("run", "--", "true", cwd=place.checkout.path)
    before = contents(place.checkout.path, without=OURS)
    there = set(place.repository.git("for-each-ref", "--format=%(refname)").split())
    for words in (["publish"], ["log", "--remote"], ["publish", "--delete"], ["publish", "@{-1}"]):
        place.user.run(*words, cwd=place.checkout.path)
        assert contents(place.checkout.path, without=OURS) == before, words
    assert not place.user.path("hook-ran").exists()
    (added,) = set(place.repository.git("for-each-ref", "--format=%(refname)").split()) - there
    assert added.startswith("refs/coderepo/runs/")


def test_demo_here_writes_not_even_into_our_own_folder(place: World) -> None:
    before = contents(place.checkout.path)
    said = place.user.run("demo", "--here", cwd=place.checkout.path).text
    assert contents(place.checkout.path) == before
    assert place.checkout.tree() in said
    assert os.listdir(place.user.env["TMPDIR"]) == []


def test_demo_here_needs_no_remote_no_registration_and_no_right_to_write(place: World) -> None:
    place.checkout.git("remote", "remove", "origin")
    before = contents(place.checkout.path)
    for folder, _, _ in os.walk(place.checkout.path):
        os.chmod(folder, 0o555)
    try:
        said = place.user.run("demo", "--here", cwd=place.checkout.path).text
    finally:
        for folder, _, _ in os.walk(place.checkout.path):
            os.chmod(folder, 0o755)
    assert "verified" in said and place.checkout.tree() in said
    assert {path: facts[3] for path, facts in contents(place.checkout.path).items()} == {
        path: facts[3] for path, facts in before.items()
    }


def test_a_linked_worktree_keeps_its_own_things_too(place: World) -> None:
    place.checkout.git("worktree", "add", "--quiet", "../linked tree", "topic")
    linked = place.user.home / "linked tree"
    (linked / "train.py").write_text("lr = 0.9\n")
    before = contents(place.checkout.path, without=OURS), contents(linked)
    place.user.run("status", cwd=linked)
    place.user.run("snapshot", "-o", "../linked.json", cwd=linked)
    place.user.run("demo", "--here", cwd=linked)
    assert (contents(place.checkout.path, without=OURS), contents(linked)) == before


def test_a_registration_adds_its_announced_lines_and_nothing_else(place: World) -> None:
    config = place.checkout.path / ".git" / "config"
    with open(config, "a") as file:
        file.write("# a comment of mine\n[mine]\n\tkept =   as it is   ; really\n")
    checkout: dict[str, Any] = {"cwd": place.checkout.path}
    text = config.read_text()
    before = contents(place.checkout.path, without=OURS)

    def only_the_config_changed() -> None:
        now = contents(place.checkout.path, without=OURS)
        different = {path for path in now.keys() | before.keys() if now.get(path) != before.get(path)}
        assert different <= {".git", ".git/config"}

    said = place.user.run("register", "mine", "--description", "a word; or two", **checkout).text
    announced = [line.strip() for line in said.splitlines() if line.startswith("  coderepo.mine.")]
    assert announced == [
        "coderepo.mine.type = git", "coderepo.mine.remote = origin", "coderepo.mine.description = a word; or two",
    ]  # fmt: skip
    added = '[coderepo "mine"]\n\ttype = git\n\tremote = origin\n\tdescription = \\"a word; or two\\"\n'
    assert config.read_text() == text + added.replace('\\"', '"')
    only_the_config_changed()

    place.user.run("update", "mine", "--description", "another", **checkout)
    assert config.read_text() == text + added.replace('\\"a word; or two\\"', "another")
    place.user.run("update", "mine", "--name", "ours", **checkout)
    assert config.read_text() == text + added.replace('\\"a word; or two\\"', "another").replace("mine", "ours")
    only_the_config_changed()

    place.user.run("remove", "ours", **checkout)
    assert config.read_text() == text
    only_the_config_changed()


def test_a_registration_in_a_linked_worktree_is_one_for_all(place: World) -> None:
    place.checkout.git("worktree", "add", "--quiet", "../linked tree", "topic")
    linked = place.user.home / "linked tree"
    place.user.run("register", "mine", cwd=linked)
    assert place.checkout.line("config", "--local", "coderepo.mine.type") == "git"
    assert "mine" in place.user.run("list", cwd=place.checkout.path).text


def test_old_runs_outlive_their_registration(place: World) -> None:
    """Z7: a manifest stands alone."""
    place.user.run("register", "mine", cwd=place.checkout.path)
    manifest = place.manifest()
    place.user.run("remove", "mine", cwd=place.checkout.path)
    expected = place.checkout.tree()
    subprocess.run(["rm", "-rf", place.checkout.path], check=True)
    place.runner.run("fetch", manifest, "code")
    assert place.runner.tree("code") == expected
