"""The names that users hold: in their programs, their configuration and their hooks. None of them may move or change.

New names may be added. Every other module of the package may be moved; a test at the end finds those that are named in
a text, which neither mypy nor an import would notice.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import logging
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

import git_coderepo
from tests.support.program import Program
from tests.support.repo import Repo

PACKAGE = Path(git_coderepo.__file__).parent
PROJECT = PACKAGE.parent
LEAN = PACKAGE / "hooks" / "lean.py"
# The scripts as they were when this test was written: they are in people's checkouts, with our paths in them.
INSTALLED_HOOKS = Path(__file__).parent / "installed_hooks"

FUNCTIONS = {
    "fetch": "(run, directory, *, method='auto', overlay=None, code_repository=None, subdirectory=None, lfs=True, "
    "environment=None)",
    "run": "(name=None, *, directory=None, outputs=(), code_repository=None, check=False, include=(), scope=(), "
    "allow_unreproducible=False, manifest=None, command=None)",
    "snapshot": "(directory='.', *, rev=None, code_repository=None, check=False, include=(), scope=(), "
    "allow_unreproducible=False)",
    "verify": "(run, directory, *, subdirectory=None, environment=None)",
}

# What authors of platforms override and call; "" stands for an attribute.
PLATFORM = {
    "api_origin": "(self)",
    "archive_wait": "",
    "ci": "",
    "close": "(self)",
    "commit_tree": "(self, commit)",
    "credential_aliases": "",
    "credentials": "",
    "describe_tree": "(self, commit, path)",
    "download_files": "(self, commit, directory, repo_sub_directory)",
    "get_local_context": "(self, path)",
    "git_credential_user": "(self)",
    "git_url": "(self)",
    "has_commit": "(self, commit)",
    "host_aliases": "",
    "host_suffixes": "",
    "hosts": "",
    "is_own_host": "(cls, host)",
    "limits_archives": "",
    "login": "(self)",
    "max_wait": "",
    "needs_special": "",
    "open_archive": "(self, commit, path)",
    "options": "",
    "protocols": "",
    "read_file": "(self, commit, path)",
    "recorded_options": "(self)",
    "remote": "",
    "resolve": "(self, revision)",
    "title": "",
    "token_help": "",
    "token_variables": "",
    "tree_entries": "(self, tree)",
    "type": "",
    "web_url": "(self, commit)",
}

CLASSES: dict[str, dict[str, str]] = {
    "ActiveRun": {
        "commit": "", "dirty": "", "environment": "", "id": "", "manifest": "", "outputs": "(self, *paths)",
        "recorded": "", "tree": "", "__enter__": "(self)", "__exit__": "(self, kind, error, traceback)",
    },
    "BaseCodeRepository": {"__init__": "(self, name, options)", **PLATFORM},
    "CodeRepoError": {"__init__": "(self, message, *, hints=())", "exit_status": ""},
    "InvalidRemoteURL": {"__init__": "(self, message, *, hints=())", "exit_status": ""},
    "Manifest": {
        "code": "", "data": "", "digest": "", "environment": "", "load": "(cls, path)", "parse": "(cls, data)",
        "producer": "", "repository": "", "run": "",
    },
    "Option": {
        "__init__": "(self, name, help, *, default=None, required=False, secret=False)",
        "default": "", "flag": "", "help": "", "key": "", "name": "", "required": "", "secret": "",
    },
    "Receipt": {
        "cache_hit": "", "commit": "", "conversions": "", "document": "(self)", "encode": "(self)", "fallbacks": "",
        "files": "", "finished": "", "git": "", "lfs": "", "manifest_digest": "", "method": "", "outside_links": "",
        "overlay_deleted": "", "overlay_files": "", "proof": "", "received": "", "run_id": "", "started": "",
        "stored_trees": "", "subdirectory": "", "submodules": "", "tree": "", "tree_by": "", "write": "(self, path)",
    },
    "RemoteURL": {
        "from_parts": "(cls, transport, host, port, user, path)", "has_secret": "", "host": "", "origin": "(self)",
        "owner": "", "parse": "(cls, text, *, windows=False)", "path": "", "port": "", "repository": "",
        "same_place": "(self, other, *, aliases={}, fold_path=False)", "transport": "", "url": "(self)", "user": "",
    },
}  # fmt: skip

COMPAT: dict[str, dict[str, str]] = {
    "BaseCodeRepository": {
        "__init__": "(self, id, name, config)", "config": "", "id": "", "requirements": "",
        "validate_config": "(cls, config)", **PLATFORM,
    },
    "BaseCodeRepositoryConfig": {"__init__": "(self, **values)", "fields": "(cls)", "model_dump": "(self)"},
    "LocalGitRepositoryContext": {
        "__init__": "(self, code_repository, git_repo, remote_name)", "git_repo": "", "remote": "",
        "at": "(cls, path, code_repository, remote_url_validation_callback)",
        "branch": "", "code_repository": "", "current_commit": "", "has_local_changes": "", "is_dirty": "", "root": "",
    },
    "LocalRepositoryContext": {
        "__init__": "(self, code_repository)", "code_repository": "", "current_commit": "", "has_local_changes": "",
        "is_dirty": "", "root": "",
    },
}  # fmt: skip

# The fixtures and tests that an author's subclass overrides or skips by name.
TESTING = (
    "code_repository", "commit", "empty_directory", "files", "missing_commit",
    "test_a_commit_that_nobody_has_is_refused_and_leaves_nothing", "test_a_directory_without_git_is_no_local_context",
    "test_a_token_option_is_secret", "test_an_archive_holds_the_commit", "test_an_archive_of_no_commit_is_refused",
    "test_it_describes_itself", "test_it_knows_which_commits_it_has", "test_logging_in_works_and_works_twice",
    "test_no_secret_is_among_what_is_recorded", "test_the_files_of_a_commit_are_downloaded",
    "test_the_files_of_one_directory_are_downloaded", "test_the_page_of_a_commit_names_it",
    "test_the_tree_of_a_commit_is_the_one_of_its_files", "test_the_url_for_git_holds_no_secret",
)  # fmt: skip

# The errors that the documentation of the public functions names: programs catch them, launchers know their status.
ERRORS = {
    "CodeRepoError": 128, "CommitMissing": 128, "CredentialError": 4, "CredentialMissing": 4, "GitFailed": 128,
    "GitNotFound": 128, "HostUnreachable": 128, "InvalidManifest": 128, "InvalidRemoteURL": 128, "NotACheckout": 128,
    "NotReproducible": 128, "OverlayMissing": 128, "PlatformError": 128, "RegistrationError": 128,
    "TargetUnusable": 128, "TreeDiffers": 128, "UnknownOption": 129, "UsageError": 129,
}  # fmt: skip


def shape(function: Any) -> str:
    """The parameters and their defaults, without annotations."""
    signature = inspect.signature(function)
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def attributes(kind: type, names: Mapping[str, str]) -> dict[str, str]:
    """Of these names those that a class has, each with its shape; "" for what is no function."""
    found = {}
    declared = {name for base in kind.__mro__ for name in getattr(base, "__annotations__", {})}
    for name in names:
        value = inspect.getattr_static(kind, name, None)
        if value is None and name not in declared and not hasattr(kind, name):
            continue
        value = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        found[name] = shape(value) if inspect.isfunction(value) else ""
    return found


# --- what programs import -----------------------------------------------------------------------


def test_the_package_has_its_names() -> None:
    assert set(git_coderepo.__all__) >= FUNCTIONS.keys() | CLASSES.keys()
    assert git_coderepo.__version__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_what_it_took(name: str) -> None:
    assert shape(getattr(git_coderepo, name)) == FUNCTIONS[name]


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_what_it_had(name: str) -> None:
    assert attributes(getattr(git_coderepo, name), CLASSES[name]) == CLASSES[name]


def test_compat_has_its_names() -> None:
    from git_coderepo import compat

    assert set(compat.__all__) >= {*COMPAT, "SecretField"}
    for name, wanted in COMPAT.items():
        assert attributes(getattr(compat, name), wanted) == wanted
    assert issubclass(compat.BaseCodeRepository, git_coderepo.BaseCodeRepository)
    assert list(inspect.signature(compat.SecretField).parameters) == ["default", "_"]


def test_testing_has_its_names() -> None:
    from git_coderepo import testing

    there = {name for name in dir(testing.CodeRepositoryTests) if not name.startswith("_")}
    assert there >= set(TESTING)
    assert shape(testing.check_files) == "(directory, files, *, plain=False)"


def test_errors_have_their_names_and_statuses() -> None:
    from git_coderepo import errors

    assert {name: getattr(errors, name).exit_status for name in ERRORS} == ERRORS
    assert all(issubclass(getattr(errors, name), git_coderepo.CodeRepoError) for name in ERRORS)


def test_mlflow_finds_its_class_and_nothing_of_mlflow_is_imported() -> None:
    (found,) = (each for each in entry_points(group="mlflow.run_context_provider") if each.name == "coderepo")
    assert found.value == "git_coderepo.mlflow:CodeRepoRunContext"
    assert attributes(found.load(), {"__init__": "", "in_context": "", "tags": ""}).keys() >= {"in_context", "tags"}
    program = (
        "import sys\nfrom git_coderepo.mlflow import CodeRepoRunContext\nCodeRepoRunContext()\n"
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_mlflow_is_not_told_is_logged_under_our_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from git_coderepo.integrations.mlflow import CodeRepoRunContext

    monkeypatch.setenv("CODEREPO_MANIFEST", str(tmp_path / "none.json"))
    with caplog.at_level(logging.WARNING, logger="git_coderepo"):
        assert CodeRepoRunContext().tags() == {}
    assert {record.name for record in caplog.records} == {"git_coderepo"}


@pytest.mark.slow
def test_the_values_that_the_functions_give_have_their_parts(repo: Repo, tmp_path: Path) -> None:
    repo.write("train.py", "lr = 0.1\n")
    commit = repo.commit()
    repo.push_to(tmp_path / "platform.git")
    repo.write("train.py", "lr = 0.2\n")
    program = (
        "import git_coderepo as coderepo, json\n"
        "manifest = coderepo.snapshot('.')\n"
        "receipt = coderepo.fetch(manifest, 'code.out')\n"
        "checked = coderepo.verify(manifest, 'code.out')\n"
        "code = manifest.code\n"
        "print(json.dumps([code.head.commit.hex, code.head.branch, code.dirty, code.changes.unstaged,\n"
        "    code.base.commit.hex, code.overlay.files, code.snapshot_tree.hex == receipt.tree.hex,\n"
        "    manifest.run.id == receipt.run_id, manifest.repository.type, receipt.method,\n"
        "    receipt.manifest_digest == manifest.digest, coderepo.Manifest.parse(manifest.data) == manifest,\n"
        "    checked.expected == checked.found, list(checked.changed), manifest.producer.name]))\n"
    )
    repo.write(".git/info/exclude", "code.out/\n")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repo.path, env=repo.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        commit, "main", True, 1, commit, 1, True, True, "git", "local", True, True, True, [], "git-coderepo",
    ]  # fmt: skip


# --- what hooks and hook managers start ---------------------------------------------------------


def test_the_program_has_its_entry_point() -> None:
    (found,) = (each for each in entry_points(group="console_scripts") if each.name == "git-coderepo")
    assert found.value == "git_coderepo.__main__:main"


def test_hook_managers_find_what_they_name() -> None:
    text = (PROJECT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    found = {each["id"]: (each["entry"], each["language"], each["stages"]) for each in yaml.safe_load(text)}
    assert found == {
        "coderepo-forget": (
            "hooks/post-commit",
            "script",
            ["post-commit", "post-checkout", "post-merge", "post-rewrite"],
        ),
        "coderepo-pre-run": ("git-coderepo hook pre-run", "python", ["manual"]),
    }
    for path in INSTALLED_HOOKS.iterdir():
        assert stat.S_IMODE((PROJECT / "hooks" / path.name).stat().st_mode) & 0o111


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    """A checkout with a remote that has its commit, and one edit."""
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    repo.write("train.py", "lr = 0.2\n")
    return repo


def current(repo: Repo) -> Path:
    return repo.git_dir() / "coderepo" / "current.json"


def lean(cwd: Path, env: Mapping[str, str], script: Path = LEAN) -> subprocess.CompletedProcess[str]:
    """As the installed hook starts it."""
    words = [sys.executable, "-IS", str(script)]
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_the_lean_entry_records(checkout: Repo) -> None:
    """A status of 127 would have hooks start the whole program, which takes three times as long, without a word."""
    done = lean(checkout.path, checkout.env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(current(checkout).read_bytes())["code"]["dirty"] is True


def test_the_lean_entry_says_what_its_status_means(checkout: Repo, tmp_path: Path) -> None:
    outside = tmp_path / "no checkout"
    outside.mkdir()
    done = lean(outside, checkout.env)
    assert done.returncode == 1 and done.stderr.startswith("fatal: ")
    within = lean(checkout.path, {**checkout.env, "CODEREPO_RUN_ID": "a run"})
    assert (within.returncode, within.stderr) == (0, "") and not current(checkout).exists()
    alone = tmp_path / "site-packages" / "git_coderepo" / "hooks" / "lean.py"
    alone.parent.mkdir(parents=True)
    shutil.copy(LEAN, alone)
    assert lean(checkout.path, checkout.env, alone).returncode == 127
    checkout.git("config", "coderepo.mine.type", "custom")
    checkout.git("config", "coderepo.mine.source", "my_platform.Mine")
    assert lean(checkout.path, checkout.env).returncode == 126


def test_hook_pre_run_has_its_statuses(checkout: Repo, program: Program, tmp_path: Path) -> None:
    outside = tmp_path / "no checkout"
    outside.mkdir()
    done = program.run("hook", "pre-run", cwd=checkout.path)
    assert (done.stdout, done.stderr) == (b"", b"") and current(checkout).exists()
    refused = program.run("hook", "pre-run", cwd=outside, check=False)
    assert refused.status == 1 and refused.errors.startswith("fatal: ")


def installed(repo: Repo, event: str, text: str, *, program: str, launcher: Path) -> Path:
    """The hook as an earlier version put it into the hooks folder."""
    script = (INSTALLED_HOOKS / text).read_text(encoding="utf-8")
    for hole, value in (("@PROGRAM@", program), ("@PYTHON@", sys.executable), ("@LAUNCHER@", str(launcher))):
        script = script.replace(hole, value)
    folder = Path(repo.line("rev-parse", "--path-format=absolute", "--git-path", "hooks"))
    folder.mkdir(exist_ok=True)
    path = folder / event
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)
    return path


def start(hook: Path, repo: Repo, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [hook], cwd=repo.path, env=repo.env if env is None else env, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_an_installed_pre_run_hook_records_by_the_lean_entry(checkout: Repo, tmp_path: Path) -> None:
    """The program that it would fall back to is not there: neither at its old place nor on PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "sh", "cat", "dirname", "rm"):
        found = shutil.which(name, path=checkout.env["PATH"])
        assert found is not None
        (tools / name).write_text(f"#!/bin/sh\nexec '{found}' \"$@\"\n")
        (tools / name).chmod(0o755)
    env = {**checkout.env, "PATH": str(tools)}
    hook = installed(checkout, "pre-run", "pre-run", program="/nowhere/git-coderepo", launcher=LEAN)
    assert start(hook, checkout, env) == (0, "")
    assert current(checkout).exists()
    assert start(hook, checkout, {**env, "CODEREPO_RUN_ID": "a run"}) == (0, "")


