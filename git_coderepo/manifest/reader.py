"""The shape layer: check a document by the schema, then convert it to the typed model, bytes where Git has bytes."""

from __future__ import annotations

import binascii
import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

from git_coderepo.errors import InvalidManifest
from git_coderepo.git.objects import ObjectId
from git_coderepo.manifest.codec import MANIFEST, shape_reasons
from git_coderepo.manifest.model import (
    Base,
    Changes,
    Code,
    Environment,
    Head,
    Imported,
    Lfs,
    LfsObject,
    Manifest,
    Obstacle,
    Omitted,
    Outside,
    Overlay,
    Producer,
    Remote,
    Repository,
    Run,
    Special,
    Subdirectory,
    Submodule,
)

T = TypeVar("T")
# A value of a document that has the shape of a manifest: every field that is read below is there, and of its type.
Value = Any

_VERSION = re.compile(r"[0-9]{1,8}[.][0-9]{1,8}")


def read(document: object, data: bytes) -> Manifest:
    """Return the manifest that a document has the shape of; `data` is the text it came from.

    Raises InvalidManifest, with the first reason, where the schema refuses the document. What the values mean is
    checked by `invariants`.
    """
    _check_version(document)
    for reason in shape_reasons(MANIFEST, document):
        raise InvalidManifest(reason)
    root: Value = document
    return Manifest(
        run=_run(root["run"]),
        repository=_nullable(_repository, root["repository"]),
        code=_code(root["code"]),
        environment=_environment(root["environment"]),
        producer=_producer(root["producer"]),
        data=data,
    )


def _check_version(document: object) -> None:
    """Check the version before the schema: a manifest of another major version need not look like one of ours."""
    if not isinstance(document, dict) or "manifestVersion" not in document:
        raise InvalidManifest("not a run manifest: it has no 'manifestVersion'")
    version = document["manifestVersion"]
    if isinstance(version, str) and _VERSION.fullmatch(version) and not version.startswith("1."):
        raise InvalidManifest(
            f"manifestVersion: {version} is another major version, this program reads 1.x",
            hints=["pipx upgrade git-coderepo"],
        )


# --- Values of the schema's definitions ---


def _nullable(convert: Callable[[Value], T], value: Value) -> T | None:
    return None if value is None else convert(value)


def _tuple(convert: Callable[[Value], T], values: Value) -> tuple[T, ...]:
    return tuple([convert(value) for value in values])


def _raw(value: Value) -> bytes:
    """Return a path or an argument: a string, or `{"base64": …}` of whatever bytes."""
    return value.encode() if isinstance(value, str) else _base64(value["base64"])


def _system_text(value: Value) -> str:
    """Return a name that the file system or Git gave, as `os.fsdecode` shows it (UTF-8, surrogateescape)."""
    return _raw(value).decode("utf-8", "surrogateescape")


def _base64(value: Value) -> bytes:
    return binascii.a2b_base64(value)


# An integer may be spelt 1.0 in JSON: `int` makes one of it.


def _run(run: Value) -> Run:
    return Run(
        id=run["id"],
        created_on=run["createdOn"],
        name=run["name"],
        parent=run["parent"],
        command=_nullable(lambda words: _tuple(_raw, words), run["command"]),
        directory=_raw(run["directory"]),
    )


def _repository(repository: Value) -> Repository:
    return Repository(
        name=repository["name"],
        type=repository["type"],
        source=repository["source"],
        remote=_nullable(_remote, repository["remote"]),
        options=dict(repository["options"]),
    )


def _remote(remote: Value) -> Remote:
    return Remote(
        transport=remote["transport"],
        host=remote["host"],
        port=_nullable(int, remote["port"]),
        user=remote["user"],
        path=_system_text(remote["path"]),
    )


