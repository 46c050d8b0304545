"""The pages of the run manifest and the receipt: every field of the JSON Schema, with its type, rule and meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any, NamedTuple

from website.field_meanings import MANIFEST, RECEIPT
from website.reference import page, table

Schema = dict[str, Any]


class Field(NamedTuple):
    """A field by its path from the root, such as `code.submodules[].path`; `value` says what it may hold."""

    path: str
    value: str
    required: bool
    remark: str


def schema(name: str) -> Schema:
    """Return a schema of the package: `run-manifest-1` or `receipt-1`."""
    data = (resources.files("git_coderepo") / "manifest" / "schema" / f"{name}.json").read_bytes()
    loaded: Schema = json.loads(data)
    return loaded


def fields(root: Schema) -> list[Field]:
    """Return all fields of a schema; one that contains itself, as a submodule's code does, is not followed again."""
    return list(_fields(root, root, "", ()))


def _fields(root: Schema, node: Schema, prefix: str, above: tuple[str, ...]) -> Iterator[Field]:
    node, above = _resolved(root, node, above)
    for name, each in node.get("properties", {}).items():
        path = f"{prefix}.{name}".removeprefix(".")
        resolved, inside = _resolved(root, each, above)
        yield Field(path, _value(root, each), name in node.get("required", ()), _remark(root, each))
        if "items" in resolved:
            path, resolved = path + "[]", resolved["items"]
            inside = _resolved(root, resolved, inside)[1]
        if len(inside) == len(set(inside)):
            yield from _fields(root, resolved, path, inside)


def _resolved(root: Schema, node: Schema, above: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
    """Follow references; `above` are the definitions that led here."""
    while "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        node, above = root["$defs"][name], (*above, name)
    alternatives = [each for each in node.get("anyOf", ()) if each.get("type") != "null"]
    if len(alternatives) == 1:
        return _resolved(root, alternatives[0], above)
    # A path or a text, or the same in base64: described in the page's text.
    return ({} if alternatives else node), above


def _value(root: Schema, node: Schema) -> str:
    """Return what a field may hold, in words."""
    null = "null" in _types(node) or any(each.get("type") == "null" for each in node.get("anyOf", ()))
    described: str = node.get("description", "")
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
        null = null or "null" in _types(node) or any(each.get("type") == "null" for each in node.get("anyOf", ()))
        described = described or node.get("description", "")
    if not described and "anyOf" in node:
        described = next(_value(root, each) for each in node["anyOf"] if each.get("type") != "null")
    kinds = {"object": "an object", "array": "a list", "string": "a text", "boolean": "true or false"}
    described = described or next((kinds[each] for each in _types(node) if each in kinds), "any value")
    if "items" in node and described == "a list":
        described = f"a list: {_value(root, node['items'])}"
    described = described.replace(f" from 0 to {2**53 - 1}", " from 0").replace(f" from 1 to {2**53 - 1}", " from 1")
    return described + (" or null" if null and not described.endswith("null") else "")


def _types(node: Schema) -> list[str]:
    types = node.get("type", [])
    return types if isinstance(types, list) else [types]


def _remark(root: Schema, node: Schema) -> str:
    remarks = [node.get("$comment", "")]
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
        if node.get("type") != "string" or node.get("$comment", "").startswith("How the tree"):
            remarks.append(node.get("$comment", ""))
    return " ".join(dict.fromkeys(each for each in remarks if each))


def _part(field: Field, found: list[Field]) -> str:
    """Return the title of the part of the page for a field: its first name, if that has fields below it."""
    top = re.split(r"[.\[]", field.path)[0]
    below = any(each.path.startswith((f"{top}.", f"{top}[]")) for each in found)
    return top if below else "The document"


def _page(name: str, meanings: dict[str, str], opening: tuple[str, ...]) -> str:
    root = schema(name)
    found = fields(root)
    parts: list[str] = []
    for title in dict.fromkeys(_part(each, found) for each in found):
        rows = []
        for each in found:
            if _part(each, found) == title:
                meaning = " ".join(word for word in (meanings.get(each.path, ""), each.remark) if word)
                rows.append((f"`{each.path}`" + ("" if each.required else " (optional)"), each.value, meaning))
        parts += [f"## {title}", "", *table(("field", "value", "meaning"), rows)]
    text = json.dumps(root, indent=2, ensure_ascii=True)
    return page(*opening, parts, "## The schema", f"```json\n{text}\n```")


def manifest() -> str:
    """Return the page of the run manifest."""
    return _page(
        "run-manifest-1",
        MANIFEST,
        (
            "# Run manifest",
            "After reading this page you can read a run manifest with any JSON parser, and write programs that use it.",
            "```sh\ngit coderepo show @{-1} --json\ngit coderepo validate run.json\n```",
            "A run manifest is UTF-8 JSON of at most 4 MiB. It never changes after it was written, and contains no "
            "secrets. Paths are relative to the root of the checkout. A path or argument that is not valid UTF-8 is an "
            'object `{"base64": "…"}` that holds its bytes. Ignore fields that you do not know: a later version '
            "1.N can add some. Do not read a file whose `manifestVersion` does not begin with `1.`.",
        ),
    )


def receipt() -> str:
    """Return the page of the receipt."""
    return _page(
        "receipt-1",
        RECEIPT,
        (
            "# Receipt",
            "After reading this page you can check by a program what a fetch verified, and how.",
            "```sh\ngit coderepo fetch run.json code --receipt receipt.json\ngit coderepo validate receipt.json\n```",
            "A receipt is UTF-8 JSON. `fetch` and `exec` write one only after the tree was verified, so `verified` is "
            "always true. Ignore fields that you do not know: a later version 1.N can add some.",
        ),
    )
