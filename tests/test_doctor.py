"""`doctor`: break one thing in a good checkout, and the doctor names it, and the line that it prints cures it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.support import World, can_mount, world
from tests.forge import Forge
from tests.forge.http import Request, Response
from tests.forge.misbehaviour import Delay, Proceed
from tests.hints import cures
from tests.hints.support import typed
from tests.hints.test_checkout import AS_USER
from tests.hooks.support import in_folder
from tests.support.keyring_backend import NAME
from tests.support.marks import first_quick
from tests.support.program import Program
from tests.support.repo import Repo

ODD = os.fsdecode(b"odd \xff\nname")


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    """A checkout in which nothing is wrong."""
    repo.write("train.py", "print('trained')\n")
    repo.commit()
    repo.push_to(tmp_path / "remote.git")
    return repo


class Doctor(NamedTuple):
    """The program in a checkout, and the environment of its user."""

    program: Program
    path: Path
    env: Mapping[str, str]

    def check(self, *options: str, env: Mapping[str, str] | None = None) -> dict[str, list[dict[str, Any]]]:
        """The findings by the names of their checks."""
        result = self.program.run(
            "doctor", "--json", *options, cwd=self.path, env={**self.env, **(env or {})}, check=False
        )
        assert result.errors == "" and result.stdout, result.errors
        found: dict[str, list[dict[str, Any]]] = {}
        for each in result.json()["checks"]:
            found.setdefault(each["name"], []).append(each)
        problems = [each for group in found.values() for each in group if each["state"] == "problem"]
        assert result.status == (1 if problems else 0)
        assert all(each["fix"] for each in problems)
        return found

    def only_problem(self, name: str, says: str, *options: str, env: Mapping[str, str] | None = None) -> str:
        """The fix of the only problem, which is of this check."""
        found = self.check(*options, env=env)
        problems = [each for group in found.values() for each in group if each["state"] == "problem"]
        assert [each["name"] for each in problems] == [name], problems
        assert says in problems[0]["detail"]
        return str(problems[0]["fix"])

    def noted(self, name: str, says: str, *options: str) -> str | None:
        """The fix of the note of this check."""
        (finding,) = [each for each in self.check(*options)[name] if each["state"] == "note"]
        assert says in finding["detail"]
        return finding["fix"]  # type: ignore[no-any-return]

    def is_well(self, name: str, *options: str) -> None:
        assert {each["state"] for each in self.check(*options)[name]} == {"ok"}

    def cure(
        self, fix: str, name: str, *options: str, env: Mapping[str, str] | None = None, input: bytes = b""
    ) -> None:
        """Type the line into a shell, and check again as in that shell."""
        env = {**self.program.env, **self.env, **(env or {})}
        if fix.startswith("unset "):
            del env[fix.removeprefix("unset ")]
        else:
            typed(fix, self.path, env, input=input)
        result = Program(env).run("doctor", "--json", *options, cwd=self.path)
        assert "ok" in [each["state"] for each in result.json()["checks"] if each["name"] == name]


@pytest.fixture
def doctor(program: Program, checkout: Repo) -> Doctor:
    return Doctor(program, checkout.path, {})


def test_a_good_checkout_has_no_problems(doctor: Doctor) -> None:
    found = doctor.check()
    assert {each["state"] for name in found if name not in ("keyring", "hooks") for each in found[name]} == {"ok"}
    assert found["remote"][0]["detail"].endswith("remote.git answers")


# --- what --fix cures ---


def unset_refspec(checkout: Repo) -> None:
    checkout.git("config", "--unset-all", "remote.origin.fetch")


def fetch_nothing(checkout: Repo) -> None:
    checkout.git("config", "remote.origin.fetch", "refs/heads/main")


def empty_refspec(checkout: Repo) -> None:
    checkout.git("config", "remote.origin.fetch", "")


def mirror(checkout: Repo) -> None:
    checkout.git("config", "remote.origin.fetch", "+refs/*:refs/*")


def misspell(checkout: Repo) -> None:
    checkout.git("config", "coderepo.overlayLimt", "200m")


def hook_in(checkout: Repo, program: Program) -> Path:
    program.run("hooks", "install", "--event", "post-commit", cwd=checkout.path)
    return checkout.path / ".git" / "hooks" / "post-commit"


def not_executable(checkout: Repo, program: Program) -> None:
    hook_in(checkout, program).chmod(0o644)


def outdated(checkout: Repo, program: Program) -> None:
    path = hook_in(checkout, program)
    path.write_text(path.read_text().replace("# <<< git coderepo", "true\n# <<< git coderepo"))


def lost_program(checkout: Repo, program: Program) -> None:
    program.run("hooks", "install", "--event", "pre-run", cwd=checkout.path)
    in_folder = checkout.path / ".git" / "hooks" / "pre-run"
    path = in_folder if in_folder.exists() else checkout.path / ".git" / "config"
    path.write_text(re.sub(r"'/[^']*/git-coderepo'", "'/gone/git-coderepo'", path.read_text()))


def other_folder(checkout: Repo, program: Program) -> None:
    hook_in(checkout, program)
    (checkout.path / ".git" / "other hooks").mkdir()
    checkout.git("config", "core.hooksPath", checkout.path / ".git" / "other hooks")


def without_filters(checkout: Repo) -> None:
    checkout.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    checkout.commit("attributes")
    checkout.git("push", "--quiet", "origin", "HEAD")


def open_cache(checkout: Repo) -> None:
    place = Path(checkout.env["XDG_CACHE_HOME"]) / "git-coderepo" / f"trees-2-{os.geteuid()}"
    place.mkdir(parents=True)
    place.chmod(0o777)


BROKEN = {
    "no refspec": (unset_refspec, "refspec", "updates no remote-tracking branch"),
    "a refspec without a destination": (fetch_nothing, "refspec", "updates no remote-tracking branch"),
    "an empty refspec": (empty_refspec, "refspec", "updates no remote-tracking branch"),
    "a mirror": (mirror, "refspec", "updates no remote-tracking branch"),
    "a misspelt setting": (misspell, "settings", "did you mean 'coderepo.overlayLimit'?"),
    "a hook that is not executable": (not_executable, "hooks", "post-commit: not executable"),
    "an old hook": (outdated, "hooks", "outdated: post-commit"),
    "a hook whose program is gone": (lost_program, "hooks", "'/gone/git-coderepo' does not exist"),
    "another folder of hooks": (other_folder, "hooks", "core.hooksPath makes git use"),
    "Git LFS without filters": (without_filters, "lfs", "its filters are not configured"),
    "a cache that anybody may write to": (open_cache, "cache", "other users can write"),
}


@pytest.mark.parametrize("broken", first_quick(*BROKEN))
def test_what_is_broken_is_named_and_cured(doctor: Doctor, checkout: Repo, broken: str) -> None:
    how, name, says = BROKEN[broken]
    configured = name == "hooks" and checkout.line("version").split()[2] >= "2.54"
    if (configured and how is not lost_program) or (name == "lfs" and shutil.which("git-lfs") is None):
        pytest.skip("this machine keeps hooks elsewhere, or has no Git LFS")
    how(checkout, doctor.program) if name == "hooks" else how(checkout)  # type: ignore[operator]
    before = copied(checkout)
    fix = doctor.only_problem(name, says, "--offline")
    assert copied(checkout) == before  # without --fix nothing changes
    result = doctor.program.run("doctor", "--fix", "--offline", cwd=checkout.path)
    assert f"fixed      {name}: {fix}" in result.text
    assert "problem " not in result.text
    restored(checkout, before)
    doctor.cure(fix, name, "--offline")


def places(checkout: Repo) -> list[Path]:
    cache = Path(checkout.env["XDG_CACHE_HOME"])
    found = [checkout.path / ".git" / "config", *(checkout.path / ".git").glob("hooks/p*"), *cache.glob("*/*")]
    return [path for path in found if not path.name.endswith(".sample")]


def copied(checkout: Repo) -> dict[Path, tuple[int, bytes]]:
    """What a fix may change: the configuration, hooks and the cache."""
    return {path: (path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for path in places(checkout)}


def restored(checkout: Repo, before: dict[Path, tuple[int, bytes]]) -> None:
    other = checkout.path / ".git" / "other hooks"
    for path in other.glob("*") if other.is_dir() else ():
        path.unlink()
    for path, (mode, contents) in before.items():
        if path.is_file() or not path.exists():
            path.write_bytes(contents)
        path.chmod(mode)


def test_a_fix_touches_neither_files_nor_index_nor_head(doctor: Doctor, checkout: Repo) -> None:
    misspell(checkout)
    unset_refspec(checkout)
    checkout.write(f"{ODD}/pyvenv.cfg", "")
    index = (checkout.path / ".git" / "index").read_bytes()
    head, status = checkout.head(), checkout.git("status", "--porcelain", "-z", "-uall")
    result = doctor.program.run("doctor", "--fix", "--offline", cwd=checkout.path, check=False)
    assert result.status == 1
    assert "odd \\xff\\nname/' is untracked" in result.text
    assert (checkout.path / ".git" / "index").read_bytes() == index
    assert (checkout.head(), checkout.git("status", "--porcelain", "-z", "-uall")) == (head, status)
    assert checkout.line("config", "--local", "coderepo.overlayLimit") == "200m"


# --- what its user has to decide ---


@pytest.mark.slow
def test_a_misspelt_setting_of_the_user_is_left_to_the_user(doctor: Doctor, checkout: Repo) -> None:
    checkout.git("config", "--global", "coderepo.cachDir", "/tmp")
    assert "coderepo.cachdir" in doctor.program.run("doctor", "--fix", "--offline", cwd=checkout.path, check=False).text
    fix = doctor.only_problem("settings", "did you mean 'coderepo.cacheDir'?", "--offline")
    assert "/tmp" not in fix
    doctor.cure(fix, "settings", "--offline")
    assert checkout.line("config", "--global", "coderepo.cacheDir") == "/tmp"


@pytest.mark.slow
def test_an_unknown_setting_gets_a_suggestion_only_if_one_is_close(doctor: Doctor, checkout: Repo) -> None:
    checkout.git("config", "coderepo.colour", "blue")
    fix = doctor.only_problem("settings", "unknown setting 'coderepo.colour'", "--offline")
    assert "did you mean" not in str(doctor.check("--offline")["settings"])
    doctor.cure(fix, "settings", "--offline")
    checkout.git("config", "coderepo.dirtyy", "refuse")
    checkout.git("config", "coderepo.dirty", "allow")
    assert doctor.only_problem("settings", "'coderepo.dirtyy'", "--offline") == "git config --local --edit"


@pytest.mark.slow
@pytest.mark.parametrize("by", ["config", "variable"])
def test_an_invalid_value(doctor: Doctor, checkout: Repo, by: str) -> None:
    env = {"CODEREPO_CACHE_LIMIT": "much"} if by == "variable" else {}
    if by == "config":
        checkout.git("config", "coderepo.cacheLimit", "much")
    fix = doctor.only_problem("settings", "invalid size 'much'", "--offline", env=env)
    doctor.cure(fix, "settings", "--offline", env=env)


def test_a_configuration_that_git_cannot_read(doctor: Doctor, checkout: Repo) -> None:
    editor = Path(doctor.program.env["HOME"]) / "editor"
    editor.write_text('#!/bin/sh\nsed -i "${1#+}d" "$2"\n')
    editor.chmod(0o755)
    with open(checkout.path / ".git" / "config", "a") as file:
        file.write("[core\n")
    fix = doctor.only_problem("config", "bad config line", "--offline")
    doctor.cure(fix, "config", "--offline", env={"EDITOR": str(editor)})


@pytest.mark.slow
def test_untracked_environments_and_secrets(doctor: Doctor, checkout: Repo) -> None:
    checkout.write("-venv x/pyvenv.cfg", "home = /usr\n")
    fix = doctor.only_problem("untracked", "'-venv x/' is untracked and travels", "--offline")
    doctor.cure(fix, "untracked", "--offline")
    checkout.write(".env.local", "HOST=1\n")
    checkout.write(".env.example", "HOST=\n")
    fix = doctor.noted("secrets", "'.env.local' is left out", "--offline") or ""
    doctor.cure(fix, "secrets", "--offline")
    checkout.git("add", "--force", ".env.local")
    fix = doctor.only_problem("secrets", "'.env.local' is tracked", "--offline")
    doctor.cure(fix, "secrets", "--offline")


@pytest.mark.parametrize("by", first_quick("local", "global", "twice", "variable", "option"))
def test_a_choice_is_left_to_the_user(doctor: Doctor, checkout: Repo, by: str) -> None:
    variables = {"variable": "CODEREPO_DIRTY", "option": "GIT_CONFIG_PARAMETERS"}
    env = {variables[by]: "false" if by == "variable" else "'coderepo.dirty'='false'"} if by in variables else {}
    if not env:
        checkout.git("config", "--global" if by == "global" else "--local", "coderepo.dirty", "false")
    if by == "twice":
        checkout.git("config", "--add", "coderepo.dirty", "no")
    fix = doctor.only_problem("settings", "of 'coderepo.dirty'; choose one of: allow, refuse", "--offline", env=env)
    if by == "variable":
        assert fix == "export CODEREPO_DIRTY=refuse"
        doctor.check("--offline", env={"CODEREPO_DIRTY": "refuse"})
    elif by == "option":
        assert fix == "leave out the option -c coderepo.dirty"
    else:
        assert "fixed" not in doctor.program.run("doctor", "--fix", "--offline", cwd=doctor.path, check=False).text
        doctor.cure(fix, "settings", "--offline")
        assert checkout.line("config", "coderepo.dirty") == "refuse"


def with_submodule(checkout: Repo, tmp_path: Path, path: str) -> Repo:
    inner = Repo.init(tmp_path / "inner", checkout.env)
    inner.write("lib.py", "x = 1\n")
    inner.commit()
    checkout.git("submodule", "--quiet", "add", f"file://{inner.path}", path)
    checkout.commit("submodule")
    checkout.git("push", "--quiet", "origin", "HEAD")
    return inner


@pytest.mark.slow
def test_submodules(doctor: Doctor, checkout: Repo, tmp_path: Path) -> None:
    with_submodule(checkout, tmp_path, "third party")
    found = doctor.check()
    assert "'third party'" in found["remote"][1]["detail"]
    (checkout.path / "third party" / ".git").unlink()
    fix = doctor.only_problem("submodules", "has files but no '.git'", "--offline")
    doctor.cure(fix, "submodules", "--offline")
    shutil.rmtree(checkout.path / "third party.without-git")
    (checkout.path / "third party" / ".git").write_text("gitdir: /gone\n")
    fix = doctor.only_problem("submodules", "cannot be read", "--offline")
    doctor.cure(fix, "submodules", "--offline")
    checkout.git("submodule", "deinit", "--force", "third party")
    fix = doctor.noted("submodules", "is not initialised", "--offline") or ""
    doctor.cure(fix, "submodules", "--offline")


@pytest.mark.slow
def test_a_repository_in_the_tree_without_gitmodules(doctor: Doctor, checkout: Repo) -> None:
    inner = Repo.init(checkout.path / "nested", checkout.env)
    inner.commit()
    checkout.commit("gitlink")
    checkout.git("push", "--quiet", "origin", "HEAD")
    assert "submodule add" in doctor.only_problem("submodules", "not in .gitmodules", "--offline")


@pytest.mark.slow
def test_how_it_was_cloned(program: Program, checkout: Repo, tmp_path: Path) -> None:
    checkout.commit("second")
    checkout.git("push", "--quiet", "origin", "HEAD")
    url = f"file://{tmp_path}/remote.git"
    shallow = Doctor(program, Repo.clone(url, tmp_path / "shallow", checkout.env, "--depth=1").path, {})
    shallow.cure(shallow.noted("clone", "shallow clone", "--offline") or "", "clone", "--offline")
    run = Repo(shallow.path, checkout.env)
    run.git("sparse-checkout", "set", "--no-cone", "/docs/")
    shallow.cure(shallow.noted("clone", "sparse checkout", "--offline") or "", "clone", "--offline")
    run.git("config", "remote.origin.promisor", "true")
    assert shallow.noted("clone", "partial clone", "--offline") is None


@pytest.mark.slow
def test_tracking_branches_that_do_not_count(doctor: Doctor, checkout: Repo) -> None:
    checkout.git("update-ref", "-d", "refs/remotes/origin/main")
    doctor.cure(doctor.noted("refspec", "no remote-tracking branches of 'origin' yet") or "", "refspec")
    checkout.git("remote", "set-url", "--push", "origin", "file:///elsewhere.git")
    assert doctor.noted("refspec", "is pushed to another URL", "--offline") is None


ALL = "+refs/heads/*:refs/remotes/origin/*"
BRANCHES_MISSED = {
    "a pattern without a branch": (
        ("+refs/heads/nosuch/*:refs/remotes/origin/*",),
        "matches no branch of 'origin'",
    ),
    "a renamed branch": (("+refs/heads/ma'ster:refs/remotes/origin/ma'ster",), "matches no branch of 'origin'"),
    "a short name": (("master:refs/remotes/origin/master",), "matches no branch of 'origin'"),
    "all are left out": ((ALL, "^refs/heads/*"), "matches no branch of 'origin'"),
    "one of several": ((ALL, "+refs/heads/gone:refs/remotes/origin/gone"), "names 'refs/heads/gone', which 'origin'"),
}


@pytest.mark.parametrize("how", first_quick(*BRANCHES_MISSED))
def test_refspecs_that_miss_the_branches_of_the_remote(doctor: Doctor, checkout: Repo, how: str) -> None:
    refspecs, says = BRANCHES_MISSED[how]
    checkout.git("config", "--unset-all", "remote.origin.fetch")
    for refspec in refspecs:
        checkout.git("config", "--add", "remote.origin.fetch", refspec)
    if how != "a pattern without a branch":
        checkout.git("update-ref", "-d", "refs/remotes/origin/main")
    doctor.cure(doctor.only_problem("refspec", says), "refspec")
    assert checkout.line("config", "--get-all", "remote.origin.fetch") == ALL
    assert checkout.git("rev-parse", "refs/remotes/origin/main")


@pytest.mark.slow
def test_refspecs_for_other_references_stay(doctor: Doctor, checkout: Repo) -> None:
    changes = "+refs/changes/*:refs/remotes/origin/changes/*"
    checkout.git("config", "remote.origin.fetch", changes)
    assert doctor.noted("refspec", "selects none of the remote-tracking branches", "--offline") == "git coderepo doctor"
    doctor.cure(doctor.only_problem("refspec", "matches no branch"), "refspec")
    assert checkout.line("config", "--get-all", "remote.origin.fetch") == f"{changes}\n{ALL}"


@pytest.mark.slow
def test_a_remote_without_branches(doctor: Doctor, checkout: Repo, tmp_path: Path) -> None:
    Repo.init(tmp_path / "empty.git", checkout.env, bare=True)
    checkout.git("remote", "set-url", "origin", f"file://{tmp_path}/empty.git")
    checkout.git("update-ref", "-d", "refs/remotes/origin/main")
    doctor.cure(doctor.noted("refspec", "'origin' has no branches yet") or "", "refspec")


@pytest.mark.slow
def test_another_owner(doctor: Doctor) -> None:
    env = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}  # of git's own tests
    fix = doctor.only_problem("checkout", "dubious ownership", "--offline", env=env)
    doctor.cure(fix, "checkout", "--offline", env=env)


@pytest.mark.slow
def test_a_work_tree_elsewhere(doctor: Doctor, checkout: Repo, tmp_path: Path) -> None:
    checkout.git("config", "core.worktree", tmp_path / "gone")
    assert "--work-tree=" in doctor.only_problem("checkout", "is outside the work tree", "--offline")


# --- hooks ---


def hooks_elsewhere(value: str, scope: str = "--local") -> Callable[[Doctor, Repo], None]:
    def break_it(doctor: Doctor, checkout: Repo) -> None:
        hook_in(checkout, doctor.program)
        checkout.git("config", scope, "core.hooksPath", value)

    return break_it


def hooks_of_a_team(doctor: Doctor, checkout: Repo) -> None:
    hooks_elsewhere("-the team's\nhooks")(doctor, checkout)
    checkout.write("-the team's\nhooks/post-commit", "test 1", mode=0o755)


def hooks_of_others(doctor: Doctor, checkout: Repo) -> None:
    hooks_elsewhere("../shared")(doctor, checkout)
    (checkout.path.parent / "shared").mkdir()
    (checkout.path.parent / "shared" / "post-commit").write_text("#!/bin/sh\ntrue\n")


def hooks_of_the_machine(doctor: Doctor, checkout: Repo) -> None:
    hook_in(checkout, doctor.program)
    doctor.program.env.pop("GIT_CONFIG_NOSYSTEM", None)
    doctor.program.env["GIT_CONFIG_SYSTEM"] = str(checkout.path.parent / "system")
    (checkout.path.parent / "system").write_text("[core]\n\thooksPath = /dev/null\n")


def hooks_of_an_included_file(doctor: Doctor, checkout: Repo) -> None:
    hook_in(checkout, doctor.program)
    (checkout.path.parent / "included").write_text("[core]\n\thooksPath = /dev/null\n\thooksPath = ../nowhere\n")
    checkout.git("config", "include.path", checkout.path.parent / "included")


HOOKS_ELSEWHERE = {
    "outside of the checkout": (hooks_elsewhere("../hh"), "makes git use"),
    "in the work tree": (hooks_of_a_team, "makes git use"),
    "empty": (hooks_elsewhere(""), "core.hooksPath is empty, so git runs no hooks"),
    "switched off": (hooks_elsewhere("/dev/null"), "makes git use '/dev/null'"),
    "in a folder that does not exist": (hooks_elsewhere(".husky"), "makes git use"),
    "with the scripts of others": (hooks_of_others, "makes git use"),
    "for all checkouts": (hooks_elsewhere("/gone/hooks", "--global"), "makes git use '/gone/hooks'"),
    "for all checkouts, relative": (hooks_elsewhere("../hh", "--global"), "makes git use"),
    "of the machine": (hooks_of_the_machine, "makes git use '/dev/null'"),
    "in an included file": (hooks_of_an_included_file, "makes git use"),
}


@in_folder
@cures("git config --local core.hooksPath {shell_word(layout.common_dir + b'/hooks')}")
@pytest.mark.parametrize("where", first_quick(*HOOKS_ELSEWHERE))
def test_hooks_that_git_looks_for_elsewhere(doctor: Doctor, checkout: Repo, where: str) -> None:
    how, says = HOOKS_ELSEWHERE[where]
    how(doctor, checkout)
    fix = doctor.only_problem("hooks", says, "--offline")
    if "/gone/" in says:
        assert fix == "git coderepo hooks install --global"
        return
    typed(fix, checkout.path, doctor.program.env)
    assert {each["state"] for each in doctor.check("--offline")["hooks"]} <= {"ok", "note"}
    assert "post-commit" in doctor.check("--offline")["hooks"][0]["detail"]
    if where in ("in the work tree", "with the scripts of others"):
        typed("git commit -q --allow-empty -m x", checkout.path, doctor.program.env)


@pytest.mark.slow
@in_folder
@pytest.mark.parametrize("value", ["../hh", "/dev/null", "team hooks", None])
def test_the_line_that_installs_the_first_hook(doctor: Doctor, checkout: Repo, value: str | None) -> None:
    if value is not None:
        checkout.git("config", "core.hooksPath", value)
    doctor.cure(doctor.noted("hooks", "they are optional", "--offline") or "", "hooks", "--offline")
    assert "pre-run" in doctor.check("--offline")["hooks"][0]["detail"]


OTHER_PRE_RUNS = {
    "gone": None,
    "a script": "#!/bin/sh\ntrue\n",
    "not executable": "#!/bin/sh\n",
    "a link": "../../linked script",
}


@in_folder
@pytest.mark.parametrize("other", first_quick(*OTHER_PRE_RUNS))
def test_pre_run_is_missing_while_other_hooks_are_installed(doctor: Doctor, checkout: Repo, other: str) -> None:
    doctor.program.run("hooks", "install", cwd=checkout.path)
    path, script = checkout.path / ".git" / "hooks" / "pre-run", OTHER_PRE_RUNS[other]
    path.unlink()
    if other == "a link":
        checkout.write("linked script", "#!/bin/sh\ntrue", mode=0o755)
        path.symlink_to(str(script))
    elif script is not None:
        path.write_text(script)
        path.chmod(0o644 if other == "not executable" else 0o755)
    fix = doctor.noted("hooks", "pre-run is not installed: runs are not recorded automatically", "--offline")
    doctor.cure(fix or "", "hooks", "--offline")
    assert "pre-run" in doctor.check("--offline")["hooks"][0]["detail"]


@pytest.mark.slow
@in_folder
def test_a_line_added_by_hand_to_a_script_that_git_does_not_run(doctor: Doctor, checkout: Repo) -> None:
    checkout.git("config", "core.hooksPath", "team")
    checkout.write("team/pre-run", "git coderepo hook pre-run || exit 1\n")
    fix = doctor.only_problem("hooks", "pre-run: not executable", "--offline")
    assert "not fixed" not in doctor.program.run("doctor", "--fix", "--offline", cwd=doctor.path, check=False).text
    assert doctor.only_problem("hooks", "pre-run: not executable", "--offline") == fix
    doctor.cure(fix, "hooks", "--offline")


@pytest.mark.slow
def test_a_shared_store_that_is_gone(doctor: Doctor, checkout: Repo, tmp_path: Path) -> None:
    checkout.git("config", "coderepo.store", f"file://{tmp_path}/the store")
    fix = doctor.only_problem("store", "the store")
    doctor.cure(fix, "store")
    assert doctor.noted("store", "not asked", "--offline") is None


@pytest.mark.slow
def test_a_cache_that_cannot_be_made(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env = {"CODEREPO_CACHE_DIR": f"{tmp_path}/file/cache"}
    fix = doctor.only_problem("cache", "/file/cache", "--offline", env=env)
    doctor.cure(fix, "cache", "--offline", env=env)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    env = {"CODEREPO_CACHE_DIR": f"{tmp_path}/shared/cache"}
    fix = doctor.only_problem("cache", "other users can replace", "--offline", env=env)
    doctor.cure(fix, "cache", "--offline", env=env)


@pytest.mark.slow
def test_authorities_that_cannot_be_read(program: Program, tmp_path: Path) -> None:
    outside = Doctor(program, tmp_path, {})
    env = {"REQUESTS_CA_BUNDLE": "/gone/ca.pem"}
    fix = outside.only_problem("network", "'/gone/ca.pem', which cannot be read", "--offline", env=env)
    outside.cure(fix, "network", "--offline", env=env)
    typed("git config --global http.https://github.com.sslCAInfo /gone/ca.pem", tmp_path, program.env)
    fix = outside.only_problem("network", "'/gone/ca.pem', which cannot be read", "--offline")
    outside.cure(fix, "network", "--offline")


# --- servers ---


@dataclass(frozen=True)
class Added:
    """The proper answer, with these headers."""

    headers: Mapping[str, str]

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        return replace(response, headers={**response.headers, **self.headers})


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "world", "github") as found:
        found.register()
        yield found


def doctor_of(hosted: World) -> Doctor:
    return Doctor(hosted.user.program, hosted.checkout.path, {})


def test_what_a_token_of_github_may_do_and_until_when(hosted: World) -> None:
    soon = {
        "X-OAuth-Scopes": "repo, workflow",
        "GitHub-Authentication-Token-Expiration": "2026-01-01 00:00:00 UTC",
    }
    hosted.forge.misbehave("access", Added(soon), times=None)
    result = hosted.user.run("doctor", "--timeout", "60", cwd=hosted.checkout.path)
    assert "from CODEREPO_TOKEN, may: repo, workflow, until 2026-01-01 00:00:00 UTC: renew it soon" in result.text
    assert hosted.token not in result.text


@pytest.mark.slow
def test_what_a_token_of_gitlab_may_do_and_until_when(tmp_path: Path) -> None:
    with world(tmp_path, "gitlab") as hosted:
        hosted.register()
        (finding,) = doctor_of(hosted).check()["credential"]
    assert finding["state"] == "ok"
    assert finding["detail"].endswith("may: read_api, read_repository, until 2099-12-31")


@pytest.mark.slow
def test_a_missing_and_a_refused_token(hosted: World) -> None:
    doctor = doctor_of(hosted)
    for name in hosted.credential:
        del doctor.program.env[name]
    root = str(Path(__file__).parents[1])
    env = {"PYTHON_KEYRING_BACKEND": NAME, "PYTHONPATH": root}
    fix = doctor.only_problem("remote", "no repository 'acme/widgets'", env=env)  # a private one, as GitHub has it
    doctor.cure(f"{fix} --token -", "remote", env=env, input=hosted.token.encode())
    wrong = {"CODEREPO_TOKEN": "ghp_wrong", "CODEREPO_TOKEN_ORIGIN": hosted.forge.url}
    fix = doctor.only_problem("credential", "refused the token from CODEREPO_TOKEN", env={**env, **wrong})
    assert fix == "renew the token in CODEREPO_TOKEN, or unset CODEREPO_TOKEN"
    doctor.cure(fix.partition("or ")[2], "credential", env={**env, **wrong})


@pytest.mark.slow
def test_a_keyring_that_is_locked(hosted: World) -> None:
    doctor = doctor_of(hosted)
    env = {"PYTHON_KEYRING_BACKEND": NAME, "PYTHONPATH": str(Path(__file__).parents[1])}
    host = hosted.forge.url.removeprefix("https://")
    hosted.user.run("login", "--host", host, "--token", "-", input=hosted.token.encode(), env=env)
    locked = hosted.user.home / "keyring.locked"
    locked.write_text("")
    assert doctor.only_problem("keyring", "the keyring is locked", "--offline", env=env) == "unlock the keyring"
    locked.unlink()
    fix = doctor.only_problem("keyring", "1 token of 'coderepo.keyringEntry' cannot be read", "--offline")
    assert doctor.check("--offline", env=env)["keyring"][0]["detail"] == "usable, 1 token"
    typed(fix, doctor.path, doctor.program.env)
    assert doctor.noted("keyring", "no keyring on this machine", "--offline") is None


@pytest.mark.slow
def test_a_clock_that_is_wrong(hosted: World) -> None:
    hosted.forge.misbehave("access", Added({"Date": formatdate(1_000_000_000, usegmt=True)}), times=None)
    assert "set-ntp" in doctor_of(hosted).only_problem("clock", "ahead of the platform's clock")


def test_a_server_that_does_not_answer(hosted: World) -> None:
    hosted.forge.misbehave("*", Delay(30), times=None)
    found = doctor_of(hosted).check("--timeout", "0.5")
    assert any("no answer within 0.5 s" in each["detail"] for each in found["remote"])
    assert {each["state"] for each in found["cache"] + found["space"]} == {"ok"}


@pytest.mark.slow
def test_a_credential_helper_that_does_not_answer(hosted: World) -> None:
    doctor = doctor_of(hosted)
    hosted.checkout.git("config", "credential.helper", "!sleep 30;")
    for name in hosted.credential:
        del doctor.program.env[name]
    found = doctor.check("--timeout", "0.5", "--offline")
    assert "no answer within 0.5 s" in found["credential"][0]["detail"]


def test_a_remote_that_is_gone(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "remote.git").rename(tmp_path / "moved.git")
    fix = doctor.only_problem("remote", "no repository")
    assert doctor.noted("remote", "not asked", "--offline") is None
    doctor.cure(fix.replace("URL", f"'file://{tmp_path}/moved.git'"), "remote")


# --- where there is less to look at ---


def test_outside_of_a_checkout_and_without_git(program: Program, tmp_path: Path) -> None:
    outside = Doctor(program, tmp_path, {})
    assert outside.noted("checkout", "only this machine is checked") is None
    python = Path(os.fsdecode(program.executable())).parent
    env = {"PATH": str(python)}
    fix = outside.only_problem("git", "git", env=env)
    assert fix == "sudo apt-get install git"


def test_a_checkout_without_a_remote_or_a_commit(repo: Repo, program: Program) -> None:
    empty = Doctor(program, repo.path, {})
    assert empty.noted("repository", "none: the whole tree travels") == "git remote add origin URL"
    assert "no commit yet" in empty.check()["checkout"][0]["detail"]


def test_a_bare_repository(program: Program, tmp_path: Path, env: dict[str, str]) -> None:
    bare = Repo.init(tmp_path / "bare.git", env, bare=True)
    assert Doctor(program, bare.path, {}).noted("checkout", "only this machine is checked", "--offline") is None


@pytest.mark.slow
def test_a_program_that_git_does_not_find(doctor: Doctor, tmp_path: Path) -> None:
    path = doctor.program.env["PATH"]
    own = Path(os.fsdecode(doctor.program.executable()))
    for directory, says in ((None, "not in PATH"), (tmp_path / "bin", "starts another one")):
        if directory is not None:
            directory.mkdir()
            (directory / "git-coderepo").write_text("#!/bin/sh\n")
            (directory / "git-coderepo").chmod(0o755)
        others = [each for each in path.split(":") if not (Path(each) / "git-coderepo").exists()]
        env = {**doctor.program.env, "PATH": ":".join([*([str(directory)] if directory else []), *others])}
        shown = typed(f"'{own}' doctor --offline", doctor.path, env, check=False).text
        assert says in shown
        line = next(row.split(": ", 1)[1] for row in shown.splitlines() if "export PATH=" in row)
        assert says not in typed(f"{line}; '{own}' doctor --offline", doctor.path, env).text


@pytest.mark.slow
def test_a_record_that_cannot_be_written(doctor: Doctor, checkout: Repo) -> None:
    record = checkout.path / ".git" / "coderepo"
    record.mkdir()
    record.chmod(0o555)
    user = " ".join(AS_USER) if os.geteuid() == 0 else ""
    shown = typed(f"{user} git coderepo doctor --offline", doctor.path, doctor.program.env, check=False).text
    assert f"problem  record      '{record}' is not writable" in shown
    assert f"chmod u+rwx '{record}'" in shown
    fixed = typed(f"{user} git coderepo doctor --offline --fix", doctor.path, doctor.program.env).text
    assert "fixed      record" in fixed and record.stat().st_mode & 0o777 == 0o755


@pytest.mark.slow
def test_a_repository_of_git_annex(doctor: Doctor, checkout: Repo, tmp_path: Path) -> None:
    checkout.git("branch", "git-annex")
    assert "apt-get install git-annex" in doctor.only_problem("annex", "which is not installed", "--offline")
    (tmp_path / "git-annex").write_text("#!/bin/sh\n")
    (tmp_path / "git-annex").chmod(0o755)
    found = doctor.check("--offline", env={"PATH": f"{doctor.program.env['PATH']}:{tmp_path}"})
    assert found["annex"][0]["state"] == "ok"


# --- how it is shown ---


def test_lines_are_aligned_coloured_and_safe_for_a_terminal(doctor: Doctor, checkout: Repo) -> None:
    checkout.write("\x1b[31mred\n/pyvenv.cfg", "")
    checkout.git("config", "color.coderepo", "always")
    result = doctor.program.run("doctor", "--offline", cwd=checkout.path, check=False)
    assert result.status == 1
    assert b"\x1b[31mred" not in result.stdout
    rows = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in result.text.splitlines()]
    problem = next(number for number, row in enumerate(rows) if row.startswith("problem  untracked "))
    assert rows[problem + 1].lstrip().startswith("fix: git coderepo ignore")
    assert len({row.index(row.split(maxsplit=2)[2]) for row in rows[:3]}) == 1
    assert rows[-1].startswith("1 problem, ")
    assert "\x1b[31mproblem" in result.text and "\x1b[32mok" in result.text


@pytest.mark.slow
def test_a_report_has_versions_and_no_names(hosted: World) -> None:
    token = {"CODEREPO_TOKEN": "ghp_" + "a1B2" * 9}
    remote = f"https://ada:{hosted.token}@{hosted.forge.host}:{hosted.forge.port}/acme/widgets.git"
    hosted.checkout.git("remote", "set-url", "origin", remote)
    result = hosted.user.run("doctor", "--report", cwd=hosted.checkout.path, env=token, check=False)
    assert re.search(r"^git-coderepo +\d", result.text) and re.search(r"^git-lfs ", result.text, re.MULTILINE)
    for secret in (hosted.token, token["CODEREPO_TOKEN"], str(hosted.user.home), "acme", "ada"):
        assert secret not in result.text
    assert hosted.user.run("doctor", "--report", "--json", check=False).status == 129


def test_a_report_does_not_name_the_checkout(doctor: Doctor, tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "secret project", doctor.program.env)
    repo.write("f", "1")
    repo.commit("first")
    repo.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "secret_worktree"))
    for directory in (repo.path, tmp_path / "secret_worktree"):
        text = doctor.program.run("doctor", "--report", "--offline", cwd=directory, check=False).text
        assert "'CHECKOUT'" in text and "secret project" not in text and "secret_worktree" not in text


def test_a_misspelt_setting_is_named_before_a_run(doctor: Doctor, checkout: Repo) -> None:
    misspell(checkout)
    for words in (["status"], ["run", "--", "true"], ["snapshot"], ["hook", "pre-run"]):
        done = doctor.program.run(*words, cwd=checkout.path)
        assert "unknown setting 'coderepo.overlaylimt' has no effect; did you mean 'coderepo.overlayLimit'?" in (
            done.errors + done.text
        )


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="a small file system can be mounted by root only")
def test_a_full_disk(doctor: Doctor, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o size=1m none '{disk}' && TMPDIR='{disk}' git coderepo doctor --offline"
    result = typed(f'unshare --mount bash -c "{script}"', doctor.path, doctor.program.env, check=False)
    assert "problem  space" in result.text and f"free at '{disk}'" in result.text
