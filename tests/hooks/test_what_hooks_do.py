"""What the installed hooks do: pre-run records, strictly; the others take away what no longer fits, and never fail."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from git_coderepo.hooks import scripts
from tests.hooks.support import IN_CONFIGURATION, Hooks, without_programs
from tests.support.repo import Repo, run_git

# --- pre-run ---


def test_a_launcher_that_calls_pre_run_has_its_run_recorded(hooks: Hooks) -> None:
    hooks.install()
    hooks.repo.write("train.py", "lr = 0.2\n")
    assert hooks.call_pre_run() == (0, "")
    (run,) = hooks.runs()
    assert run.read_bytes() == hooks.current.read_bytes()
    assert json.loads(hooks.current.read_bytes())["code"]["snapshot"]["tree"] == hooks.repo.tree()


def test_the_manifest_also_goes_where_the_launcher_wants_it(hooks: Hooks, tmp_path: Path) -> None:
    hooks.install()
    out = tmp_path / "run 1.json"
    assert hooks.call_pre_run({**hooks.repo.env, "CODEREPO_OUT": str(out)}) == (0, "")
    assert out.read_bytes() == hooks.current.read_bytes()


def test_within_a_recorded_run_nothing_is_recorded_again(hooks: Hooks) -> None:
    hooks.install()
    hooks.remember()
    assert hooks.call_pre_run({**hooks.repo.env, "CODEREPO_RUN_ID": "a"}) == (0, "")
    assert hooks.runs() == []
    assert hooks.current.read_bytes() == b"{}"


def test_a_run_that_cannot_be_recorded_is_stopped_and_leaves_no_old_record(hooks: Hooks) -> None:
    hooks.install()
    hooks.remember()
    hooks.repo.git("config", "coderepo.dirty", "refuse")
    hooks.repo.write("train.py", "lr = 0.3\n")
    status, said = hooks.call_pre_run()
    assert status == 1
    assert said.startswith("fatal: ")
    assert not hooks.current.exists()


def test_where_the_program_is_gone_pre_run_says_so_in_one_line_and_stops_the_run(hooks: Hooks, tmp_path: Path) -> None:
    env = forget_the_program(hooks, tmp_path)
    hooks.remember()
    status, said = hooks.call_pre_run(env)
    assert status == 1
    assert said == "fatal: cannot record the run: git-coderepo not found\n"
    assert not hooks.current.exists()


@pytest.mark.parametrize("place", ["checkout", "worktree", "submodule", "named"])
def test_the_old_record_is_gone_before_git_is_waited_for(hooks: Hooks, tmp_path: Path, place: str) -> None:
    """On a slow disk git may take minutes, and whoever waits for the launcher may give up."""
    hooks.install()
    where, env = hooks, hooks.repo.env
    if place == "worktree":
        hooks.repo.git("worktree", "add", "-q", "-b", "second", tmp_path / "second tree")
        where = Hooks(Repo(tmp_path / "second tree", env))
    elif place == "submodule":
        hooks.repo.git("submodule", "add", "-q", f"file://{hooks.repo.path}", "lib")
        where = Hooks(Repo(hooks.repo.path / "lib", env))
        where.install()
    elif place == "named":
        env = {**env, "GIT_DIR": str(hooks.repo.git_dir()), "GIT_WORK_TREE": str(hooks.repo.path)}
    where.remember()
    env = without_programs(env, tmp_path / "few")
    wrapper, seen = tmp_path / "few" / "git", tmp_path / "seen"
    look = f"test -e '{where.current}' && echo there >>'{seen}'; echo \"$@\" >>'{tmp_path}/asked'"
    wrapper.write_text(wrapper.read_text().replace("exec", f'case "$*" in *" status "*) ;; *) {look} ;; esac\nexec', 1))
    # As the hook's text starts it; `git hook run` would find another git than ours first.
    python, launcher = scripts.this_launcher()
    subprocess.run([python, b"-IS", launcher], cwd=where.repo.path, env=env, check=True, timeout=60)
    assert where.current.exists()
    assert len((tmp_path / "asked").read_text().splitlines()) >= 2
    assert not seen.exists()


def test_an_old_record_that_cannot_be_taken_away_stops_the_run(hooks: Hooks) -> None:
    hooks.install()
    hooks.current.mkdir(parents=True)
    status, said = hooks.call_pre_run()
    assert status == 1
    assert said.startswith("fatal: cannot record the run: ")
    assert hooks.runs() == []


@pytest.mark.parametrize(
    "contents",
    [bytes(4096), b"gitdir: a\0b\n", b"no link\n" * 1000, b""],
    ids=["zeros", "a name with a NUL", "other words", "empty"],
)
@pytest.mark.parametrize("ending", ["", "/"])
def test_of_a_damaged_git_file_git_says_what_is_wrong(hooks: Hooks, contents: bytes, ending: str) -> None:
    """As a machine that lost its power leaves the `.git` of a worktree."""
    (hooks.repo.path / "damaged").write_bytes(contents)
    python, launcher = scripts.this_launcher()
    env = {**hooks.repo.env, "GIT_DIR": "damaged" + ending}
    done = subprocess.run([python, b"-IS", launcher], cwd=hooks.repo.path, env=env, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith((b"fatal: 'git rev-parse' failed: ", b"fatal: not a git repository: "))
    assert len(done.stderr.splitlines()) == 1


def test_a_program_that_is_killed_leaves_no_old_record(hooks: Hooks, tmp_path: Path) -> None:
    """However early: the hook's own text takes it away then."""
    killed = tmp_path / "python3"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    hooks.install()
    change_text(hooks, "pre-run", launcher=(os.fsencode(killed), os.fsencode(killed)))
    hooks.remember()
    assert hooks.call_pre_run()[0] == 1
    assert not hooks.current.exists()


