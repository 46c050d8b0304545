"""The shape layer, by hand: from the values of a document to the typed model, field by field as the schema says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from git_coderepo.errors import InvalidManifest
from git_coderepo.git.objects import ObjectId
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
from git_coderepo.manifest.shape import (
    Node,
    argument,
    base64_text,
    boolean,
    directory,
    hex_digits,
    integer,
    line,
    list_of,
    member_place,
    nullable,
    object_id,
    one_of,
    path,
    system_text,
    text,
    time,
    uuid7,
    version,
)

if TYPE_CHECKING:
    from git_coderepo.manifest.shape import Read

_NO_REFERENCE = "not free of '{{', which begins a reference to a secret"
MANIFEST_SCHEMA = "urn:git-coderepo:run-manifest:1"

_any_version = text("a version", "[0-9]+[.][0-9]+", maximum=16)
_slug = text("a word of a-z, 0-9 and '-'", "[a-z][a-z0-9]*(-[a-z0-9]+)*", maximum=64)
_transport = text(
    "a known transport",
    "https|http|ssh|git|ftps|ftp|file|local|helper:(?!(?:ext|fd)$)[A-Za-z0-9][A-Za-z0-9+._-]*",
    maximum=64,
)
_host = text("a host", r"[^\x00-\x20\x7f/@?#\\]+", maximum=255)
_reference = text("a reference below refs/", r"refs/[^\x00-\x20\x7f~^:?*\[\\]+", maximum=1024)
_option_value = text("a text without NUL", r"[^\0]*", minimum=0)
_option_name = text("an option's name", "[A-Za-z][A-Za-z0-9_-]*", maximum=128)
_sha256 = hex_digits(64)
_id_digits = text("40 or 64 lower-case hex digits", "[0-9a-f]{40}|[0-9a-f]{64}", minimum=40, maximum=64)
_line = line()


def read(document: object, data: bytes) -> Manifest:
    """The manifest that a document has the shape of; `data` is the text it came from.

    Raises InvalidManifest exactly where the schema refuses the document. What the values mean is `meaning`'s.
    """
    root = Node(document)
    _check_version(root)
    return Manifest(
        run=root.field("run", _run),
        repository=root.field("repository", nullable(_repository)),
        code=root.field("code", _code),
        environment=root.field("environment", _environment),
        producer=root.field("producer", _producer),
        data=data,
    )


def _check_version(root: Node) -> None:
    """First of all: a manifest of another major version has the right to look like nothing that follows."""
    if not isinstance(root.value, dict) or "manifestVersion" not in root.value:
        raise InvalidManifest("not a run manifest: it has no 'manifestVersion'")
    found = root.field("manifestVersion", _any_version)
    if not found.startswith("1."):
        raise InvalidManifest(
            f"manifestVersion: {found} is another major version, this program reads 1.x",
            hints=["pipx upgrade git-coderepo"],
        )
    root.field("manifestVersion", version)
    root.field("$schema", one_of(MANIFEST_SCHEMA))


def _run(node: Node) -> Run:
    return Run(
        id=node.field("id", uuid7),
        created_on=node.field("createdOn", time),
        name=node.field("name", nullable(_line)),
        parent=node.field("parent", nullable(uuid7)),
        command=node.field("command", nullable(list_of(argument, minimum=1))),
        directory=node.field("directory", directory),
    )


def _repository(node: Node) -> Repository:
    _refuse_references(node)
    return Repository(
        name=node.field("name", _line),
        type=node.field("type", _slug),
        source=node.field("source", nullable(_line)),
        remote=node.field("remote", nullable(_remote)),
        options=node.field("options", _options),
    )


def _refuse_references(node: Node) -> None:
    """`{{name.key}}` names a secret of whoever resolves it: refused here, in fields unknown to us too."""
    if isinstance(node.value, str):
        if "{{" in node.value:
            raise node.wrong(_NO_REFERENCE)
    elif isinstance(node.value, dict):
        for key, value in node.value.items():
            if "{{" in key:
                raise node.wrong(_NO_REFERENCE)
            _refuse_references(Node(value, member_place(node.place, key)))
    elif isinstance(node.value, list):
        for index, value in enumerate(node.value):
            _refuse_references(Node(value, member_place(node.place, index)))


def _remote(node: Node) -> Remote:
    return Remote(
        transport=node.field("transport", _transport),
        host=node.field("host", nullable(_host)),
        port=node.field("port", nullable(integer(1, 65535))),
        user=node.field("user", nullable(_line)),
        path=node.field("path", system_text),
    )


def _options(node: Node) -> dict[str, str]:
    for name in node.members():
        _option_name(Node(name, node.place))
    return {name: node.field(name, _option_value) for name in node.members()}


def _code(node: Node) -> Code:
    object_format = node.field("objectFormat", one_of("sha1", "sha256"))
    id = object_id(object_format)

    def head(node: Node) -> Head:
        return Head(
            commit=node.field("commit", id),
            tree=node.field("tree", id),
            branch=node.field("branch", nullable(system_text)),
            web_url=node.field("webUrl", nullable(line("a URL", maximum=8192))),
        )

    def base(node: Node) -> Base:
        return Base(
            commit=node.field("commit", id),
            tree=node.field("tree", id),
            known_by=node.field("knownBy", _slug),
            archive=node.field("archive", one_of("exact", "altered")),
        )

    def snapshot(node: Node) -> tuple[ObjectId, str | None, ObjectId | None]:
        return node.field("tree", id), node.field("ref", nullable(_reference)), node.optional("commit", nullable(id))

    def subdirectory(node: Node) -> Subdirectory:
        return Subdirectory(
            path=node.field("path", directory),
            tree=node.field("tree", id),
            proof=node.field("proof", list_of(base64_text)),
        )

    def submodule(node: Node) -> Submodule:
        state = node.field("state", one_of("fetched", "absent"))
        return Submodule(
            path=node.field("path", path),
            commit=node.field("commit", id),
            state=state,
            repository=node.field("repository", nullable(_repository) if state == "fetched" else _null),
            code=node.field("code", _code if state == "fetched" else _null),
        )

    snapshot_tree, snapshot_ref, snapshot_commit = node.field("snapshot", snapshot)
    return Code(
        object_format=object_format,
        head=node.field("head", nullable(head)),
        dirty=node.field("dirty", boolean),
        changes=node.field("changes", _changes),
        base=node.field("base", nullable(base)),
        snapshot_tree=snapshot_tree,
        snapshot_ref=snapshot_ref,
        snapshot_commit=snapshot_commit,
        overlay=node.field("overlay", nullable(_overlay)),
        special=node.field("special", nullable(list_of(_special))),
        subdirectory=node.field("subdirectory", subdirectory),
        scope=node.field("scope", nullable(list_of(path, minimum=1))),
        submodules=node.field("submodules", list_of(submodule)),
        omitted=node.field("omitted", list_of(_omitted)),
        unreproducible=node.optional("unreproducible", list_of(_obstacle, minimum=1)) or (),
        lfs=node.optional("lfs", nullable(_lfs)),
        outside=node.optional("outside", list_of(_outside, minimum=1)) or (),
    )


def _changes(node: Node) -> Changes:
    return Changes(
        staged=node.field("staged", integer()),
        unstaged=node.field("unstaged", integer()),
        untracked=node.field("untracked", integer()),
        unpushed=node.field("unpushed", nullable(integer())),
    )


def _overlay(node: Node) -> Overlay:
    return Overlay(
        tar_sha256=node.field("tarSha256", _sha256),
        sha256=node.field("sha256", _sha256),
        size=node.field("size", integer()),
        files=node.field("files", integer()),
        deleted=node.field("deleted", list_of(path)),
        data=node.optional("data", base64_text),
    )


def _lfs(node: Node) -> Lfs:
    return Lfs(
        tar_sha256=node.field("tarSha256", _sha256),
        sha256=node.field("sha256", _sha256),
        size=node.field("size", integer()),
        objects=node.field("objects", list_of(_lfs_object)),
        data=node.optional("data", base64_text),
    )


def _lfs_object(node: Node) -> LfsObject:
    return LfsObject(oid=node.field("oid", _sha256), size=node.field("size", integer()))


def _special(node: Node) -> Special:
    mode = node.field("mode", one_of("100755", "120000", "160000"))
    target: Read[bytes | None] = argument if mode == "120000" else _not_here
    return Special(
        path=node.field("path", path),
        mode=int(mode, 8),
        target=node.field("target", target) if mode == "120000" else node.optional("target", target),
    )


def _omitted(node: Node) -> Omitted:
    return Omitted(path=node.field("path", path), reason=node.field("reason", _slug))


def _outside(node: Node) -> Outside:
    return Outside(
        path=node.field("path", directory),
        reason=node.field("reason", _slug),
        detail=node.field("detail", nullable(argument)),
        files=node.optional("files", integer(1)) or 1,
    )


def _obstacle(node: Node) -> Obstacle:
    return Obstacle(reason=node.field("reason", _slug), message=node.field("message", _line))


def _environment(node: Node) -> Environment:
    return Environment(
        build_key=node.field("buildKey", nullable(_line)),
        image=node.field("image", nullable(_line)),
        imported=node.optional("imported", list_of(_imported, minimum=1)) or (),
    )


def _imported(node: Node) -> Imported:
    return Imported(
        path=os.fsencode(node.field("path", system_text)),
        via=node.field("via", _line),
        remote=node.field("remote", nullable(_remote)),
        commit=node.field("commit", nullable(_any_id)),
        tree=node.field("tree", nullable(_any_id)),
        dirty=node.field("dirty", nullable(boolean)),
    )


def _any_id(node: Node) -> ObjectId:
    return ObjectId(_id_digits(node))


def _producer(node: Node) -> Producer:
    return Producer(
        name=node.field("name", _line),
        version=node.field("version", _line),
        git=node.field("git", nullable(_line)),
    )


def _null(node: Node) -> None:
    if node.value is not None:
        raise node.wrong("not null, in a submodule that is absent")


def _not_here(node: Node) -> None:
    raise node.wrong("stands where only a symbolic link has one")
