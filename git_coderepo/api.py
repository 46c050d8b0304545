"""The verbs as functions, for programs: what goes in and out is values, and nothing is printed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from git_coderepo.git import Git, check_version
from git_coderepo.manifest.model import Manifest
from git_coderepo.record.document import write_record
from git_coderepo.record.keep import keep_overlay
from git_coderepo.record.snapshot import Request, take_snapshot
from git_coderepo.runner.fetch import fetch as materialise
from git_coderepo.runner.order import FetchOrder, directory_named, fetch_order, order_by_manifest, runner_settings
from git_coderepo.runner.receipt import Receipt
from git_coderepo.runner.verification import Verification, verify_directory


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
    )
    taken = take_snapshot(git, request)
    record = write_record(taken, now=time.time(), git_version=git_version)
    if record.overlay is not None:
        keep_overlay(taken, record.overlay)
    return Manifest.parse(record.data)


def fetch(
    run: Manifest | str,
    directory: str | os.PathLike[str],
    *,
    method: str = "auto",
    overlay: str | None = None,
    code_repository: str | None = None,
    subdirectory: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Receipt:
    """Materialise a run's code in `directory` and prove it; `run` is a manifest, its path, or `NAME@COMMIT[:PATH]`.

    `method` is one of `auto`, `archive`, `git`, `files`; `overlay` names the overlay's file where it is neither in the
    manifest nor beside it; `subdirectory` is the one directory that is kept of it; `environment` stands in for
    os.environ. Raises TreeDiffers, TargetUnusable, OverlayMissing,
    CommitMissing, CredentialError, HostUnreachable and other CodeRepoErrors: then nothing is left behind.
    """
    order = _order(run, overlay, code_repository, subdirectory, environment)
    return materialise(order.wanted, os.fspath(directory), method=method)


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
    order = _order(run, None, None, subdirectory, environment)
    return verify_directory(order.wanted, os.fspath(directory), git=Git(environment=environment))


def _order(
    run: Manifest | str,
    overlay: str | None,
    code_repository: str | None,
    subdirectory: str | None,
    environment: Mapping[str, str] | None,
) -> FetchOrder:
    if isinstance(run, str):
        return fetch_order(
            run,
            overlay=overlay,
            code_repository=code_repository,
            subdirectory=subdirectory,
            environment=environment,
        )
    git = Git(environment=environment)
    keep = directory_named(subdirectory)
    settings = runner_settings(git)
    return order_by_manifest(run, git, settings, overlay=overlay, code_repository=code_repository, keep=keep)
