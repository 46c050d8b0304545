"""What would be recorded now, by what each fact is known, and whether a runner could fetch it: a value, not a print."""

from __future__ import annotations

import time
from typing import NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    CredentialError,
    HostUnreachable,
    NotReproducible,
    PlatformError,
    RateLimited,
    RegistrationError,
    UnexpectedAnswer,
)
from git_coderepo.git.process import Git, check_version
from git_coderepo.manifest.writer import path_value
from git_coderepo.snapshots.find_base import MissingFact, missing_fact
from git_coderepo.snapshots.manifest_document import (
    Record,
    carriers,
    imported_document,
    outside_document,
    repository_document,
    write_record,
)
from git_coderepo.snapshots.pipeline import Reached, take_snapshot
from git_coderepo.snapshots.python.imported import Interpreter, look_for_imports
from git_coderepo.snapshots.snapshot import Request, Snapshot, Submodule
from git_coderepo.snapshots.submodules import omitted, snapshots_in
from git_coderepo.snapshots.tree.hidden_changes import ignored_modes
from git_coderepo.snapshots.warnings import outside_of
from git_coderepo.stores.shared_store import SharedStore

# Reasons that are the answer of `status`; anything else is an error of the command itself.
UNKNOWN = (HostUnreachable, RateLimited, UnexpectedAnswer)
_ANSWERS = (NotReproducible, PlatformError, CredentialError, RegistrationError)


# The facts of a checkout that could not be inspected.
_NOTHING: dict[str, object] = {
    "repository": None,
    "head": None,
    "base": None,
    "snapshot": None,
    "scope": None,
    "changes": None,
    "overlay": None,
    "lfs": None,
    "store": None,
    "carriers": [],
    "submodules": [],
    "outside": [],
    "imported": [],
    "omitted": [],
    "ignoredModes": [],
}


class InStore(NamedTuple):
    """The shared store at `url`, and whether it has the snapshot, submodules included: None where it was not asked.

    `problem` is why it could not be asked.
    """

    url: str
    has: bool | None = None
    problem: CodeRepoError | None = None

    def document(self) -> dict[str, object]:
        """As plain values."""
        return {"url": self.url, "has": self.has, "problem": None if self.problem is None else self.problem.message}


