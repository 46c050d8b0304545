"""What the installed pre-run hook costs, without a clock: the git processes it starts, the modules it loads."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from git_coderepo.hooks import scripts
from tests.hooks.support import Hooks

HEAVY = {
    "typer", "click", "pydantic", "rich", "git", "keyring", "requests", "urllib3", "jsonschema", "platformdirs", "json",
    "subprocess", "re", "typing", "dataclasses", "pathlib", "tempfile", "site", "importlib.metadata",
}  # fmt: skip


@pytest.fixture
def pushed(hooks: Hooks, tmp_path: Path) -> Hooks:
    """A checkout as most are: attributes, a remote that has what is committed, hooks installed."""
    repo = hooks.repo
    repo.write(".gitattributes", "*.png binary\n")
    repo.write("sub/.gitattributes", "*.csv -text\n")
    for number in range(20):
        repo.write(f"sub/file {number}", "x")
    repo.commit()
    repo.git("remote", "add", "origin", "https://github.com/acme/widgets.git")
    repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
    hooks.install()
    return hooks


def ten_small_changes(hooks: Hooks) -> None:
    for number in range(5):
        hooks.repo.write(f"sub/file {number}", "edited")
    for name in (b"-new", b"new\nline", b"\xff"):
        hooks.repo.write(name, "new")
    hooks.repo.remove("sub/file 6")
    os.chmod(hooks.repo.file("sub/file 7"), 0o755)


def git_processes(hooks: Hooks, tmp_path: Path) -> list[list[str]]:
    """The commands that git itself counts (api-trace2 in its documentation), but for `git hook run`."""
    events = tmp_path / "events"
    events.mkdir()
    status, said = hooks.call_pre_run({**hooks.repo.env, "GIT_TRACE2_EVENT": str(events)})
    assert (status, said) == (0, "")
    started = []
    for path in events.iterdir():
        lines = [json.loads(line) for line in path.read_text(errors="replace").splitlines()]
        started += [line["argv"] for line in lines if line["event"] == "start"]
        path.unlink()
    events.rmdir()
    assert json.loads(hooks.current.read_bytes())["code"]["snapshot"]["tree"] == hooks.repo.tree()
    return [argv for argv in started if argv[1:3] != ["hook", "run"]]


def test_a_clean_checkout_costs_three_git_processes(pushed: Hooks, tmp_path: Path) -> None:
    """What attributes and submodules there are is read off the index, where that is HEAD's tree."""
    started = git_processes(pushed, tmp_path)
    assert len(started) <= 3, started
    assert not any("ls-tree" in argv for argv in started)


def test_a_commit_that_is_not_pushed_costs_a_walk(pushed: Hooks, tmp_path: Path) -> None:
    pushed.repo.commit("not pushed")
    started = git_processes(pushed, tmp_path)
    assert len(started) <= 4, started
    assert sum("rev-list" in argv for argv in started) == 1


def test_where_the_index_does_not_tell_it_costs_four(pushed: Hooks, tmp_path: Path) -> None:
    pushed.repo.git("update-index", "--index-version", "4")
    started = git_processes(pushed, tmp_path)
    assert len(started) <= 4, started
    assert sum("ls-tree" in argv for argv in started) == 1


def test_a_dirty_one_costs_ten(pushed: Hooks, tmp_path: Path) -> None:
    ten_small_changes(pushed)
    for _ in range(2):
        started = git_processes(pushed, tmp_path)
        assert len(started) <= 10, started
    pushed.repo.write("sub/file 0", "edited again")
    pushed.repo.write(b"-new", "edited again")
    started = git_processes(pushed, tmp_path)
    assert len(started) <= 10, started


def test_a_dirty_one_with_commits_that_are_not_pushed_costs_ten(pushed: Hooks, tmp_path: Path) -> None:
    pushed.repo.write("sub/file 9", "committed, not pushed")
    pushed.repo.commit()
    ten_small_changes(pushed)
    started = git_processes(pushed, tmp_path)
    assert len(started) <= 10, started


@pytest.mark.slow
def test_hundreds_of_new_files_cost_ten_and_seven_where_none_was_written_to(pushed: Hooks, tmp_path: Path) -> None:
    for number in range(600):
        pushed.repo.write(f"outputs/metric {number}", f"{number}\n")
    pushed.repo.write("weights.bin", os.urandom(200_000))
    ten_small_changes(pushed)
    started = git_processes(pushed, tmp_path)
    assert len(started) <= 10, started
    started = git_processes(pushed, tmp_path)
    assert len(started) <= 7, started
    assert not any("update-index" in argv for argv in started), "nothing is hashed again"
    pushed.repo.write("outputs/metric 7", "edited")
    started = git_processes(pushed, tmp_path)
    assert len(started) <= 10, started


def test_a_teams_file_costs_one_more(pushed: Hooks, tmp_path: Path) -> None:
    pushed.repo.write(".coderepo", "[coderepo]\n\toverlayLimit = 1m\n")
    pushed.repo.commit()
    pushed.repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
    started = git_processes(pushed, tmp_path)
    assert len(started) <= 5, started