def _code(code: Value) -> Code:
    snapshot = code["snapshot"]
    return Code(
        object_format=code["objectFormat"],
        head=_nullable(_head, code["head"]),
        dirty=code["dirty"],
        changes=_changes(code["changes"]),
        base=_nullable(_base, code["base"]),
        snapshot_tree=ObjectId(snapshot["tree"]),
        snapshot_ref=snapshot["ref"],
        snapshot_commit=_nullable(ObjectId, snapshot.get("commit")),
        overlay=_nullable(_overlay, code["overlay"]),
        special=_nullable(lambda entries: _tuple(_special, entries), code["special"]),
        subdirectory=_subdirectory(code["subdirectory"]),
        scope=_nullable(lambda paths: _tuple(_raw, paths), code["scope"]),
        submodules=_tuple(_submodule, code["submodules"]),
        omitted=_tuple(_omitted, code["omitted"]),
        unreproducible=_tuple(_obstacle, code.get("unreproducible", ())),
        lfs=_nullable(_lfs, code.get("lfs")),
        outside=_tuple(_outside, code.get("outside", ())),
    )


def _head(head: Value) -> Head:
    return Head(
        commit=ObjectId(head["commit"]),
        tree=ObjectId(head["tree"]),
        branch=_nullable(_system_text, head["branch"]),
        web_url=head["webUrl"],
    )


def _changes(changes: Value) -> Changes:
    return Changes(
        staged=int(changes["staged"]),
        unstaged=int(changes["unstaged"]),
        untracked=int(changes["untracked"]),
        unpushed=_nullable(int, changes["unpushed"]),
    )


def _base(base: Value) -> Base:
    return Base(
        commit=ObjectId(base["commit"]),
        tree=ObjectId(base["tree"]),
        known_by=base["knownBy"],
        archive=base["archive"],
    )


def _overlay(overlay: Value) -> Overlay:
    return Overlay(
        tar_sha256=overlay["tarSha256"],
        sha256=overlay["sha256"],
        size=int(overlay["size"]),
        files=int(overlay["files"]),
        deleted=_tuple(_raw, overlay["deleted"]),
        data=_nullable(_base64, overlay.get("data")),
    )


def _lfs(lfs: Value) -> Lfs:
    return Lfs(
        tar_sha256=lfs["tarSha256"],
        sha256=lfs["sha256"],
        size=int(lfs["size"]),
        objects=_tuple(lambda each: LfsObject(oid=each["oid"], size=int(each["size"])), lfs["objects"]),
        data=_nullable(_base64, lfs.get("data")),
    )


def _special(entry: Value) -> Special:
    target = _raw(entry["target"]) if "target" in entry else None
    return Special(path=_raw(entry["path"]), mode=int(entry["mode"], 8), target=target)


def _subdirectory(subdirectory: Value) -> Subdirectory:
    return Subdirectory(
        path=_raw(subdirectory["path"]),
        tree=ObjectId(subdirectory["tree"]),
        proof=_tuple(_base64, subdirectory["proof"]),
    )


def _submodule(submodule: Value) -> Submodule:
    return Submodule(
        path=_raw(submodule["path"]),
        commit=ObjectId(submodule["commit"]),
        state=submodule["state"],
        repository=_nullable(_repository, submodule["repository"]),
        code=_nullable(_code, submodule["code"]),
    )


def _omitted(omitted: Value) -> Omitted:
    return Omitted(path=_raw(omitted["path"]), reason=omitted["reason"])


def _outside(outside: Value) -> Outside:
    return Outside(
        path=_raw(outside["path"]),
        reason=outside["reason"],
        detail=_nullable(_raw, outside["detail"]),
        files=int(outside.get("files", 1)),
    )


def _obstacle(obstacle: Value) -> Obstacle:
    return Obstacle(reason=obstacle["reason"], message=obstacle["message"])


def _environment(environment: Value) -> Environment:
    return Environment(
        build_key=environment["buildKey"],
        image=environment["image"],
        imported=_tuple(_imported, environment.get("imported", ())),
    )


def _imported(imported: Value) -> Imported:
    return Imported(
        path=os.fsencode(_system_text(imported["path"])),
        via=imported["via"],
        remote=_nullable(_remote, imported["remote"]),
        commit=_nullable(ObjectId, imported["commit"]),
        tree=_nullable(ObjectId, imported["tree"]),
        dirty=imported["dirty"],
    )


def _producer(producer: Value) -> Producer:
    return Producer(name=producer["name"], version=producer["version"], git=producer["git"])
