"""Publish a snapshot: push it to the platform as a commit, so that no overlay has to travel.

A run that is published when it is recorded has the reference in its manifest, and no overlay. For one that is published
later the manifest stays as it is, and the reference is found by the run's id.
"""

from __future__ import annotations

import os

from git_coderepo.errors import CodeRepoError, NotReproducible, RegistrationError
from git_coderepo.git.lfs_pointer import POINTER_BEGIN
from git_coderepo.git.process import read_blobs
from git_coderepo.git.tree_diff import blob_sizes, differences, travelling
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.manifest.model import Manifest, refuse_unreproducible
from git_coderepo.manifest.writer import time_text
from git_coderepo.registration.resolve import choose_source_of
from git_coderepo.snapshots.manifest_document import Record, prove_readable, uuid7, write_record
from git_coderepo.snapshots.secret_scan import allowed_secrets, refuse_tokens
from git_coderepo.snapshots.size_limits import refuse_unserved
from git_coderepo.stores.published_commit import reference_of, write_commit, write_tag
from git_coderepo.transport.git_remote import ask, push

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.settings import Settings
    from git_coderepo.snapshots.snapshot import Snapshot


def recorded(
    snapshot: Snapshot,
    *,
    now: float,
    git_version: str | None,
    say: Callable[[str], None],
    ask: Callable[[str], bool] | None = None,
    name: str | None = None,
    parent: str | None = None,
    command: Sequence[bytes] | None = None,
    build_key: str | None = None,
) -> Record:
    """Write the manifest of a run, and publish the run first if `coderepo.publish` says so; see `write_record`.

    `ask` prompts the user for yes or no; without a terminal it is None, and nothing is published. If publishing fails,
    `say` receives the reason and the overlay travels. Raises NotReproducible if the overlay is too large for that.
    """
    id = uuid7(now)

    def written(commit: ObjectId | None) -> Record:
        record = write_record(
            snapshot, now=now, git_version=git_version, id=id, published=commit, name=name, parent=parent,
            command=command, build_key=build_key,
        )  # fmt: skip
        return prove_readable(record)

    reason = _reason_against(snapshot, ask)
    if reason is None:
        try:
            return _published(snapshot, id, time_text(now), written)
        except CodeRepoError as error:
            say(f"warning: not published: {error.message}")
            for text in error.hints:
                say(f"hint: {text}")
    elif reason:
        say(reason)
    if snapshot.oversize is not None:
        raise snapshot.oversize
    return written(None)


def _reason_against(snapshot: Snapshot, ask: Callable[[str], bool] | None) -> str | None:
    """Return why a snapshot is not published, "" if the user knows why; None if it is to be published."""
    mode = snapshot.settings.choice("publish")
    if mode == "never":
        return ""
    if snapshot.unreproducible:
        return "warning: not published: it cannot be reproduced"
    if snapshot.source is None:
        return "warning: not published: this checkout has no code repository"
    if mode == "auto":
        return None
    if ask is None:
        return "not published: 'coderepo.publish' is 'ask', and there is no terminal to prompt on"
    return None if ask(f"publish the code of this run to '{snapshot.source.registration.name}'?") else ""


def _published(snapshot: Snapshot, id: str, created_on: str, written: Callable[[ObjectId | None], Record]) -> Record:
    assert snapshot.source is not None
    snapshot.store.prepare()
    git = snapshot.git_with_store
    _refuse_lfs(git, snapshot.travels)
    base = snapshot.base.commit if snapshot.base is not None else None
    commit = write_commit(git, tree=snapshot.tree, base=base, id=id, created_on=created_on)
    record = written(commit)
    refuse_submodules(Manifest.parse(record.data))
    tag = write_tag(git, commit=commit, id=id, created_on=created_on, manifest=record.data)
    push_reference(snapshot.source, git, f"{tag}:{reference_of(id)}")
    return record


# --- A run that was recorded earlier --------------------------------------------------------------


