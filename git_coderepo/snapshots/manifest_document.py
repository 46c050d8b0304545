"""The run manifest of a snapshot, as a document of plain values; `manifest/schema` is the contract it follows."""

from __future__ import annotations

import os

from git_coderepo import __version__
from git_coderepo.errors import InvalidManifest
from git_coderepo.git.objects import DIRECTORY, FILE, GITLINK, SYMLINK
from git_coderepo.git.process import read_blobs
from git_coderepo.git.tree_diff import differences
from git_coderepo.manifest.writer import encode, path_value, time_text
from git_coderepo.platforms.base import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.url.remote import RemoteURL
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.snapshots.not_in_git import Outside
    from git_coderepo.snapshots.overlay import LfsObjects, Overlay
    from git_coderepo.snapshots.snapshot import Imported, Snapshot, Submodule

SCHEMA_ID = "urn:git-coderepo:run-manifest:1"
MANIFEST_VERSION = "1.1"
# More paths of one kind are counted by directory.
OUTSIDE_LISTED = 1000


class Record:
    """A manifest's bytes, the `id` of its run, and what goes `beside` it: gzip'd tars by their sha256 in hex."""

    __slots__ = ("beside", "data", "document", "id")

    def __init__(self, data: bytes, document: dict[str, object], id: str, beside: dict[str, bytes]) -> None:
        self.data = data
        self.document = document
        self.id = id
        self.beside = beside

    @property
    def size(self) -> int:
        """The bytes of the manifest and of what goes beside it."""
        return len(self.data) + sum(map(len, self.beside.values()))


def write_record(
    snapshot: Snapshot,
    *,
    now: float,
    git_version: str | None,
    id: str | None = None,
    published: ObjectId | None = None,
    name: str | None = None,
    parent: str | None = None,
    command: Sequence[bytes] | None = None,
    build_key: str | None = None,
) -> Record:
    """Build the manifest of a snapshot; `now` is in seconds since 1970, and `id` defaults to a new run id.

    With the commit under which it is `published` no overlay travels. Raises InvalidManifest.
    """
    id = uuid7(now) if id is None else id
    room = _Room(snapshot.settings.size("inlineLimit"))
    document: dict[str, object] = {
        "$schema": SCHEMA_ID,
        "manifestVersion": MANIFEST_VERSION,
        "run": {
            "id": id,
            "createdOn": time_text(now),
            "name": name,
            "parent": parent,
            "command": None if command is None else [path_value(word) for word in command],
            "directory": path_value(snapshot.checkout.prefix.rstrip(b"/") or b"."),
        },
        "repository": None if snapshot.source is None else repository_document(snapshot.source),
        "code": _code_document(snapshot, room, id, published),
        "environment": {"buildKey": build_key, "image": None, **_imported_document(snapshot)},
        "producer": {"name": "git-coderepo", "version": __version__, "git": git_version},
    }
    refuse_unreadable(document)
    return Record(encode(document), document, id, room.beside)


# What the schema calls a line, with its most characters.
_LINE, _URL, _HOST = 1024, 8192, 255


def refuse_unreadable(document: Mapping[str, object]) -> None:
    """Raise InvalidManifest for a value (from the user, settings or environment) that readers would reject.

    This is the part of the schema that depends on users, settings and the environment, without the schema's reader,
    which would cost a hook more than everything else. Callers that have the time use `prove_readable`.
    """
    run: Any = document["run"]
    if run["name"] is not None:
        check_name(run["name"])
    for word in run["command"] or ():
        if isinstance(word, str) and ("\0" in word or len(word) > 131072):
            raise InvalidManifest("an argument of the command cannot be recorded: it contains NUL or is too long")
    directory = run["directory"]
    if isinstance(directory, str) and directory != "." and not {"", ".", ".."}.isdisjoint(directory.split("/")):
        raise InvalidManifest(f"the directory of the run cannot be recorded: '{directory}' is not inside the checkout")
    _refuse_repository(document["repository"])
    _refuse_code(document["code"])


