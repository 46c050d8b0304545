"""A published run: the snapshot as a commit on its base, a tag object with the manifest on it, and one reference.

`refs/coderepo/runs/<id>` names an annotated tag, whose message is the manifest, byte for byte, and whose object is the
commit; the commit's tree is the snapshot's, exactly. So whoever fetches the reference has both, a listing needs the
tags alone, and neither knows anything of the user: all of it follows from the manifest. Formats: gitformat-commit,
`git help mktag`.
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
# RFC 2606: a name that nobody can have.
_WHO = "git-coderepo <git-coderepo@noreply.invalid>"


def reference_of(id: str) -> str:
    """The reference of a published run."""
    return NAMESPACE + id


def write_commit(git: Git, *, tree: ObjectId, base: ObjectId | None, id: str, created_on: str) -> ObjectId:
    """Write the commit of a run's snapshot into the store that `git` writes to (see Store.git); gives its id.

    The same run gives the same commit. `created_on` is `YYYY-MM-DDTHH:MM:SSZ`. Raises GitFailed.
    """
    parents = f"parent {base}\n" if base is not None else ""
    when = f"{_WHO} {_seconds(created_on)} +0000"
    text = f"tree {tree}\n{parents}author {when}\ncommitter {when}\n\nRun {id}\n"
    return _written(git, "commit", text.encode())


def write_tag(git: Git, *, commit: ObjectId, id: str, created_on: str, manifest: bytes) -> ObjectId:
    """Write the tag object that ties a manifest's bytes to the commit; gives its id. Raises GitFailed."""
    head = f"object {commit}\ntype commit\ntag coderepo-{id}\ntagger {_WHO} {_seconds(created_on)} +0000\n\n"
    return _written(git, "tag", head.encode() + manifest)


def read_tag(contents: bytes) -> tuple[ObjectId, bytes]:
    """(the commit, the manifest's bytes) of a tag object. Raises InvalidManifest for one that is not ours."""
    head, _, manifest = contents.partition(b"\n\n")
    lines = head.split(b"\n")
    if len(lines) < 2 or not lines[0].startswith(b"object ") or lines[1] != b"type commit":
        raise InvalidManifest("the reference is not that of a published run")
    return ObjectId(lines[0][7:].decode("ascii", "replace")), manifest


def _written(git: Git, kind: str, contents: bytes) -> ObjectId:
    return ObjectId(git.run("hash-object", "-t", kind, "-w", "--stdin", stdin=contents).decode().strip())


def _seconds(created_on: str) -> int:
    import calendar

    return calendar.timegm(time.strptime(created_on, "%Y-%m-%dT%H:%M:%SZ"))


# --- what the record says of it ---------------------------------------------------------------------
# The manifest never changes: whether its run is published is noted beside it, in `<id>.published.json`.


def note(runs: Runs, id: str, *, published: bool, now: float) -> None:
    """Write down that a run was published, or is no longer. Raises OSError."""
    document = {
        "run": {"id": id},
        "ref": reference_of(id),
        "published": published,
        "on": time_text(now),
    }
    write_whole(note_path(runs.path_of(id)), (json.dumps(document, indent=2) + "\n").encode())


def note_path(manifest_path: bytes) -> bytes:
    """Where the note of a recorded run lies, by its manifest's path."""
    return manifest_path.removesuffix(b".json") + b".published.json"


def is_published(manifest: Manifest, path: bytes | None) -> bool:
    """Whether a run is published as far as it is known here: by the note beside its manifest, else by the manifest."""
    if path is not None and os.path.basename(path) == manifest.run.id.encode() + b".json":
        try:
            with open(note_path(path), "rb") as file:
                document = json.loads(file.read())
            return bool(document["published"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError):
            return False  # damaged: nothing is claimed that is not known
    return manifest.code.snapshot_ref is not None


def needs_reference(manifest: Manifest) -> bool:
    """Whether nothing but the published commit has this run's code: what its base lacks is in no overlay."""
    code = manifest.code
    at_base = code.base is not None and code.base.tree == code.snapshot_tree
    return code.snapshot_commit is not None and code.overlay is None and not at_base
