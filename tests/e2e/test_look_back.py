"""Weeks later: what ran, with which code, what is different now, and the same code back, whatever became of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.manifest.model import Manifest
from tests.e2e.support import World, contents, world
from tests.support.program import Result
from tests.support.repo import Repo

OURS = (".git/coderepo",)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "file") as made:
        # Nothing is asked of the platform unless a story says so: its protocol is not allowed.
        made.user.program.env.pop("CODEREPO_ALLOW_PROTOCOL", None)
        yield made


def here(place: World, *words: Any, check: bool = True, **env: Any) -> Result:
    return place.user.run(*words, cwd=place.checkout.path, check=check, env=env)


def run(place: World, *words: str) -> None:
    here(place, "run", *words, "--", "true")


def manifests(checkout: Repo) -> list[Path]:
    folder = checkout.git_dir() / "coderepo" / "runs"
    return sorted(path for path in folder.glob("*/*.json") if not path.name.endswith(".result.json"))


def gc(repo: Repo) -> None:
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")


# --- log and show ---


@pytest.mark.slow
def test_the_log_tells_the_runs_newest_first(place: World) -> None:
    here(place, "run", "--name", "first try", "--", "sh", "-c", "exit 3", check=False)
    place.checkout.write("train.py", "lr = 0.2\n")
    place.checkout.commit("tuned")
    place.checkout.write("train.py", "lr = 0.3\n")
    run(place, "--name", "second")
    lines = here(place, "log").text.splitlines()
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4} .* ok +[0-9a-f]{8}\+ second: true", lines[0])
    assert re.fullmatch(
        rf"[0-9a-f]{{8}}-[0-9a-f]{{4}} .* exit 3 +{place.base[:8]}  first try: sh -c 'exit 3'", lines[1]
    )
    assert len(lines) == 2
    assert here(place, "log", "-n", "1").text.splitlines() == lines[:1]
    assert here(place, "log", "--commit", "HEAD~1").text.splitlines() == lines[1:]
    assert here(place, "log", "--commit", place.base[:9]).text.splitlines() == lines[1:]
    assert here(place, "log", "--tree", place.base).text.splitlines() == lines[1:]
    assert here(place, "log", "--dirty").text.splitlines() == lines[:1]
    assert here(place, "log", "--name", "first*", "--since", "1h").text.splitlines() == lines[1:]
    assert here(place, "log", "--since", "2099-01-01", check=False).status == 129
    second, first = here(place, "log", "--json").json()
    assert (first["name"], first["status"], second["dirty"]) == ("first try", 3, True)
    assert here(place, "log", "--commit", "nothing", check=False).status == 129


def test_a_dirty_run_whose_code_was_committed_later_says_so(place: World) -> None:
    place.checkout.write("train.py", "lr = 0.2\n")
    run(place)
    assert "committed" not in here(place, "log").text
    commit = place.checkout.commit("what ran")
    assert here(place, "log").text.endswith(f"(committed as {commit[:8]})\n")
    assert f"committed as {commit}" in here(place, "show").text


@pytest.mark.slow
def test_runs_of_one_tree_are_folded(place: World) -> None:
    for number in range(3):
        run(place, "--name", f"seed {number}")
    place.checkout.write("train.py", "lr = 0.2\n")
    run(place)
    groups = here(place, "log", "--group", "--json").json()
    assert [len(each["runs"]) for each in groups] == [1, 3] and groups[0]["tree"] == place.checkout.tree()
    first, second = here(place, "log", "--group").text.splitlines()
    assert " 1 run, last " in first and " 3 runs, last " in second and second.endswith("seed 2: true")


@pytest.mark.slow
def test_the_run_of_a_result_is_found(place: World) -> None:
    for seed in ("1", "2"):
        here(
            place, "run", "--output", "out", "--name", seed, "--", "sh", "-c", f"mkdir -p out; echo {seed} > out/model"
        )
        shutil.copy(place.checkout.path / "out" / "model", place.user.home / f"model {seed}")
    (found,) = here(place, "log", "--produced", place.user.home / "model 1", "--json").json()
    assert found["name"] == "1"
    place.user.path("model 3").write_text("3\n")
    assert here(place, "log", "--produced", place.user.home / "model 3").text == ""
    assert "out/model" in here(place, "show", "1").text


@pytest.mark.slow
def test_show_gives_the_manifest_byte_for_byte_and_in_words(place: World) -> None:
    place.checkout.write(b"caf\xe9", "untracked\n")
    place.checkout.remove("docs/read me.txt")
    here(place, "run", "--name", "odd", "--", b"echo", b"\xff", b"two words")
    (path,) = manifests(place.checkout)
    for word in ("@{-1}", "odd", path.name[:36], path.name[:13], str(path)):
        assert here(place, "show", "--json", word).stdout == path.read_bytes()
    said = here(place, "show").text
    assert "name        odd\n" in said and "ok" in said and str(path) in said and place.base in said
    assert "2 files" not in said and "1 file, 1 deletion" in said and r"echo '\xff' 'two words'" in said
    assert here(place, "show", "-", check=False).status == 128  # nothing on standard input
    copied = place.user.home / "copy.json"
    shutil.copy(path, copied)
    assert "name        odd\n" in place.user.run("show", copied).text  # outside of any checkout


@pytest.mark.slow
def test_a_run_that_was_killed_is_shown_as_such(place: World) -> None:
    started = place.user.program.start("run", "--", "sleep", "60", cwd=place.checkout.path)
    deadline = time.monotonic() + 30
    while not (paths := [str(path) for path in (place.checkout.git_dir() / "coderepo").rglob("*.result.json")]):
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.02)
    assert " running " in here(place, "log").text
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    sleeping = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    os.kill(started.pid, signal.SIGKILL)
    for pid in sleeping:
        os.kill(pid, signal.SIGKILL)
    started.communicate()
    assert json.loads(Path(paths[0]).read_text())["finishedOn"] is None
    assert " killed " in here(place, "log").text and "killed: " in here(place, "show").text


@pytest.mark.slow
def test_colours_are_gits_business(place: World) -> None:
    run(place)
    assert "\x1b" not in here(place, "log").text
    in_pager: dict[str, Any] = {"GIT_PAGER_IN_USE": "true", "TERM": "xterm"}
    assert "\x1b[33m" in here(place, "log", **in_pager).text
    assert "\x1b" not in here(place, "log", **in_pager, NO_COLOR="1").text
    place.checkout.git("config", "color.ui", "never")
    assert "\x1b" not in here(place, "log", **in_pager).text
    place.checkout.git("config", "color.coderepo", "always")
    assert "\x1b[33m" in here(place, "log").text


def test_what_a_name_or_command_holds_cannot_steer_a_terminal(place: World) -> None:
    here(place, "run", "--name", "a\tb", "--", "echo", "\x1b]0;pwned\x07", check=False)
    assert "\x1b" not in here(place, "log").text + here(place, "show", "@{-1}", check=False).text


# --- diff ---


@pytest.mark.slow
def test_diff_is_gits_own_with_all_its_options(place: World) -> None:
    place.checkout.write("train.py", "lr = 0.2\n")
    run(place, "--name", "one")
    place.checkout.write("train.py", "lr = 0.3\n")
    place.checkout.write("new file.txt", "new\n")
    run(place, "--name", "two")
    between = here(place, "diff", "one", "two").text
    assert "-lr = 0.2\n+lr = 0.3\n" in between and "+++ b/new file.txt" in between
    assert here(place, "diff", "one").text == between == here(place, "diff", "one", ".").text
    assert here(place, "diff", "two").text == ""
    only = here(place, "diff", "one", "two", "--", "--name-status", "--", "train.py").text
    assert only == "M\ttrain.py\n"
    assert here(place, "diff", "one", "--", "--stat", "--exit-code", check=False).status == 1
    place.checkout.git("config", "diff.noprefix", "true")
    assert "+++ train.py" in here(place, "diff", "@{-2}", "@{-1}").text
    assert place.checkout.git("status", "--porcelain") == b' M train.py\n?? "new file.txt"\n'


@pytest.mark.slow
def test_diff_makes_a_tree_again_that_is_base_and_overlay_only(place: World) -> None:
    odd = [b"caf\xe9", b"-rf", b"line\nbreak", b"x" * 250]
    for path in odd:
        place.checkout.write(path, b"odd\n")
    place.checkout.write("run.sh", "#!/bin/sh\nexit\n", mode=0o644)
    place.checkout.symlink("latest", "train.py")
    place.checkout.remove("docs/read me.txt")
    run(place)
    tree = place.checkout.tree()
    expected = here(place, "diff", "@{-1}", "--", "--raw").stdout
    assert expected == b""
    shutil.rmtree(place.checkout.git_dir() / "coderepo" / "objects")
    assert here(place, "diff", "@{-1}").stdout == b""
    place.checkout.git("reset", "--hard", "--quiet")
    place.checkout.git("clean", "-fdq")
    shutil.rmtree(place.checkout.git_dir() / "coderepo" / "objects")
    changed = here(place, "diff", "@{-1}", ".", "--", "-z", "--name-only").stdout.split(b"\0")[:-1]
    assert set(changed) == {*odd, b"run.sh", b"latest", b"docs/read me.txt"}
    assert Manifest.load(str(manifests(place.checkout)[0])).code.snapshot_tree.hex == tree


def test_diff_of_what_could_not_be_sent_to_a_runner(place: World) -> None:
    """To look at it, it need not be reproducible."""
    run(place)
    token = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"
    place.checkout.write("train.py", f"token = '{token}'\n")
    assert here(place, "run", "true", check=False).status == 125
    assert "+token = " in here(place, "diff", "@{-1}").text


# --- get it back ---


@pytest.fixture
def ran(place: World) -> tuple[World, str]:
    """A dirty run on a commit that was pushed to a branch of its own; the tree that ran."""
    place.checkout.git("switch", "--quiet", "--create", "topic")
    place.checkout.write("model.py", "layers = 3\n")
    place.checkout.commit("pushed")
    place.checkout.git("push", "--quiet", "origin", "topic")
    place.checkout.write("train.py", "lr = 0.2\n")
    place.checkout.write("notes/new.txt", "never added\n")
    run(place, "--name", "ran")
    return place, place.checkout.tree()


def forget(place: World) -> None:
    """Everything that a busy person does to a branch afterwards."""
    checkout = place.checkout
    checkout.git("reset", "--hard", "--quiet")
    checkout.git("clean", "-fdq")
    checkout.git("switch", "--quiet", "main")
    checkout.commit("meanwhile")
    checkout.git("rebase", "--quiet", "main", "topic")
    checkout.git("switch", "--quiet", "main")
    checkout.git("branch", "-D", "--quiet", "topic")
    gc(checkout)


def forget_platform(place: World) -> None:
    """The branch is deleted there, too, and collected."""
    place.repository.git("update-ref", "-d", "refs/heads/topic")
    place.repository.git("gc", "--quiet", "--prune=now")


@pytest.mark.slow
def test_the_same_tree_from_here_without_any_platform(ran: tuple[World, str]) -> None:
    place, tree = ran
    forget(place)  # the tracking reference still holds the base
    place.repository.path.rename(place.root / "gone.git")
    try:
        fetched = here(place, "fetch", "ran", "../code", "--json").json()
        assert fetched["method"] == "local" and fetched["bytes"] == 0 and fetched["overlay"]["files"] == 2
        assert place.user.tree("code") == tree
        assert here(place, "verify", "ran", "../code").status == 0
        (place.user.home / "code" / "train.py").write_text("lr = 9\n")
        refused = here(place, "verify", "ran", "../code", check=False)
        assert refused.status == 1 and "changed: train.py" in refused.text
    finally:
        (place.root / "gone.git").rename(place.repository.path)


@pytest.mark.slow
def test_the_same_tree_from_the_platform_when_it_is_gone_from_here(ran: tuple[World, str]) -> None:
    place, tree = ran
    place.checkout.git("update-ref", "-d", "refs/remotes/origin/topic")
    forget(place)
    allowed: dict[str, Any] = {"CODEREPO_ALLOW_PROTOCOL": "file"}
    fetched = here(place, "fetch", "ran", "../code", "--json", **allowed).json()
    assert fetched["method"] == "git" and place.user.tree("code") == tree


@pytest.mark.slow
def test_gone_from_both_says_what_is_missing(ran: tuple[World, str]) -> None:
    place, _ = ran
    base = Manifest.load(str(manifests(place.checkout)[0])).code.base
    assert base is not None
    place.checkout.git("update-ref", "-d", "refs/remotes/origin/topic")
    forget(place)
    forget_platform(place)
    refused = here(place, "fetch", "ran", "../code", check=False, CODEREPO_ALLOW_PROTOCOL="file")
    assert refused.status == 128 and base.commit.hex in refused.errors
    assert not place.user.path("code").exists()
    compared = here(place, "diff", "ran", check=False)
    assert compared.status == 128 and f"the base {base.commit}" in compared.errors and "git fetch" in compared.errors


@pytest.mark.slow
def test_a_partial_clone_is_not_taken_for_a_whole_one(place: World) -> None:
    """What a promisor only promised is not at hand."""
    place.repository.git("config", "uploadpack.allowFilter", "true")
    partial = place.clone("partial", "--no-checkout", "--filter=blob:none")
    run(place)
    (path,) = manifests(place.checkout)
    refused = place.user.run("fetch", path, "../code", cwd=partial.path, check=False)
    assert refused.status != 0 and "CODEREPO_ALLOW_PROTOCOL" in refused.errors
    place.user.run("fetch", path, "../code", cwd=partial.path, env={"CODEREPO_ALLOW_PROTOCOL": "file"})


@pytest.mark.slow
def test_a_method_may_be_asked_for(ran: tuple[World, str]) -> None:
    place, tree = ran
    here(place, "fetch", "--method", "local", "@{-1}", "../code")
    assert place.user.tree("code") == tree
    refused = here(place, "fetch", "--method", "git", "@{-1}", "../other", check=False)
    assert refused.status != 0 and "CODEREPO_ALLOW_PROTOCOL" in refused.errors


def test_an_overlay_beside_the_record_is_found_from_anywhere(place: World) -> None:
    """A runner on the same file system has only CODEREPO_MANIFEST."""
    place.checkout.git("config", "coderepo.inlineLimit", "0")
    place.checkout.write("train.py", "lr = 0.2\n")
    run(place)
    (path,) = manifests(place.checkout)
    place.user.run("fetch", path, "code", env={"CODEREPO_ALLOW_PROTOCOL": "file"})
    assert place.user.tree("code") == place.checkout.tree()


def test_words_that_name_no_run(place: World) -> None:
    for verb in (["fetch", "nothing", "../code"], ["verify", "nothing", "."], ["show", "nothing"], ["diff", "nothing"]):
        refused = here(place, *verb, check=False)
        assert refused.status == 128 and "unknown run 'nothing', and no file has this name" in refused.errors
    outside = place.user.run("fetch", "nothing", "code", check=False)
    assert outside.status == 128 and "unknown run 'nothing': this directory is not in a repository" in outside.errors
    for verb in (["show", "@{-1}"], ["fetch", "@{-1}", "code"]):
        outside = place.user.run(*verb, check=False)
        assert outside.status == 128 and "unknown run '@{-1}': this directory is not in a repository" in outside.errors
    assert "cannot read the manifest" in place.user.run("show", "no/such.json", check=False).errors


def test_a_run_may_have_the_name_of_a_path(place: World) -> None:
    for name in ("lr/0.1", "a.json"):
        run(place, "--name", name)
        assert f"name        {name}\n" in here(place, "show", name).text


# --- everywhere ---


@pytest.mark.slow
def test_a_bare_repository_and_a_linked_worktree_have_one_record(place: World) -> None:
    run(place, "--name", "main")
    place.checkout.git("worktree", "add", "--quiet", "../linked", "-b", "other")
    linked = place.user.home / "linked"
    (linked / "train.py").write_text("lr = 0.5\n")
    place.user.run("run", "--name", "linked", "--", "true", cwd=linked)
    assert place.user.run("log", cwd=linked).text == here(place, "log").text
    assert "+lr = 0.5" in here(place, "diff", "main", "linked").text
    bare = place.user.run("log", cwd=place.checkout.git_dir(), check=False)
    assert bare.text == here(place, "log").text


@pytest.mark.slow
def test_looking_back_changes_nothing_of_yours(place: World) -> None:
    place.checkout.write("staged.txt", "one\n")
    place.checkout.git("add", "staged.txt")
    place.checkout.write("staged.txt", "two\n")
    place.checkout.write("train.py", "lr = 0.2\n")
    place.checkout.write(b"caf\xe9", "untracked\n")
    run(place)
    before = contents(place.checkout.path, without=OURS)
    for words in (
        ["log"], ["log", "--json", "--dirty"], ["show"], ["diff", "@{-1}"], ["diff", "@{-1}", "."], ["prune"],
        ["fetch", "@{-1}", "../code"], ["verify", "@{-1}", "../code"], ["prune", "--keep", "0"],
    ):  # fmt: skip
        here(place, *words)
        assert contents(place.checkout.path, without=OURS) == before, words
    assert os.listdir(place.user.env["TMPDIR"]) == []


def test_a_record_that_cannot_be_written_can_be_read(place: World) -> None:
    run(place, "--name", "kept")
    for folder, _, _ in os.walk(place.checkout.git_dir() / "coderepo"):
        os.chmod(folder, 0o555)
    try:
        assert "kept: true" in here(place, "log", "--name", "kept").text
        assert "name        kept" in here(place, "show", "kept").text
    finally:
        for folder, _, _ in os.walk(place.checkout.git_dir() / "coderepo"):
            os.chmod(folder, 0o755)


def test_a_damaged_run_is_named_and_hides_no_other(place: World) -> None:
    run(place, "--name", "one")
    run(place, "--name", "two")
    manifests(place.checkout)[0].write_bytes(b"{}")
    listed = here(place, "log")
    assert listed.text.count("\n") == 1 and "two: true" in listed.text and "invalid manifest" in listed.errors
