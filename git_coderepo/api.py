"""The Python API: snapshot, run, fetch and verify as functions that take and return values and print nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence

from git_coderepo.build_key.key import build_key
from git_coderepo.fetching.fetch import FetchOptions
from git_coderepo.fetching.fetch import fetch as fetch_tree
from git_coderepo.fetching.plan import FetchPlan, Runner, directory_named, plan_manifest
from git_coderepo.fetching.receipt import Receipt
from git_coderepo.fetching.verify import Verification, verify_directory
from git_coderepo.git.process import Git, check_version
from git_coderepo.launch.notebook import ActiveRun
from git_coderepo.manifest.model import Manifest
from git_coderepo.runs.lifecycle import RunRequest
from git_coderepo.runs.manifest_files import keep_beside
from git_coderepo.runs.plan_fetch import FetchRequest, plan_fetch
from git_coderepo.runs.this_process import interpreter_command
from git_coderepo.settings import runner_settings
from git_coderepo.snapshots.manifest_document import write_record
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.python.imported import this_interpreter, with_imports
from git_coderepo.snapshots.snapshot import Request


def snapshot(
    directory: str | os.PathLike[str] = ".",
    *,
    rev: str | None = None,
    code_repository: str | None = None,
    check: bool = False,
    include: tuple[str, ...] = (),
    scope: tuple[str, ...] = (),
    allow_unreproducible: bool = False,
) -> Manifest:
    """Return the run manifest of the checkout that contains `directory`, or of the commit `rev`.

    No run is recorded. `check` asks the platform whether it serves the base. `include` are ignored paths to include.
    `scope` limits the snapshot to these paths, instead of `coderepo.scope`. With `allow_unreproducible`, code that
    cannot be fetched again is recorded as not reproducible.

    Raises NotReproducible, NotACheckout, RegistrationError or GitFailed.
    """
    git = Git(os.fspath(directory))
    git_version = check_version(git)
    request = Request(
        rev=rev,
        code_repository=code_repository,
        check=check,
        include=[os.fsencode(path) for path in include],
        scope=[os.fsencode(path) for path in scope],
        allow_unreproducible=allow_unreproducible,
        thorough=True,
    )
    taken = take_snapshot(git, request)
    if rev is None:
        taken = with_imports(taken, git, this_interpreter())
    key = build_key(taken)
    record = write_record(
        taken, now=time.time(), git_version=git_version, build_key=None if key is None else key.digest
    )
    keep_beside(taken, record)
    return Manifest.parse(record.data)


def run(
    name: str | None = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    outputs: Iterable[str | os.PathLike[str]] = (),
    code_repository: str | None = None,
    check: bool = False,
    include: tuple[str, ...] = (),
    scope: tuple[str, ...] = (),
    allow_unreproducible: bool = False,
    manifest: str | os.PathLike[str] | None = None,
    command: Sequence[str] | None = None,
) -> ActiveRun:
    """Return a context manager that records its block as a run, as `git coderepo run` does for a command.

    Entering the block takes the snapshot, publishes it if `coderepo.publish` is `auto`, writes the manifest (also to
    the file `manifest`), runs the user's pre-run hooks, and sets CODEREPO_RUN_ID and the other variables of a run in
    os.environ of this process. Leaving the block restores os.environ and records the result: the exit status (0, or
    the status with which the exception would end the interpreter), edited files, produced files, and the digests of
    `outputs`.

    `command` is recorded with secrets redacted; the default is the command line of the interpreter, or nothing in a
    notebook. On a runner, where there is no checkout and the environment contains the manifest of a run, the block
    belongs to that run and nothing is written. The other arguments are those of `snapshot`.

    Without `directory`, the checkout of the program's file is recorded, unless that file is ignored or installed; then
    (console scripts, `python -m`, notebooks) it is the checkout of the working directory. If these are two different
    checkouts, a warning names both.

    Entering raises NotReproducible, NotACheckout, RegistrationError, InvalidManifest or GitFailed. Leaving raises
    nothing; errors while recording the result are logged.
    """
    words = interpreter_command() if command is None else tuple(os.fsencode(word) for word in command)
    request = RunRequest(
        command=words or None,
        snapshot=Request(
            code_repository=code_repository,
            check=check,
            include=[os.fsencode(path) for path in include],
            publishes=True,
            scope=[os.fsencode(path) for path in scope],
            allow_unreproducible=allow_unreproducible,
            thorough=True,
        ),
        name=name,
        manifest=None if manifest is None else os.fsencode(os.path.abspath(manifest)),
        interpreter=this_interpreter(),
    )
    return ActiveRun(None if directory is None else os.fspath(directory), request, tuple(outputs))


def fetch(
    run: Manifest | str,
    directory: str | os.PathLike[str],
    *,
    method: str = "auto",
    overlay: str | Sequence[str] | None = None,
    code_repository: str | None = None,
    subdirectory: str | None = None,
    lfs: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Receipt:
    """Fetch a run's code into `directory`, verify it and return a receipt.

    `run` is a manifest, the path of one, or `NAME@REVISION[:PATH]`. `method` is one of
    `fetching.sources.order.METHODS`. `overlay` names one or more overlay files that are neither in the manifest nor
    beside it. `subdirectory` keeps only this directory of the code. `lfs` False leaves Git LFS pointers as they are.
    `environment` replaces os.environ.

    Raises TreeDiffers, TargetUnusable, OverlayMissing, CommitMissing, CredentialError, HostUnreachable or another
    CodeRepoError; then nothing is left behind.
    """
    plan = _plan(run, overlay, code_repository, subdirectory, environment)
    return fetch_tree(plan.root, os.fspath(directory), FetchOptions(method, lfs=lfs))


def verify(
    run: Manifest | str,
    directory: str | os.PathLike[str],
    *,
    subdirectory: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Verification:
    """Hash `directory` again and return its differences from a run's tree: changed, missing and added files.

    `run` and `subdirectory` are those of `fetch`.

    Raises InvalidManifest, or an error of fetching the recorded tree's listing if the directory differs.
    """
    plan = _plan(run, None, None, subdirectory, environment)
    return verify_directory(plan.root, os.fspath(directory), git=Git(environment=environment))


def _plan(
    run: Manifest | str,
    overlay: str | Sequence[str] | None,
    code_repository: str | None,
    subdirectory: str | None,
    environment: Mapping[str, str] | None,
) -> FetchPlan:
    git = Git(environment=environment)
    runner = Runner(git, runner_settings(git))
    if isinstance(run, str):
        return plan_fetch(FetchRequest(run, overlay, code_repository, subdirectory), runner)
    keep = directory_named(subdirectory)
    return plan_manifest(run, runner, overlay=overlay, code_repository=code_repository, keep=keep)
