"""The verbs as functions, for programs: what goes in and out is values, and nothing is printed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence

from git_coderepo.build_key.key import build_key
from git_coderepo.fetching.fetch import FetchOptions
from git_coderepo.fetching.fetch import fetch as materialise
from git_coderepo.fetching.plan import FetchPlan, directory_named, plan_manifest
from git_coderepo.fetching.receipt import Receipt
from git_coderepo.fetching.verify import Verification, verify_directory
from git_coderepo.git.process import Git, check_version
from git_coderepo.launch.notebook import ActiveRun
from git_coderepo.manifest.model import Manifest
from git_coderepo.runs.lifecycle import RunRequest
from git_coderepo.runs.manifest_files import keep_beside
from git_coderepo.runs.plan_fetch import plan_fetch
from git_coderepo.runs.this_process import interpreter_command
from git_coderepo.settings import runner_settings
from git_coderepo.snapshots.manifest_document import write_record
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.python.imported import look_for_imports, this_interpreter
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
    """The run manifest of the checkout that holds `directory`, as it is now, or of the commit `rev`.

    No run is recorded. `check` asks the platform whether it serves the base; `include` takes ignored paths along.
    `scope` are the paths that are looked at, no others (in the place of `coderepo.scope`). With `allow_unreproducible`
    what nobody can get back is recorded as such.
    Raises NotReproducible, NotACheckout, RegistrationError, GitFailed.
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
        look_for_imports(taken, git, this_interpreter())
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
    """A context manager: the block is a recorded run, as `git coderepo run` makes one of a command.

    Entering takes the snapshot, publishes it where `coderepo.publish` is `auto`, writes the manifest (where `manifest`
    names a file, there too), runs the user's own pre-run hooks and sets CODEREPO_RUN_ID and its kin in os.environ, for
    this whole process. Leaving puts them back and writes the result: 0, or the status with which the exception would
    have ended the interpreter, what was edited meanwhile, what was produced, the digests of `outputs`. `command` is
    recorded, secrets redacted: the interpreter's own command line unless given, none in a notebook. Where there is no
    checkout and the environment has a run's manifest, as on a runner, it is that run, and nothing is written. The other
    arguments are those of `snapshot`.

    Without `directory` the checkout of the program's own file is recorded, where that file is neither ignored nor
    installed, or else that of the working directory (console scripts, `python -m`, notebooks). Where both are checkouts
    and differ, a warning names them.

    Entering raises NotReproducible, NotACheckout, RegistrationError, InvalidManifest, GitFailed. Leaving raises
    nothing: where the result cannot be told or written, that is logged.
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
    """Fetch a run's code into `directory` and verify it; `run` is a manifest, its path, or `NAME@REVISION[:PATH]`.

    `method` is one of `fetching.sources.plan.METHODS`; `overlay` names the file, or the files, of overlays that are
    neither in the manifest nor beside it; `subdirectory` is the one directory that is kept of it; `lfs` False leaves
    the pointers of Git LFS as they are; `environment` stands in for os.environ. Raises TreeDiffers, TargetUnusable,
    OverlayMissing, CommitMissing, CredentialError, HostUnreachable and other CodeRepoErrors: then nothing is left
    behind.
    """
    plan = _plan(run, overlay, code_repository, subdirectory, environment)
    return materialise(plan.root, os.fspath(directory), FetchOptions(method, lfs=lfs))


def verify(
    run: Manifest | str,
    directory: str | os.PathLike[str],
    *,
    subdirectory: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Verification:
    """Hash `directory` again and compare it with a run's tree: what changed, what is missing, what was added.

    `subdirectory` as for `fetch`.

    Raises InvalidManifest, and what looking for the tree's listing raises when the directory is not the tree.
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
    if isinstance(run, str):
        return plan_fetch(
            run,
            overlay=overlay,
            code_repository=code_repository,
            subdirectory=subdirectory,
            environment=environment,
        )
    git = Git(environment=environment)
    keep = directory_named(subdirectory)
    settings = runner_settings(git)
    return plan_manifest(run, git, settings, overlay=overlay, code_repository=code_repository, keep=keep)