def test_an_installed_pre_run_hook_finds_the_program_where_the_lean_entry_is_gone(checkout: Repo) -> None:
    hook = installed(checkout, "pre-run", "pre-run", program="/nowhere/git-coderepo", launcher=Path("/nowhere/lean.py"))
    assert start(hook, checkout) == (0, "")
    assert current(checkout).exists()


@pytest.mark.parametrize("event", ["post-commit", "post-checkout", "post-merge", "post-rewrite"])
def test_an_installed_hook_forgets_the_last_run(checkout: Repo, event: str) -> None:
    lean(checkout.path, checkout.env)
    assert current(checkout).exists()
    hook = installed(checkout, event, event, program="/nowhere/git-coderepo", launcher=LEAN)
    assert start(hook, checkout) == (0, "")
    assert not current(checkout).exists()


def test_an_installed_hook_writes_the_snapshot_after_a_commit(checkout: Repo) -> None:
    hook = installed(checkout, "post-commit", "post-commit-snapshot", program="git-coderepo", launcher=LEAN)
    assert start(hook, checkout) == (0, "")
    assert json.loads(current(checkout).read_bytes())["code"]["dirty"] is True


def test_installed_hooks_are_taken_out(checkout: Repo, program: Program) -> None:
    hooks = [
        installed(checkout, path.name, path.name, program="git-coderepo", launcher=LEAN)
        for path in INSTALLED_HOOKS.iterdir()
        if path.name != "post-commit-snapshot"
    ]
    mixed = next(path for path in hooks if path.name == "post-merge")
    lines = mixed.read_text(encoding="utf-8").replace("(file) >>>", "(block) >>>") + "echo theirs\n"
    mixed.write_text(lines, encoding="utf-8")
    program.run("hooks", "uninstall", cwd=checkout.path)
    assert [path.name for path in hooks if path.exists()] == ["post-merge"]
    assert mixed.read_bytes() == b"#!/bin/sh\necho theirs\n"


