"""Installing, upgrading and taking out, whichever way this git has hooks: what was there before is as it was.

The stories are those of pre-commit's `install_uninstall_test` and of git-lfs's install and update tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from git_coderepo.errors import CodeRepoError, NotACheckout, UsageError
from git_coderepo.git.process import Git
from git_coderepo.hooks.configured import GLOBAL, WORKTREE
from git_coderepo.hooks.install import install, launch, status, uninstall
from tests.hooks.support import EVENTS, IN_CONFIGURATION, Hooks, in_configuration, picture
from tests.support.program import Program
from tests.support.repo import Repo

AFTER = EVENTS[1:]


def test_all_are_installed_and_all_are_gone_again(hooks: Hooks, home: Path) -> None:
    before = picture(hooks.repo.path, home)
    done = hooks.install()
    assert [each.event for each in done] == list(EVENTS)
    assert set(hooks.states().values()) == {"installed"}
    gone = hooks.uninstall()
    assert [each.event for each in gone] == list(EVENTS)
    assert set(hooks.states().values()) == {"missing"}
    assert picture(hooks.repo.path, home) == before


def test_one_event_alone_and_another_later(hooks: Hooks) -> None:
    before = picture(hooks.repo.path)
    hooks.install("post-merge")
    assert [event for event, state in hooks.states().items() if state == "installed"] == ["post-merge"]
    hooks.install("pre-run", "post-commit")
    hooks.uninstall("post-merge")
    assert [event for event, state in hooks.states().items() if state == "installed"] == ["pre-run", "post-commit"]
    hooks.uninstall("post-commit", "pre-run")
    assert picture(hooks.repo.path) == before


def test_installing_twice_is_installing_once(hooks: Hooks) -> None:
    before = picture(hooks.repo.path)
    hooks.install()
    once = picture(hooks.repo.path)
    hooks.install()
    assert picture(hooks.repo.path) == once
    hooks.uninstall()
    assert picture(hooks.repo.path) == before


def test_taking_out_what_is_not_there_does_nothing(hooks: Hooks) -> None:
    before = picture(hooks.repo.path)
    assert hooks.uninstall() == []
    assert picture(hooks.repo.path) == before


def test_an_older_text_is_brought_up_to_date_in_its_place(hooks: Hooks) -> None:
    before = picture(hooks.repo.path)
    hooks.install()
    new = picture(hooks.repo.path)
    for event in AFTER:
        if IN_CONFIGURATION:
            text = hooks.repo.line("config", f"hook.coderepo-{event}.command")
            hooks.repo.git("config", f"hook.coderepo-{event}.command", text.replace("never fails", "seldom fails"))
        else:
            path = hooks.folder / event
            path.write_bytes(path.read_bytes().replace(b"never fails", b"seldom fails"))
    assert {event for event, state in hooks.states().items() if state == "outdated"} == set(AFTER)
    hooks.install()
    assert picture(hooks.repo.path) == new
    hooks.uninstall()
    assert picture(hooks.repo.path) == before


def test_the_folder_need_not_be_there(hooks: Hooks) -> None:
    """Some clients make repositories without `.git/hooks`."""
    shutil.rmtree(hooks.folder)
    before = picture(hooks.repo.path)
    hooks.install()
    hooks.uninstall("pre-run", "post-commit")
    hooks.install("post-commit")
    hooks.uninstall()
    assert picture(hooks.repo.path) == before
    hooks.install()
    hooks.remember()
    hooks.repo.commit()
    assert not hooks.current.exists()


def test_a_checkout_that_is_moved_takes_its_hooks_along(hooks: Hooks, tmp_path: Path) -> None:
    hooks.install()
    hooks.repo.path.rename(tmp_path / "moved")
    moved = Hooks(Repo(tmp_path / "moved", hooks.repo.env))
    assert set(moved.states().values()) == {"installed"}
    assert moved.call_pre_run() == (0, "")
    moved.repo.commit()
    assert not moved.current.exists()


def test_a_linked_worktree_has_the_hooks_of_its_checkout(hooks: Hooks, tmp_path: Path) -> None:
    hooks.repo.git("worktree", "add", "-q", "-b", "second", tmp_path / "second")
    second = Hooks(Repo(tmp_path / "second", hooks.repo.env))
    before = picture(hooks.repo.path, tmp_path / "second")
    second.install()
    assert set(hooks.states().values()) == {"installed"}
    hooks.uninstall()
    assert set(second.states().values()) == {"missing"}
    assert picture(hooks.repo.path, tmp_path / "second") == before


def test_a_submodule_has_hooks_of_its_own(hooks: Hooks) -> None:
    hooks.repo.git("submodule", "add", "-q", f"file://{hooks.repo.path}", "lib")
    before = picture(hooks.repo.path)
    inner = Hooks(Repo(hooks.repo.path / "lib", hooks.repo.env))
    inner.install()
    assert set(inner.states().values()) == {"installed"}
    assert set(hooks.states().values()) == {"missing"}
    inner.uninstall()
    assert picture(hooks.repo.path) == before


def test_from_a_subdirectory_it_is_the_same(hooks: Hooks) -> None:
    below = hooks.repo.path / "a" / "b"
    below.mkdir(parents=True)
    install(Git(str(below), environment=hooks.repo.env), [], "local")
    assert set(hooks.states().values()) == {"installed"}
    assert hooks.call_pre_run(cwd=below) == (0, "")
    assert len(hooks.runs()) == 1


def test_a_checkout_of_sha256_ids(tmp_path: Path, env: dict[str, str]) -> None:
    repo = Repo.init(tmp_path / "checkout", env, object_format="sha256")
    repo.commit()
    hooks = Hooks(repo)
    hooks.install()
    assert hooks.call_pre_run() == (0, "")
    assert len(hooks.runs()) == 1


def test_a_checkout_before_its_first_commit(tmp_path: Path, env: dict[str, str]) -> None:
    hooks = Hooks(Repo.init(tmp_path / "checkout", env))
    hooks.install()
    hooks.remember()
    hooks.repo.commit()
    assert not hooks.current.exists()


@pytest.mark.parametrize("name", [b"-rf", b"two\nlines", b"caf\xe9", "dürüm 'quoted' \"$HOME\"".encode(), b"x" * 250])
def test_a_checkout_of_any_name(tmp_path: Path, env: dict[str, str], name: bytes) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    hooks = Hooks(Repo.init(path, env))
    before = picture(path)
    hooks.install()
    assert set(hooks.states().values()) == {"installed"}
    hooks.uninstall()
    assert picture(path) == before
    hooks.install()
    hooks.remember()
    hooks.repo.commit()
    assert not hooks.current.exists()


def test_a_bare_repository_has_no_work_tree_to_record(tmp_path: Path, env: dict[str, str]) -> None:
    bare = Repo.init(tmp_path / "bare.git", env, bare=True)
    before = picture(bare.path)
    for attempt in (lambda: Hooks(bare).install(), lambda: Hooks(bare).uninstall(), lambda: Hooks(bare).status()):
        with pytest.raises(NotACheckout, match="bare"):
            attempt()
    assert picture(bare.path) == before


def test_outside_of_a_checkout_there_is_nothing_to_install(home: Path, env: dict[str, str]) -> None:
    home.mkdir(exist_ok=True)
    before = picture(home)
    with pytest.raises(NotACheckout):
        install(Git(str(home), environment=env), [], "local")
    assert picture(home) == before


def test_an_event_that_is_not_ours_is_named_with_those_that_are(hooks: Hooks) -> None:
    before = picture(hooks.repo.path)
    with pytest.raises(UsageError, match="unknown event 'pre-commit'") as told:
        hooks.install("post-merge", "pre-commit")
    assert told.value.hints == ("choose one of: pre-run, post-commit, post-checkout, post-merge, post-rewrite",)
    assert picture(hooks.repo.path) == before


def test_what_a_hook_of_the_user_prints_and_returns_is_the_users_affair(hooks: Hooks) -> None:
    hooks.foreign("pre-commit", "#!/bin/sh\nexit 1\n")
    hooks.install()
    before = hooks.repo.head()
    hooks.repo.git("commit", "-q", "--allow-empty", "-m", "x", check=False)
    assert hooks.repo.head() == before


def test_the_users_own_pre_run_checks_run_beside_ours(hooks: Hooks) -> None:
    """Strict both ways: whichever fails stops the run."""
    hooks.foreign("pre-run", '#!/bin/sh\necho checked >>"${0%/*}/../checked"\n')
    before = picture(hooks.repo.path)
    hooks.install()
    assert hooks.call_pre_run() == (0, "")
    assert len(hooks.runs()) == 1
    checked = hooks.repo.git_dir() / "checked"
    assert checked.read_text() == "checked\n"
    checked.unlink()
    hooks.uninstall()
    assert picture(hooks.repo.path) == before


# --- where it is installed ---


def test_for_all_checkouts_of_the_user(hooks: Hooks, home: Path, env: dict[str, str], tmp_path: Path) -> None:
    if not IN_CONFIGURATION:
        hooks.repo.git("config", "--global", "core.hooksPath", "~/my hooks")
    before = picture(home, hooks.repo.path)
    install(Git(str(home), environment=env), [], GLOBAL)
    assert set(hooks.states().values()) == {"installed"}
    assert hooks.call_pre_run() == (0, "")
    assert len(hooks.runs()) == 1
    shutil.rmtree(hooks.repo.git_dir() / "coderepo")
    uninstall(Git(str(home), environment=env), [], GLOBAL)
    assert set(hooks.states().values()) == {"missing"}
    assert picture(home, hooks.repo.path) == before


@in_configuration
def test_for_all_checkouts_and_for_this_one_records_once(hooks: Hooks, env: dict[str, str]) -> None:
    hooks.install()
    hooks.install(scope=GLOBAL)
    assert hooks.call_pre_run() == (0, "")
    assert len(hooks.runs()) == 1
    hooks.uninstall()
    assert {hook.scope for hook in hooks.status().hooks} == {"global"}


def test_for_one_worktree_alone(hooks: Hooks, tmp_path: Path) -> None:
    hooks.repo.git("worktree", "add", "-q", "-b", "second", tmp_path / "second")
    second = Hooks(Repo(tmp_path / "second", hooks.repo.env))
    before = picture(hooks.repo.path)
    with pytest.raises(CodeRepoError) as told:
        second.install(scope=WORKTREE)
    assert picture(hooks.repo.path) == before
    if not IN_CONFIGURATION:
        assert "one hooks folder for all worktrees" in told.value.message
        return
    assert told.value.hints == ("git config extensions.worktreeConfig true",)
    hooks.repo.git("config", "extensions.worktreeConfig", "true")
    before = picture(hooks.repo.path)
    second.install(scope=WORKTREE)
    assert set(second.states().values()) == {"installed"}
    assert set(hooks.states().values()) == {"missing"}
    assert second.uninstall() == []
    second.uninstall(scope=WORKTREE)
    assert picture(hooks.repo.path) == before


# --- the verbs ---


def test_the_verbs_say_what_they_did(hooks: Hooks, program: Program) -> None:
    place = hooks.repo.path
    done = program.run("hooks", "install", "--event", "pre-run", "--event=post-merge", cwd=place)
    assert [line.split(":")[0] for line in done.text.splitlines()] == ["pre-run", "post-merge"]
    assert "hint: " in done.errors
    shown = program.run("hooks", "status", cwd=place).text
    call = "git hook run --allow-unknown-hook-name pre-run" if IN_CONFIGURATION else "git hook run pre-run"
    for words in (
        "  pre-run        installed: ",
        "  post-commit    not installed",
        "git itself never calls pre-run",
        f"train: ; {call} && python train.py",
        f'CODEREPO_OUT="$PWD/run-$SLURM_JOB_ID.json" {call} || exit 1',
        "import subprocess; subprocess.run(['git', 'hook', 'run', ",
    ):
        assert words in shown
    assert "requires pre-run: git coderepo hooks install" not in shown
    gone = program.run("hooks", "uninstall", cwd=place)
    assert len(gone.text.splitlines()) == 2
    again = program.run("hooks", "uninstall", cwd=place)
    assert (again.text, again.errors) == ("", "no hooks to remove\n")
    assert "requires pre-run: git coderepo hooks install" in program.run("hooks", "status", cwd=place).text


def test_the_line_for_make_works_in_make(hooks: Hooks, program: Program) -> None:
    hooks.install()
    shown = program.run("hooks", "status", cwd=hooks.repo.path).text
    (rule,) = (line.strip() for line in shown.splitlines() if line.startswith("  train: ;"))
    hooks.repo.write("Makefile", rule.replace("python train.py", "true") + "\n")
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    subprocess.run(["make", "-s"], cwd=hooks.repo.path, env=hooks.repo.env, check=True, timeout=60)
    assert len(hooks.runs()) == 1


def test_the_status_for_the_next_program(hooks: Hooks, program: Program) -> None:
    hooks.install("post-commit")
    found = program.run("hooks", "status", "--json", cwd=hooks.repo.path).json()
    assert found["mechanism"] == ("configuration" if IN_CONFIGURATION else "folder")
    assert {hook["event"]: hook["state"] for hook in found["hooks"]} == {
        event: "installed" if event == "post-commit" else "missing" for event in EVENTS
    }
    assert found["recorded"] == {"run": True, "launcher": False, "otherwise": False}
    hooks.install("pre-run")
    found = program.run("hooks", "status", "--json", cwd=hooks.repo.path).json()
    assert found["recorded"]["launcher"] is True
    assert found["hooks"][0]["program"].endswith("/git-coderepo")
    assert found["hooks"][0]["programIsThere"] is True


def test_two_places_at_once_are_a_mistake(hooks: Hooks, program: Program) -> None:
    done = program.run("hooks", "install", "--local", "--global", cwd=hooks.repo.path, check=False)
    assert done.status == 129
    assert "--local, --worktree and --global" in done.errors


def test_hooks_without_a_verb_is_a_mistake(program: Program) -> None:
    assert program.run("hooks", check=False).status == 129


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ((2, 55), "git hook run --allow-unknown-hook-name pre-run"),
        ((2, 54), "git hook run --allow-unknown-hook-name pre-run"),
        ((2, 53), "git hook run pre-run"),
        ((2, 36), "git hook run pre-run"),
        ((2, 35), 'sh -c "$(git rev-parse --git-path hooks)/pre-run"'),
    ],
)
def test_a_launchers_call_is_the_one_that_its_git_takes(version: tuple[int, int], words: str) -> None:
    assert " ".join(launch(version)) == words


def test_the_call_for_the_oldest_git_works_too(hooks: Hooks) -> None:
    if IN_CONFIGURATION:
        pytest.skip("a newer git has no file there")
    hooks.install()
    subprocess.run(launch((2, 35)), cwd=hooks.repo.path, env=hooks.repo.env, check=True, timeout=60)
    assert len(hooks.runs()) == 1


def test_status_tells_when_the_recorded_program_is_gone(hooks: Hooks, tmp_path: Path) -> None:
    from tests.hooks.test_what_hooks_do import forget_the_program

    forget_the_program(hooks, tmp_path)
    hook = next(hook for hook in status(hooks.git).hooks if hook.event == "pre-run")
    assert hook.program == str(tmp_path / "it's gone" / "git-coderepo")
    assert not hook.program_exists
    hooks.install()
    assert hooks["pre-run"].program_exists