def test_where_the_program_moved_the_one_on_path_is_taken(hooks: Hooks, tmp_path: Path) -> None:
    forget_the_program(hooks, tmp_path)
    assert hooks.call_pre_run() == (0, "")
    assert len(hooks.runs()) == 1


def test_where_the_programs_interpreter_is_gone_the_one_on_path_is_taken(hooks: Hooks, tmp_path: Path) -> None:
    """As when the Python of an environment was upgraded away."""
    forget_the_program(hooks, tmp_path, leaving="#!/nowhere/python3\n")
    status, _ = hooks.call_pre_run()
    assert status == 0
    assert len(hooks.runs()) == 1


def test_a_gui_without_path_records_all_the_same(hooks: Hooks, tmp_path: Path) -> None:
    hooks.install()
    assert hooks.call_pre_run(without_programs(hooks.repo.env, tmp_path / "few")) == (0, "")
    assert len(hooks.runs()) == 1


@pytest.mark.slow
def test_a_worktree_and_a_submodule_have_records_of_their_own(hooks: Hooks, tmp_path: Path) -> None:
    hooks.install()
    hooks.remember()
    hooks.repo.git("worktree", "add", "-q", "-b", "second", tmp_path / "second tree")
    second = Hooks(Repo(tmp_path / "second tree", hooks.repo.env))
    assert second.call_pre_run() == (0, "")
    assert second.current.exists() and second.current != hooks.current
    second.repo.commit("there")
    assert not second.current.exists()
    assert hooks.current.exists(), "nothing was committed here"

    hooks.repo.git("submodule", "add", "-q", f"file://{hooks.repo.path}", "lib")
    inner = Hooks(Repo(hooks.repo.path / "lib", hooks.repo.env))
    inner.install()
    assert inner.call_pre_run() == (0, "")
    inner.repo.commit("inside")
    assert not inner.current.exists()


# --- git's own hooks ---


def test_a_commit_takes_the_record_away(hooks: Hooks) -> None:
    hooks.install()
    hooks.remember()
    hooks.repo.git("commit", "-q", "--allow-empty", "-m", "x")
    assert not hooks.current.exists()
    assert hooks.current.parent.exists()


