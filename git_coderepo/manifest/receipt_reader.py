"""The shape of a receipt, by hand: what `schema/receipt-1.json` says, where there is nothing that reads a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from git_coderepo.manifest.shape import (
    Node,
    boolean,
    directory,
    hex_digits,
    integer,
    line,
    list_of,
    nullable,
    one_of,
    path,
    text,
    time,
    uuid7,
    version,
)

if TYPE_CHECKING:
    from git_coderepo.manifest.shape import Read

RECEIPT_SCHEMA = "urn:git-coderepo:receipt:1"

_id = text("40 or 64 lower-case hex digits", "[0-9a-f]{40}|[0-9a-f]{64}", maximum=64)
_count = integer()
_line = line()
_any_text = r"(?s:.*)"
# Words that will grow: a reader takes those of a later version too. Today's are in `manifest/methods.py`.
_slug = text("a short lower-case word", "[a-z][a-z0-9-]*", maximum=64)
_method = _slug


def check_receipt(document: object) -> None:
    """Raises InvalidManifest exactly where the receipt's schema refuses the document; the first reason, in one line."""
    _receipt(Node(document))


def _fields(required: dict[str, Read[Any]], optional: dict[str, Read[Any]] | None = None) -> Read[None]:
    """An object with these members; others are ignored."""

    def read_object(node: Node) -> None:
        for name, read in required.items():
            node.field(name, read)
        for name, read in (optional or {}).items():
            node.optional(name, read)

    return read_object


def _true(node: Node) -> None:
    if node.value is not True:
        raise node.wrong("not true")


def _number(node: Node) -> None:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float) or node.value < 0:
        raise node.wrong("not a number from 0")


_fallbacks = list_of(_fields({"method": _method, "reason": _line}))
_overlay = nullable(_fields({"files": _count, "deleted": _count}))
_submodule = _fields(
    {
        "path": path,
        "commit": _id,
        "state": one_of("fetched", "absent"),
        "tree": nullable(_id),
        "method": nullable(_method),
        "fallbacks": _fallbacks,
        "files": _count,
        "bytes": _count,
        "overlay": _overlay,
    }
)
_conversion = _fields(
    {
        "kind": text("the name of an attribute", _any_text, maximum=64),
        "value": text("a string", _any_text, minimum=0, maximum=1024),
        "files": _count,
        "left": list_of(path),
        "reason": nullable(_line),
    }
)
_lfs = _fields(
    {
        "state": one_of("fetched", "pointers"),
        "files": _count,
        "objects": _count,
        "travelled": _count,
        "bytes": _count,
    }
)
_proof = _fields({"hashed": _slug, "files": _count}, {"bytes": _count, "afterCommand": _slug})
_receipt = _fields(
    {
        "$schema": one_of(RECEIPT_SCHEMA),
        "receiptVersion": version,
        "manifest": _fields({"digest": nullable(hex_digits(64)), "runId": nullable(uuid7)}),
        "commit": nullable(_id),
        "treeBy": _slug,
        "tree": _id,
        "verified": _true,
        "method": _method,
        "fallbacks": _fallbacks,
        "cacheHit": boolean,
        "subdirectory": directory,
        "files": _count,
        "bytes": _count,
        "overlay": _overlay,
        "submodules": list_of(_submodule),
        "outsideLinks": list_of(path),
        "conversions": list_of(_conversion),
        "startedOn": time,
        "finishedOn": time,
        "seconds": _number,
        "host": _line,
        "producer": _fields({"name": _line, "version": _line, "git": nullable(_line), "python": _line}),
    },
    {"lfs": nullable(_lfs), "storedTrees": list_of(directory), "proof": _proof},
)
