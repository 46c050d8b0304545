"""P9: index, objects, references, stash, HEAD, work tree, hooks and configuration stay byte for byte as they were."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import PROJECT, World, contents, world

OURS = (".git/coderepo",)
KEYRING = {"PYTHON_KEYRING_BACKEND": "tests.support.keyring_backend.FileKeyring", "PYTHONPATH": str(PROJECT)}


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


@pytest.mark.slow
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
        ["verify", "--allow-added=.git/", "../run.json", "."],
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


@pytest.mark.slow
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

    place.user.run("remove", "-y", "ours", **checkout)
    assert config.read_text() == text
    only_the_config_changed()


def test_a_registration_in_a_linked_worktree_is_one_for_all(place: World) -> None:
    place.checkout.git("worktree", "add", "--quiet", "../linked tree", "topic")
    linked = place.user.home / "linked tree"
    place.user.run("register", "mine", cwd=linked)
    assert place.checkout.line("config", "--local", "coderepo.mine.type") == "git"
    assert "mine" in place.user.run("list", cwd=place.checkout.path).text


@pytest.mark.slow
def test_old_runs_outlive_their_registration(place: World) -> None:
    """Z7: a manifest stands alone."""
    place.user.run("register", "mine", cwd=place.checkout.path)
    manifest = place.manifest()
    place.user.run("remove", "-y", "mine", cwd=place.checkout.path)
    expected = place.checkout.tree()
    subprocess.run(["rm", "-rf", place.checkout.path], check=True)
    place.runner.run("fetch", manifest, "code")
    assert place.runner.tree("code") == expected


# --- no verb is forgotten -------------------------------------------------------------------------------------

# Each verb as a user would say it here, in an order in which each has what it needs.
LOOKING = (
    "status", "status --check --json", "snapshot -o ../run.json", "run --name first -- true", "run --frozen -- true",
    "run --no-command --output train.py -- sh -c true", "hook pre-run", "log", "log --json --dirty",
    "log --produced train.py",
    "show @{-1}", "diff @{-1} .", "build-key --explain", "fetch ../run.json ../code", "fetch --cache @{-1} ../kept",
    "exec ../run.json -- true", "verify ../run.json ../code", "validate ../run.json", "cache list",
    "cache prune --max-size 0", "list", "describe", "secret list", "hooks status", "publish", "log --remote",
    "report -o ../report", "doctor --offline", "prune --keep 1", "publish --delete --force", "demo", "demo --here",
    "help", "completion bash",
)  # fmt: skip
# These are there to write: into one file, or (`restore`) a new branch or worktree.
WRITING = {"register", "update", "remove", "login", "logout", "secret set", "secret remove", "ignore", "hooks install",
           "hooks uninstall", "restore"}  # fmt: skip

OUTPUTS = ("my checkout", "run.json", "code", "kept", "report", "tmp")


def test_every_verb_is_looked_at_here() -> None:
    from git_coderepo.cli.help.introspection import verbs

    said = {" ".join(words) for line in LOOKING for words in (line.split()[:1], line.split()[:2])}
    missing = {" ".join(verb.words) for verb in verbs()} - said - WRITING
    assert missing == set()


@pytest.mark.slow
def test_no_verb_that_looks_or_records_changes_anything(place: World) -> None:
    place.checkout.git("remote", "set-url", "origin", place.url)
    place.user.program.env["CODEREPO_CACHE_DIR"] = str(place.root / "cache")
    place.checkout.write("Dockerfile", "FROM python:3.12\n")
    before = contents(place.checkout.path, without=OURS)
    settings = contents(place.user.home, without=OUTPUTS)
    for line in LOOKING:
        place.user.run(*line.split(), cwd=place.checkout.path)
        assert contents(place.checkout.path, without=OURS) == before, line
    now = contents(place.user.home, without=OUTPUTS)
    assert {path: facts for path, facts in now.items() if path in settings} == settings
    assert not place.user.path("hook-ran").exists(), "nobody's hook was started"


@pytest.mark.slow
def test_login_and_secret_change_the_lines_that_they_announce_and_no_other(place: World) -> None:
    place.user.program.env.update(KEYRING)
    config = place.user.home / ".gitconfig"
    text = config.read_text() if config.exists() else ""
    config.write_text(text + "# mine\n[mine]\n\tkept =   as it is   ; really\n")
    text = config.read_text()
    before = contents(place.checkout.path, without=OURS)

    def added() -> list[str]:
        now = config.read_text()
        assert now.startswith(text)
        assert contents(place.checkout.path, without=OURS) == before
        return [line.strip() for line in now[len(text) :].splitlines()]

    place.user.run("login", "--host", "git.corp", "--token", "-", cwd=place.checkout.path, input=b"t0k3n-of-mine")
    assert added() == ["[coderepo]", "keyringEntry = https://git.corp"]
    place.user.run("logout", "--host", "git.corp", cwd=place.checkout.path)
    assert added() == []
    place.user.run("secret", "set", "corp", "--key=-", cwd=place.checkout.path, input=b"value")
    assert added() == ["[coderepo]", "secret = corp.key"]
    place.user.run("secret", "remove", "corp", cwd=place.checkout.path)
    assert added() == []
    assert config.read_text() == text


def test_ignore_adds_the_lines_that_it_announces(place: World) -> None:
    place.checkout.write("my outputs/big.bin", "x")
    exclude = place.checkout.path / ".git/info/exclude"
    text = exclude.read_text() if exclude.exists() else ""
    before = contents(place.checkout.path, without=(*OURS, ".git/info"))
    said = place.user.run("ignore", "my outputs/", cwd=place.checkout.path).text
    announced = [line.removeprefix("ignored: ") for line in said.splitlines()]
    assert exclude.read_text() == text + "".join(f"{line}\n" for line in announced)
    assert contents(place.checkout.path, without=(*OURS, ".git/info")) == before


def test_hooks_are_a_pair(place: World) -> None:
    before = contents(place.checkout.path, without=OURS)
    place.user.run("hooks", "install", cwd=place.checkout.path)
    assert contents(place.checkout.path, without=OURS) != before
    place.user.run("hooks", "uninstall", cwd=place.checkout.path)
    now = contents(place.checkout.path, without=OURS)
    assert {path: (facts[0], facts[3]) for path, facts in now.items()} == {
        path: (facts[0], facts[3]) for path, facts in before.items()
    }