def test_so_do_a_checkout_of_a_branch_and_one_of_a_file(hooks: Hooks) -> None:
    hooks.install()
    for words in (
        ["checkout", "-q", "-b", "other"],
        ["checkout", "-q", "HEAD", "--", "train.py"],
        ["switch", "-q", "-"],
    ):
        hooks.remember()
        hooks.repo.git(*words)
        assert not hooks.current.exists(), words


def test_so_do_a_merge_and_a_pull(hooks: Hooks, tmp_path: Path) -> None:
    hooks.repo.git("checkout", "-q", "-b", "other")
    hooks.repo.write("b", "b")
    hooks.repo.commit()
    hooks.repo.git("checkout", "-q", "main")
    hooks.install("post-merge")
    hooks.remember()
    hooks.repo.git("merge", "-q", "--ff-only", "other")
    assert not hooks.current.exists()


@pytest.mark.slow
def test_so_do_an_amended_commit_and_a_rebase_of_many(hooks: Hooks) -> None:
    hooks.repo.git("checkout", "-q", "-b", "side")
    for number in range(5):
        hooks.repo.write(f"f{number}", "x")
        hooks.repo.commit(f"c{number}")
    hooks.repo.git("checkout", "-q", "main")
    hooks.repo.write("upstream", "x")
    hooks.repo.commit()
    hooks.repo.git("checkout", "-q", "side")
    hooks.install("post-rewrite")
    hooks.remember()
    hooks.repo.git("commit", "-q", "--amend", "-m", "again")
    assert not hooks.current.exists()
    hooks.remember()
    hooks.repo.git("rebase", "-q", "main")
    assert not hooks.current.exists()


@pytest.mark.parametrize("words", [["reset", "-q", "--hard", "HEAD"], ["stash", "-q"]])
def test_what_fires_no_hook_leaves_the_record(hooks: Hooks, words: list[str]) -> None:
    """The next pre-run takes a snapshot anew: the record is what ran, and no promise of what is there."""
    hooks.install()
    hooks.repo.write("train.py", "lr = 0.2\n")
    hooks.remember()
    hooks.repo.git(*words)
    assert hooks.current.exists()


def test_a_record_that_cannot_be_taken_away_stops_no_commit_and_no_checkout(hooks: Hooks) -> None:
    hooks.install()
    hooks.current.mkdir(parents=True)  # rm(1) takes no folder away, not even for root
    hooks.repo.git("commit", "-q", "--allow-empty", "-m", "x")
    hooks.repo.git("checkout", "-q", "-b", "other")
    hooks.repo.git("commit", "-q", "--amend", "--allow-empty", "-m", "y")


def test_they_need_neither_the_program_nor_python(hooks: Hooks, tmp_path: Path) -> None:
    env = forget_the_program(hooks, tmp_path)
    for words in (["commit", "-q", "--allow-empty", "-m", "x"], ["checkout", "-q", "-b", "other"]):
        hooks.remember()
        run_git(*words, cwd=hooks.repo.path, env=env)
        assert not hooks.current.exists()


def test_git_told_where_the_repository_is_finds_the_record(hooks: Hooks, tmp_path: Path) -> None:
    """`git --git-dir`, a separate git directory, and a checkout whose name holds a line break."""
    hooks.install()
    hooks.remember()
    git_dir = hooks.repo.git_dir()
    run_git(
        f"--git-dir={git_dir}", f"--work-tree={hooks.repo.path}", "commit", "-q", "--allow-empty", "-m", "x",
        cwd=tmp_path, env=hooks.repo.env,
    )  # fmt: skip
    assert not hooks.current.exists()

    odd = tmp_path / "two\nlines"
    run_git("init", "-q", f"--separate-git-dir={tmp_path / 'else where'}", odd, cwd=tmp_path, env=hooks.repo.env)
    apart = Hooks(Repo(odd, hooks.repo.env))
    apart.repo.commit()
    apart.install()
    apart.remember()
    apart.repo.commit("next")
    assert not apart.current.exists()


