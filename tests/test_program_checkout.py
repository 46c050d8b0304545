"""Whose checkout a Python program records: its own, or the working directory's, as each launcher leaves it."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

import git_coderepo
from tests.support.program import Program
from tests.support.repo import PathLike, Repo

JOB = "import os, sys\nimport git_coderepo as coderepo\n"
RECORD = "with coderepo.run() as run:\n    print(run.tree, os.fsdecode(run.manifest.run.directory))\n"
SOURCES = (Path(git_coderepo.__file__).parent.parent, Path(pytest.__file__).parent.parent)


class Answer(NamedTuple):
    """The tree that was recorded, the directory in it, and what was said on standard error."""

    tree: str
    directory: str
    errors: str


_OF_THE_CODE = re.compile(r"^code is imported from |: a runner gets only the link$|looks like a virtual environment")


class Desk:
    """Two pushed checkouts, `x` with the program and `y`, and a place that is none."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self.x, self.y = (self.checkout(root / name) for name in ("x with spaces", "y"))
        self.nowhere = root / "nowhere"
        self.nowhere.mkdir()

    def checkout(self, path: Path) -> Repo:
        repo = Repo.init(path, self.env)
        repo.write("job.py", JOB + RECORD)
        repo.write("name", path.name)
        repo.write(".gitignore", "/ignored/\n/outputs/\n")
        repo.commit()
        repo.push_to(path.with_name(path.name + ".git"))
        return repo

    def ask(self, command: Sequence[PathLike], cwd: PathLike, env: Mapping[str, str] | None = None) -> Answer:
        done = subprocess.run(
            [os.fsencode(word) for word in command], cwd=os.fsencode(cwd), env={**self.env, **(env or {})},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        tree, _, directory = done.stdout.strip().splitlines()[-1].partition(" ")
        # What else a run is told, of its contents and imports, has tests of its own.
        errors = "".join(line for line in done.stderr.splitlines(keepends=True) if not _OF_THE_CODE.search(line))
        return Answer(tree, directory, errors)


@pytest.fixture
def desk(tmp_path: Path, env: dict[str, str]) -> Desk:
    return Desk(tmp_path, env)


@pytest.fixture
def venv(desk: Desk) -> Path:
    """A virtual environment inside `x` that is not ignored, as `~/.pyenv/versions/3.12` may be: all of it is code."""
    path = Path(desk.x.path) / "versions" / "3"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True, timeout=120)
    (path / ".gitignore").unlink(missing_ok=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = path / "lib" / version / "site-packages"
    (packages / "those.pth").write_text("".join(f"{each}\n" for each in SOURCES))
    return path


def console_script(venv: Path, name: str, body: str) -> Path:
    script = venv / "bin" / name
    script.write_text(f"#!{venv}/bin/python\n{body}" if " " not in str(venv) else body)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def named_both(desk: Desk, answer: Answer) -> bool:
    warnings = [line for line in answer.errors.splitlines() if "checkout" in line]
    return len(warnings) == 1 and str(desk.x.path) in warnings[0] and str(desk.y.path) in warnings[0]


@pytest.mark.slow
def test_the_programs_checkout_is_recorded_and_one_warning_names_both(desk: Desk) -> None:
    desk.x.write("job.py", JOB + RECORD + RECORD)
    answer = desk.ask([sys.executable, desk.x.file("job.py")], desk.y.path)
    assert answer.tree == desk.x.tree() != desk.y.tree() and answer.directory == "."
    assert named_both(desk, answer)


@pytest.mark.slow
def test_the_working_directory_may_be_no_checkout(desk: Desk) -> None:
    answer = desk.ask([sys.executable, desk.x.file("job.py")], desk.nowhere)
    assert answer == (desk.x.tree(), ".", "")


@pytest.mark.slow
def test_within_one_checkout_the_directory_is_the_working_directory(desk: Desk) -> None:
    desk.x.write("a/deep/job.py", JOB + RECORD)
    desk.x.write("b/x", "")
    expected = desk.x.tree()
    assert desk.ask([sys.executable, "../a/deep/job.py"], desk.x.file("b")) == (expected, "b", "")
    assert desk.ask([sys.executable, desk.x.file("a/deep/job.py")], desk.x.file("b")) == (expected, "b", "")
    assert desk.ask([sys.executable, "-m", "a.deep.job"], desk.x.path) == (expected, ".", "")


@pytest.mark.slow
def test_a_directory_that_is_named_decides(desk: Desk) -> None:
    desk.x.write("job.py", JOB + RECORD.replace("run()", "run(directory='.')"))
    assert desk.ask([sys.executable, desk.x.file("job.py")], desk.y.path) == (desk.y.tree(), ".", "")


@pytest.mark.slow
def test_a_program_that_is_ignored_is_not_the_code(desk: Desk) -> None:
    desk.x.write("ignored/job.py", JOB + RECORD)
    assert desk.ask([sys.executable, desk.x.file("ignored/job.py")], desk.y.path) == (desk.y.tree(), ".", "")
    desk.x.write(".git/job.py", JOB + RECORD)
    assert desk.ask([sys.executable, desk.x.file(".git/job.py")], desk.y.path) == (desk.y.tree(), ".", "")


@pytest.mark.slow
def test_a_program_with_a_name_that_looks_like_a_pattern(desk: Desk) -> None:
    desk.x.write(b"-[j]*\n\xff.py", JOB + RECORD)
    answer = desk.ask([sys.executable, desk.x.file(b"-[j]*\n\xff.py")], desk.y.path)
    assert answer.tree == desk.x.tree()


@pytest.mark.slow
def test_a_link_to_a_program_leads_to_its_checkout(desk: Desk) -> None:
    desk.y.symlink("bin/job", desk.x.file("job.py"))
    assert desk.ask([sys.executable, desk.y.file("bin/job")], desk.y.path).tree == desk.x.tree()
    (desk.nowhere / "linked").symlink_to(desk.x.path)
    answer = desk.ask([sys.executable, desk.nowhere / "linked" / "job.py"], desk.nowhere / "linked")
    assert answer == (desk.x.tree(), ".", "")


@pytest.mark.slow
def test_a_linked_worktree_is_another_checkout(desk: Desk) -> None:
    worktree = Repo(desk.nowhere / "worktree", desk.env)
    desk.y.git("worktree", "add", "--quiet", worktree.path)
    worktree.write("name", "worktree")
    answer = desk.ask([sys.executable, worktree.file("job.py")], desk.y.path)
    assert answer.tree == worktree.tree() and str(worktree.path) in answer.errors


@pytest.mark.slow
def test_a_zip_file_is_a_program(desk: Desk) -> None:
    with zipfile.ZipFile(desk.x.file("job.pyz").decode(), "w") as archive:
        archive.writestr("__main__.py", JOB + RECORD)
    answer = desk.ask([sys.executable, desk.x.file("job.pyz")], desk.y.path)
    assert answer.tree == desk.x.tree() and named_both(desk, answer)


@pytest.mark.slow
def test_what_a_git_hook_of_another_checkout_starts_is_refused_or_its_own(desk: Desk) -> None:
    """A hook has GIT_DIR in its environment."""
    pinned = {"GIT_DIR": str(desk.y.git_dir())}
    done = subprocess.run(
        [sys.executable, "job.py"], cwd=desk.x.path, env={**desk.env, **pinned}, capture_output=True, text=True
    )
    assert done.returncode == 1 and str(desk.x.path) in done.stderr and str(desk.y.git_dir()) in done.stderr


# --- launchers: each records the working directory ---------------------------------------------------

STARTS = "import subprocess, sys\nsys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)\n"
IN_PROCESS = "import runpy, sys\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"


@pytest.mark.slow
def test_a_console_script(desk: Desk, venv: Path) -> None:
    script = console_script(venv, "train", JOB + RECORD)
    assert desk.ask([venv / "bin" / "python", script], desk.y.path) == (desk.y.tree(), ".", "")


@pytest.mark.slow
def test_a_console_script_of_the_user(desk: Desk) -> None:
    """`pip install --user` in a home directory that is a checkout."""
    home = Repo.init(Path(desk.env["HOME"]), desk.env)
    home.write(".local/bin/train", JOB + RECORD)
    assert desk.ask([sys.executable, home.file(".local/bin/train")], desk.y.path) == (desk.y.tree(), ".", "")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [STARTS, IN_PROCESS, JOB + RECORD], ids=["starts", "runs", "records"])