def check_name(name: str) -> None:
    """Raise InvalidManifest for an invalid name of a run."""
    reason = _no_line(name, _LINE)
    if reason is not None:
        raise InvalidManifest(f"invalid run name: {reason}", hints=["use up to 1024 characters on one line"])


def prove_readable(record: Record) -> Record:
    """Parse a manifest as its readers will, before the run starts. Raises InvalidManifest."""
    from git_coderepo.manifest.model import Manifest

    Manifest.parse(record.data)
    return record


def _refuse_code(code: Any) -> None:
    if code["head"] is not None:
        _refuse_line("the commit's web address", code["head"]["webUrl"], _URL)
    for each in code.get("unreproducible", ()):
        _refuse_line("a reason why the run is not reproducible", each["message"], _LINE)
    for each in code["submodules"]:
        _refuse_repository(each["repository"])
        if each["code"] is not None:
            _refuse_code(each["code"])


def _refuse_repository(repository: Any) -> None:
    if repository is None:
        return
    _refuse_line("the name of the code repository", repository["name"], _LINE)
    _refuse_line("the class of the code repository", repository["source"], _LINE)
    remote = repository["remote"]
    if remote is not None:
        _refuse_line("the remote's host", remote["host"], _HOST)
        _refuse_line("the remote's user", remote["user"], _LINE)
        if not remote["path"]:
            raise InvalidManifest("the remote's URL cannot be recorded: the path is missing")


def _refuse_line(what: str, text: str | None, most: int) -> None:
    reason = _no_line(text, most) if text is not None else None
    if reason is not None:
        raise InvalidManifest(f"{what} cannot be recorded: {reason}")


def _no_line(text: str, most: int) -> str | None:
    """Return why a text is not a line as the schema defines it; None if it is one."""
    if not text:
        return "it is empty"
    if len(text) > most:
        return f"it has {len(text)} characters, more than {most}"
    if not text.isprintable():  # a cheap test that most texts pass
        for char in text:
            if char < " " or char == "\x7f":
                return f"it contains the control character U+{ord(char):04X}"
            if "\ud800" <= char <= "\udfff":
                return "it is not UTF-8"
    return None


