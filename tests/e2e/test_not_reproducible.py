"""What stops a run, each with the line that cures it; and a run that is recorded although nobody can get it back."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.manifest.model import Manifest
from tests.e2e.support import World, lines, load, problems, refused, world
from tests.support.repo import Repo

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0iL3oR6"
ANYWAY = "--allow-unreproducible"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("unreproducible"), "file") as place:
        yield place


class Story:
    """A new clone, and what becomes of it."""

    def __init__(self, place: World, repo: Repo) -> None:
        self.place = place
        self.repo = repo

    def stops(self, says: str, hint: str) -> None:
        """Neither `run` nor the hook starts anything, `status` says why, and each names the cure."""
        started = self.repo.path / "started"
        for words, status in ((("run", "--", "touch", "started"), 125), (("hook", "pre-run"), 1), (("snapshot",), 128)):
            done = self.place.user.run(*words, cwd=self.repo.path, check=False)
            assert done.status == status, done.errors
            assert says in done.errors and hint in done.errors, done.errors
            assert not started.exists()
        report = self.place.user.run("status", "--json", cwd=self.repo.path).json()
        assert says in report["problem"]["message"]

    def recorded(self, reason: str, says: str, *, command: tuple[str, ...] = ("true",)) -> Any:
        """The manifest of a run that is recorded all the same; the runner refuses it at once, and says why."""
        done = self.place.user.run("run", ANYWAY, "--name", reason, "--", *command, cwd=self.repo.path)
        assert any(says in each for each in lines(done, "warning")), done.errors
        current = self.repo.git_dir() / "coderepo" / "current.json"
        manifest = self.place.runner.home / f"{reason}.json"
        manifest.write_bytes(current.read_bytes())
        code = load(manifest)["code"]
        assert (code["unreproducible"][0]["reason"], says in code["unreproducible"][0]["message"]) == (reason, True)
        assert problems(self.place.runner, manifest) == []
        refused(self.place.runner, "fetch", manifest, "code", status=128, says=says, hint=None)
        (self.place.runner.home / "somewhere").mkdir(exist_ok=True)
        refused(self.place.runner, "verify", manifest, "somewhere", status=128, says=says, hint=None)
        log = self.place.user.run("log", cwd=self.repo.path)
        assert "(not reproducible)" in log.text
        assert self.place.user.run("log", "--json", cwd=self.repo.path).json()[0]["reproducible"] is False
        shown = self.place.user.run("show", reason, cwd=self.repo.path).text
        assert "not reproducible  " in shown and says in shown
        return code


@pytest.fixture
def story(made: World, request: pytest.FixtureRequest) -> Story:
    return Story(made, made.clone(f"checkout {len(list(made.user.home.iterdir()))}"))


def hashed(repo: Repo, *, without: tuple[str, ...] = ()) -> str:
    """The tree that git makes of the work tree."""
    copy = Repo(repo.path, {**repo.env, "GIT_INDEX_FILE": str(repo.path.parent / "scratch index")})
    copy.git("read-tree", "HEAD")
    if without:
        copy.git("rm", "-q", "--cached", "--", *without, check=False)
    others = [f":(exclude,literal){path}" for path in without]
    copy.git("add", "-A", "--", ".", *others)
    tree = copy.line("write-tree")
    os.unlink(repo.path.parent / "scratch index")
    return tree


@pytest.mark.slow
def test_a_run_that_can_be_reproduced_says_nothing_of_it(story: Story) -> None:
    story.repo.write("train.py", "lr = 0.2\n")
    story.place.user.run("run", ANYWAY, "--", "true", cwd=story.repo.path)
    assert "unreproducible" not in load(story.repo.git_dir() / "coderepo" / "current.json")["code"]
    assert "(not reproducible)" not in story.place.user.run("log", cwd=story.repo.path).text
    assert story.place.user.run("log", "--json", cwd=story.repo.path).json()[0]["reproducible"] is True


@pytest.mark.slow
def test_a_token_travels_in_no_case(story: Story) -> None:
    story.repo.write("settings.py", f"import os\n\nTOKEN = '{TOKEN}'\n")
    story.repo.write("train.py", "lr = 0.2\n")
    story.stops("'settings.py', line 3", "git config --add coderepo.exclude /settings.py")
    code = story.recorded("token", "'settings.py', line 3")
    assert code["overlay"] is None, "nothing of it travels"
    assert code["snapshot"]["tree"] == hashed(story.repo)
    record = story.repo.git_dir() / "coderepo"
    written = [
        path.read_bytes() for path in [*record.glob("runs/*/*"), *record.glob("*.json"), *record.glob("over*/*")]
    ]
    assert written and not any(TOKEN.encode() in data for data in written)


def test_outputs_that_are_too_large_are_named_with_the_line_that_cures_it(story: Story) -> None:
    """P5: judged by its size before a byte is read; a file of 5 GB takes no time."""
    (story.repo.path / "outputs" / "a run").mkdir(parents=True)
    for name in ("model.bin", "other.bin"):
        with open(story.repo.path / "outputs" / "a run" / name, "wb") as file:
            file.truncate(5 << 30)
    story.stops("'outputs/' 10.0 GiB untracked", "git coderepo ignore outputs/")
    story.place.user.run("ignore", "outputs/", cwd=story.repo.path)
    story.place.user.run("snapshot", cwd=story.repo.path)


@pytest.mark.slow
def test_a_large_file_beside_tracked_ones_is_named_itself(story: Story) -> None:
    """`ignore` does nothing for a folder that git tracks."""
    story.repo.git("config", "coderepo.overlayLimit", "1m")
    story.repo.write("data/a new.bin", bytes(2 << 20))
    story.stops("'data/' 2.0 MiB untracked", "git coderepo ignore 'data/a new.bin'")
    story.repo.git("add", "--intent-to-add", "data/a new.bin")
    story.stops("'data/' 2.0 MiB changed", "commit and push 'data/a new.bin'")
    story.repo.commit("it is ours")
    story.stops("'data/' 2.0 MiB not on the platform", "git push")


@pytest.mark.slow
def test_no_platform_and_a_tree_too_large(story: Story) -> None:
    story.repo.git("remote", "remove", "origin")
    story.place.user.run("snapshot", cwd=story.repo.path)
    story.repo.git("config", "coderepo.overlayLimit", "1k")
    story.stops("'data/' 4.0 KiB and no platform", "git remote add origin URL")
    code = story.recorded("too-large", "'data/' 4.0 KiB and no platform")
    assert code["base"] is None and code["overlay"] is None
    assert code["snapshot"]["tree"] == hashed(story.repo)


@pytest.mark.slow
def test_what_is_too_large_is_hashed_and_kept_nowhere(story: Story) -> None:
    story.repo.git("config", "coderepo.overlayLimit", "1m")
    story.repo.write(b"out put/caf\xe9\n.bin", os.urandom(2 << 20))
    story.repo.write("train.py", "lr = 0.3\n")
    code = story.recorded("too-large", "'out put/' 2.0 MiB untracked", command=("sh", "-c", "echo '#' >> train.py"))
    assert (code["overlay"], code["dirty"]) == (None, True)
    kept = [path for path in (story.repo.git_dir() / "coderepo").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) < 100_000
    result = next((story.repo.git_dir() / "coderepo" / "runs").glob("*/*.result.json"))
    assert load(result)["edited"] == ["train.py"], "and what was edited meanwhile is seen"
    told = story.place.user.run("diff", "too-large", "too-large", cwd=story.repo.path, check=False)
    assert told.status == 128 and "was recorded as not reproducible" in told.errors
    story.repo.write("train.py", "lr = 0.3\n")
    assert code["snapshot"]["tree"] == hashed(story.repo)


def unreadable(repo: Repo, path: str) -> None:
    """A tracked path that nobody can read, root neither."""
    repo.remove(path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fsdecode(repo.file(path)))


@pytest.mark.slow
def test_a_tracked_path_that_cannot_be_read(story: Story) -> None:
    unreadable(story.repo, "docs/read me.txt")
    story.repo.write("train.py", "lr = 0.2\n")
    story.stops("'docs/read me.txt' cannot be read", "git rm --cached")
    code = story.recorded("unreadable", "'docs/read me.txt' cannot be read")
    assert {"path": "docs/read me.txt", "reason": "unreadable"} in code["omitted"]
    assert code["snapshot"]["tree"] == hashed(story.repo, without=("docs/read me.txt",)), (
        "the tree less what is omitted"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_tracked_path_that_may_not_be_read(story: Story) -> None:
    story.repo.write("train.py", "lr = 0.2\n", mode=0)
    story.stops("'train.py' cannot be read: permission denied", "make it readable")
    story.recorded("unreadable", "'train.py' cannot be read: permission denied")


@pytest.mark.slow
def test_a_repository_inside_and_a_remote_that_no_runner_may_use(story: Story) -> None:
    Repo.init(story.repo.path / "vendor/inner lib", story.repo.env).commit("its own")
    story.repo.git("remote", "set-url", "origin", "http://git.corp/acme/widgets.git")
    story.stops("the remote 'origin' is not encrypted", "git remote set-url origin https://git.corp/acme/widgets.git")
    code = story.recorded("remote", "the remote 'origin' is not encrypted")
    assert [each["reason"] for each in code["unreproducible"]] == ["remote", "repository-inside"]
    assert {"path": "vendor/inner lib", "reason": "repository-inside"} in code["omitted"]


def test_a_message_with_an_odd_name_is_one_line_of_the_record(story: Story) -> None:
    Repo.init(Path(os.fsdecode(story.repo.file(b"a\nb\xff"))), story.repo.env).commit("its own")
    story.place.user.run("snapshot", ANYWAY, "-o", story.place.runner.home / "odd.json", cwd=story.repo.path)
    (obstacle,) = Manifest.load(str(story.place.runner.home / "odd.json")).code.unreproducible
    assert "'a\\nb\\udcff/' is a Git repository of its own" in obstacle.message


def test_what_would_make_the_record_false_is_never_waived(story: Story) -> None:
    hook = story.repo.git_dir() / "hooks" / "pre-run"
    hook.write_text("#!/bin/sh\necho '# formatted' >> train.py\n")
    hook.chmod(0o755)
    done = story.place.user.run("run", ANYWAY, "--", "touch", "started", cwd=story.repo.path, check=False)
    assert done.status == 125 and "the checkout changed after it was recorded" in done.errors
    hook.write_text("#!/bin/sh\n")
    story.repo.git("config", "coderepo.dirty", "refuse")
    done = story.place.user.run("run", ANYWAY, "--", "touch", "started", cwd=story.repo.path, check=False)
    assert done.status == 125 and "'coderepo.dirty' is 'refuse'" in done.errors, "a rule, not a hindrance"
    assert not (story.repo.path / "started").exists()


@pytest.mark.slow
def test_a_base_that_is_gone_from_the_platform_is_replaced_by_the_whole_tree(tmp_path: Path) -> None:
    with world(tmp_path, "gitlab") as place:
        place.checkout.write("train.py", "lr = 0.2\n")
        place.checkout.commit("second")
        place.push()
        place.repository.git("update-ref", "refs/heads/main", place.base)
        place.repository.prune()
        manifest = place.manifest("--check", ANYWAY)
        assert load(manifest)["code"]["base"] is None and "unreproducible" not in load(manifest)["code"]
        place.runner.run("fetch", manifest, "code")
        assert place.runner.tree("code") == place.checkout.tree()


# --- the rules ---


@pytest.mark.slow
def test_what_is_left_out_makes_nothing_dirty(story: Story) -> None:
    story.repo.git("config", "coderepo.dirty", "refuse")
    story.repo.git("config", "coderepo.exclude", "outputs/")
    story.repo.write(".env", "SECRET=1\n")
    story.repo.write("outputs/log", "x\n")
    story.place.user.run("run", "--", "true", cwd=story.repo.path)
    story.repo.write("train.py", "lr = 0.2\n")
    story.repo.git("add", "-A", "--", "train.py")
    story.stops("the checkout is dirty, and 'coderepo.dirty' is 'refuse'", "git commit")
    story.repo.git("reset", "-q", "--hard")
    story.repo.write("new.py", "x\n")
    story.stops("the checkout is dirty", "git commit")


@pytest.mark.slow
def test_untracked_files_are_a_rule_of_their_own(story: Story) -> None:
    story.repo.git("config", "coderepo.exclude", "outputs/")
    story.repo.write("outputs/log", "x\n")
    story.repo.git("config", "coderepo.untracked", "refuse")
    story.place.user.run("run", "--", "true", cwd=story.repo.path)
    story.repo.write("- new.py", "x\n")
    story.stops("'- new.py' is untracked, and 'coderepo.untracked' is 'refuse'", "git coderepo ignore -- '- new.py'")
    story.repo.git("config", "coderepo.untracked", "ignore")
    story.place.user.run("run", "--", "true", cwd=story.repo.path)
    code = load(story.repo.git_dir() / "coderepo" / "current.json")["code"]
    assert code["snapshot"]["tree"] == story.repo.line("rev-parse", "HEAD^{tree}")
    assert {each["path"] for each in code["omitted"]} == {"- new.py", "outputs/log"}