@pytest.mark.parametrize("how", ["module", "script"])
def test_a_launcher(desk: Desk, venv: Path, launcher: str, how: str) -> None:
    """`python -m torch.distributed.run job.py`, `accelerate launch job.py`: installed programs that start another."""
    (packages,) = venv.glob("lib/*/site-packages")
    (packages / "torchlike" / "distributed").mkdir(parents=True)
    (packages / "torchlike" / "distributed" / "run.py").write_text(launcher)
    script = console_script(venv, "accelerate", launcher)
    start = ["-m", "torchlike.distributed.run"] if how == "module" else [script]
    assert desk.ask([venv / "bin" / "python", *start, "job.py"], desk.y.path) == (desk.y.tree(), ".", "")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["module", "script"])
def test_pytest(desk: Desk, venv: Path, how: str) -> None:
    desk.y.write("test_it.py", JOB + "def test_it(capsys):\n  with capsys.disabled():\n" + _indented(RECORD))
    script = console_script(venv, "pytest", "import pytest, sys\nsys.exit(pytest.console_main())\n")
    start = ["-m", "pytest"] if how == "module" else [script]
    options = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [venv / "bin" / "python", "-B", *start, *options], cwd=desk.y.path, env=desk.env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert desk.y.tree() in done.stdout and desk.x.tree() not in done.stdout


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