class _Room:
    """The room in a manifest: tars that fit into the rest of `size` bytes are inline; the others go `beside` it."""

    __slots__ = ("beside", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.beside: dict[str, bytes] = {}

    def overlay(self, overlay: Overlay | None) -> dict[str, object] | None:
        """Return the document of an overlay."""
        if overlay is None:
            return None
        return self._carried(overlay) | {
            "files": overlay.files,
            "deleted": [path_value(path) for path in overlay.deleted],
            **self._data(overlay),
        }

    def lfs(self, lfs: LfsObjects | None) -> dict[str, object] | None:
        """Return the document of the Git LFS objects that travel."""
        if lfs is None:
            return None
        return self._carried(lfs) | {
            "objects": [{"oid": each.oid, "size": each.size} for each in lfs.pointers],
            **self._data(lfs),
        }

    def _carried(self, tar: Overlay | LfsObjects) -> dict[str, object]:
        return {"tarSha256": tar.tar_sha256, "sha256": tar.sha256, "size": len(tar.data)}

    def _data(self, tar: Overlay | LfsObjects) -> dict[str, object]:
        if len(tar.data) > self.size:
            self.beside[tar.sha256] = tar.data
            return {}
        import binascii

        self.size -= len(tar.data)
        return {"data": binascii.b2a_base64(tar.data, newline=False).decode()}


def _code_document(snapshot: Snapshot, room: _Room, id: str, published: ObjectId | None = None) -> dict[str, object]:
    """Return `code` of a checkout in the run `id`, with its submodules."""
    base, served = snapshot.base, snapshot.unpacked.served_tree
    return {
        "objectFormat": snapshot.layout.object_format,
        "head": _head_document(snapshot),
        "dirty": snapshot.dirty,
        "changes": {
            "staged": snapshot.status.staged if snapshot.status else 0,
            "unstaged": snapshot.status.unstaged if snapshot.status else 0,
            "untracked": snapshot.status.untracked if snapshot.status else 0,
            "unpushed": None if base is None else base.unpushed,
        },
        "base": None
        if served is None
        else {
            "commit": served.base.commit.hex,
            "tree": served.tree.hex,
            "knownBy": served.base.known_by,
            "archive": served.archive,
        },
        "snapshot": {
            "tree": snapshot.tree.hex,
            "ref": None if published is None else f"refs/coderepo/runs/{id}",
            "commit": None if published is None else published.hex,
        },
        "overlay": room.overlay(snapshot.overlay if published is None else None),
        "lfs": room.lfs(snapshot.lfs),
        "special": _special(snapshot, snapshot.base_part if published is None else snapshot.tree),
        "subdirectory": _subdirectory_document(snapshot, snapshot.tree),
        "scope": [path_value(path) for path in snapshot.scope] or None,
        "submodules": [_submodule_document(each, room, id) for each in snapshot.submodules],
        "omitted": [{"path": path_value(path), "reason": reason} for path, reason in snapshot.omitted],
        **_outside_document(snapshot),
        **_unreproducible_document(snapshot),
    }


def _submodule_document(submodule: Submodule, room: _Room, id: str) -> dict[str, object]:
    inner = submodule.snapshot
    source = inner.source if inner is not None else None
    return {
        "path": path_value(submodule.path),
        "commit": submodule.commit,
        "state": "absent" if inner is None else "fetched",
        "repository": None if source is None else repository_document(source),
        "code": None if inner is None else _code_document(inner, room, id),
    }


def repository_document(source: CodeSource) -> dict[str, object]:
    """Return where the code is served from: the remote without secrets, and the platform's public options."""
    platform = source.described()
    return {
        "name": source.registration.name,
        "type": source.registration.type,
        "source": source.registration.source,
        "remote": None if source.remote is None else remote_document(source.remote),
        "options": {Option(name, "").key: value for name, value in platform.recorded_options().items()},
    }


def remote_document(remote: RemoteURL) -> Mapping[str, object]:
    """Return the recorded parts of a remote: no password, no query, and a user name only for ssh."""
    return {
        "transport": remote.transport,
        "host": remote.host,
        "port": remote.port,
        "user": remote.user if remote.transport == "ssh" else None,
        "path": None if remote.path is None else path_value(remote.path),
    }


def _head_document(snapshot: Snapshot) -> dict[str, object] | None:
    head = snapshot.head
    if head is None:
        return None
    page = snapshot.source.described().web_url(head.commit) if snapshot.source is not None else None
    return {
        "commit": head.commit.hex,
        "tree": head.tree.hex,
        "branch": None if head.branch is None else path_value(head.branch),
        "webUrl": page,
    }


def _subdirectory_document(snapshot: Snapshot, tree: ObjectId) -> dict[str, object]:
    """Return the one directory in the scope, and the tree objects that lead to it; else the root."""
    part = snapshot.unpacked.tree.part
    if part is None or len(snapshot.scope) != 1 or part.rows.get(snapshot.scope[0], (0, b""))[0] != DIRECTORY:
        return {"path": ".", "tree": tree.hex, "proof": []}
    import binascii

    (path,) = snapshot.scope
    return {
        "path": path_value(path),
        "tree": part.rows[path][1].hex(),
        "proof": [binascii.b2a_base64(contents, newline=False).decode() for contents in part.proof(path)],
    }


def _unreproducible_document(snapshot: Snapshot) -> dict[str, object]:
    """Return the reasons why no runner can fetch it; nothing if one can."""
    reasons = {error.message: error.waived_as for error in snapshot.unreproducible}
    if not reasons:
        return {}
    return {"unreproducible": [{"reason": word, "message": one_line(text)} for text, word in reasons.items()]}


def _outside_document(snapshot: Snapshot) -> dict[str, object]:
    """Return the paths whose contents Git does not store; nothing without such paths."""
    entries = outside_document((b"", each) for each in snapshot.outside)
    return {"outside": entries} if entries else {}


def outside_document(outside: Iterable[tuple[bytes, Outside]]) -> list[dict[str, object]]:
    """Return the entries of `outside`; many entries of one kind are grouped by directory, with their number."""
    kinds: dict[tuple[str, bytes | None], list[tuple[bytes, bytes]]] = {}
    for directory, each in outside:
        kind = each.detail if each.reason in ("filter", "attribute") else None
        kinds.setdefault((each.reason, kind), []).append((directory + each.path, each.detail))
    entries: list[dict[str, object]] = []
    for (reason, kind), paths in kinds.items():
        if len(paths) <= OUTSIDE_LISTED:
            entries += [{"path": path_value(p), "reason": reason, "detail": path_value(d)} for p, d in paths]
            continue
        numbers: dict[bytes, int] = {}
        for path, _ in paths:
            top = path.partition(b"/")[0] if b"/" in path else b"."
            numbers[top] = numbers.get(top, 0) + 1
        if len(numbers) > OUTSIDE_LISTED:
            numbers = {b".": len(paths)}
        detail = None if kind is None else path_value(kind)
        entries += [{"path": path_value(p), "reason": reason, "detail": detail, "files": n} for p, n in numbers.items()]
    return entries


def _imported_document(snapshot: Snapshot) -> dict[str, object]:
    """Return the code outside the snapshot that its program imports; nothing without such code."""
    if not snapshot.imported:
        return {}
    return {"imported": imported_document(snapshot.imported, snapshot.layout.toplevel)}


def imported_document(imported: Sequence[Imported], toplevel: bytes) -> list[dict[str, object]]:
    """Return the entries of `imported`: each path is relative to the checkout."""
    return [
        {
            "path": path_value(os.path.relpath(os.fsencode(each.path), toplevel)),
            "via": one_line(each.via),
            "remote": None if each.remote is None else remote_document(each.remote),
            "commit": None if each.commit is None else each.commit.hex,
            "tree": None if each.tree is None else each.tree.hex,
            "dirty": each.dirty,
        }
        for each in imported
    ]


def one_line(text: str) -> str:
    """Return a message on one line, as the schema requires: characters that are not printable are escaped."""
    if text.isprintable():
        return text[:1024]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)[:1024]