# --- modules that are named in a text -----------------------------------------------------------

# Texts that look like a module's name and are none.
NO_MODULES = {"git_coderepo.diff"}


@pytest.mark.slow
def test_every_module_named_in_a_text_exists() -> None:
    """A name in `sys.modules.get(…)`, or in a test that nothing of it is loaded, would go stale without a word."""
    stale = []
    for path in sorted([*PACKAGE.rglob("*.py"), *(PROJECT / "tests").rglob("*.py"), *(PROJECT / "pyz").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
            text = first.value if isinstance(first, ast.Constant) else None
            if not isinstance(text, str) or not re.fullmatch(r"git_coderepo(\.\w+)+\.?", text) or text in NO_MODULES:
                continue
            is_prefix = isinstance(node, ast.JoinedStr) and not text.endswith(".")
            if not exists(text.rpartition(".")[0] if is_prefix else text.rstrip(".")):
                stale.append(f"{path.relative_to(PROJECT)}:{node.lineno}: {text}")  # type: ignore[attr-defined]
    assert stale == []


def exists(name: str) -> bool:
    """Whether there is a module of that name, or one that has the last word as an attribute."""
    path = PROJECT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    home, _, last = name.rpartition(".")
    if (
        not PROJECT.joinpath(*home.split(".")).is_dir()
        and not PROJECT.joinpath(*home.split(".")).with_suffix(".py").exists()
    ):
        return False
    return hasattr(importlib.import_module(home), last)
