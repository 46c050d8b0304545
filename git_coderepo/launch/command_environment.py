"""The recorded command's place on a runner: its working directory, and what its environment says of the run."""

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

# What tells this program, and nothing else, how to reach a platform. The platforms' own variables are the job's.
CREDENTIAL_VARIABLES = ("CODEREPO_TOKEN", "CODEREPO_TOKEN_FILE", "CODEREPO_CREDENTIALS_FILE", "CODEREPO_TOKEN_ORIGIN")

# Modules that Python imports by itself. No other module imports the others that are left out here.
_STANDARD = (sys.stdlib_module_names | {"sitecustomize", "usercustomize"}) - {
    "antigravity", "idlelib", "test", "this", "turtle", "turtledemo",
}  # fmt: skip
# Nothing can be made there. An ordinary directory would have to be new each time: bytecode is believed unread.
_NO_BYTECODE = os.path.join(os.devnull, "bytecode")
_SUFFIXES = ("py", "pyc", "so", "pyd")


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
def manifest_file(plan: FetchPlan, otherwise: str | None = None) -> Iterator[str | None]:
    """The absolute path of a file that holds the manifest, None where there is none.

    One that came through a pipe lies in a file for temporary things, which goes at the end; where the machine has no
    place for such, in the directory `otherwise`. Raises TargetUnusable.
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
    """What the command is told: the variables of a recorded run, PYTHONPATH, and what trackers ask for without `.git`.

    Variables of trackers that are set already stay as they are. Credentials that are meant for this program are taken
    out, unless `keep_credentials`: the code that was fetched is not who they were given to. `notify` hears of
    directories that cannot be on PYTHONPATH.
    """
    wanted, manifest = plan.root, plan.manifest
    found = {
        **environment,
        "CODEREPO_TREE": wanted.tree.hex,
        "PYTHONPATH": python_path(tree, directory, environment, notify=notify),
    }
    for name in () if keep_credentials else CREDENTIAL_VARIABLES:
        found.pop(name, None)
    if "PYTHONPYCACHEPREFIX" not in environment:
        # Python neither believes bytecode that somebody put beside the code nor adds any to it.
        found["PYTHONPYCACHEPREFIX"] = _NO_BYTECODE
    for name in ("CODEREPO_RUN_ID", "CODEREPO_MANIFEST", "CODEREPO_MANIFEST_JSON", "CODEREPO_COMMIT"):
        found.pop(name, None)  # another run's, where a run starts a run
    commit = wanted.identity.commit
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


def python_path(tree: str, directory: str, environment: Mapping[str, str], *, notify: Callable[[str], None]) -> str:
    """Return a PYTHONPATH with the directory where the run was started and the root of its code.

    Left out, and named to `notify`, is a directory whose path holds the separator, since its parts would be other
    directories; and one that has a module of the name of one of Python's own: PYTHONPATH comes before the standard
    library, so that Python itself would import it, in most cases before the first line of the program. A script still
    finds what lies beside it.
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
    """Return the name of something in a directory that Python would import in the place of a module of its own."""
    found = []
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
                found.append(os.fsencode(item.name))
    return min(found, default=None)


def _shown(remote: Remote) -> str | None:
    try:
        return RemoteURL.from_parts(remote.transport, remote.host, remote.port, remote.user, remote.path).url()
    except CodeRepoError:
        return None  # a remote helper's address: trackers know none such