def _special(snapshot: Snapshot, tree: ObjectId | None) -> list[dict[str, object]] | None:
    """Return every entry that is not a plain file, for a platform whose only method loses modes and links."""
    if snapshot.source is None or not snapshot.source.platform_class.needs_special or tree is None:
        return None
    rows = [row for row in differences(snapshot.git_with_store, None, tree) if row.mode not in (FILE, GITLINK)]
    links = [row for row in rows if row.mode == SYMLINK]
    blobs = read_blobs(snapshot.git_with_store, [row.id for row in links])
    targets = {row.path: source.read(size) for row, (_, size, source) in zip(links, blobs, strict=True)}
    entries = []
    for row in rows:
        entry: dict[str, object] = {"path": path_value(row.path), "mode": f"{row.mode:o}"}
        if row.mode == SYMLINK:
            entry["target"] = path_value(targets[row.path])
        entries.append(entry)
    return entries


def uuid7(now: float) -> str:
    """Return a time-ordered id (RFC 9562, section 5.7): 48 bits of milliseconds, the rest random."""
    value = int(now * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_uuid7(text: str) -> bool:
    """Return whether a text has the form of a run's id."""
    parts = text.split("-")
    return (
        [len(part) for part in parts] == [8, 4, 4, 4, 12]
        and frozenset("0123456789abcdef").issuperset("".join(parts))
        and parts[2][0] == "7"
        and parts[3][0] in "89ab"
    )


def carriers(size: int) -> list[str]:
    """Return the ways in which a manifest of `size` bytes, overlay included, can be passed to a runner."""
    names = ["file"]
    if size <= 120 << 10:
        names.insert(0, "environment variable")
    if size <= 1 << 20:
        names.insert(len(names) - 1, "ConfigMap")
    return names
