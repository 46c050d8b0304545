"""The report of `status`: what would be recorded now, how each fact is known, and whether a runner could fetch it."""

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
from git_coderepo.git.objects import ObjectId
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
from git_coderepo.snapshots.not_in_git import Outside
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.python.imported import Interpreter, with_imports
from git_coderepo.snapshots.snapshot import (
    Checkout,
    Imported,
    NotInGit,
    Reached,
    Request,
    Selection,
    Served,
    ServedTree,
    Snapshot,
    SnapshotTree,
    Submodule,
    Travelling,
    Unpacked,
)
from git_coderepo.snapshots.submodules import omitted_in, snapshots_in
from git_coderepo.snapshots.tree.hidden_changes import ignored_modes
from git_coderepo.snapshots.warnings import outside_of
from git_coderepo.stores.shared_store import SharedStore

# Errors that `status` reports; all others are errors of the command itself.
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


class Facts(NamedTuple):
    """What is known of a snapshot, which may have failed at any stage after its checkout was inspected.

    `tree` is None if it was not reached. `outside` and `omitted` have those of submodules too, with the paths from the
    checkout's root.
    """

    checkout: Checkout
    served: Served
    archive: str
    tree: ObjectId | None
    dirty: bool
    submodules: tuple[Submodule, ...]
    outside: list[tuple[bytes, Outside]]
    omitted: list[tuple[bytes, str]]
    travelling: Travelling
    imported: tuple[Imported, ...]

    @classmethod
    def of(cls, reached: Reached) -> Facts | None:
        """Collect the facts of the stages that were reached; None if not even the checkout was inspected."""
        checkout = reached.of(Checkout)
        if checkout is None:
            return None
        tree, unpacked, snapshot = reached.of(SnapshotTree), reached.of(Unpacked), reached.of(Snapshot)
        served_tree, not_in_git = reached.of(ServedTree), reached.of(NotInGit) or NotInGit()
        submodules = unpacked.submodules if unpacked is not None else ()
        selection = _selection_of(reached)
        return cls(
            checkout=checkout,
            served=_served_of(reached),
            archive=served_tree.archive if served_tree is not None else "exact",
            tree=tree.id if tree is not None else None,
            dirty=unpacked.is_dirty if unpacked is not None else tree is not None and tree.is_dirty,
            submodules=submodules,
            outside=list(outside_of(not_in_git.outside, submodules)),
            omitted=[*selection.omitted, *(omitted_in(unpacked) if unpacked is not None else ())],
            travelling=snapshot.travelling if snapshot is not None else Travelling(),
            imported=snapshot.imported if snapshot is not None else (),
        )


def _served_of(reached: Reached) -> Served:
    """Return the code repository and the base as far as they are known."""
    served, unpacked = reached.of(Served) or Served(source=None, base=None), reached.of(Unpacked)
    # The base is dropped if it has none of the scope.
    return served if unpacked is None else Served(source=served.source, base=unpacked.base)


def _selection_of(reached: Reached) -> Selection:
    """Return what was selected; a path that cannot be read is left out when the tree is written."""
    tree = reached.of(SnapshotTree)
    return tree.selection if tree is not None else reached.of(Selection) or Selection()


class InStore(NamedTuple):
    """The shared store at `url`, and whether it has the snapshot, submodules included: None if it was not asked.

    `problem` is the error of asking it.
    """

    url: str
    has: bool | None = None
    problem: CodeRepoError | None = None

    def document(self) -> dict[str, object]:
        """Return plain values."""
        return {"url": self.url, "has": self.has, "problem": None if self.problem is None else self.problem.message}


