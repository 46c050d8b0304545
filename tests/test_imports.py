"""What an import costs: the hook's path runs before every training run, so it loads next to nothing at its top."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import git_coderepo

PACKAGE = Path(git_coderepo.__file__).parent

# On the hook's path, and what could come onto it.
LEAN = (
    "git_coderepo",
    "git_coderepo.git.attributes.rules",
    "git_coderepo.git.attributes.conversion",
    "git_coderepo.git.attributes.encodings",
    "git_coderepo.git.attributes.wildmatch",
    "git_coderepo.git.spawn",
    "git_coderepo.errors",
    "git_coderepo.git.objects",
    "git_coderepo.credentials.secret",
    "git_coderepo.trace",
    "git_coderepo.git.messages",
    "git_coderepo.git.process",
    "git_coderepo.settings",
    "git_coderepo.git.url.ssh",
    "git_coderepo.git.url.parse",
    "git_coderepo.git.url.remote",
    "git_coderepo.snapshots.archive_check",
    "git_coderepo.git.pushed_commits",
    "git_coderepo.snapshots.tree.hidden_changes",
    "git_coderepo.snapshots.tree.edit",
    "git_coderepo.snapshots.tree.worktree_stat",
    "git_coderepo.git.index",
    "git_coderepo.git.repository",
    "git_coderepo.git.lfs_pointer",
    "git_coderepo.snapshots.tree.edit",
    "git_coderepo.snapshots.tree.hidden_changes",
    "git_coderepo.snapshots.tree.hidden_changes",
    "git_coderepo.manifest.output_file",
    "git_coderepo.snapshots.not_in_git",
    "git_coderepo.snapshots.overlay",
    "git_coderepo.git.own_files",
    "git_coderepo.git.partial_clone",
    "git_coderepo.snapshots.tree.reuse",
    "git_coderepo.settings",
    "git_coderepo.git.subtree",
    "git_coderepo.snapshots.secret_scan",
    "git_coderepo.snapshots.tree.write",
    "git_coderepo.git.status",
    "git_coderepo.git.tree_diff",
    "git_coderepo.git.store",
    "git_coderepo.snapshots.inspect_checkout",
    "git_coderepo.filesystem.atomic",
    "git_coderepo.filesystem.file_times",
    "git_coderepo.settings",
    "git_coderepo.snapshots.tree.private_index",
    "git_coderepo.platforms",
    "git_coderepo.platforms.ask_api_or_git",
    "git_coderepo.platforms.base",
    "git_coderepo.platforms.custom",
    "git_coderepo.platforms.git",
    "git_coderepo.transport.git_remote",
    "git_coderepo.transport.git_remote",
    "git_coderepo.transport.git_failures",
    "git_coderepo.platforms.github",
    "git_coderepo.platforms.gitlab",
    "git_coderepo.platforms.hosted",
    "git_coderepo.transport.http",
    "git_coderepo.platforms.lfs",
    "git_coderepo.platforms.lfs",
    "git_coderepo.transport.retry",
    "git_coderepo.transport.http",
    "git_coderepo.transport.http_failures",
    "git_coderepo.transport.users_remote",
    "git_coderepo.transport.proxy",
    "git_coderepo.registration.config",
    "git_coderepo.registration.infer",
    "git_coderepo.manifest.writer",
    "git_coderepo.snapshots.snapshot",
    "git_coderepo.snapshots.pipeline",
    "git_coderepo.snapshots.tree.changes",
    "git_coderepo.snapshots.packing",
    "git_coderepo.snapshots.manifest_document",
    "git_coderepo.snapshots.size_limits",
    "git_coderepo.registration.resolve",
    "git_coderepo.runs.manifest_files",
    "git_coderepo.runs.record_files",
    "git_coderepo.hooks.prerun",
    "git_coderepo.runs.redact_command",
    "git_coderepo.snapshots.find_base",
    "git_coderepo.snapshots.submodules",
    "git_coderepo.value",
)

# What `import os, abc` brings along in every Python since 3.10, and no more.
CHEAP = frozenset((
    "__future__", "_abc", "_collections_abc", "_stat", "_weakref", "_weakrefset", "abc", "builtins", "codecs",
    "encodings", "errno", "genericpath", "io", "marshal", "os", "os.path", "posix", "posixpath", "stat", "sys", "time",
    "zipimport",
))  # fmt: skip


def loaded_by(modules: list[str]) -> set[str]:
    """The names in sys.modules that importing these adds to a bare interpreter's."""
    program = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1])\n"
        "for name in sys.argv[2:]: __import__(name)\n"
        "print('\\n'.join(set(sys.modules) - before))"
    )
    # -S and -I: nothing that a site's .pth files or PYTHONPATH import can stand in for what we do.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(PACKAGE.parent), *modules],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("name", LEAN)