@pytest.mark.parametrize("state", ["clean", "dirty"])
@pytest.mark.parametrize("remote", ["https://github.com/acme/widgets.git", "https://git.corp/x.git", None])
def test_what_the_hook_loads(pushed: Hooks, state: str, remote: str | None) -> None:
    if state == "dirty":
        ten_small_changes(pushed)
    if remote is None:
        pushed.repo.git("remote", "remove", "origin")
    else:
        pushed.repo.git("remote", "set-url", "origin", remote)
    python, launcher = scripts.this_launcher()
    done = subprocess.run(
        [python, b"-IS", b"-X", b"importtime", launcher],
        cwd=pushed.repo.path, env=pushed.repo.env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "git_coderepo.hooks.prerun" in loaded and pushed.current.exists()
    assert loaded & HEAVY == set()
    # Nobody is asked for a token, and a clean checkout has nothing to pack.
    assert not loaded & {
        "git_coderepo.credentials.chain",
        "git_coderepo.credentials.environment",
        "git_coderepo.credentials.file",
        "git_coderepo.credentials.git_helper",
        "git_coderepo.credentials.keyring",
        "git_coderepo.credentials.sources",
        "git_coderepo.registration.users_credentials",
    }
    if state == "clean" and remote is not None:
        assert not loaded & {
            "git_coderepo.snapshots.tree.changes",
            "git_coderepo.snapshots.packing",
            "git_coderepo.snapshots.size_limits",
        }
    assert not {name for name in loaded if name.split(".")[0] in ("importlib", "rich", "git")} & HEAVY


@pytest.mark.slow
def test_the_installed_hook_starts_the_launcher_and_not_the_program(pushed: Hooks, tmp_path: Path) -> None:
    block = pushed["pre-run"]
    assert block.state == "installed"
    python, launcher = scripts.this_launcher()
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    (folder / "git-coderepo").write_text(f"#!/bin/sh\necho started >>'{tmp_path}/started'\nexit 1\n")
    (folder / "git-coderepo").chmod(0o755)
    install(pushed, os.fsencode(folder / "git-coderepo"), (python, launcher))
    assert pushed.call_pre_run() == (0, "")
    assert not (tmp_path / "started").exists() and pushed.current.exists()


@pytest.mark.slow
def test_where_the_launcher_is_gone_the_program_records(pushed: Hooks, tmp_path: Path) -> None:
    """As after the package was installed anew for another Python."""
    python, launcher = scripts.this_launcher()
    for gone in ((python, launcher + b".gone"), (b"/nowhere/it's/python", launcher)):
        pushed.current.unlink(missing_ok=True)
        install(pushed, scripts.this_program(), gone)
        assert pushed.call_pre_run() == (0, "")
        assert pushed.current.exists()
    alone = tmp_path / "site packages" / "git_coderepo" / "hooks" / "lean.py"
    alone.parent.mkdir(parents=True)
    alone.write_bytes(Path(os.fsdecode(launcher)).read_bytes())  # the package around it is gone
    pushed.current.unlink()
    install(pushed, scripts.this_program(), (python, os.fsencode(alone)))
    assert pushed.call_pre_run() == (0, "")
    assert pushed.current.exists()


def test_a_class_of_ones_own_is_found_as_the_whole_program_finds_it(pushed: Hooks, tmp_path: Path) -> None:
    """It may need packages that the launcher does not look for: here one that only PYTHONPATH knows."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my_helpers.py").write_text("NAME = 'mine'\n")
    pushed.repo.write(
        "my_platform.py",
        "import my_helpers\n"
        "from git_coderepo import BaseCodeRepository\n"
        "class Mine(BaseCodeRepository):\n"
        "    def login(self): pass\n"
        "    def download_files(self, commit, directory, repo_sub_directory): pass\n"
        "    def get_local_context(self, path): return None\n",
    )
    pushed.repo.commit()
    pushed.repo.git("config", "coderepo.mine.type", "custom")
    pushed.repo.git("config", "coderepo.mine.source", "my_platform.Mine")
    env = {**pushed.repo.env, "PYTHONPATH": str(tmp_path / "mine")}
    status, said = pushed.call_pre_run(env)
    assert (status, said) == (0, "")
    assert json.loads(pushed.current.read_bytes())["repository"]["source"] == "my_platform.Mine"


def install(hooks: Hooks, program: bytes, launcher: tuple[bytes, bytes]) -> None:
    """The installed text, with another program and another launcher in it."""
    from tests.hooks.support import IN_CONFIGURATION

    new = scripts.block("pre-run", program, snapshot=False, launcher=launcher)
    if IN_CONFIGURATION:
        hooks.repo.git("config", "hook.coderepo-pre-run.command", new.text)
        return
    path = hooks.folder / "pre-run"
    path.write_bytes(scripts.put(path.read_bytes(), new))