class Report(NamedTuple):
    """The facts about a snapshot; `record` is None if `problem` says why it cannot be recorded.

    `facts` is None if not even the checkout could be inspected, `store` if no shared store is set, or nothing could be
    recorded.
    """

    facts: Facts | None
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
        """The missing fact if no base is known; None if there is a base, or no code repository."""
        return None if self.facts is None else missing_fact(self.facts.checkout, self.facts.served)

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
        """The raw paths whose execute bit git ignores here: a runner gets plain files."""
        facts = self.facts
        if facts is None or facts.tree is None or facts.checkout.settings.git_flag("core", "fileMode", True):
            return []
        listing = facts.checkout.git_with_store.run("ls-tree", "-r", "-z", "--full-tree", facts.tree.hex)
        return ignored_modes(facts.checkout.layout.toplevel, listing)

    @property
    def this_machine_only(self) -> bool:
        """Whether the remote of the code, or of a submodule, is a path of this machine."""
        if self.facts is None:
            return False
        sources = [self.facts.served.source]
        for each in self.facts.submodules:
            if each.snapshot is not None:
                sources += [each.snapshot.source, *(inner.source for _, inner in snapshots_in(each.snapshot))]
        remotes = [source.remote for source in sources if source is not None]
        return any(remote is not None and remote.transport in ("local", "file") for remote in remotes)

    def document(self) -> dict[str, object]:
        """Return the report as plain values."""
        problem, missing = self.problem, self.missing_fact
        return {
            "reproducible": self.reproducible,
            "thisMachineOnly": self.this_machine_only,
            "problem": None if problem is None else {"message": problem.message, "hints": list(problem.hints)},
            "missingFact": None if missing is None else {"message": missing.sentence, "hints": list(missing.hints)},
            **(_NOTHING if self.facts is None else self._facts(self.facts)),
        }

    def _facts(self, facts: Facts) -> dict[str, object]:
        checkout, source, base = facts.checkout, facts.served.source, facts.served.base
        head, status = checkout.head, checkout.status
        return {
            "repository": None
            if source is None
            else {**repository_document(source), "registered": source.registration.registered},
            "head": None if head is None else {"commit": head.commit.hex, "tree": head.tree.hex, "branch": head.branch},
            "base": None
            if base is None
            else {
                "commit": base.commit.hex,
                "knownBy": base.known_by,
                "unpushed": base.unpushed,
                "archive": facts.archive,
            },
            "snapshot": None if facts.tree is None else {"tree": facts.tree.hex, "dirty": facts.dirty},
            "scope": [path_value(path) for path in checkout.scope] or None,
            "changes": None
            if status is None
            else {"staged": status.staged, "unstaged": status.unstaged, "untracked": status.untracked},
            "overlay": self._overlay(facts.travelling),
            "lfs": self._lfs(facts.travelling),
            "store": None if self.store is None else self.store.document(),
            "carriers": [] if self.record is None else self.carriers(self.record),
            "submodules": [self._submodule(each) for each in facts.submodules],
            "outside": outside_document(facts.outside),
            "imported": imported_document(facts.imported, checkout.layout.toplevel),
            "omitted": [{"path": path_value(path), "reason": reason} for path, reason in facts.omitted],
            "ignoredModes": [path_value(path) for path in self.ignored_modes],
        }

    def _overlay(self, travelling: Travelling) -> dict[str, object] | None:
        overlay = travelling.overlay
        if overlay is None:
            return None
        return {
            "files": overlay.files,
            "deleted": len(overlay.deleted),
            "size": len(overlay.data),
            "sha256": overlay.sha256,
            "inside": self.record is not None and overlay.sha256 not in self.record.beside,
        }

    def _lfs(self, travelling: Travelling) -> dict[str, object] | None:
        lfs = travelling.lfs
        if lfs is None:
            return None
        return {
            "objects": len(lfs.pointers),
            "size": len(lfs.data),
            "sha256": lfs.sha256,
            "inside": self.record is not None and lfs.sha256 not in self.record.beside,
        }

    def _submodule(self, submodule: Submodule) -> dict[str, object]:
        """Return the facts of a submodule and those in it; of an absent one only its commit."""
        facts: dict[str, object] = {"path": path_value(submodule.path), "commit": submodule.commit}
        inner = submodule.snapshot
        if inner is None:
            return {**facts, "state": "absent"}
        return {
            **facts,
            "state": "fetched",
            "repository": None if inner.source is None else repository_document(inner.source),
            "base": None if inner.base is None else inner.base.commit.hex,
            "snapshot": {"tree": inner.tree.hex, "dirty": inner.dirty},
            "overlay": self._overlay(inner.travelling),
            "lfs": self._lfs(inner.travelling),
            "submodules": [self._submodule(each) for each in inner.submodules],
        }

    @property
    def publishes(self) -> bool:
        """Whether a run would be published, as far as the settings decide that."""
        facts = self.facts
        if facts is None or any(each.snapshot is not None for each in facts.submodules):
            return False  # each would need a commit in a repository of its own
        return facts.checkout.settings.text("publish") in ("ask", "auto") and facts.served.source is not None

    def carriers(self, record: Record) -> list[str]:
        """Return what can carry the manifest with its overlay, judged by their size; a reference carries any."""
        names = carriers(record.size)
        return [*names, "published reference"] if self.publishes else names


def make_report(git: Git, request: Request, interpreter: Interpreter | None = None) -> Report:
    """Inspect the checkout, and the code that a Python would import, without recording anything.

    Raises NotACheckout, GitFailed and the like."""
    git_version = check_version(git)
    reached = Reached()
    try:
        snapshot = take_snapshot(git, request, reached=reached)
        if interpreter is not None:
            snapshot = reached.note(with_imports(snapshot, git, interpreter))
        record = write_record(snapshot, now=time.time(), git_version=git_version)
    except _ANSWERS as problem:
        return Report(Facts.of(reached), None, problem)
    return Report(Facts.of(reached), record, None, _in_store(snapshot, ask=request.check))


def _in_store(snapshot: Snapshot, *, ask: bool) -> InStore | None:
    store = SharedStore.of(snapshot.settings)
    if store is None or not ask:
        return None if store is None else InStore(store.url)
    trees = [each.tree for each in (snapshot, *(inner for _, inner in snapshots_in(snapshot)))]
    try:
        return InStore(store.url, all(map(store.has, trees)))
    except CodeRepoError as problem:
        return InStore(store.url, problem=problem)
