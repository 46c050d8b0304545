"""`git coderepo publish [RUN...]`: push the code of runs to the platform or to the shared store."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.history.show import RUN_HELP
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import CodeRepository, Json, Quiet
from git_coderepo.errors import CodeRepoError, NegativeAnswer, UsageError
from git_coderepo.git.process import shell_word
from git_coderepo.manifest.writer import path_value
from git_coderepo.trace import silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.runs.find import NamedRun
    from git_coderepo.settings import Settings


@app.command("publish", cls=Verb)
def publish_(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help=RUN_HELP + " (default: the last run).", show_default=False),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the runs' references from the platform.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --delete: remove even the only copy of the code.")
    ] = False,
    store: Annotated[bool, typer.Option("--store", help="Write to the shared store (coderepo.store) instead.")] = False,
    code_repository: CodeRepository = None,
    quiet: Quiet = False,
    as_json: Json = None,
) -> None:
    """Push the code of runs to the platform.

    The code becomes a commit with exactly the snapshot's tree, whose parent is the base. The reference
    `refs/coderepo/runs/ID` points to it and carries the manifest. No branch and no tag is created. Code that contains
    a probable token, or that is larger than `coderepo.publishLimit`, is refused. A published run does not depend on
    branches: any clone can list it with `log --remote` and `fetch` it by its id.

    With `--store`, the code is written to the shared store (`coderepo.store`) instead. A tree that is already there is
    verified, and replaced if it is damaged.
    """
    from git_coderepo.git.process import Git

    if force and not delete:
        raise UsageError("--force requires --delete")
    if store and (delete or code_repository is not None):
        raise UsageError("--store cannot be combined with --delete or --code-repository")
    say = silent if quiet or as_json else output.line
    done = []
    for word in runs or ["@{-1}"]:
        if store:
            done.append(stored(word, Git(), notify=say))
            continue
        done.append(
            unpublished(word, Git(), code_repository, force=force)
            if delete
            else published(word, Git(), code_repository)
        )
        say(done[-1].sentence)
    if as_json:
        print_json([each.document() for each in done], as_json)


class PublishAnswer(NamedTuple):
    """What was done with a run: the fields of its JSON document, and a sentence for people."""

    run: str
    action: str
    repository: str
    sentence: str
    commit: str | None = None
    reference: str | None = None
    trees: tuple[dict[str, object], ...] = ()

    def document(self) -> dict[str, object]:
        return {
            "run": self.run,
            "action": self.action,
            "repository": self.repository,
            "reference": self.reference,
            "commit": self.commit,
            "trees": list(self.trees),
        }


def published(word: str, git: Git, code_repository: str | None) -> PublishAnswer:
    """Publish a run."""
    from git_coderepo.fetching.sources.local import restore_tree
    from git_coderepo.git.store import Store, find_overlay
    from git_coderepo.runs.find import find_run
    from git_coderepo.runs.publish import publish_recorded, source_of
    from git_coderepo.stores.published_commit import reference_of

    found, platform, known = find_run(word, git, code_repository)
    manifest = found.manifest
    id, reference = manifest.run.id, reference_of(manifest.run.id)
    if platform is not None:
        name = _name_of(git, code_repository)
        sentence = f"run {id} is already published: {reference} on '{name}'"
        return PublishAnswer(id, "already-published", name, sentence, None if known is None else known.hex, reference)
    settings, layout = _here(git)
    source = source_of(manifest, git, settings, layout, code_repository)
    store = Store(layout)
    store.prepare()
    overlay = manifest.code.overlay
    data = overlay.data if overlay is not None else None
    if overlay is not None and data is None:
        beside = find_overlay(overlay.sha256, overlay.size, found.folder, git)
        data = beside[0] if beside is not None else None
    ours = store.git(git)
    restore_tree(manifest.code, manifest.repository, data, git, store, run=manifest.run.id, notify=output.say)
    commit = publish_recorded(manifest, source, ours)
    _note(found, layout, published=True)
    name = source.registration.name
    sentence = f"published {id}: commit {commit}, {reference} on '{name}'; to get its code {_how_to_fetch(id, source)}"
    return PublishAnswer(id, "published", name, sentence, str(commit), reference)


def _how_to_fetch(id: str, source: CodeSource) -> str:
    """Return the command that fetches a published run: on any machine if a URL leads to the repository."""
    remote = source.remote
    if remote is None or remote.path is None or remote.transport not in ("https", "ssh"):
        return f"in any clone: git coderepo fetch {output.short_id(id)} DIR"
    return f"anywhere: git coderepo fetch {shell_word(f'{remote.url()}@run:{output.short_id(id)}')} DIR"


def stored(word: str, git: Git, *, notify: Callable[[str], None]) -> PublishAnswer:
    """Write a run's code to the shared store; `notify` gets a message for each tree, including submodules."""
    from git_coderepo.fetching.sources.local import Here
    from git_coderepo.git.store import Store
    from git_coderepo.runs.find import find_run
    from git_coderepo.runs.publish_to_store import StoreRequest, store_run
    from git_coderepo.snapshots.secret_scan import allowed_secrets
    from git_coderepo.snapshots.size_limits import shown_size
    from git_coderepo.stores.published_runs import PublishedRun, bring_tree
    from git_coderepo.stores.shared_store import SharedStore

    found, platform, commit = find_run(word, git)
    settings, layout = _here(git)
    shared = SharedStore.of(settings)
    if shared is None:
        raise UsageError(
            "coderepo.store is not set",
            hints=["git config coderepo.store file:///DIRECTORY", "or: git config coderepo.store s3://BUCKET/PREFIX"],
        )
    here = Here.of(git)
    assert here is not None  # `_here` would have raised
    if platform is not None and commit is not None:
        store = Store(layout)
        store.prepare()
        bring_tree(platform, PublishedRun(found.manifest, commit), store.git(git))
    allowed = allowed_secrets(settings) if settings.flag("secretScan") else None
    request = StoreRequest(shared, found.folder, allowed, output.say)
    trees: list[dict[str, object]] = []
    for each in store_run(found.manifest, here, request):
        place = f" '{os.fsdecode(each.path)}'" if each.path else ""
        how = "verified, already there" if each.size is None else f"{shown_size(each.size)} written"
        again = ", replacing a damaged copy" if each.damaged else ""
        notify(f"{found.manifest.run.id}{place}: tree {each.tree} in '{shared.url}', {how}{again}")
        trees.append({"path": path_value(each.path), "tree": str(each.tree), "size": each.size})
    return PublishAnswer(found.manifest.run.id, "stored", shared.url, "", trees=tuple(trees))


