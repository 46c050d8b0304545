"""Plan a fetch: from a run manifest or a revision to the tree to produce and the places of its parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    InvalidRemoteURL,
    RegistrationError,
    UsageError,
)
from git_coderepo.fetching.commit import absolute_url, plan_commit, resolve_revision
from git_coderepo.fetching.planned_tree import CodeLocations, PlannedSubmodule, PlannedTree, plan_code
from git_coderepo.fetching.sources.local import Here, find_local
from git_coderepo.fetching.target import check_submodule, said_of
from git_coderepo.git.lfs_pointer import object_folders
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git
from git_coderepo.git.store import find_overlay
from git_coderepo.git.url.remote import RemoteURL, resolve_remote
from git_coderepo.manifest.model import Code, Lfs, Manifest, Overlay, Remote, Repository, refuse_unreproducible
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.platforms.registry import CUSTOM
from git_coderepo.registration.config import Registration, inferred, registrations
from git_coderepo.registration.from_manifest import from_manifest
from git_coderepo.registration.platform_object import Access, build
from git_coderepo.registration.remotes import located_remotes
from git_coderepo.registration.resolve import CodeSource
from git_coderepo.registration.users_credentials import users_chain
from git_coderepo.settings import Settings
from git_coderepo.stores.published_commit import reference_of
from git_coderepo.stores.shared_store import SharedStore
from git_coderepo.trace import silent
from git_coderepo.transport.scratch_repository import is_revision

if TYPE_CHECKING:
    from git_coderepo.credentials.secret import CredentialSource

_HEX = frozenset("0123456789abcdef")


class Runner(NamedTuple):
    """The machine that fetches: `git` stands in the current directory, `settings` are those that `git` reads there.

    `notify` receives what people should know while platforms are asked.
    """

    git: Git
    settings: Settings
    notify: Callable[[str], None] = silent

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables of the program."""
        return self.git.environment

    def credentials(self) -> CredentialSource:
        """Return the user's credentials."""
        return users_chain(self.settings, self.git)

    def access(self, git: Git | None, settings: Settings | None = None) -> Access:
        """Return access to a code repository, also through the remotes of the repository in which `git` stands.

        `settings` are that repository's; `git` is None outside of any.
        """
        remotes = located_remotes(git, settings) if git is not None and settings is not None else ()
        return Access(notify=self.notify, users_git=git, users_remotes=remotes)


class FetchPlan(NamedTuple):
    """What a fetch does: `root` is the tree to produce.

    `overlay_paths` and `lfs_paths` are the files from which overlays and Git LFS objects were read; neither has those
    inside the manifest. `manifest_path` (raw) is the file of the manifest, None if it was not read from a file.
    `resolved` is (branch, tag or short id, the commit that it named).
    """

    root: PlannedTree
    manifest: Manifest | None = None
    overlay_paths: tuple[bytes, ...] = ()
    manifest_path: bytes | None = None
    lfs_paths: tuple[bytes, ...] = ()
    resolved: tuple[str, ObjectId] | None = None


def split_commit(word: str) -> tuple[str, str, str] | None:
    """Split `NAME@COMMIT[:PATH]` at the last `@` before 40 or 64 hex digits: (name, commit, path); else None."""
    at = len(word)
    while (at := word.rfind("@", 0, at)) >= 0:
        rest = word[at + 1 :]
        commit, _, path = rest.partition(":")
        if len(commit) in (40, 64) and _HEX.issuperset(commit) and at > 0:
            return word[:at], commit, _path_named(path)
    return None


def split_revision(word: str, settings: Settings) -> tuple[str, str, str] | None:
    """Split `NAME@REVISION[:PATH]` with a branch, tag or short id: (name, revision, path); None for another word.

    NAME is a registered code repository, a git remote or a URL. Raises UsageError for a path that leaves the tree.
    """
    at = len(word)
    while (at := word.rfind("@", 0, at)) > 0:
        name = word[:at]
        revision, _, path = word[at + 1 :].partition(":")
        if is_revision(revision) and _is_code_repository(name, settings):
            return name, revision, _path_named(path)
    return None