@pytest.mark.slow
def test_uv_run(desk: Desk, venv: Path) -> None:
    """`uv run` starts what is in the project's own environment, which ignores itself."""
    own = Path(desk.y.path) / ".venv"
    (venv / ".gitignore").write_text("*\n")
    venv.rename(own)
    script = console_script(own, "train", JOB + RECORD)
    variables = {"VIRTUAL_ENV": str(own), "PATH": f"{own / 'bin'}:{desk.env['PATH']}", "UV": "/usr/bin/uv"}
    expected = desk.y.tree()
    assert desk.ask([own / "bin" / "python", script], desk.y.path, variables) == (expected, ".", "")
    assert desk.ask([own / "bin" / "python", "job.py"], desk.y.path, variables) == (expected, ".", "")


KERNEL = (
    "import types\nmade = types.ModuleType('IPython')\n"
    "made.get_ipython = lambda: {shell}\nsys.modules['IPython'] = made\nsys.modules['ipykernel'] = made\n"
)


@pytest.mark.slow
def test_a_notebook(desk: Desk) -> None:
    """A kernel's shell has a `kernel`; a library that imports ipykernel makes no notebook."""
    body = JOB + KERNEL.format(shell="types.SimpleNamespace(kernel=object())") + RECORD
    desk.x.write("kernel.py", body)
    assert desk.ask([sys.executable, desk.x.file("kernel.py")], desk.y.path) == (desk.y.tree(), ".", "")
    desk.x.write("kernel.py", body.replace("types.SimpleNamespace(kernel=object())", "None"))
    assert desk.ask([sys.executable, desk.x.file("kernel.py")], desk.y.path).tree == desk.x.tree()


@pytest.mark.slow
def test_code_without_a_file(desk: Desk) -> None:
    assert desk.ask([sys.executable, "-c", JOB + RECORD], desk.y.path) == (desk.y.tree(), ".", "")


