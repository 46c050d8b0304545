"""The Git objects of a published run: a commit with the snapshot's tree, an annotated tag, and a ref.

The ref `refs/coderepo/runs/<id>` points to the tag. The tag's message is the manifest, byte for byte; the tag points to
the commit, whose parent is the base. Fetching the ref therefore gets code and manifest, and listing runs requires only
the tags. Nothing in these objects identifies the user: all of it is derived from the manifest. Formats:
gitformat-commit, `git help mktag`.
"""

from __future__ import annotations

import json
import os
import time

from git_coderepo.errors import InvalidManifest
from git_coderepo.filesystem.atomic import write_whole
from git_coderepo.git.objects import ObjectId
from git_coderepo.manifest.writer import time_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.manifest.model import Manifest
    from git_coderepo.runs.record_files import Runs

NAMESPACE = "refs/coderepo/runs/"
# RFC 2606 reserves `.invalid`: nobody can own this address.
_WHO = "git-coderepo <git-coderepo@noreply.invalid>"


def reference_of(id: str) -> str:
    """Return the ref of a published run."""
    return NAMESPACE + id


def write_commit(git: Git, *, tree: ObjectId, base: ObjectId | None, id: str, created_on: str) -> ObjectId:
    """Write the commit of a run's snapshot to the store that `git` writes to (see Store.git), and return its id.

    The same run always gets the same commit id. `created_on` is `YYYY-MM-DDTHH:MM:SSZ`. Raises GitFailed.
    """
    parents = f"parent {base}\n" if base is not None else ""
    when = f"{_WHO} {_seconds(created_on)} +0000"
    text = f"tree {tree}\n{parents}author {when}\ncommitter {when}\n\nRun {id}\n"
    return _written(git, "commit", text.encode())


def write_tag(git: Git, *, commit: ObjectId, id: str, created_on: str, manifest: bytes) -> ObjectId:
    """Write the tag object with the manifest's bytes that points to the commit; return its id. Raises GitFailed."""
    head = f"object {commit}\ntype commit\ntag coderepo-{id}\ntagger {_WHO} {_seconds(created_on)} +0000\n\n"
    return _written(git, "tag", head.encode() + manifest)


def read_tag(contents: bytes) -> tuple[ObjectId, bytes]:
    """Return (commit, manifest's bytes) of a tag object. Raises InvalidManifest for any other tag."""
    head, _, manifest = contents.partition(b"\n\n")
    lines = head.split(b"\n")
    if len(lines) < 2 or not lines[0].startswith(b"object ") or lines[1] != b"type commit":
        raise InvalidManifest("the ref does not point to a published run")
    return ObjectId(lines[0][7:].decode("ascii", "replace")), manifest


def _written(git: Git, kind: str, contents: bytes) -> ObjectId:
    return ObjectId(git.run("hash-object", "-t", kind, "-w", "--stdin", stdin=contents).decode().strip())


def _seconds(created_on: str) -> int:
    import calendar

    return calendar.timegm(time.strptime(created_on, "%Y-%m-%dT%H:%M:%SZ"))


# --- the note in the local records ------------------------------------------------------------------
# A manifest never changes, so a file `<id>.published.json` beside it notes whether the run is published.


def note(runs: Runs, id: str, *, published: bool, now: float) -> None:
    """Record locally whether a run is published. Raises OSError."""
    document = {
        "run": {"id": id},
        "ref": reference_of(id),
        "published": published,
        "on": time_text(now),
    }
    write_whole(note_path(runs.path_of(id)), (json.dumps(document, indent=2) + "\n").encode())


def note_path(manifest_path: bytes) -> bytes:
    """Return the path of the note that belongs to the manifest at this path."""
    return manifest_path.removesuffix(b".json") + b".published.json"


def is_published(manifest: Manifest, path: bytes | None) -> bool:
    """Return whether a run is published as far as this machine knows: by the note, or without one by the manifest."""
    if path is not None and os.path.basename(path) == manifest.run.id.encode() + b".json":
        try:
            with open(note_path(path), "rb") as file:
                document = json.loads(file.read())
            return bool(document["published"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError):
            return False  # a damaged note proves nothing
    return manifest.code.snapshot_ref is not None


def needs_reference(manifest: Manifest) -> bool:
    """Return whether the code is only in the published commit: it differs from its base and no overlay has the rest."""
    code = manifest.code
    at_base = code.base is not None and code.base.tree == code.snapshot_tree
    return code.snapshot_commit is not None and code.overlay is None and not at_base
