"""Prepare the working directory and the environment of a command that runs in fetched code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from git_coderepo.errors import CodeRepoError, TargetUnusable
from git_coderepo.fetching.plan import FetchPlan
from git_coderepo.filesystem.atomic import write_whole
from git_coderepo.filesystem.paths import quoted
from git_coderepo.filesystem.scratch import scratch_directory, temporary_directory, temporary_place
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.manifest.model import Remote
from git_coderepo.runs.command import VARIABLE_LIMIT

# Credentials for this program alone; the platforms' own variables belong to the job.
CREDENTIAL_VARIABLES = ("CODEREPO_TOKEN", "CODEREPO_TOKEN_FILE", "CODEREPO_CREDENTIALS_FILE", "CODEREPO_TOKEN_ORIGIN")

# Modules that Python itself imports. The ones left out here are imported by no other module.
_STANDARD = (sys.stdlib_module_names | {"sitecustomize", "usercustomize"}) - {
    "antigravity", "idlelib", "test", "this", "turtle", "turtledemo",
}  # fmt: skip
# No file can be created there. An ordinary directory would have to be new each time: Python trusts cached bytecode.
_NO_BYTECODE = os.path.join(os.devnull, "bytecode")
_SUFFIXES = ("py", "pyc", "so", "pyd")


def working_directory(tree: str, directory: bytes, *, make: bool) -> str:
    """Return the absolute path of `directory` (raw, from the root; `b"."` is the root) in `tree`.

    With `make` a missing directory is created. Raises TargetUnusable if the code has no such directory, and if its path
    has a symbolic link: the directory may come from a manifest, which is untrusted.
    """
    root = os.path.realpath(tree)
    place = os.path.normpath(os.path.join(root, os.fsdecode(directory)))
    if place != root and not place.startswith(root + "/"):
        raise TargetUnusable(f"{quoted(directory)} is not in the code")
    if make and os.path.realpath(place) == place:
        os.makedirs(place, exist_ok=True)
    if not os.path.isdir(place) or os.path.realpath(place) != place:
        raise TargetUnusable(
            f"cannot start the command in {quoted(directory)}: the code has no such directory",
            hints=["--directory . starts in the root", "--copy DIR makes a copy with the directory"],
        )
    return place


@contextmanager
def manifest_file(plan: FetchPlan, otherwise: str | None = None) -> Iterator[str | None]:
    """Yield the absolute path of a file with the manifest, None without a manifest.

    A manifest from a pipe is written to a temporary file, or, if the machine has no directory for those, to a file in
    `otherwise`. Raises TargetUnusable.
    """
    if plan.manifest is None or plan.manifest_path is not None:
        yield None if plan.manifest_path is None else os.path.abspath(os.fsdecode(plan.manifest_path))
        return
    place = temporary_place() or otherwise or temporary_directory()
    with scratch_directory(place=place) as folder:
        path = os.path.join(folder, "manifest.json")
        write_whole(os.fsencode(path), plan.manifest.data)
        yield path


def execution_environment(
    plan: FetchPlan,
    tree: str,
    directory: str,
    manifest_path: str | None,
    environment: Mapping[str, str],
    *,
    notify: Callable[[str], None],
    keep_credentials: bool = False,
) -> dict[str, str]:
    """Return the command's environment: the variables of a recorded run, PYTHONPATH, and those of experiment trackers.

    Tracker variables that are already set are not changed. Unless `keep_credentials`, credentials for this program are
    removed: they were not meant for the fetched code. `notify` receives a warning for a directory that cannot be on
    PYTHONPATH.
    """
    planned, manifest = plan.root, plan.manifest
    variables = {
        **environment,
        "CODEREPO_TREE": planned.tree.hex,
        "PYTHONPATH": python_path(tree, directory, environment, notify=notify),
    }
    for name in () if keep_credentials else CREDENTIAL_VARIABLES:
        variables.pop(name, None)
    if "PYTHONPYCACHEPREFIX" not in environment:
        # Python neither reads bytecode that is beside the code nor writes any.
        variables["PYTHONPYCACHEPREFIX"] = _NO_BYTECODE
    for name in ("CODEREPO_RUN_ID", "CODEREPO_MANIFEST", "CODEREPO_MANIFEST_JSON", "CODEREPO_COMMIT"):
        variables.pop(name, None)  # of an outer run
    commit = planned.identity.commit
    if commit is not None:
        variables["CODEREPO_COMMIT"] = str(commit)
        variables.setdefault("WANDB_GIT_COMMIT", str(commit))
    if manifest is None:
        return variables
    variables["CODEREPO_RUN_ID"] = manifest.run.id
    if manifest_path is not None:
        variables["CODEREPO_MANIFEST"] = manifest_path
    if len(manifest.data) <= VARIABLE_LIMIT:
        variables["CODEREPO_MANIFEST_JSON"] = manifest.data.decode()
    remote = manifest.repository.remote if manifest.repository is not None else None
    if remote is not None:
        url = _shown(remote)
        if url is not None:
            variables.setdefault("WANDB_GIT_REMOTE_URL", url)
    return variables


def python_path(tree: str, directory: str, environment: Mapping[str, str], *, notify: Callable[[str], None]) -> str:
    """Return a PYTHONPATH with the directory in which the run was started and the root of its code.

    A directory is left out, and reported to `notify`, if its path contains the separator, or if it has a module with
    the name of a standard one: PYTHONPATH comes before the standard library, so that Python itself would import that
    module. A script can still import the modules beside it.
    """
    paths = []
    for path in dict.fromkeys((directory, tree)):
        inside = os.path.relpath(path, tree)
        name = "the root of the code" if inside == "." else quoted(os.fsencode(inside))
        if os.pathsep in path:
            notify(f"warning: {name} is not on PYTHONPATH: its path contains '{os.pathsep}'")
            continue
        module = _standard_module(path)
        if module is not None:
            notify(f"warning: {name} is not on PYTHONPATH: {quoted(module)} has the name of a standard module")
            continue
        paths.append(path)
    inherited = environment.get("PYTHONPATH")
    return os.pathsep.join([*paths, *([inherited] if inherited else [])])


def _standard_module(directory: str) -> bytes | None:
    """Return the name of a file in a directory that Python would import instead of a standard module; None for none."""
    names = []
    with os.scandir(directory) as items:
        for item in items:
            module, dot, suffix = item.name.partition(".")
            if module not in _STANDARD:
                continue
            if (
                suffix.rpartition(".")[2] in _SUFFIXES
                if dot
                else os.path.isfile(os.path.join(item.path, "__init__.py"))
            ):
                names.append(os.fsencode(item.name))
    return min(names, default=None)


def _shown(remote: Remote) -> str | None:
    try:
        return RemoteURL.from_parts(remote.transport, remote.host, remote.port, remote.user, remote.path).url()
    except CodeRepoError:
        return None  # the address of a remote helper, which trackers do not support