def unpublished(word: str, git: Git, code_repository: str | None, *, force: bool) -> PublishAnswer:
    """Remove the reference of a run, recorded locally or only published."""
    from git_coderepo.git.store import Store
    from git_coderepo.registration.resolve import source_here
    from git_coderepo.runs.find import find_run
    from git_coderepo.runs.publish import source_of, unpublish
    from git_coderepo.stores.published_commit import needs_reference

    settings, layout = _here(git)
    found, platform, _ = find_run(word, git, code_repository)
    manifest = found.manifest
    # A run that is not in the local record was found on this code repository.
    if platform is None:
        source = source_of(manifest, git, settings, layout, code_repository)
    else:
        source = source_here(git, code_repository)
    if needs_reference(manifest) and not force:
        raise CodeRepoError(
            f"run {manifest.run.id} has no overlay: its reference keeps the only copy of its code",
            hints=[f"git coderepo publish --delete --force {manifest.run.id}"],
        )
    was_there = unpublish(source, Store(layout).git(git), manifest.run.id)
    _note(found, layout, published=False)
    if not was_there:
        raise NegativeAnswer(f"run {manifest.run.id} is not published on '{source.registration.name}'")
    name = source.registration.name
    return PublishAnswer(manifest.run.id, "removed", name, f"removed {manifest.run.id} from '{name}'")


def _name_of(git: Git, code_repository: str | None) -> str:
    """Return the name of the code repository whose published runs are searched."""
    from git_coderepo.registration.resolve import source_here

    return source_here(git, code_repository).registration.name


def _here(git: Git) -> tuple[Settings, Layout]:
    from git_coderepo.git.repository import read_layout, start_layout
    from git_coderepo.settings import Settings

    return Settings.read(git), read_layout(start_layout(git), git, bare_allowed=True)


def _note(found: NamedRun, layout: Layout, *, published: bool) -> None:
    """Record whether a run is published, if its manifest is in this repository's record."""
    from git_coderepo.runs.record_files import Runs
    from git_coderepo.stores.published_commit import note

    runs = Runs(layout)
    id = found.manifest.run.id
    if found.path == runs.path_of(id):
        note(runs, id, published=published, now=time.time())