def test_the_hooks_path_imports_nothing_heavy(name: str) -> None:
    heavy = {
        module
        for module in loaded_by([name]) - CHEAP
        if module.split(".")[0] != "git_coderepo" and not module.startswith("encodings.")
    }
    assert not heavy, f"{name} imports {', '.join(sorted(heavy))} at its top"


def test_git_is_asked_before_anything_is_imported() -> None:
    assert loaded_by(["git_coderepo.git.spawn"]) == {
        "__future__", "git_coderepo", "git_coderepo.git", "git_coderepo.git.spawn",
    }  # fmt: skip


def test_importing_the_package_imports_none_of_its_modules() -> None:
    assert {name for name in loaded_by(["git_coderepo"]) if name.startswith("git_coderepo")} == {"git_coderepo"}


def test_a_public_name_is_imported_when_it_is_used() -> None:
    for name in git_coderepo.__all__:
        assert getattr(git_coderepo, name) is not None
    with pytest.raises(AttributeError):
        git_coderepo.nothing_of_that_name  # noqa: B018
    assert set(git_coderepo.__all__) < set(dir(git_coderepo))


# Each is imported inside the function that needs it: none of them may stand at the top of a module.
LAZY = frozenset(("requests", "urllib3", "keyring", "rich", "jsonschema", "git", "platformdirs", "fsspec"))
# typer and printing live in cli/; pytest in the tests that authors of platforms run.
HOMES = {"typer": ("cli",), "pytest": ("testing.py",)}


def top_imports(path: Path) -> set[str]:
    """The first words of what a module imports when it is loaded, its `if TYPE_CHECKING:` left out."""
    found: set[str] = set()
    statements: list[ast.stmt] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while statements:
        statement = statements.pop()
        if isinstance(statement, ast.Import):
            found |= {alias.name.split(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            found.add((statement.module or "").split(".")[0])
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            statements += statement.orelse
        elif isinstance(statement, ast.If | ast.Try | ast.With | ast.ClassDef):
            statements += [each for each in ast.iter_child_nodes(statement) if isinstance(each, ast.stmt)]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_dependency_is_imported_where_it_is_used(path: Path) -> None:
    where = path.relative_to(PACKAGE).as_posix()
    found = top_imports(path)
    assert not found & LAZY
    for name, homes in HOMES.items():
        assert name not in found or where.startswith(homes)


def test_the_snapshot_of_a_clean_checkout_loads_little(tmp_path: Path) -> None:
    """The whole verb, typer apart: what `record` needs to look at a checkout and to write the manifest."""
    from tests.support.environment import clean_environment
    from tests.support.repo import Repo

    env = clean_environment(tmp_path / "home")
    repo = Repo.init(tmp_path / "checkout", env)
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.git("remote", "add", "origin", "https://github.com/acme/widgets.git")
    repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from git_coderepo.git.process import Git\n"
        "from git_coderepo.snapshots.manifest_document import write_record\n"
        "from git_coderepo.snapshots.snapshot import Request\n"
        "from git_coderepo.snapshots.pipeline import take_snapshot\n"
        "data = write_record(take_snapshot(Git(), Request()), now=0.0, git_version='2').data\n"
        "assert b'\"github\"' in data\n"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(PACKAGE.parent)],
        capture_output=True, text=True, check=False, cwd=repo.path, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & (
        LAZY | {"typer", "click", "pydantic", "dataclasses", "typing", "subprocess", "pathlib", "http"}
    )