@pytest.mark.parametrize(
    "link", ["gitdir: ../repositories/one\n", "gitdir: {}/repositories/one", "gitdir: {}/line\nbreak\n"]
)
def test_a_git_file_is_followed_where_git_does_not_say_where_it_is(hooks: Hooks, tmp_path: Path, link: str) -> None:
    """Some launchers start hooks without GIT_DIR; the text is run as it stands."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".git").write_text(link.format(tmp_path))
    place = tmp_path / ("line\nbreak" if "line" in link else "repositories/one") / "coderepo"
    place.mkdir(parents=True)
    script = Path(__file__).parent.parent.parent / "hooks" / "post-commit"
    for env in ({}, {"GIT_DIR": ".git"}, {"GIT_DIR": str(tree / ".git")}):
        (place / "current.json").write_bytes(b"{}")
        subprocess.run(["sh", "-eu", script], cwd=tree, env={"PATH": os.environ["PATH"], **env}, check=True, timeout=60)
        assert not (place / "current.json").exists()


# --- coderepo.onCommit = snapshot ---


@pytest.mark.slow
def test_with_on_commit_snapshot_a_commit_writes_the_record_anew(hooks: Hooks) -> None:
    hooks.repo.git("config", "coderepo.onCommit", "snapshot")
    hooks.install()
    hooks.remember()
    head = hooks.repo.commit("next")
    document = json.loads(hooks.current.read_bytes())
    assert document["code"]["head"]["commit"] == head
    assert hooks.runs() == [], "no run was started"
    hooks.repo.git("checkout", "-q", "-b", "other")
    assert not hooks.current.exists()


def test_in_a_rebase_it_is_only_taken_away(hooks: Hooks) -> None:
    hooks.repo.git("config", "coderepo.onCommit", "snapshot")
    hooks.repo.write("b", "b")
    hooks.repo.commit("b")
    hooks.install()
    hooks.remember()
    hooks.repo.git("rebase", "-q", "--force-rebase", "HEAD~1")
    assert not hooks.current.exists()


@pytest.mark.slow
def test_a_snapshot_that_is_refused_says_nothing_and_stops_no_commit(hooks: Hooks, tmp_path: Path) -> None:
    hooks.repo.git("config", "coderepo.onCommit", "snapshot")
    hooks.repo.git("config", "coderepo.dirty", "refuse")
    hooks.install()
    hooks.remember()
    hooks.repo.write("untracked", "x")
    done = subprocess.run(
        ["git", "commit", "-q", "--allow-empty", "-m", "x"],
        cwd=hooks.repo.path, env=hooks.repo.env, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not hooks.current.exists()


def test_the_setting_is_read_when_hooks_are_installed_and_status_tells(hooks: Hooks) -> None:
    hooks.install()
    hooks.repo.git("config", "coderepo.onCommit", "snapshot")
    assert hooks.states()["post-commit"] == "outdated"
    assert hooks.states()["post-merge"] == "installed"
    hooks.install()
    assert hooks.states()["post-commit"] == "installed"


def forget_the_program(hooks: Hooks, tmp_path: Path, leaving: str | None = None) -> dict[str, str]:
    """Install hooks whose program is not there any more; gives an environment without any."""
    program = os.fsencode(tmp_path / "it's gone" / "git-coderepo")
    if leaving is not None:
        os.mkdir(os.path.dirname(program))
        Path(os.fsdecode(program)).write_text(leaving)
        os.chmod(program, 0o755)
    hooks.install()
    for event in scripts.EVENTS:
        change_text(hooks, event, program, launcher=(program + b"/python", program + b"/lean.py"))
    return without_programs(hooks.repo.env, tmp_path / "few")


def change_text(hooks: Hooks, event: str, program: bytes | None = None, *, launcher: tuple[bytes, bytes]) -> None:
    """Have an installed hook start other programs."""
    now = scripts.block(event, scripts.this_program(), snapshot=False)
    other = scripts.block(event, program or scripts.this_program(), snapshot=False, launcher=launcher)
    if IN_CONFIGURATION:
        hooks.repo.git("config", f"hook.coderepo-{event}.command", other.text)
        return
    path = hooks.folder / event
    path.write_bytes(path.read_bytes().replace(now.text, other.text))
