"""The receipt of a fetch: what was verified, and how. Its schema is `manifest/schema/receipt-1.json`."""

from __future__ import annotations

import json
import os
import platform
from typing import NamedTuple

from git_coderepo import __version__
from git_coderepo.fetching.convert_files import Converted
from git_coderepo.fetching.lfs import LfsReport
from git_coderepo.git.objects import ObjectId
from git_coderepo.manifest.output_file import OutputFile
from git_coderepo.manifest.writer import path_value, time_text

RECEIPT_ID = "urn:git-coderepo:receipt:1"
RECEIPT_VERSION = "1.1"


class Fallback(NamedTuple):
    """A method that failed, and the reason in one line."""

    method: str
    reason: str


class Identity(NamedTuple):
    """The facts about a tree that are known before it is fetched: its run, commit and directory, and its overlay.

    `subdirectory` is the raw path from the root, b"." for the whole tree; `overlay_files` is None without an overlay.
    """

    manifest_digest: str | None = None
    run_id: str | None = None
    commit: ObjectId | None = None
    subdirectory: bytes = b"."
    overlay_files: int | None = None
    overlay_deleted: int = 0

    def without_overlay(self) -> Identity:
        """Return the identity for a receipt of a source that needed no overlay."""
        return self._replace(overlay_files=None, overlay_deleted=0)


class Hashed(NamedTuple):
    """What was hashed to verify the tree, its submodules included.

    `what` is `download` (the files as they were written), `cache` (the tree in the cache) or `copy` (a copy of that
    tree). `size` is in bytes, None if it was not counted. `after_command` is the state of the tree after the command,
    `unchanged` or `changed`, None if it was not checked.
    """

    what: str
    files: int
    size: int | None = None
    after_command: str | None = None

    def document(self) -> dict[str, object]:
        """Return the proof as plain values, without those that are None."""
        found = {"hashed": self.what, "files": self.files, "bytes": self.size, "afterCommand": self.after_command}
        return {name: value for name, value in found.items() if value is not None}


class SubmoduleReceipt(NamedTuple):
    """A gitlink of the fetched tree, with its raw `path` from the root; `tree` is None if its directory is empty.

    Otherwise `tree` was verified, and the other fields are as in Receipt.
    """

    path: bytes
    commit: ObjectId
    tree: ObjectId | None = None
    method: str | None = None
    fallbacks: tuple[Fallback, ...] = ()
    files: int = 0
    received: int = 0
    overlay_files: int | None = None
    overlay_deleted: int = 0

    def document(self) -> dict[str, object]:
        """Return the submodule as plain values."""
        return {
            "path": path_value(self.path),
            "commit": self.commit.hex,
            "state": "absent" if self.tree is None else "fetched",
            "tree": None if self.tree is None else self.tree.hex,
            "method": self.method,
            "fallbacks": _fallbacks(self.fallbacks),
            "files": self.files,
            "bytes": self.received,
            "overlay": _overlay(self.overlay_files, self.overlay_deleted),
        }


class Receipt(NamedTuple):
    """A receipt: `tree` was computed from the written files, and equals the id from `tree_by` (see PlannedTree).

    Files, bytes and overlay are those of the tree without its submodules, each of which has its own numbers;
    `outside_links` (raw paths) and `conversions` include submodules. `received` are bytes from the network; times are
    in seconds since the epoch. `stored_trees` are the directories (b"" for the root) whose tree object differs from the
    one that git would write today: each was hashed as it is stored and compared entry by entry. `lfs` is the report on
    all Git LFS files, in submodules too; None without any.
    """

    tree: ObjectId
    tree_by: str
    method: str
    started: float
    finished: float
    manifest_digest: str | None = None
    run_id: str | None = None
    commit: ObjectId | None = None
    fallbacks: tuple[Fallback, ...] = ()
    subdirectory: bytes = b"."
    files: int = 0
    received: int = 0
    overlay_files: int | None = None
    overlay_deleted: int = 0
    outside_links: tuple[bytes, ...] = ()
    conversions: tuple[Converted, ...] = ()
    submodules: tuple[SubmoduleReceipt, ...] = ()
    lfs: LfsReport | None = None
    stored_trees: tuple[bytes, ...] = ()
    git: str | None = None
    cache_hit: bool = False
    proof: Hashed | None = None

    def of(self, identity: Identity) -> Receipt:
        """Return the receipt with the facts that were known before the fetch."""
        return self._replace(
            manifest_digest=identity.manifest_digest,
            run_id=identity.run_id,
            commit=identity.commit,
            subdirectory=identity.subdirectory,
            overlay_files=identity.overlay_files,
            overlay_deleted=identity.overlay_deleted,
        )

    def after_command(self, *, changed: bool) -> Receipt:
        """Return the receipt with `after_command` set in its proof; unchanged without a proof."""
        if self.proof is None:
            return self
        return self._replace(proof=self.proof._replace(after_command="changed" if changed else "unchanged"))

    def document(self) -> dict[str, object]:
        """Return the receipt as plain values, in the form of its schema."""
        return {
            "$schema": RECEIPT_ID,
            "receiptVersion": RECEIPT_VERSION,
            "manifest": {"digest": self.manifest_digest, "runId": self.run_id},
            "commit": None if self.commit is None else self.commit.hex,
            "treeBy": self.tree_by,
            "tree": self.tree.hex,
            "verified": True,
            "method": self.method,
            "fallbacks": _fallbacks(self.fallbacks),
            "cacheHit": self.cache_hit,
            "subdirectory": path_value(self.subdirectory),
            "files": self.files,
            "bytes": self.received,
            "overlay": _overlay(self.overlay_files, self.overlay_deleted),
            "submodules": [each.document() for each in self.submodules],
            "outsideLinks": [path_value(path) for path in self.outside_links],
            "conversions": [
                {
                    "kind": each.kind,
                    "value": _line(each.value),
                    "files": each.files,
                    "left": [path_value(path) for path in each.left],
                    "reason": each.reason,
                }
                for each in self.conversions
            ],
            "lfs": None if self.lfs is None else self.lfs.document(),
            **({"storedTrees": [path_value(path or b".") for path in self.stored_trees]} if self.stored_trees else {}),
            **({} if self.proof is None else {"proof": self.proof.document()}),
            "startedOn": time_text(self.started),
            "finishedOn": time_text(self.finished),
            "seconds": round(self.finished - self.started, 3),
            "host": _line(platform.node()) or "unknown",
            "producer": {
                "name": "git-coderepo",
                "version": __version__,
                "git": self.git,
                "python": platform.python_version(),
            },
        }

    def encode(self) -> bytes:
        """Return the receipt as JSON in UTF-8, with a final newline."""
        return (json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n").encode()

    def write(self, path: str) -> None:
        """Write the receipt to a file, atomically. Raises OutputUnusable."""
        OutputFile(os.fsencode(path)).write(self.encode())


def _fallbacks(found: tuple[Fallback, ...]) -> list[dict[str, object]]:
    return [{"method": each.method, "reason": _line(each.reason)} for each in found]


def _overlay(files: int | None, deleted: int) -> dict[str, object] | None:
    return None if files is None else {"files": files, "deleted": deleted}


def _line(text: str) -> str:
    """Return the text as one line that the schema accepts."""
    return "".join(char if char.isprintable() else " " for char in text)[:1024]