def publish_recorded(manifest: Manifest, source: CodeSource, git: Git) -> ObjectId:
    """Publish a recorded run; return the commit. The manifest is not changed.

    `git` finds the objects of the tree (see `Store.git`). Raises NotReproducible for a snapshot that cannot be
    published, CodeRepoError if its base is not in this repository, and what `push` raises.
    """
    code, run = manifest.code, manifest.run
    refuse_unreproducible(manifest.code, manifest.run.id)
    refuse_submodules(manifest)
    base = code.base
    if base is not None and not git.succeeds("cat-file", "-e", f"{base.commit}^{{commit}}"):
        raise CodeRepoError(
            f"cannot publish run {run.id}: its base {base.commit} is not in this repository",
            hints=[f"git fetch {source.remote_name or 'REMOTE'} {base.commit}"],
        )
    travels = differences(git, base.tree if base is not None else None, code.snapshot_tree)
    sending = travelling(travels)
    sizes = blob_sizes(git, [row.id for row in sending]) if sending else []
    named = [(row.path, size) for row, size in zip(sending, sizes, strict=True)]
    refuse_unserved(source.settings, named, source, limit="publishLimit")
    if source.settings.flag("secretScan"):
        refuse_tokens(git, sending, base.tree if base is not None else None, allowed_secrets(source.settings))
    _refuse_lfs(git, travels)
    commit = write_commit(
        git,
        tree=code.snapshot_tree,
        base=base.commit if base is not None else None,
        id=run.id,
        created_on=run.created_on,
    )
    tag = write_tag(git, commit=commit, id=run.id, created_on=run.created_on, manifest=manifest.data)
    push_reference(source, git, f"{tag}:{reference_of(run.id)}")
    return commit


def source_of(manifest: Manifest, git: Git, settings: Settings, layout: Layout, name: str | None = None) -> CodeSource:
    """Return the code repository of a run, as this checkout has it registered, or the one called `name`.

    Raises RegistrationError, also if it is not where the manifest says: runners look for the reference there.
    """
    repository = manifest.repository
    if repository is None:
        raise RegistrationError(
            f"run {manifest.run.id} was recorded without a code repository",
            hints=["git coderepo register", "then record the run again"],
        )
    source = choose_source_of(git, settings, layout, name or repository.name)
    assert source is not None
    if repository.remote is not None and source.remote is not None:
        parts = repository.remote
        then = RemoteURL.from_parts(parts.transport, parts.host, parts.port, parts.user, parts.path)
        if not then.same_place(source.remote, fold_path=True):
            raise RegistrationError(
                f"the code of run {manifest.run.id} is at '{then.url()}', but '{source.registration.name}' is "
                f"'{source.remote.url()}'",
                hints=["--code-repository NAME chooses another one", "git coderepo list"],
            )
    return source


def unpublish(source: CodeSource, git: Git, id: str) -> bool:
    """Remove the reference of a run; return False if there is none. Raises what `ask` and `push` raise."""
    reference = reference_of(id)
    platform = source.platform()
    try:
        if not ask(platform, git.online(), "ls-remote", "--quiet", "--", "{url}", reference).strip():
            return False
        push(platform, git.online(), f":{reference}")
    finally:
        platform.close()
    return True


def withdraw(snapshot: Snapshot, record: Record, say: Callable[[str], None]) -> None:
    """Remove the published reference of a run that does not start; `say` receives a warning if that fails."""
    if Manifest.parse(record.data).code.snapshot_ref is None:
        return
    assert snapshot.source is not None
    try:
        unpublish(snapshot.source, snapshot.git_with_store, record.id)
    except CodeRepoError as error:
        say(f"warning: '{reference_of(record.id)}' remains on the platform, but its run did not start: {error.message}")


def push_reference(source: CodeSource, git: Git, refspec: str) -> None:
    """Push to a code repository. Raises what `push` raises."""
    platform = source.platform()
    try:
        push(platform, git.online(), refspec)
    finally:
        platform.close()


# --- What cannot be published ----------------------------------------------------------------------


def _refuse_lfs(git: Git, travels: Sequence[Difference]) -> None:
    """Raise NotReproducible for a Git LFS pointer: its object would not be pushed."""
    sending = travelling(travels)
    sizes = blob_sizes(git, [row.id for row in sending]) if sending else []
    small = [row for row, size in zip(sending, sizes, strict=True) if size < 1024]
    for row, (_, size, source) in zip(small, read_blobs(git, [row.id for row in small]), strict=True):
        if source.read(size).startswith(POINTER_BEGIN):
            raise NotReproducible(
                f"'{os.fsdecode(row.path)}' is kept in Git LFS, and publishing does not push LFS objects"
            )


def refuse_submodules(manifest: Manifest) -> None:
    """Raise NotReproducible for a submodule that has an overlay or Git LFS objects of its own.

    They would need a commit in the submodule's own repository. A submodule without them is on its platform.
    """
    for place, code in manifest.code.codes():
        if not place:
            continue
        pushed = code.base is not None and code.base.tree == code.snapshot_tree
        if not pushed or code.overlay is not None or code.lfs is not None:
            name = os.fsdecode(place.rstrip(b"/"))
            raise NotReproducible(
                f"the submodule '{name}' has changes that are not on its platform",
                hints=["commit and push the changes in the submodule, then record the run again"],
            )