@pytest.mark.slow
def test_a_checkout_below_the_interpreters_prefix_is_named(desk: Desk, venv: Path) -> None:
    """`pip install -e git+https://…` clones into `src` of the environment; a system's prefix holds `/usr/src`."""
    (venv / "src").mkdir()
    (venv / "src" / "job.py").write_text(JOB + RECORD)
    answer = desk.ask([venv / "bin" / "python", venv / "src" / "job.py"], desk.y.path)
    assert answer.tree == desk.y.tree() and named_both(desk, answer)


# --- where it was started -----------------------------------------------------------------------------

CHDIR = "os.makedirs('outputs/now', exist_ok=True)\nos.chdir('outputs/now')\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["relative", "absolute", "module", "lazy"])
def test_a_program_that_changed_its_directory_starts_on_a_runner(desk: Desk, program: Program, how: str) -> None:
    """Hydra changes to a directory of each job before it calls the program's function."""
    body = JOB + CHDIR + RECORD if how != "lazy" else "import os\n" + CHDIR + JOB + RECORD
    desk.x.write("services/job.py", body)
    starts: dict[str, list[PathLike]] = {"absolute": [desk.x.file("services/job.py")], "module": ["-m", "job"]}
    start = starts.get(how, ["job.py"])
    answer = desk.ask([sys.executable, *start], desk.x.file("services"))
    assert (answer.tree, answer.directory) == (desk.x.tree(), "services")
    manifest = desk.x.git_dir() / "coderepo" / "current.json"
    done = program.run("exec", manifest, "--", "pwd", env={"CODEREPO_ALLOW_PROTOCOL": "file"})
    assert done.text.rstrip().endswith("/services")


@pytest.mark.slow
def test_an_installed_program_that_changed_its_directory(desk: Desk, venv: Path, tmp_path: Path) -> None:
    script = console_script(venv, "train", JOB + CHDIR + RECORD)
    assert desk.ask([venv / "bin" / "python", script], desk.y.path) == (desk.y.tree(), ".", "")
    script = console_script(venv, "train", JOB + f"os.chdir({str(desk.nowhere)!r})\n" + RECORD)
    assert desk.ask([venv / "bin" / "python", script], desk.y.path) == (desk.y.tree(), ".", "")
    # Whoever goes to another checkout means that one.
    desk.x.write("lib/t.py", "")
    script = console_script(venv, "train", JOB + f"os.chdir({str(desk.x.path)!r})\n" + RECORD)
    assert desk.ask([venv / "bin" / "python", script], desk.y.path) == (desk.x.tree(), ".", "")


# --- neither is a checkout, and MLflow ----------------------------------------------------------------


@pytest.mark.slow
def test_where_neither_is_a_checkout_both_are_named(desk: Desk) -> None:
    (desk.nowhere / "job.py").write_text(JOB + RECORD)
    done = subprocess.run(
        [sys.executable, "job.py"], cwd=desk.nowhere, env=desk.env, capture_output=True, text=True, check=False
    )
    words = (
        f"neither the program '{desk.nowhere}/job.py' nor the working directory '{desk.nowhere}' is in a Git checkout"
    )
    assert done.returncode == 1 and words in done.stderr
    hint = "try: coderepo.run().__enter__()\nexcept coderepo.CodeRepoError as e: print(e.hints)"
    done = subprocess.run(
        [sys.executable, "-c", JOB + hint], cwd=desk.nowhere, env=desk.env, capture_output=True, text=True
    )
    assert "directory=" in done.stdout


def test_mlflow_is_told_of_the_programs_checkout(desk: Desk) -> None:
    desk.x.git("config", "coderepo.origin.type", "git")
    desk.x.git("config", "coderepo.origin.remote", "origin")
    body = (
        "from git_coderepo.mlflow import CodeRepoRunContext\ntold = CodeRepoRunContext()\n"
        "assert told.in_context()\ntold.tags()\nprint(told.tags()['coderepo.tree'])\n"
    )
    desk.x.write("job.py", JOB + body)
    answer = desk.ask([sys.executable, desk.x.file("job.py")], desk.y.path)
    assert answer.tree == desk.x.tree() and named_both(desk, answer)
