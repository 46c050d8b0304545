"""`git coderepo publish [RUN...]`: pin a run's code on the platform, or let go of it; or put it into the store."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.history.show import RUN_HELP
from git_coderepo.cli.options import CodeRepository
from git_coderepo.errors import CodeRepoError, NegativeAnswer, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.runs.find import NamedRun
    from git_coderepo.settings import Settings


@app.command("publish", cls=Verb)
def publish_(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help=RUN_HELP + " The last one, if none is named.", show_default=False),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take their references away from the platform.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --delete, also where nothing else has the code.")
    ] = False,
    store: Annotated[
        bool, typer.Option("--store", help="Into the shared store (coderepo.store), not to the platform.")
    ] = False,
    code_repository: CodeRepository = None,
) -> None:
    """Push a run's code to its platform, as a commit of its own.

    The commit has exactly the snapshot's tree and stands on its base; the reference `refs/coderepo/runs/ID` leads to
    it, with the manifest. No branch and no tag is made. What a token's shape is in, and more than
    `coderepo.publishLimit`, is refused. Once published, no cleaning up of branches loses the code, and any clone can
    `log --remote` the run and `fetch` it by its id.

    With `--store` its code goes into the shared store of `coderepo.store` instead, where nothing is but what is right:
    what is there already is proved, and written anew if it is damaged.
    """
    from git_coderepo.git.process import Git

    if force and not delete:
        raise UsageError("'--force' goes with '--delete'")
    if store and (delete or code_repository is not None):
        raise UsageError("'--store' goes with no other option: several runs may have one tree there")
    for word in runs or ["@{-1}"]:
        if store:
            for text in stored(word, Git()):
                output.line(text)
        elif delete:
            output.line(unpublished(word, Git(), code_repository, force=force))
        else:
            output.line(published(word, Git(), code_repository))


def published(word: str, git: Git, code_repository: str | None) -> str:
    """Publish a run; gives a line that says so."""
    from git_coderepo.fetching.sources.local import restore_tree
    from git_coderepo.git.store import Store, find_overlay
    from git_coderepo.runs.find import find_run
    from git_coderepo.runs.publish import publish_recorded, source_of
    from git_coderepo.stores.published_commit import reference_of

    found, platform, _ = find_run(word, git, code_repository)
    manifest = found.manifest
    if platform is not None:
        id = manifest.run.id
        return f"the run {id} is published already: {reference_of(id)} on '{_name_of(git, code_repository)}'"
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
    return (
        f"published {manifest.run.id}: commit {commit}, {reference_of(manifest.run.id)} on '{source.registration.name}'"
    )


def stored(word: str, git: Git) -> Iterator[str]:
    """Put a run's code into the shared store; gives a line for each tree, its submodules' too."""
    from git_coderepo.fetching.sources.local import Here
    from git_coderepo.git.store import Store
    from git_coderepo.runs.find import find_run
    from git_coderepo.runs.publish_to_store import store_run
    from git_coderepo.snapshots.checks import shown_size
    from git_coderepo.snapshots.secret_scan import allowed_secrets
    from git_coderepo.stores.published_runs import PublishedRun, bring_tree
    from git_coderepo.stores.shared_store import SharedStore

    found, platform, commit = find_run(word, git)
    settings, layout = _here(git)
    shared = SharedStore.of(settings)
    if shared is None:
        raise UsageError(
            "no shared store is set",
            hints=["git config coderepo.store file:///DIRECTORY", "or: git config coderepo.store s3://BUCKET/PREFIX"],
        )
    here = Here.of(git)
    assert here is not None  # `_here` would have raised
    if platform is not None and commit is not None:
        store = Store(layout)
        store.prepare()
        bring_tree(platform, PublishedRun(found.manifest, commit), store.git(git))
    allowed = allowed_secrets(settings) if settings.flag("secretScan") else None
    for each in store_run(found.manifest, shared, here, folder=found.folder, allowed=allowed, notify=output.say):
        place = f" '{os.fsdecode(each.path)}'" if each.path else ""
        how = "was there, and is right" if each.size is None else f"{shown_size(each.size)} written"
        again = ", in the place of something else" if each.damaged else ""
        yield f"{found.manifest.run.id}{place}: tree {each.tree} in '{shared.url}', {how}{again}"


def unpublished(word: str, git: Git, code_repository: str | None, *, force: bool) -> str:
    """Take a run's reference away, of one that is recorded here or on the platform; gives a line that says so."""
    from git_coderepo.git.store import Store
    from git_coderepo.registration.resolve import source_here
    from git_coderepo.runs.find import find_run
    from git_coderepo.runs.publish import source_of, unpublish
    from git_coderepo.stores.published_commit import needs_reference

    settings, layout = _here(git)
    found, platform, _ = find_run(word, git, code_repository)
    manifest = found.manifest
    # A published run that is not recorded here was found on the code repository that it is removed from.
    if platform is None:
        source = source_of(manifest, git, settings, layout, code_repository)
    else:
        source = source_here(git, code_repository)
    if needs_reference(manifest) and not force:
        raise CodeRepoError(
            f"the run {manifest.run.id} was recorded without an overlay: its reference is what keeps its code",
            hints=[f"git coderepo publish --delete --force {manifest.run.id}"],
        )
    was_there = unpublish(source, Store(layout).git(git), manifest.run.id)
    _note(found, layout, published=False)
    if not was_there:
        raise NegativeAnswer(f"the run {manifest.run.id} is not published on '{source.registration.name}'")
    return f"removed {manifest.run.id} from '{source.registration.name}'"


def _name_of(git: Git, code_repository: str | None) -> str:
    """Return the name of the code repository whose published runs are looked for."""
    from git_coderepo.registration.resolve import source_here

    return source_here(git, code_repository).registration.name


def _here(git: Git) -> tuple[Settings, Layout]:
    from git_coderepo.git.repository import read_layout, start_layout
    from git_coderepo.settings import Settings

    return Settings.read(git), read_layout(start_layout(git), git, bare_allowed=True)


def _note(found: NamedRun, layout: Layout, *, published: bool) -> None:
    """Write it down beside the manifest, where that lies in this repository's record."""
    from git_coderepo.runs.record_files import Runs
    from git_coderepo.stores.published_commit import note

    runs = Runs(layout)
    id = found.manifest.run.id
    if found.path == runs.path_of(id):
        note(runs, id, published=published, now=time.time())
