"""Tags with the code of each MLflow run that starts in a registered checkout.

MLflow finds the class by the entry point `mlflow.run_context_provider`, and adds its tags to each run that starts:
https://mlflow.org/docs/latest/ml/plugins/. This module does not import MLflow.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from git_coderepo.errors import CodeRepoError, GitNotFound, NotACheckout
from git_coderepo.git.process import Git
from git_coderepo.snapshots.python.program import run_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.launch.notebook import ActiveRun
    from git_coderepo.manifest.model import Manifest
    from git_coderepo.snapshots.snapshot import Snapshot

_log = logging.getLogger("git_coderepo")
_VARIABLES = ("CODEREPO_RUN_ID", "CODEREPO_MANIFEST", "CODEREPO_MANIFEST_JSON")


class CodeRepoRunContext:
    """The tags `coderepo.run`, `coderepo.commit`, `coderepo.tree` and `coderepo.dirty` (`true` or `false`).

    Within a recorded run, and on a runner, they describe that run. Elsewhere in a registered checkout, which is the one
    that `coderepo.run()` would record, the run is recorded as by the pre-run hook. MLflow also asks for the tags of
    datasets and child runs, so a process records the same code only once. Every error is logged as a warning of the
    logger `git_coderepo`, and the training continues.
    """

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], bytes, dict[str, str]] | None = None

    def in_context(self) -> bool:
        """Return whether there are tags: the environment names a run, or the checkout is registered."""
        if _current_run() is not None or any(os.environ.get(name) for name in _VARIABLES):
            return True
        try:
            return _is_registered(Git(run_directory(_say)))
        except (NotACheckout, GitNotFound):
            return False
        except Exception as error:
            _warn(error)
            return False

    def tags(self) -> dict[str, str]:
        """Return the tags; none if the code is not known."""
        try:
            run = _current_run()
            if run is not None:
                return _manifest_tags(run.manifest)  # the environment may name the run of another thread
            if any(os.environ.get(name) for name in _VARIABLES):
                return _inherited(os.environ)
            return self._recorded()
        except Exception as error:
            _warn(error)
            return {}

    def _recorded(self) -> dict[str, str]:
        """Record the checkout as it is now, unless this process has done so already; return its tags."""
        from git_coderepo.build_key.key import build_key
        from git_coderepo.hooks.prerun import record_run
        from git_coderepo.runs.record_files import Runs
        from git_coderepo.runs.redact_command import redacted
        from git_coderepo.runs.this_process import interpreter_command
        from git_coderepo.snapshots.pipeline import take_snapshot
        from git_coderepo.snapshots.python.imported import this_interpreter, with_imports
        from git_coderepo.snapshots.snapshot import Request
        from git_coderepo.snapshots.warnings import remarks

        request = Request(publishes=True, thorough=True)
        git = Git(run_directory(_say))
        snapshot = take_snapshot(git, request)
        head = snapshot.head.commit if snapshot.head is not None else None
        same = (snapshot.layout.git_dir, snapshot.checkout.prefix, head, snapshot.tree)
        if self._last is not None and self._last[0] == same and os.path.exists(self._last[1]):
            return dict(self._last[2])
        snapshot = with_imports(snapshot, git, this_interpreter())
        command, key = interpreter_command(), build_key(snapshot)
        id = record_run(
            snapshot,
            say=_say,
            command=None if command is None else redacted(command),
            build_key=None if key is None else key.digest,
        )
        commit = None if head is None else head.hex
        tags = _tags(id, commit, snapshot.tree.hex, snapshot.dirty)
        self._last = (same, Runs(snapshot.layout).path_of(id), tags)
        for text in remarks(snapshot, request):
            _log.warning("%s", text)
        _say_omitted(snapshot)
        return dict(tags)


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the run that the environment names, from its manifest, else from the variables."""
    from git_coderepo.runs.this_process import inherited_manifest

    manifest = inherited_manifest(environment)
    if manifest is not None:
        return _manifest_tags(manifest)
    _log.warning("CODEREPO_RUN_ID is set without CODEREPO_MANIFEST: whether the code was dirty is not known")
    tags = {
        "coderepo.run": environment.get("CODEREPO_RUN_ID", ""),
        "coderepo.commit": environment.get("CODEREPO_COMMIT", ""),
        "coderepo.tree": environment.get("CODEREPO_TREE", ""),
    }
    return {name: value for name, value in tags.items() if value}


def _current_run() -> ActiveRun | None:
    """Return the current run of this process; None without one, or if the module for such runs was never imported."""
    inprocess = sys.modules.get("git_coderepo.launch.notebook")
    return None if inprocess is None else inprocess.current_run()


def _manifest_tags(manifest: Manifest) -> dict[str, str]:
    head = manifest.code.head
    commit = None if head is None else head.commit.hex
    return _tags(manifest.run.id, commit, manifest.code.snapshot_tree.hex, manifest.code.dirty)


def _tags(run: str, commit: str | None, tree: str, dirty: bool) -> dict[str, str]:
    tags = {"coderepo.run": run, "coderepo.tree": tree, "coderepo.dirty": "true" if dirty else "false"}
    if commit is not None:
        tags["coderepo.commit"] = commit
    return tags


def _is_registered(git: Git) -> bool:
    from git_coderepo.git.repository import read_layout, start_layout
    from git_coderepo.registration.resolve import choose_source_of
    from git_coderepo.settings import Settings

    layout = read_layout(start_layout(git), git)
    source = choose_source_of(git, Settings.read(git), layout, None)
    return source is not None and source.registration.registered


def _say(text: str) -> None:
    _log.warning("%s", text.removeprefix("warning: "))


def _say_omitted(snapshot: Snapshot) -> None:
    from git_coderepo.snapshots.submodules import omission_lines

    for text in omission_lines(snapshot):
        _log.warning("%s", text)


def _warn(error: Exception) -> None:
    hints = "".join(f"; {hint}" for hint in error.hints) if isinstance(error, CodeRepoError) else ""
    _log.warning("this MLflow run does not say which code it ran: %s%s", error or type(error).__name__, hints)
