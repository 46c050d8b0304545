"""`git coderepo verify RUN DIR`: check whether a directory still matches the recorded tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json, Subdirectory, Submodules
from git_coderepo.cli.progress import bytes_read, stages_shown
from git_coderepo.cli.runner.planning import plan_request
from git_coderepo.errors import NegativeAnswer
from git_coderepo.fetching.plan import FetchPlan
from git_coderepo.fetching.verify import Verification, matching, verify_directory
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.plural import count
from git_coderepo.runs.plan_fetch import FetchRequest
from git_coderepo.runs.result import Result

_SHOWN = 20


@app.command(cls=Verb)
def verify(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A manifest file, -, a recorded run, or NAME@REVISION[:PATH].")
    ],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The directory to check.")],
    allow_added: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-added", metavar="PATTERN", help="Accept added paths that match, as in .gitignore; can be repeated."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", hidden=True, help="Ignored: this is the default. Accepted for older scripts.")
    ] = False,
    overlay: Annotated[
        list[str] | None,
        typer.Option(
            "--overlay", metavar="FILE", help="An overlay file that is not beside the manifest; can be repeated."
        ),
    ] = None,
    subdirectory: Subdirectory = None,
    submodules: Submodules = True,
    as_json: Json = None,
) -> None:
    """Check whether a directory still matches a run's code.

    The directory is hashed again, and changed, missing and added files are listed. Each of them is a failure, because
    an added file can also change what runs. Recorded outputs of the run are accepted.
    """
    by_pattern = matching([os.fsencode(pattern) for pattern in allow_added or ()])
    runner, plan = plan_request(FetchRequest(run, overlay, subdirectory=subdirectory, submodules=submodules))
    with stages_shown()("hashing", None, bytes_read()):
        found = verify_directory(plan.root, directory, git=runner.git)
    is_output = _recorded_outputs(plan, directory)

    def allowed(path: bytes) -> bool:
        return by_pattern(path) or is_output(path)

    if as_json:
        print_json({**found.document(), "holds": found.holds(allowed)}, as_json)
    else:
        show(found, directory, allowed)
    if not found.holds(allowed):
        only_added = not found.changed and not found.missing and found.unlisted is None
        # `.git` counts as added: Git runs programs that its configuration names.
        is_checkout = only_added and all(path.startswith(b".git/") for path in found.unexpected(allowed))
        pattern = "--allow-added=.git/" if is_checkout else "--allow-added=PATTERN"
        raise NegativeAnswer(
            f"'{directory}' does not match the recorded tree {found.expected}",
            hints=[f"to accept added files: {pattern}"] if only_added and found.added else [],
        )


def _recorded_outputs(plan: FetchPlan, directory: str) -> Callable[[bytes], bool]:
    """Return a function that tells whether a path is an output of the run with the recorded contents."""
    if plan.manifest is None or plan.manifest_path is None:
        return lambda path: False
    result = Result.load(plan.manifest_path.removesuffix(b".json") + b".result.json")
    started_in = plan.manifest.run.directory
    outputs = result.outputs if result is not None else ()
    recorded = {os.path.normpath(os.path.join(started_in, each.path)): each.sha256 for each in outputs}
    return lambda path: path in recorded and _sha256(os.path.join(os.fsencode(directory), path)) == recorded[path]


def _sha256(path: bytes) -> str | None:
    """Return the hex sha256 of a regular file, or None if it cannot be read or is not a regular file."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return sha256_of(file) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError:
        return None  # the path then counts as added, and is listed


def show(found: Verification, directory: str, allowed: Callable[[bytes], bool]) -> None:
    """Print the result and the differences."""
    if found.same_tree:
        output.line(f"{directory}: tree {found.found}, unchanged")
        for each in found.submodules:
            if each.found is not None:
                output.line(f"{os.path.join(directory, os.fsdecode(each.path))}: tree {each.found}, unchanged")
        return
    unexpected = found.unexpected(allowed)
    accepted = len(found.added) - len(unexpected)
    if found.holds(allowed):
        output.line(f"{directory}: tree {found.expected}, unchanged, with {count(accepted, 'accepted added file')}")
        return
    for word, paths in (("changed", found.changed), ("missing", found.missing), ("added", unexpected)):
        for path in paths[:_SHOWN]:
            output.line(f"{word}: {os.fsdecode(path)}")
        if len(paths) > _SHOWN:
            output.line(f"{word}: {len(paths) - _SHOWN} more (--json lists them all)")
    if accepted:
        output.line(f"accepted added files: {accepted}")
    if found.unlisted is not None:
        output.warn(f"cannot list the paths that differ: {found.unlisted}")
