"""`git coderepo show [RUN]`: show a run, its code and its result."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.history.run_format import local_time
from git_coderepo.cli.json_output import print_encoded
from git_coderepo.cli.options import Json
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.plural import count
from git_coderepo.runs.find import find_run, recorded_run
from git_coderepo.runs.history import committed_as
from git_coderepo.snapshots.size_limits import shown_size
from git_coderepo.stores.published_commit import is_published, reference_of

if TYPE_CHECKING:
    from git_coderepo.manifest.model import Code, Imported, Lfs, Manifest, Outside, Overlay, Repository
    from git_coderepo.runs.result import Result

_SHOWN = 10
RUN_HELP = "A run: the beginning of its id, its name, @{-N}, a manifest file, or -"


@app.command("show", cls=Verb)
def show_(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help=RUN_HELP + " (default: the last run).")] = "@{-1}",
    as_json: Json = None,
) -> None:
    """Show a run: its code, where the code is, and its result.

    `--json` prints the manifest, byte for byte; `--json=run.id,code.snapshot.tree` only these fields of it.
    """
    git = Git()
    any_run = find_run(run, git)
    found = any_run.named
    if as_json:
        print_encoded(found.manifest.data, as_json)
        return
    noted = recorded_run(found)
    code = found.manifest.code
    commits = committed_as(git) if noted is not None and code.dirty and not code.dirty_submodule else {}
    rows = manifest_rows(found.manifest, commits.get(code.snapshot_tree.hex))
    if any_run.platform is not None or is_published(found.manifest, found.path):
        rows.append(("published", reference_of(found.manifest.run.id)))
    if noted is not None:
        rows += result_rows(noted.state, noted.result)
    if found.path is not None:
        rows.append(("manifest", os.fsdecode(os.path.abspath(found.path))))
    rows.append(("digest", f"sha256 {found.manifest.digest}"))
    output.table(rows)


def manifest_rows(manifest: Manifest, committed: str | None) -> list[tuple[str, str]]:
    """Return the rows of a manifest; `committed` is a later commit with the tree of a dirty run."""
    import shlex

    run, code = manifest.run, manifest.code
    rows = [("run", run.id)]
    if run.name is not None:
        rows.append(("name", run.name))
    rows.append(("recorded", local_time(run.created_on)))
    if run.parent is not None:
        rows.append(("parent", run.parent))
    if run.command is not None:
        rows.append(("command", shlex.join(os.fsdecode(word) for word in run.command)))
    if run.directory != b".":
        rows.append(("directory", os.fsdecode(run.directory)))
    rows.append(("repository", _repository(manifest.repository)))
    if code.head is not None:
        branch = f" ({code.head.branch})" if code.head.branch is not None else ""
        rows.append(("commit", f"{code.head.commit}{branch}"))
        # A commit that was never pushed has no page on the platform.
        if code.head.web_url is not None and code.base is not None and code.base.commit == code.head.commit:
            rows.append(("page", code.head.web_url))
    if code.base is not None:
        rows.append(("base", f"{code.base.commit}, known by {code.base.known_by}"))
    else:
        rows.append(("base", "none: the whole tree travels"))
    rows += [("scope", os.fsdecode(path)) for path in code.scope or ()]
    rows.append(("tree", f"{code.snapshot_tree}, {_dirt(code)}"))
    if committed is not None:
        rows.append(("", f"committed as {committed}"))
    if code.overlay is not None:
        rows.append(("travels", _travels(code.overlay)))
    if code.lfs is not None:
        rows.append(("" if code.overlay is not None else "travels", _lfs_travels(code.lfs)))
    rows += _submodule_rows(code)
    outside = [(path, each) for path, inner in code.codes() for each in inner.outside]
    rows += [("not in Git", _outside(path, each)) for path, each in outside]
    left_out = [(path + each.path, each.reason) for path, inner in code.codes() for each in inner.omitted]
    rows += [("left out", f"{os.fsdecode(path)} ({reason})") for path, reason in left_out]
    rows += [("not reproducible", each.message) for each in code.obstacles]
    rows += [("imports", _imported(each)) for each in manifest.environment.imported]
    if manifest.environment.build_key is not None:
        rows.append(("build key", manifest.environment.build_key))
    return rows


def _outside(directory: bytes, found: Outside) -> str:
    """Describe content outside Git: its path and the tool that stores it."""
    name = os.fsdecode(directory + found.path)
    detail = "" if found.detail is None else f" {os.fsdecode(found.detail)}"
    return (
        f"{name} ({found.reason}{detail})" if found.files == 1 else f"{found.files} in {name} ({found.reason}{detail})"
    )


def _imported(found: Imported) -> str:
    """Describe a directory outside the snapshot from which code was imported."""
    commit = "" if found.commit is None else f" at {found.commit.hex[:12]}{', dirty' if found.dirty else ''}"
    return f"{os.fsdecode(found.path)}{commit} ({found.via})"


def result_rows(state: str, result: Result | None) -> list[tuple[str, str]]:
    """Return the rows of a result."""
    if result is None:
        return [("state", "recorded; its result is unknown")]
    words = {
        "running": f"running, process {result.pid}",
        "killed": "killed: its process ended without recording a result",
        "unfinished": f"unfinished, on host {result.host}",
    }
    rows = [("state", words.get(state, state))]
    if result.finished_on is not None:
        took = f", after {result.seconds:.0f} s" if result.seconds is not None else ""
        rows.append(("finished", local_time(result.finished_on) + took))
    if result.unknown:
        rows.append(("unknown", ", ".join(result.unknown)))
    for name, paths in (("edited", result.edited), ("produced", result.produced)):
        rows += [(name, os.fsdecode(path)) for path in paths[:_SHOWN]]
        if len(paths) > _SHOWN:
            rows.append((name, f"and {len(paths) - _SHOWN} more"))
    rows += [
        ("output", f"{os.fsdecode(each.path)}, {shown_size(each.size)}, sha256 {each.sha256}")
        for each in result.outputs[:_SHOWN]
    ]
    if len(result.outputs) > _SHOWN:
        rows.append(("output", f"and {len(result.outputs) - _SHOWN} more"))
    rows += [("output", f"{os.fsdecode(path)}, not written by the run") for path in result.not_written]
    return rows


def _travels(overlay: Overlay) -> str:
    gone = f", {count(len(overlay.deleted), 'deletion')}" if overlay.deleted else ""
    inside = "in the manifest" if overlay.data is not None else f"{overlay.sha256}.tar.gz"
    return f"{count(overlay.files, 'file')}{gone}, {shown_size(overlay.size)}, {inside}"


def _lfs_travels(lfs: Lfs) -> str:
    inside = "in the manifest" if lfs.data is not None else f"{lfs.sha256}.tar.gz"
    return f"{count(len(lfs.objects), 'Git LFS object')}, {shown_size(lfs.size)}, {inside}"


def _submodule_rows(code: Code, prefix: bytes = b"") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for each in code.submodules:
        name = os.fsdecode(prefix + each.path)
        if each.code is None:
            rows.append(("submodule", f"{name} at {each.commit}, not checked out"))
            continue
        rows.append(("submodule", f"{name} at {each.commit}"))
        rows.append(("", f"repository {_repository(each.repository)}"))
        rows.append(("", f"tree {each.code.snapshot_tree}, {_dirt(each.code)}"))
        if each.code.overlay is not None:
            rows.append(("", f"travels {_travels(each.code.overlay)}"))
        if each.code.lfs is not None:
            rows.append(("", f"travels {_lfs_travels(each.code.lfs)}"))
        rows += _submodule_rows(each.code, prefix + each.path + b"/")
    return rows


def _repository(repository: Repository | None) -> str:
    if repository is None:
        return "none"
    remote = repository.remote
    if remote is None:
        return f"{repository.name}: {repository.type}"
    url = RemoteURL.from_parts(remote.transport, remote.host, remote.port, remote.user, remote.path)
    return f"{repository.name}: {repository.type}, {url.url()}"


def _dirt(code: Code) -> str:
    changes = code.changes
    if not code.dirty:
        return "clean"
    parts = [
        f"{number} {word}"
        for number, word in (
            (changes.staged, "staged"),
            (changes.unstaged, "unstaged"),
            (changes.untracked, "untracked"),
        )
        if number
    ]
    return "dirty: " + ", ".join(parts) if parts else "dirty"
