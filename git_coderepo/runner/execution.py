"""The recorded command's place on a runner: its working directory, and what its environment says of the run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from git_coderepo.checkout.store import write_whole
from git_coderepo.errors import CodeRepoError, TargetUnusable
from git_coderepo.manifest.model import Remote
from git_coderepo.paths import quoted
from git_coderepo.record.process import VARIABLE_LIMIT
from git_coderepo.runner.order import FetchOrder
from git_coderepo.runner.temporary import temporary_directory, temporary_place
from git_coderepo.scratch_directory import scratch_directory
from git_coderepo.urls import RemoteURL


def working_directory(tree: str, wanted: bytes, *, make: bool) -> str:
    """The directory `wanted` (raw, from the root, `b"."` the root itself) of `tree`; with `make` it is made if missing.

    Raises TargetUnusable where the code has no such directory, or where the way to it leads through a link: it may
    come from a manifest.
    """
    root = os.path.realpath(tree)
    place = os.path.normpath(os.path.join(root, os.fsdecode(wanted)))
    if place != root and not place.startswith(root + "/"):
        raise TargetUnusable(f"{quoted(wanted)} is not in the code")
    if make and os.path.realpath(place) == place:
        os.makedirs(place, exist_ok=True)
    if not os.path.isdir(place) or os.path.realpath(place) != place:
        raise TargetUnusable(
            f"{quoted(wanted)} is no directory of the code, and the command would start there",
            hints=["--directory . starts in its root", "--copy DIR makes a copy, in which it is made"],
        )
    return place


@contextmanager
def manifest_file(order: FetchOrder, otherwise: str | None = None) -> Iterator[str | None]:
    """The absolute path of a file that holds the manifest, None where there is none.

    One that came through a pipe lies in a file for temporary things, which goes at the end; where the machine has no
    place for such, in the directory `otherwise`. Raises TargetUnusable.
    """
    if order.manifest is None or order.manifest_path is not None:
        yield None if order.manifest_path is None else os.path.abspath(os.fsdecode(order.manifest_path))
        return
    place = temporary_place() or otherwise or temporary_directory()
    with scratch_directory(place=place) as folder:
        path = os.path.join(folder, "manifest.json")
        write_whole(os.fsencode(path), order.manifest.data)
        yield path


def execution_environment(
    order: FetchOrder, tree: str, directory: str, manifest_path: str | None, environment: Mapping[str, str]
) -> dict[str, str]:
    """What the command is told: the variables of a recorded run, PYTHONPATH, and what trackers ask for without `.git`.

    Variables of trackers that are set already stay as they are.
    """
    wanted, manifest = order.wanted, order.manifest
    found = {
        **environment,
        "CODEREPO_TREE": wanted.tree.hex,
        "PYTHONPATH": python_path(tree, directory, environment),
    }
    for name in ("CODEREPO_RUN_ID", "CODEREPO_MANIFEST", "CODEREPO_MANIFEST_JSON", "CODEREPO_COMMIT"):
        found.pop(name, None)  # another run's, where a run starts a run
    commit = wanted.receipt.get("commit")
    if commit is not None:
        found["CODEREPO_COMMIT"] = str(commit)
        found.setdefault("WANDB_GIT_COMMIT", str(commit))
    if manifest is None:
        return found
    found["CODEREPO_RUN_ID"] = manifest.run.id
    if manifest_path is not None:
        found["CODEREPO_MANIFEST"] = manifest_path
    if len(manifest.data) <= VARIABLE_LIMIT:
        found["CODEREPO_MANIFEST_JSON"] = manifest.data.decode()
    remote = manifest.repository.remote if manifest.repository is not None else None
    if remote is not None:
        url = _shown(remote)
        if url is not None:
            found.setdefault("WANDB_GIT_REMOTE_URL", url)
    return found


def python_path(tree: str, directory: str, environment: Mapping[str, str]) -> str:
    """PYTHONPATH, by which modules are found where the run was started, and in the root of its code."""
    paths = [directory, tree] if directory != tree else [tree]
    inherited = environment.get("PYTHONPATH")
    return os.pathsep.join([*paths, *([inherited] if inherited else [])])


def _shown(remote: Remote) -> str | None:
    try:
        return RemoteURL.from_parts(remote.transport, remote.host, remote.port, remote.user, remote.path).url()
    except CodeRepoError:
        return None  # a remote helper's address: trackers know none such
