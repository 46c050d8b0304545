"""The hints for a checkout that cannot be recorded: each is followed, and the snapshot is then taken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.support import lines
from tests.hints import cures
from tests.hints.support import stopped, tail, typed
from tests.support.program import Program, Result
from tests.support.repo import Repo

pytestmark = pytest.mark.slow

ODD = "a [b]*'s?.py"


@pytest.fixture
def checkout(repo: Repo, program: Program) -> Repo:
    program.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
    repo.write("train.py", "print('trained')\n")
    repo.commit()
    repo.push_to(repo.path.parent / "remote.git")
    return repo


@pytest.fixture(params=[".", "it's below/-deep"])
def here(checkout: Repo, request: pytest.FixtureRequest) -> Path:
    """A directory of the checkout in which the user stands: what a hint names counts from there."""
    found = checkout.path / str(request.param)
    found.mkdir(parents=True, exist_ok=True)
    return found


def recorded(program: Program, checkout: Repo, *without: str) -> None:
    """The snapshot is taken, and its tree is the work tree without these paths."""
    assert program.run("snapshot", cwd=checkout.path).json()["code"]["snapshot"]["tree"] == checkout.tree(*without)


# --- contents ---


@cures(
    "remove the token from the file and read it from the environment",
    "or leave the file out, if it is untracked: {exclude_command(found[0].path)}",
    "or, if it is not a secret: {command}",
    "or turn off the scan: git config coderepo.secretScan false",
)
@pytest.mark.parametrize("which", range(4))
def test_a_token(checkout: Repo, program: Program, which: int) -> None:
    checkout.write(ODD, "token = 'gh" + "p_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5'\n")
    hints = stopped(program, "snapshot", cwd=checkout.path, says="a probable token")
    if which == 0:
        checkout.write(ODD, "import os\ntoken = os.environ['TOKEN']\n")
    else:
        typed(tail(hints[which]), checkout.path, program.env)
    recorded(program, checkout, *([ODD] if which == 1 else []))


@cures("rename it", "or: {exclude_command(below)}")
def test_a_line_break_in_a_name_to_be_ignored(checkout: Repo, program: Program) -> None:
    checkout.write("sub/a [b]\nc", "x")
    checkout.write("sub/a b\nc", "x")
    hints = stopped(program, "ignore", "a [b]\nc", cwd=checkout.path / "sub", says="cannot add")
    typed(tail(hints[1]), checkout.path / "sub", program.env)
    recorded(program, checkout, "sub/a [b]\nc")
    os.rename(checkout.file("sub/a [b]\nc"), checkout.file("sub/abc"))
    program.run("ignore", "abc", cwd=checkout.path / "sub")
    recorded(program, checkout)


@cures("try again when nothing writes to it", "or exclude it: {ignore_command(first, self.toplevel)}")
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_is_written_meanwhile(checkout: Repo, program: Program, which: int, here: Path) -> None:
    checkout.write(".gitattributes", "*.log filter=writer\n")
    checkout.commit()
    checkout.git("config", "filter.writer.clean", "cat; echo more >>'my run.log'")
    checkout.write("my run.log", "first\n")
    hints = stopped(program, "snapshot", cwd=here, says="changed while it was read")
    if which == 0:
        checkout.git("config", "--unset", "filter.writer.clean")
    else:
        typed(tail(hints[1]), here, program.env)
    recorded(program, checkout)


# What takes root's right to read everything away.
AS_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


def without_rights(program: Program, cwd: Path) -> Result:
    words = [*(AS_USER if os.geteuid() == 0 else []), os.fsdecode(program.executable()), "snapshot"]
    done = subprocess.run(words, cwd=cwd, env=program.env, capture_output=True)
    if b"setpriv" in done.stderr:
        pytest.skip("this machine lets nobody give up the right to read everything")
    return Result(done.returncode, done.stdout, done.stderr)


@cures("or exclude it: {ignore_command(os.fsencode(path), top)}")
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", [b"it's mine", b"- \xff"])
def test_a_directory_that_cannot_be_listed(
    checkout: Repo, program: Program, which: int, here: Path, name: bytes
) -> None:
    checkout.write(name + b"/x", "x")
    os.chmod(checkout.file(name), 0)
    refused = without_rights(program, here)
    assert "git cannot read" in refused.errors, refused.errors
    if which == 0:
        os.chmod(checkout.file(name), 0o755)
    else:
        typed(tail(lines(refused, "hint")[1]), here, program.env)
    assert without_rights(program, here).status == 0


@cures("make it readable", "or exclude it: {ignore}")
@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", [b"it's [mine]", b"-\xff"])
def test_a_file_that_cannot_be_read(
    checkout: Repo, program: Program, tracked: bool, which: int, here: Path, name: bytes
) -> None:
    checkout.write(name, "x")
    if tracked:
        checkout.commit()
        checkout.write(name, "xy")
    os.chmod(checkout.file(name), 0)
    refused = without_rights(program, here)
    assert "cannot be read" in refused.errors, refused.errors
    hints = lines(refused, "hint")
    if which == 0:
        os.chmod(checkout.file(name), 0o644)
    else:
        typed(tail(hints[1]), here, program.env)
    assert without_rights(program, here).status == 0


@cures("exclude it: {ignore_command(ignored, self.layout.toplevel)}", "do not name it with --include")
def test_a_name_that_no_tree_may_have(checkout: Repo, program: Program, here: Path) -> None:
    checkout.git("config", "core.protectNTFS", "true")
    checkout.write("git~1/x", "x")
    hints = stopped(program, "snapshot", cwd=here, says="'git~1/x'")
    typed(tail(hints[0]), here, program.env)
    recorded(program, checkout)
    stopped(program, "snapshot", "--include", "git~1", cwd=checkout.path, says="'git~1/x'")


# --- filters ---


@cures(
    "install the command of filter.{name}.clean or filter.{name}.process",
    "or: git config {shlex.quote(f'filter.{name}.required')} false",
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_filter_without_its_command(checkout: Repo, program: Program, which: int, tmp_path: Path) -> None:
    checkout.write(".gitattributes", "*.nb filter=my'strip\n")
    checkout.write("a.nb", "1\n")
    command = tmp_path / "strip"
    checkout.git("config", "filter.my'strip.clean", f"'{command}'")
    checkout.git("config", "filter.my'strip.required", "true")
    hints = stopped(program, "snapshot", cwd=checkout.path, says="its filter 'my'strip' failed")
    if which == 0:
        command.write_text("#!/bin/sh\ncat\n")
        command.chmod(0o755)
    else:
        typed(tail(hints[1]), checkout.path, program.env)
    program.run("snapshot", cwd=checkout.path)


@cures("install the command that the filter names in git's configuration, such as git-lfs")
@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_git_lfs_is_installed(checkout: Repo, program: Program, tmp_path: Path) -> None:
    checkout.write(".gitattributes", "*.bin filter=lfs\n")
    checkout.write("a.bin", "1\n")
    checkout.git("config", "filter.lfs.process", "lfs-of-this-test filter-process")
    checkout.git("config", "filter.lfs.required", "true")
    # Whether git comes as far as to name the path is chance: git or the shell may notice first.
    stopped(program, "snapshot", cwd=checkout.path, says="cannot be recorded: its filter")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "lfs-of-this-test").symlink_to(shutil.which("git-lfs") or "")
    program.env["PATH"] += f":{tmp_path / 'bin'}"
    program.run("snapshot", cwd=checkout.path)


# --- the repository ---


@cures("rm {shell_word(reference)}", "then: git update-ref {shell_word(branch)} {commit}")
@pytest.mark.parametrize("contents", ["", "no commit\n"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_damaged_branch(checkout: Repo, program: Program, contents: str, linked: bool, tmp_path: Path) -> None:
    if linked:
        checkout.git("worktree", "add", "--quiet", "-b", "second/it's", tmp_path / "second")
        checkout = Repo(tmp_path / "second", checkout.env)
    checkout.write("train.py", "2\n")
    commit = checkout.commit()
    Path(
        checkout.line("rev-parse", "--path-format=absolute", "--git-path", checkout.line("symbolic-ref", "HEAD"))
    ).write_text(contents)
    for hint in stopped(program, "snapshot", cwd=checkout.path, says="HEAD does not resolve"):
        typed(tail(hint), checkout.path, program.env)
    assert checkout.head() == commit
    recorded(program, checkout)


@cures("move '{name}' away, and then: {git_word(top)} submodule update --init{recursive} -- {path_word(path[0], top)}")
def test_a_submodule_whose_git_is_none(checkout: Repo, program: Program, tmp_path: Path, here: Path) -> None:
    inner = Repo.init(tmp_path / "inner", checkout.env)
    inner.write("t.py", "1\n")
    inner.commit()
    checkout.git("submodule", "--quiet", "add", f"file://{inner.path}", "my lib")
    checkout.commit()
    checkout.write("my lib/.git", "gitdir: /nowhere\n")
    (hint,) = stopped(program, "snapshot", cwd=here, says="the submodule 'my lib'")
    os.rename(checkout.file("my lib"), tmp_path / "moved away")
    typed(tail(hint), here, program.env)
    program.run("snapshot", cwd=checkout.path)


@cures("for a commit as it is: git coderepo snapshot REV")
def test_a_bare_repository(checkout: Repo, program: Program, tmp_path: Path) -> None:
    remote = checkout.path.parent / "remote.git"
    bare = Repo.clone(f"file://{remote}", tmp_path / "bare.git", checkout.env, "--mirror")
    (hint,) = stopped(program, "snapshot", cwd=bare.path, says="this is a bare repository")
    typed(tail(hint).replace("REV", "main"), bare.path, program.env)


@cures("unset GIT_DIR GIT_WORK_TREE", "cd {shell_word(toplevel)}")
@pytest.mark.parametrize("which", ["unset ", "cd "])
def test_an_environment_that_names_another_work_tree(
    checkout: Repo, program: Program, which: str, tmp_path: Path
) -> None:
    other = Repo.init(tmp_path / "other one", checkout.env)
    other.write("t.py", "1\n")
    other.commit()
    env = {**program.env, "GIT_DIR": str(checkout.git_dir()), "GIT_WORK_TREE": str(checkout.path)}
    hints = stopped(program, "snapshot", cwd=other.path, says="is outside the work tree", env=env)
    (hint,) = [each for each in hints if each.startswith(which)]
    if which == "unset ":
        other.push_to(tmp_path / "others.git")
        cwd = other.path
        hint = f"export GIT_DIR='{env['GIT_DIR']}' GIT_WORK_TREE='{env['GIT_WORK_TREE']}'; {hint}"
        env = program.env
    else:
        cwd = other.path
    done = typed(f"{hint} && git coderepo snapshot", cwd, env)
    expected = other if which == "unset " else checkout
    assert done.json()["code"]["snapshot"]["tree"] == expected.tree()


@cures("{shown(['git', b'--work-tree=' + root, 'coderepo'])} run …")
def test_a_repository_whose_work_tree_is_configured_elsewhere(checkout: Repo, program: Program, tmp_path: Path) -> None:
    expected = checkout.tree()
    (tmp_path / "elsewhere").mkdir()
    checkout.git("config", "core.worktree", tmp_path / "elsewhere")
    (hint,) = stopped(program, "run", "true", cwd=checkout.path, says="is outside the work tree")
    typed(hint.replace("…", "sh -c 'git rev-parse HEAD^{tree}'"), checkout.path, program.env)
    shown = typed(hint.replace("run …", "show --json"), checkout.path, program.env, check=False)
    assert expected in shown.text, shown.text + shown.errors


@cures("make it a regular file of at most 64 KiB that git reads: git config --file .coderepo --list")
@pytest.mark.parametrize("reason", ["it is a symbolic link", "it is larger than 64 KiB", "bad config line 2"])
def test_the_settings_of_a_team(checkout: Repo, program: Program, reason: str, tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("[coderepo]\nexclude = outputs/\n")
    if "link" in reason:
        checkout.symlink(".coderepo", tmp_path / "settings")
    else:
        checkout.write(".coderepo", "# long\n" * 10_000 if "larger" in reason else '[coderepo]\nexclude = "x\n')
    (hint,) = stopped(program, "snapshot", cwd=checkout.path, says=reason)
    checkout.remove(".coderepo")
    checkout.write(".coderepo", (tmp_path / "settings").read_text())
    assert typed(tail(hint), checkout.path, program.env).text == "coderepo.exclude=outputs/\n"
    recorded(program, checkout)


@cures("mkdir -p -- {shell_word(folder)}")
@pytest.mark.parametrize("folder", ["-n/it's", "a b/c", "line\nbreak"])
def test_the_directory_of_an_output_file_is_made(checkout: Repo, program: Program, folder: str) -> None:
    (hint,) = stopped(program, "snapshot", f"--output={folder}/run.json", cwd=checkout.path, says="does not exist")
    typed(hint, checkout.path, program.env)
    program.run("snapshot", f"--output={folder}/run.json", cwd=checkout.path)
    assert re.match(rb"\{", checkout.read(f"{folder}/run.json"))


@cures("copy the files of .git/objects from another clone or a backup, until it is whole: git fsck")
def test_a_damaged_object(checkout: Repo, program: Program, tmp_path: Path) -> None:
    checkout.git("config", "core.bigFileThreshold", "100k")
    checkout.write("large.bin", os.urandom(500_000))
    os.utime(checkout.file("large.bin"), (1_700_000_000, 1_700_000_000))  # so that git need not read it again
    checkout.commit()
    objects = checkout.git_dir() / "objects"
    shutil.copytree(objects, tmp_path / "backup")
    largest = max((path for path in objects.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = largest.read_bytes()
    largest.chmod(0o644)
    largest.write_bytes(data[:250_000] + bytes(16) + data[250_016:])
    (hint,) = stopped(program, "snapshot", "-o", "../run.json", cwd=checkout.path, says="'large.bin' cannot be read")
    shutil.copytree(tmp_path / "backup", objects, dirs_exist_ok=True)
    typed(tail(hint), checkout.path, program.env)
    program.run("snapshot", "-o", "../run.json", cwd=checkout.path)
