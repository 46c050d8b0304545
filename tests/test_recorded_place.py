"""The recorded tree is the one that the command runs in, whatever Git takes for the work tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from git_coderepo.manifest.model import Manifest
from tests.e2e.support import can_mount
from tests.hints import cures
from tests.support.marks import first_quick
from tests.support.program import Program, Result
from tests.support.repo import PathLike, Repo


class Place(NamedTuple):
    """A directory to run in, with more variables, and the directory that Git reports instead."""

    here: Path
    env: Mapping[str, str]
    reported: Path


def pushed(path: Path, env: Mapping[str, str], *files: str) -> Repo:
    """A checkout with one pushed commit."""
    repo = Repo.init(path, env)
    for name in files or ("t.py",):
        repo.write(name, f"{path.name}\n")
    repo.commit()
    repo.push_to(path.with_name(path.name + ".git"))
    return repo


@pytest.fixture
def checkout(tmp_path: Path, env: dict[str, str]) -> Repo:
    """A checkout with the submodule `sub`."""
    pushed(tmp_path / "inner", env)
    outer = pushed(tmp_path / "outer", env, "t.py", "lib/t.py")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{tmp_path}/inner.git", "sub")
    outer.commit()
    return outer


def copied_submodule(checkout: Repo, elsewhere: Repo) -> Place:
    copy = checkout.path / "sub copy"
    shutil.copytree(checkout.path / "sub", copy)
    (copy / "t.py").write_text("experiment\n")
    return Place(copy, {}, checkout.path / "sub")


def below_a_copied_submodule(checkout: Repo, elsewhere: Repo) -> Place:
    place = copied_submodule(checkout, elsewhere)
    (place.here / "deep\nër").mkdir()
    return place._replace(here=place.here / "deep\nër")


def worktree_of_a_submodule(checkout: Repo, elsewhere: Repo) -> Place:
    """With `extensions.worktreeConfig` the shared `core.worktree` counts in every worktree, seen from its own place."""
    sub = Repo(checkout.path / "sub", checkout.env)
    sub.git("config", "extensions.worktreeConfig", "true")
    sub.git("worktree", "add", "--quiet", "-b", "second", checkout.path.parent / "sub wt")
    return Place(checkout.path.parent / "sub wt", {}, checkout.path / ".git" / "modules" / "sub")


def configured_elsewhere(checkout: Repo, elsewhere: Repo) -> Place:
    checkout.git("config", "core.worktree", elsewhere.path)
    return Place(checkout.path, {}, elsewhere.path)


def configured_nowhere(checkout: Repo, elsewhere: Repo) -> Place:
    checkout.git("config", "core.worktree", elsewhere.path / "gone")
    return Place(checkout.path, {}, elsewhere.path / "gone")


def configured_below(checkout: Repo, elsewhere: Repo) -> Place:
    checkout.git("config", "core.worktree", "../lib")
    return Place(checkout.path, {}, checkout.path / "lib")


def named_work_tree(checkout: Repo, elsewhere: Repo) -> Place:
    return Place(checkout.path, {"GIT_WORK_TREE": str(elsewhere.path)}, elsewhere.path)


def named_repository(checkout: Repo, elsewhere: Repo) -> Place:
    env = {"GIT_DIR": str(elsewhere.git_dir()), "GIT_WORK_TREE": str(elsewhere.path)}
    return Place(checkout.path, env, elsewhere.path)


def repository_of_another(checkout: Repo, elsewhere: Repo) -> Place:
    """As in what a Git hook of one checkout starts in another one."""
    return Place(checkout.path / "lib", {"GIT_DIR": str(elsewhere.git_dir())}, checkout.path / "lib")


def own_repository_in_a_subdirectory(checkout: Repo, elsewhere: Repo) -> Place:
    """Git takes `lib` for the root then, and all that lies beside it would be missing from the record."""
    return Place(checkout.path / "lib", {"GIT_DIR": str(checkout.git_dir())}, checkout.path / "lib")


def nested_checkout(checkout: Repo, elsewhere: Repo) -> Place:
    """A checkout that the named work tree ignores."""
    nested = Repo.init(checkout.path / "ignored" / "nested", checkout.env)
    nested.write("t.py", "nested\n")
    nested.commit()
    checkout.write(".git/info/exclude", "/ignored/\n")
    env = {"GIT_DIR": str(checkout.git_dir()), "GIT_WORK_TREE": str(checkout.path)}
    return Place(nested.path, env, checkout.path)


ELSEWHERE = [
    copied_submodule, below_a_copied_submodule, worktree_of_a_submodule, configured_elsewhere, configured_nowhere,
    configured_below, named_work_tree, named_repository, repository_of_another, own_repository_in_a_subdirectory,
    nested_checkout,
]  # fmt: skip
Make = Callable[[Repo, Repo], Place]


def refused(result: Result, place: Place, status: int) -> None:
    assert result.status == status, result.text + result.errors
    assert "fatal: " in result.errors
    for named in (place.here, place.reported):
        assert str(named) in result.errors or str(named).replace("\n", "\\n") in result.errors


@pytest.fixture
def place(request: pytest.FixtureRequest, checkout: Repo, tmp_path: Path) -> Place:
    make: Make = request.param
    return make(checkout, pushed(tmp_path / "elsewhere", checkout.env))


@pytest.mark.slow
@pytest.mark.parametrize("place", first_quick(*ELSEWHERE), indirect=True, ids=lambda make: make.__name__)
def test_a_place_outside_the_work_tree_is_refused_by_every_recorder(
    place: Place, program: Program, tmp_path: Path
) -> None:
    env = {**program.env, **place.env}
    marker = tmp_path / "started"
    refused(program.run("run", "touch", marker, cwd=place.here, env=place.env, check=False), place, 125)
    assert not marker.exists()
    wider = program.run(
        "run", "--allow-unreproducible", "--subdirectory", ".", "touch", marker, cwd=place.here, env=place.env,
        check=False,
    )  # fmt: skip
    refused(wider, place, 125)
    refused(program.run("snapshot", cwd=place.here, env=place.env, check=False), place, 128)
    hook = program.run("hook", "pre-run", cwd=place.here, env=place.env, check=False)
    refused(hook, place, 1)
    api = (
        "import git_coderepo\ntry:\n    git_coderepo.run().__enter__()\n"
        "except git_coderepo.CodeRepoError as e: print(e)"
    )
    python = shutil.which("python") or "python"
    done = subprocess.run([python, "-c", api], cwd=place.here, env=env, capture_output=True, text=True, check=True)
    said = done.stdout
    assert str(place.here) in said and str(place.reported) in said, said


@pytest.mark.slow
@pytest.mark.parametrize("place", first_quick(*ELSEWHERE), indirect=True, ids=lambda make: make.__name__)
def test_the_hints_of_the_refusal_cure_it(place: Place, program: Program) -> None:
    errors = program.run("run", "true", cwd=place.here, env=place.env, check=False).errors
    hints = [line.removeprefix("hint: ") for line in errors.splitlines() if line.startswith("hint: ")]
    for hint in hints:
        if "\\n" in hint:
            continue  # the terminal shows such a name escaped
        recorded = "git coderepo run true"
        typed = hint.replace("coderepo run …", "coderepo run true") if "…" in hint else f"{hint}; {recorded}"
        done = subprocess.run(
            ["sh", "-c", typed], cwd=place.here, env={**program.env, **place.env}, capture_output=True, text=True
        )
        assert done.returncode == 0, (typed, done.stdout, done.stderr)


@pytest.mark.parametrize("place", ELSEWHERE, indirect=True, ids=lambda make: make.__name__)
def test_a_commit_is_recorded_from_anywhere(place: Place, program: Program) -> None:
    """`snapshot REV` looks at no work tree."""
    if place.here.name == "nested":
        pytest.skip("its commit is that of the outer checkout all the same")
    program.run("snapshot", "--allow-unreproducible", "HEAD", cwd=place.here, env=place.env)


def started_in(repo: Repo, program: Program, here: PathLike, env: Mapping[str, str] | None = None) -> Manifest:
    done = program.run("run", "sh", "-c", 'cat "$CODEREPO_MANIFEST"', cwd=here, env=env)
    return Manifest.parse(done.stdout)


@pytest.mark.slow
def test_a_checkout_reached_through_a_link_is_recorded(checkout: Repo, program: Program, tmp_path: Path) -> None:
    checkout.write("t.py", "edited\n")
    link = tmp_path / "link"
    link.symlink_to(checkout.path / "lib")
    env = {"PWD": str(link)}
    recorded = started_in(checkout, program, link, env)
    assert (recorded.code.snapshot_tree.hex, recorded.run.directory) == (checkout.tree(), b"lib")
    through = {"GIT_DIR": str(checkout.git_dir()), "GIT_WORK_TREE": str(tmp_path / "whole")}
    (tmp_path / "whole").symlink_to(checkout.path)
    recorded = started_in(checkout, program, tmp_path / "whole" / "lib", through)
    assert (recorded.code.snapshot_tree.hex, recorded.run.directory) == (checkout.tree(), b"lib")


@pytest.mark.slow
def test_a_worktree_and_a_dotfiles_layout_are_recorded(checkout: Repo, program: Program, tmp_path: Path) -> None:
    worktree = Repo(tmp_path / "wt", checkout.env)
    checkout.git("worktree", "add", "--quiet", worktree.path)
    worktree.write("t.py", "in the worktree\n")
    assert started_in(worktree, program, worktree.path / "lib").code.snapshot_tree.hex == worktree.tree()
    # A repository whose work tree is the directory above it.
    dotfiles = Repo.init(tmp_path / "big" / "dots", checkout.env)
    dotfiles.git("config", "core.worktree", "../..")
    (tmp_path / "big" / "profile").write_text("x\n")
    dotfiles.git("-C", tmp_path / "big" / "dots", "add", tmp_path / "big" / "profile")
    recorded = program.run(
        "run", "--allow-unreproducible", "sh", "-c", 'cat "$CODEREPO_MANIFEST"', cwd=tmp_path / "big" / "dots"
    )
    assert json.loads(recorded.stdout)["run"]["directory"] == "dots"


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own")
def test_a_bind_mounted_checkout_is_recorded(checkout: Repo, program: Program, tmp_path: Path) -> None:
    """Git compares paths, and sees itself outside a work tree that was named by its other path."""
    checkout.write("lib/t.py", "edited\n")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    expected = checkout.tree()
    for env in ("", f"GIT_WORK_TREE='{checkout.path}' GIT_DIR='{checkout.git_dir()}'"):
        script = f"mount --bind '{checkout.path}' '{mounted}' && cd '{mounted}/lib' && {env} git coderepo run true"
        subprocess.run(["unshare", "--mount", "sh", "-ec", script], env=program.env, check=True)
        recorded = Manifest.load(str(checkout.git_dir() / "coderepo" / "current.json"))
        assert (recorded.code.snapshot_tree.hex, recorded.run.directory) == (expected, b"lib")


@pytest.mark.slow
def test_the_hook_of_git_passes_in_a_subdirectory_and_in_a_submodule(checkout: Repo, program: Program) -> None:
    program.run("hooks", "install", cwd=checkout.path)
    for here in (checkout.path / "lib", checkout.path / "sub"):
        done = subprocess.run(
            ["git", "hook", "run", "--ignore-missing", "pre-run"], cwd=here, env=checkout.env, capture_output=True
        )
        assert done.returncode == 0, done.stderr
    assert os.path.exists(checkout.git_dir() / "coderepo" / "current.json")


@pytest.mark.slow
@cures('in the root of the checkout: git --work-tree="$PWD" coderepo run …')
def test_a_worktree_of_a_submodule_whose_configuration_leads_nowhere_is_refused(
    checkout: Repo, program: Program, tmp_path: Path
) -> None:
    inner = tmp_path / "inner.git"
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--name", "deep")
    checkout.git(*add, f"file://{inner}", "libs/deep")
    checkout.commit()
    sub = Repo(checkout.path / "libs" / "deep", checkout.env)
    sub.git("config", "extensions.worktreeConfig", "true")
    place = tmp_path / "a worktree"
    sub.git("worktree", "add", "--quiet", "-b", "second", place)

    refused = program.run("snapshot", cwd=place, check=False)

    assert refused.status == 128 and refused.stdout == b""
    assert "fatal: the work tree that core.worktree names for this checkout does not exist: '" in refused.errors
    typed = refused.errors.partition("hint: in the root of the checkout: ")[2].splitlines()[0]
    words = typed.replace("coderepo run …", "coderepo snapshot")
    done = subprocess.run(["sh", "-c", words], cwd=place, env=program.env, capture_output=True, check=True)
    assert json.loads(done.stdout)["code"]["snapshot"]["tree"] == sub.line("rev-parse", "HEAD^{tree}")
