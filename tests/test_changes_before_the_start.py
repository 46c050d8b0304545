"""A file that changes between the snapshot and the start: the snapshot is taken again, or nothing is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_coderepo.manifest.model import Manifest
from git_coderepo.runs.result import Result
from tests.hints import cures
from tests.support.program import Program
from tests.support.program import Result as Ended
from tests.support.repo import Repo


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    """A checkout that publishes each run; what `edit` holds is run while that takes its time."""
    repo.write("train.py", "lr = 0\n")
    repo.write("lib/t.py", "")
    repo.write(".gitignore", "/ignored\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    repo.git("config", "coderepo.publish", "auto")
    return repo


def edit_while_publishing(checkout: Repo, script: str, *, times: int = 1) -> None:
    """Have the platform run a shell script in the checkout, during each of the first pushes of a run."""
    hook = Path(checkout.path).parent / "platform.git" / "hooks" / "pre-receive"
    count = hook.parent / "count"
    hook.write_text(
        "#!/bin/sh\nread old new ref; case $new in 0000*) exit 0;; esac\n"
        f"n=$(cat '{count}' 2>/dev/null || echo 0); echo $((n+1)) >'{count}'; [ $n -lt {times} ] || exit 0\n"
        f"unset $(git rev-parse --local-env-vars); cd '{checkout.path}' || exit 0\n{script}\nexit 0\n"
    )
    hook.chmod(0o755)


def served(checkout: Repo) -> list[str]:
    return checkout.line("ls-remote", "--refs", "origin", "refs/coderepo/runs/*").split()[1::2]


def recorded(checkout: Repo) -> list[Manifest]:
    folder = checkout.git_dir() / "coderepo" / "runs"
    return [Manifest.load(str(path)) for path in sorted(folder.glob("*/*.json")) if ".result." not in path.name]


EDITS = {
    "edited": "echo 'lr = 1' >train.py",
    "edited and staged": "echo 'lr = 1' >train.py; git add train.py",
    "edited and committed": "echo 'lr = 1' >train.py; git commit -qam c",
    "same size and times": "touch -r train.py ../stamp; echo 'lr = 1' >train.py; touch -r ../stamp train.py",
    "made executable": "chmod +x train.py",
    "made": "echo x >lib/new.py",
    "made and staged": "echo x >lib/new.py; git add lib/new.py",
    "removed": "rm lib/t.py",
    "renamed": "git mv lib/t.py lib/u.py",
    "made a link": "rm lib/t.py; ln -s ../train.py lib/t.py",
    "untracked, edited": "echo more >>untracked.py",
}


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS)
def test_what_changes_while_a_run_is_published_is_in_its_record(checkout: Repo, program: Program, edit: str) -> None:
    checkout.write("untracked.py", "x\n")
    edit_while_publishing(checkout, EDITS[edit])
    done = program.run("run", "sh", "-c", 'echo "$CODEREPO_TREE"', cwd=checkout.path)
    (manifest,) = recorded(checkout)
    assert done.text.strip() == manifest.code.snapshot_tree.hex == checkout.tree()
    assert served(checkout) == [manifest.code.snapshot_ref]  # the first one is withdrawn


@pytest.mark.slow
@pytest.mark.parametrize("edit", ["edited", "made", "edited and staged"])
def test_a_block_of_python_and_a_part_of_a_checkout_do_the_same(checkout: Repo, program: Program, edit: str) -> None:
    edit_while_publishing(checkout, EDITS[edit])
    body = "import git_coderepo as coderepo\nwith coderepo.run() as run: print(run.tree)\n"
    done = subprocess.run(
        [sys.executable, "-c", body], cwd=checkout.path, env=program.env, capture_output=True, text=True
    )
    assert done.stdout.strip() == checkout.tree(), done.stderr
    program.run("run", "--subdirectory", "lib", "true", cwd=checkout.path)


def refused(checkout: Repo, done: Ended, status: int, name: str) -> None:
    assert done.status == status and "fatal: " in done.errors and name in done.errors, done.errors
    assert recorded(checkout) == [] and served(checkout) == []
    assert not list((checkout.git_dir() / "coderepo").glob("index.*"))


@pytest.mark.slow
@cures("or leave a log out: git coderepo ignore PATH")
def test_a_checkout_that_keeps_changing_is_refused(checkout: Repo, program: Program) -> None:
    edit_while_publishing(checkout, "date +%N >train.py", times=99)
    refused(checkout, program.run("run", "echo", "ran", cwd=checkout.path, check=False), 125, "'train.py'")
    # The hint cures it.
    edit_while_publishing(checkout, "date +%N >log", times=99)
    checkout.write("log", "")
    done = program.run("run", "echo", "ran", cwd=checkout.path, check=False)
    assert "git coderepo ignore PATH" in done.errors and done.text == ""
    program.run("ignore", "log", cwd=checkout.path)
    assert program.run("run", "echo", "ran", cwd=checkout.path).text == "ran\n"


@pytest.mark.slow
def test_the_hook_refuses_what_changes_while_it_publishes(checkout: Repo, program: Program) -> None:
    """A launcher starts its program when the hook has ended, whatever the hook prints."""
    edit_while_publishing(checkout, EDITS["edited"])
    refused(checkout, program.run("hook", "pre-run", cwd=checkout.path, check=False), 1, "'train.py'")
    assert not (checkout.git_dir() / "coderepo" / "current.json").exists()
    program.run("hook", "pre-run", cwd=checkout.path)
    assert len(recorded(checkout)) == 1


def test_a_submodule_that_changes_is_recorded_as_it_is(checkout: Repo, program: Program, tmp_path: Path) -> None:
    inner = Repo.init(tmp_path / "inner", checkout.env)
    inner.write("i.py", "1\n")
    inner.commit()
    checkout.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{inner.path}", "sub")
    checkout.commit()
    checkout.git("push", "--quiet", "origin", "HEAD")
    # A submodule is not published: the store that takes the snapshot is what is slow here.
    checkout.git("config", "coderepo.publish", "never")
    hook = checkout.git_dir() / "hooks" / "pre-run"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 2 >sub/i.py\n")
    hook.chmod(0o755)
    done = program.run("run", "echo", "ran", cwd=checkout.path, check=False)
    assert done.status == 125 and "'sub/i.py'" in done.errors and done.text == ""
    assert program.run("run", "echo", "ran", cwd=checkout.path).text == "ran\n"


@pytest.mark.slow
def test_a_frozen_run_lets_the_checkout_change(checkout: Repo, program: Program) -> None:
    edit_while_publishing(checkout, EDITS["edited"])
    done = program.run("run", "--frozen", "cat", "train.py", cwd=checkout.path, env={"CODEREPO_ALLOW_PROTOCOL": "file"})
    assert done.text == "lr = 0\n"
    assert checkout.read("train.py") == b"lr = 1\n"


@pytest.mark.parametrize("redirection", [">log 2>&1", "2>>log", "2>&1 | tee log", "2>&1 | tee -a log"])
def test_a_log_in_the_checkout_that_our_own_messages_go_to(checkout: Repo, program: Program, redirection: str) -> None:
    """What we say ourselves while we record is no reason to refuse."""
    checkout.write("log", "before\n")
    checkout.symlink("broken", "nowhere")
    os.mkfifo(checkout.file("pipe"))
    checkout.git("config", "coderepo.publish", "ask")  # says that there is no terminal to prompt on
    script = f"set -o pipefail; git-coderepo run echo ran {redirection}"
    done = subprocess.run(["bash", "-c", script], cwd=checkout.path, env=program.env, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr + checkout.read("log")
    assert b"ran\n" in checkout.read("log") + done.stdout


def test_an_edit_after_the_start_is_named_at_the_end(checkout: Repo, program: Program) -> None:
    checkout.write("untracked.py", "x\n")
    script = "echo y >untracked.py; echo 'lr = 2' >train.py; git add train.py untracked.py; git commit -qm c"
    done = program.run("run", "sh", "-c", script, cwd=checkout.path)
    (path,) = (checkout.git_dir() / "coderepo" / "runs").glob("*/*.result.json")
    result = Result.load(os.fsencode(path))
    assert result is not None and result.edited == (b"train.py", b"untracked.py")
    assert done.errors.count("was edited while the command ran") == 2


def test_nothing_is_hashed_twice_where_nothing_changed(checkout: Repo, program: Program) -> None:
    """Times of files that the user's index knows stay known: a clean filter that counts its calls is not called."""
    checkout.git("config", "coderepo.publish", "never")
    checkout.write(".gitattributes", "*.py filter=counted\n")
    checkout.git("config", "filter.counted.clean", "echo x >>../counted; cat")
    checkout.commit()
    checkout.git("push", "--quiet", "origin", "HEAD")
    old = 1_600_000_000
    for name in ("train.py", "lib/t.py"):
        os.utime(checkout.file(name), (old, old))
    checkout.git("update-index", "--refresh")
    counted = Path(checkout.path).parent / "counted"
    counted.unlink()
    program.run("run", "true", cwd=checkout.path)
    assert not counted.exists()
