"""What the word RUN names, and what follows from it: the platform, the overlay, the tree that must come out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from git_coderepo.errors import CodeRepoError, GitNotFound, InvalidManifest, RegistrationError, UnknownRun, UsageError
from git_coderepo.git import Git
from git_coderepo.manifest.model import Manifest
from git_coderepo.objects import ObjectId
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.record.history import is_id_prefix, named_run
from git_coderepo.record.keep import find_overlay
from git_coderepo.record.refusals import refuse_unreproducible
from git_coderepo.record.source import CodeSource, source_here
from git_coderepo.registrations.build import build, from_manifest
from git_coderepo.registrations.config import Registration, inferred, registrations
from git_coderepo.registrations.credentials import users_chain
from git_coderepo.runner.fetch import Wanted, wanted_by_commit, wanted_by_manifest
from git_coderepo.runner.local import LocalTree, find_local
from git_coderepo.runner.published import find_published
from git_coderepo.settings import Settings
from git_coderepo.urls import RemoteURL, resolve_remote

_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class FetchOrder:
    """`wanted` for the runner; `overlay_path` is the file that an overlay was taken from, None where it was inside."""

    wanted: Wanted
    manifest: Manifest | None = None
    overlay_path: bytes | None = None


def split_commit(word: str) -> tuple[str, str, str] | None:
    """(name, commit, path) of `NAME@COMMIT[:PATH]`: the last `@` before 40 or 64 hex digits splits it; else None."""
    at = len(word)
    while (at := word.rfind("@", 0, at)) >= 0:
        rest = word[at + 1 :]
        commit, colon, path = rest.partition(":")
        if len(commit) in (40, 64) and _HEX.issuperset(commit) and at > 0:
            if colon and (path.startswith("/") or ".." in path.split("/")):
                raise UsageError(f"'{path}' is no path from the root of the repository")
            return word[:at], commit, path.strip("/") if path not in (".", "./") else ""
    return None


def runner_settings(git: Git) -> Settings:
    """git's configuration where there is a git, else the environment alone."""
    try:
        return Settings.read(git)
    except GitNotFound:
        return Settings([], git.environment)