def _path_named(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise UsageError(f"invalid path '{path}': use a path relative to the root of the repository")
    return path.strip("/") if path not in (".", "./") else ""


def _is_code_repository(name: str, settings: Settings) -> bool:
    if name in {each.name for each in registrations(settings)} or name in set(settings.subsections("remote")):
        return True
    try:
        return RemoteURL.parse(name).transport not in ("local",)
    except InvalidRemoteURL:
        return False


class NamedPublishedRun(NamedTuple):
    """The published run of the code repository `name` whose id or name is `run`."""

    name: str
    run: str


def named_published_run(word: str, settings: Settings) -> NamedPublishedRun | None:
    """Parse `NAME@run:RUN`; None for another word, and for the name of an existing file.

    It precedes a branch `run`, whose directories can be named by `NAME@refs/heads/run:PATH`.
    """
    name, separator, run = word.rpartition("@run:")
    if not separator or not run or os.path.exists(word) or not _is_code_repository(name, settings):
        return None
    return NamedPublishedRun(name, run)


class NamedRevision(NamedTuple):
    """A `revision` of the code repository `name`, and the directory `path` of it, "" for the root."""

    name: str
    revision: str
    path: str


def named_revision(word: str, settings: Settings) -> NamedRevision | None:
    """Parse `NAME@REVISION[:PATH]`; None for another word, and for the name of an existing file.

    NAME is a registered code repository, a git remote or a URL; before a full id it can be any text. Raises UsageError
    for a path that leaves the tree.
    """
    parts = None if os.path.exists(word) else split_commit(word) or split_revision(word, settings)
    return NamedRevision(*parts) if parts is not None else None


def plan_revision(named: NamedRevision, runner: Runner, *, keep: bytes = b"", submodules: bool = True) -> FetchPlan:
    """Plan the fetch of a revision, or of its directory `named.path` or `keep` (raw).

    Without `submodules`, those of the revision stay empty. Raises UsageError for two directories, RegistrationError,
    and what asking a platform for a commit's tree raises.
    """
    name, revision, path = named
    if path and keep:
        raise UsageError("the directory is given twice", hints=["use either NAME@COMMIT:PATH or --subdirectory PATH"])
    platform = platform_named(name, runner)
    is_id = len(revision) in (40, 64) and _HEX.issuperset(revision)
    commit = ObjectId(revision) if is_id else resolve_revision(platform, revision, runner.environment)

    def open_submodule(outer: BaseCodeRepository, url: str) -> BaseCodeRepository:
        return _submodule_platform(outer, url, runner)

    planned = plan_commit(
        platform,
        commit,
        os.fsencode(path) or keep,
        environment=runner.environment,
        open_submodule=open_submodule if submodules else None,
    )
    return FetchPlan(planned, resolved=None if is_id else (revision, commit))


def directory_named(text: str | None) -> bytes:
    """Return the raw path from the root that `--subdirectory` names, b"" for the root. Raises UsageError."""
    path = os.path.normpath(os.fsencode(text or "."))
    if path.startswith((b"/", b"../")) or path == b"..":
        raise UsageError(f"invalid path '{text}': use a path relative to the root of the repository")
    return b"" if path == b"." else path


class _Shared(NamedTuple):
    """What a manifest's code and all its submodules have in common; `store` may have all their trees."""

    runner: Runner
    store: SharedStore | None
    beside: _Beside

    def plan(self, planned: PlannedTree, manifest: Manifest) -> FetchPlan:
        """Return the plan with the files that were found beside the manifest."""
        return FetchPlan(
            planned.of_run(manifest),
            manifest,
            overlay_paths=tuple(self.beside.paths),
            lfs_paths=tuple(self.beside.lfs_paths),
        )


def plan_published(
    manifest: Manifest, platform: BaseCodeRepository, commit: ObjectId, runner: Runner, keep: bytes
) -> FetchPlan:
    """Plan the fetch of a run that was found published on `platform` as `commit`, or of its directory `keep`."""
    # It is fetched from the platform on which it was found, even if its manifest records another repository.
    shared = _Shared(runner, SharedStore.of(runner.settings), _Beside(manifest, (), None, runner.git))
    locations = CodeLocations(
        platform,
        runner.environment,
        lfs=shared.beside.lfs_of(manifest.code),
        reference=reference_of(manifest.run.id),
        commit=commit,
        store=shared.store,
    )
    inner = _submodules(manifest.code, None, shared)
    return shared.plan(plan_code(manifest.code, locations, submodules=inner, keep=keep), manifest)


def plan_manifest(
    manifest: Manifest,
    runner: Runner,
    *,
    folder: bytes | None = None,
    overlay: str | Sequence[str] | None = None,
    code_repository: str | None = None,
    keep: bytes = b"",
) -> FetchPlan:
    """Plan the fetch of a manifest that was read from `folder` (None: not from a file), or of its directory `keep`.

    `overlay` names files with overlays. Local objects come first, then the shared store, unless `code_repository` names
    a registration, remote or URL to ask. Raises NotReproducible for a run that was recorded as such, InvalidManifest,
    OverlayMissing, RegistrationError.
    """
    refuse_unreproducible(manifest.code, manifest.run.id)
    beside = _Beside(manifest, [overlay] if isinstance(overlay, str) else overlay or (), folder, runner.git)
    chosen = platform_named(code_repository, runner) if code_repository is not None else None
    here = Here.of(runner.git) if chosen is None else None
    shared = _Shared(runner, SharedStore.of(runner.settings) if chosen is None else None, beside)
    locations = _locations(manifest.code, manifest.repository, here, shared, chosen)
    locations = locations._replace(reference=reference_of(manifest.run.id))
    inner = _submodules(manifest.code, here, shared)
    return shared.plan(plan_code(manifest.code, locations, submodules=inner, keep=keep), manifest)


def _locations(
    code: Code, repository: Repository | None, here: Here | None, shared: _Shared, chosen: BaseCodeRepository | None
) -> CodeLocations:
    """Return where a `code` can come from: its own platform, with a credential for that platform, or local objects.

    `chosen` replaces the recorded platform; local objects are then not looked for.
    """
    runner = shared.runner
    data = shared.beside.overlay_of(code)
    locations = CodeLocations(
        chosen,
        runner.environment,
        overlay=data,
        lfs=shared.beside.lfs_of(code),
        lfs_folders=_lfs_folders(here, runner.settings),
        store=shared.store,
    )
    if chosen is not None:
        return locations
    locations = locations._replace(local=find_local(code, here, overlay_at_hand=data is not None))
    if repository is None:
        return locations
    platform = None
    try:
        access = runner.access(here.git, Settings.read(here.git)) if here is not None else runner.access(None)
        platform = from_manifest(repository, runner.credentials(), runner.settings, access=access)
    except CodeRepoError as error:
        if locations.local is None and shared.store is None:
            raise
        locations = locations._replace(problem=error)
    return locations._replace(platform=platform)


def _submodules(code: Code, here: Here | None, shared: _Shared) -> tuple[PlannedSubmodule, ...]:
    """Plan the submodules that were recorded with a work tree; a submodule is never published by itself."""
    found = []
    for each in code.submodules:
        if each.state != "fetched":
            continue
        inner = check_submodule(each, code)
        at_hand = here.submodule(each.path) if here is not None else None
        try:
            locations = _locations(inner, each.repository, at_hand, shared, None)
            planned = plan_code(inner, locations, submodules=_submodules(inner, at_hand, shared))
        except CodeRepoError as error:
            raise said_of(error, each.path) from error
        found.append(PlannedSubmodule(each.path, each.commit, planned))
    return tuple(found)


def _lfs_folders(here: Here | None, settings: Settings) -> tuple[bytes, ...]:
    """Return the folders of Git LFS objects of the current repository; none outside of any."""
    if here is None:
        return ()
    # `lfs.storage` may be a submodule's own.
    own = settings if here.store.outer is None else Settings.read(here.git)
    return tuple(object_folders(here.layout, here.store, own))


class _Beside:
    """The overlays of a manifest, and its tars of Git LFS objects.

    They are in the manifest, in files that the user names, beside the manifest or such a file, or in the record.
    """

    def __init__(self, manifest: Manifest, named: Sequence[str], folder: bytes | None, git: Git) -> None:
        self.paths: list[bytes] = []
        self.lfs_paths: list[bytes] = []
        self._folder = folder
        self._git = git
        self._named: dict[str, tuple[bytes, bytes]] = {}
        for name in named:
            with open(name, "rb") as file:
                data = file.read()
            self._named[sha256(data).hexdigest()] = (data, os.fsencode(name))
        if folder is None and named:
            # A manifest from a variable has no folder, but a named overlay has one.
            self._folder = os.path.dirname(os.path.abspath(os.fsencode(named[0])))
        # An unknown named file is taken as the overlay of the root, and then refused by its digest.
        tars = [tar for _, code in manifest.code.codes() for tar in (code.overlay, code.lfs)]
        known = {tar.sha256 for tar in tars if tar is not None}
        self._stranger = next((named for digest, named in self._named.items() if digest not in known), None)
        self._root = manifest.code

    def overlay_of(self, code: Code) -> bytes | None:
        """Return the gzip of a code's overlay; None if there is none or it was not found."""
        return self._data(code.overlay, self.paths, self._stranger if code is self._root else None)

    def lfs_of(self, code: Code) -> bytes | None:
        """Return the gzip of a code's Git LFS objects; None if there is none or it was not found."""
        return self._data(code.lfs, self.lfs_paths, None)

    def _data(
        self, tar: Overlay | Lfs | None, paths: list[bytes], otherwise: tuple[bytes, bytes] | None
    ) -> bytes | None:
        if tar is None:
            return None
        found = self._named.get(tar.sha256, otherwise)
        if found is None and tar.data is not None:
            return tar.data
        if found is None:
            found = find_overlay(tar.sha256, tar.size, self._folder, self._git)
        if found is None:
            return None
        paths.append(found[1])
        return found[0]


def platform_named(name: str, runner: Runner) -> BaseCodeRepository:
    """Return the platform of a registration, of a git remote, or of a URL. Raises RegistrationError."""
    git, settings, notify = runner
    for registration in registrations(settings):
        if registration.name == name:
            return _source(registration, git, settings).platform(notify=notify)
    if name in set(settings.subsections("remote")):
        url = resolve_remote(git, settings, name)
        if url is not None:
            return _source(inferred(name, url, settings), git, settings).platform(notify=notify)
    try:
        url = RemoteURL.parse(name)
    except InvalidRemoteURL as error:
        if "://" in name:
            raise
        hints = error.hints or ("git coderepo list",)
        raise RegistrationError(f"code repository not found: '{name}'", hints=hints) from None
    if url.transport == "local":
        if not os.path.exists(name):
            raise RegistrationError(f"code repository not found: '{name}'", hints=["git coderepo list"])
        url = RemoteURL.from_parts("local", None, None, None, os.path.abspath(name))  # git runs in another directory
    access = runner.access(git, settings)
    return build(inferred(name, url, settings), url, runner.credentials(), settings=settings, access=access)


def _submodule_platform(outer: BaseCodeRepository, text: str, runner: Runner) -> BaseCodeRepository:
    """Return the platform of a submodule at a URL from a commit's `.gitmodules`, which is untrusted like a manifest.

    On the superproject's host it has the superproject's type. Its credential is one that the user has for its own
    origin and path. Raises InvalidRemoteURL, ProtocolNotAllowed.
    """
    home = outer.git_url()
    if home is None and text.startswith("."):
        raise InvalidRemoteURL("the relative URL requires a superproject with a URL")
    url = RemoteURL.parse(absolute_url(text, home or ""))
    if url.has_secret or url.path is None:
        raise InvalidRemoteURL("the URL has a password, a token or a query")
    beside = home is not None and url.host is not None and _is_beside(outer, RemoteURL.parse(home), url)
    recorded = Remote(url.transport, url.host, url.port, url.user if url.transport == "ssh" else None, url.path)
    type_ = outer.type if beside else inferred("", url, runner.settings).type
    options: dict[str, str] = {}
    if beside and isinstance(outer, HostedRepository):
        known = outer.recorded_options()
        options = {each.key: known[each.name] for each in outer.options if each.name in _SITE and known.get(each.name)}
    name = url.repository or "submodule"
    repository = Repository(name, "git" if type_ == CUSTOM else type_, None, recorded, options)
    trusts_api = outer.trusts_api if options and isinstance(outer, HostedRepository) else None
    access = runner.access(None)
    return from_manifest(repository, runner.credentials(), runner.settings, access=access, trusts_api=trusts_api)


# The options that locate an instance, not a repository on it.
_SITE = ("api_url", "instance_url", "host")


def _is_beside(outer: BaseCodeRepository, home: RemoteURL, url: RemoteURL) -> bool:
    """Return whether a URL is on the host of a code repository and, for the same protocol, on its port."""
    if home.platform_host(outer.host_aliases) != url.platform_host(outer.host_aliases):
        return False
    return home.transport != url.transport or home.port == url.port


def _source(registration: Registration, git: Git, settings: Settings) -> CodeSource:
    remote = resolve_remote(git, settings, registration.remote) if registration.remote is not None else None
    return CodeSource(registration, remote, settings, git)