class Report(NamedTuple):
    """The snapshot as far as it went; `record` is None where `problem` says why it cannot be recorded.

    `snapshot` is None where not even the checkout could be inspected, `store` where no shared store is set, or nothing
    could be recorded.
    """

    snapshot: Snapshot | None
    record: Record | None
    problem: CodeRepoError | None
    store: InStore | None = None

    @property
    def reproducible(self) -> bool | None:
        """Whether a runner could fetch the snapshot, as far as known here; None where the platform did not say."""
        if isinstance(self.problem, UNKNOWN):
            return None
        return self.problem is None

    @property
    def missing_fact(self) -> MissingFact | None:
        """The missing fact where no base is known; None where there is a base, or no code repository."""
        return None if self.snapshot is None else missing_fact(self.snapshot)

    @property
    def exit_status(self) -> int:
        """0 reproducible, 1 not, 4 where a credential is missing or refused, 128 where the platform did not say."""
        if self.problem is None:
            return 0
        if self.reproducible is None:
            return 128
        return 4 if isinstance(self.problem, CredentialError) else 1

    @property
    def ignored_modes(self) -> list[bytes]:
        """The raw paths whose execute bit git does not look at here: a runner gets plain files."""
        taken = self.snapshot
        if taken is None or taken.tree is None or taken.settings.git_flag("core", "fileMode", True):
            return []
        listing = taken.git_with_store.run("ls-tree", "-r", "-z", "--full-tree", taken.tree.hex)
        return ignored_modes(taken.layout.toplevel, listing)

    @property
    def this_machine_only(self) -> bool:
        """Whether the remote of the code, or of a submodule, is a path of this machine."""
        if self.snapshot is None:
            return False
        inner = [each for _, each in snapshots_in(self.snapshot)]
        remotes = [each.source.remote for each in (self.snapshot, *inner) if each.source is not None]
        return any(remote is not None and remote.transport in ("local", "file") for remote in remotes)

    def document(self) -> dict[str, object]:
        """The report as plain values."""
        problem, missing = self.problem, self.missing_fact
        return {
            "reproducible": self.reproducible,
            "thisMachineOnly": self.this_machine_only,
            "problem": None if problem is None else {"message": problem.message, "hints": list(problem.hints)},
            "missingFact": None if missing is None else {"message": missing.sentence, "hints": list(missing.hints)},
            **(_NOTHING if self.snapshot is None else self._facts(self.snapshot)),
        }

    def _facts(self, taken: Snapshot) -> dict[str, object]:
        return {
            "repository": None
            if taken.source is None
            else {**repository_document(taken.source), "registered": taken.source.registration.registered},
            "head": None
            if taken.head is None
            else {"commit": taken.head.commit.hex, "tree": taken.head.tree.hex, "branch": taken.head.branch},
            "base": None
            if taken.base is None
            else {
                "commit": taken.base.commit.hex,
                "knownBy": taken.base.known_by,
                "unpushed": taken.base.unpushed,
                "archive": taken.archive,
            },
            "snapshot": None if taken.tree is None else {"tree": taken.tree.hex, "dirty": taken.dirty},
            "scope": [path_value(path) for path in taken.scope] or None,
            "changes": None
            if taken.status is None
            else {
                "staged": taken.status.staged,
                "unstaged": taken.status.unstaged,
                "untracked": taken.status.untracked,
            },
            "overlay": self._overlay(taken),
            "lfs": self._lfs(taken),
            "store": None if self.store is None else self.store.document(),
            "carriers": [] if self.record is None else self.carriers(self.record),
            "submodules": [self._submodule(each) for each in taken.submodules],
            "outside": outside_document(outside_of(taken)),
            "imported": imported_document(taken) if taken.imported else [],
            "omitted": [{"path": path_value(path), "reason": reason} for path, reason in omitted(taken)],
            "ignoredModes": [path_value(path) for path in self.ignored_modes],
        }

    def _overlay(self, taken: Snapshot) -> dict[str, object] | None:
        overlay = taken.overlay
        if overlay is None:
            return None
        return {
            "files": overlay.files,
            "deleted": len(overlay.deleted),
            "size": len(overlay.data),
            "sha256": overlay.sha256,
            "inside": self.record is not None and overlay.sha256 not in self.record.beside,
        }

    def _lfs(self, taken: Snapshot) -> dict[str, object] | None:
        lfs = taken.lfs
        if lfs is None:
            return None
        return {
            "objects": len(lfs.pointers),
            "size": len(lfs.data),
            "sha256": lfs.sha256,
            "inside": self.record is not None and lfs.sha256 not in self.record.beside,
        }

    def _submodule(self, submodule: Submodule) -> dict[str, object]:
        """One that is here with all in it; an absent one by its commit alone."""
        found: dict[str, object] = {"path": path_value(submodule.path), "commit": submodule.commit}
        inner = submodule.snapshot
        if inner is None or inner.tree is None:
            return {**found, "state": "absent"}
        return {
            **found,
            "state": "fetched",
            "repository": None if inner.source is None else repository_document(inner.source),
            "base": None if inner.base is None else inner.base.commit.hex,
            "snapshot": {"tree": inner.tree.hex, "dirty": inner.dirty},
            "overlay": self._overlay(inner),
            "lfs": self._lfs(inner),
            "submodules": [self._submodule(each) for each in inner.submodules],
        }

    @property
    def publishes(self) -> bool:
        """Whether a run would be published, as far as the settings say so."""
        taken = self.snapshot
        if taken is None or any(each.snapshot is not None for each in taken.submodules):
            return False  # each would need a commit in a repository of its own
        return taken.settings.text("publish") in ("ask", "auto") and taken.source is not None

    def carriers(self, record: Record) -> list[str]:
        """What can carry the manifest with its overlay, judged by their whole size; a reference carries any."""
        found = carriers(record.size)
        return [*found, "published reference"] if self.publishes else found


def make_report(git: Git, request: Request, interpreter: Interpreter | None = None) -> Report:
    """Look at the checkout, and at what a Python would import, without recording anything.

    Raises NotACheckout, GitFailed and the like."""
    git_version = check_version(git)
    reached = Reached()
    try:
        snapshot = take_snapshot(git, request, reached=reached)
        if interpreter is not None:
            look_for_imports(snapshot, git, interpreter)
        record = write_record(snapshot, now=time.time(), git_version=git_version)
    except _ANSWERS as problem:
        return Report(reached.snapshot, None, problem)
    return Report(snapshot, record, None, _in_store(snapshot, ask=request.check))


def _in_store(snapshot: Snapshot, *, ask: bool) -> InStore | None:
    store = SharedStore.of(snapshot.settings)
    if store is None or not ask:
        return None if store is None else InStore(store.url)
    trees = [each.tree for each in (snapshot, *(inner for _, inner in snapshots_in(snapshot)))]
    try:
        return InStore(store.url, all(store.has(tree) for tree in trees if tree is not None))
    except CodeRepoError as problem:
        return InStore(store.url, problem=problem)