def fetch_order(
    run: str,
    *,
    overlay: str | None = None,
    code_repository: str | None = None,
    subdirectory: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> FetchOrder:
    """Read RUN: a manifest's path, `-` for standard input, a run of the record, or `NAME@COMMIT[:PATH]`.

    `subdirectory` is the directory that is wanted of it, from the root.

    Raises InvalidManifest, UnknownRun, UsageError, RegistrationError, and what asking a platform for a commit's tree
    raises.
    """
    git = Git(environment=environment)
    settings = runner_settings(git)
    named = split_commit(run)
    keep = directory_named(subdirectory)
    if named is not None and not os.path.exists(run):
        name, commit, path = named
        if path and keep:
            raise UsageError("a path is named twice", hints=["either NAME@COMMIT:PATH or --subdirectory PATH"])
        path = path or os.fsdecode(keep)
        platform = _platform_named(name, git, settings)
        wanted = wanted_by_commit(platform, ObjectId(commit), os.fsencode(path), environment=git.environment)
        return FetchOrder(wanted)
    try:
        found = named_run(run, git)
    except InvalidManifest as error:
        error.hints = (*error.hints, f"git coderepo validate {run} lists all that is wrong")
        raise
    except UnknownRun as error:
        if not is_id_prefix(run):
            raise
        return _order_by_published(run, git, code_repository, error, keep)
    return order_by_manifest(
        found.manifest,
        git,
        settings,
        folder=found.folder,
        overlay=overlay,
        code_repository=code_repository,
        keep=keep,
    )


def directory_named(text: str | None) -> bytes:
    """A directory from the root of a tree, as `--subdirectory` names it; b"" for the root. Raises UsageError."""
    path = os.path.normpath(os.fsencode(text or "."))
    if path.startswith((b"/", b"../")) or path == b"..":
        raise UsageError(f"'{text}' is no path from the root of the repository")
    return b"" if path == b"." else path


def _order_by_published(
    run: str, git: Git, code_repository: str | None, unknown: UnknownRun, keep: bytes
) -> FetchOrder:
    """The order for a run that is not in the record here, but published where this checkout's code is served from."""
    try:
        source = source_here(git, code_repository)
        platform = source.platform()
        found = find_published(platform, git, run)
    except UnknownRun:
        raise
    except CodeRepoError as error:
        unknown.hints = (*unknown.hints, f"whether it is published cannot be told: {error.message}")
        raise unknown from None
    if found is None:
        unknown.hints = (*unknown.hints, f"nor is it published on '{source.registration.name}'")
        raise unknown
    # From where it was found, whatever its manifest says of a repository.
    wanted = wanted_by_manifest(
        found.manifest, platform, overlay=None, environment=git.environment, commit=found.commit, keep=keep
    )
    return FetchOrder(wanted, found.manifest)


def order_by_manifest(
    manifest: Manifest,
    git: Git,
    settings: Settings,
    *,
    folder: bytes | None = None,
    overlay: str | None = None,
    code_repository: str | None = None,
    keep: bytes = b"",
) -> FetchOrder:
    """The order for a manifest that was read from `folder` (None: from nowhere), or for its directory `keep` alone.

    What is at hand where `git` stands comes first, unless a code repository is named. Raises NotReproducible for a
    run that was recorded as such.
    """
    refuse_unreproducible(manifest)
    data: bytes | None = None
    path: bytes | None = None
    if overlay is not None:
        path = os.fsencode(overlay)
        with open(path, "rb") as file:
            data = file.read()
    elif manifest.code.overlay is not None and manifest.code.overlay.data is None:
        found = find_overlay(manifest.code.overlay.sha256, folder, git)
        data, path = found if found is not None else (None, None)
    platform: BaseCodeRepository | None = None
    local: LocalTree | None = None
    problem: CodeRepoError | None = None
    if code_repository is not None:
        platform = _platform_named(code_repository, git, settings)
    else:
        code = manifest.code
        inside = code.overlay is not None and code.overlay.data is not None
        local = find_local(code, git, overlay_at_hand=data is not None or inside)
        try:
            if manifest.repository is not None:
                platform = from_manifest(manifest.repository, users_chain(settings, git), settings)
        except CodeRepoError as error:
            if local is None:
                raise
            problem = error
    wanted = wanted_by_manifest(
        manifest, platform, overlay=data, environment=git.environment, local=local, problem=problem, keep=keep
    )
    return FetchOrder(wanted, manifest, path)


def _platform_named(name: str, git: Git, settings: Settings) -> BaseCodeRepository:
    """The platform of a registration, of a git remote, or of a URL."""
    for registration in registrations(settings):
        if registration.name == name:
            return _source(registration, git, settings).platform()
    if name in set(settings.subsections("remote")):
        url = resolve_remote(git, settings, name)
        if url is not None:
            return _source(inferred(name, url, settings), git, settings).platform()
    try:
        url = RemoteURL.parse(name)
    except CodeRepoError:
        raise RegistrationError(f"no code repository '{name}', and no URL", hints=["git coderepo list"]) from None
    if url.transport == "local":
        if not os.path.exists(name):
            raise RegistrationError(f"no code repository '{name}', and no URL", hints=["git coderepo list"])
        url = RemoteURL.from_parts("local", None, None, None, os.path.abspath(name))  # git is started elsewhere
    return build(inferred(name, url, settings), url, users_chain(settings, git), settings=settings)


def _source(registration: Registration, git: Git, settings: Settings) -> CodeSource:
    remote = resolve_remote(git, settings, registration.remote) if registration.remote is not None else None
    return CodeSource(registration, remote, settings, git)
