"""What `validate` says of a manifest or a receipt, through the schema as any other program would read it.

Where jsonschema is not installed, as in `git-coderepo.pyz`, the typed readers say it: the same answer, and of the
reasons against a document the first.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any

from git_coderepo.errors import InvalidManifest
from git_coderepo.manifest.model import Manifest
from git_coderepo.manifest.reader import read
from git_coderepo.manifest.receipt_reader import check_receipt
from git_coderepo.manifest.shape import member_place
from git_coderepo.manifest.strict_json import document_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

MANIFEST = "run-manifest-1"
RECEIPT = "receipt-1"
_MOST = 100
_NOUNS = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def schema(name: str) -> dict[str, object]:
    """The JSON Schema MANIFEST or RECEIPT, as shipped in the package."""
    text = (files("git_coderepo.manifest") / "schema" / f"{name}.json").read_text("utf-8")
    document: dict[str, object] = json.loads(text)
    return document


def validator(schema: dict[str, object]) -> Validator:
    """A validator for a schema of draft 2020-12; it never fetches anything. Raises ImportError without jsonschema."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(schema, registry=Registry())


def finds_every_reason() -> bool:
    """Whether jsonschema is here, and all that is wrong with a document is told at once."""
    return _shipped_validator(MANIFEST) is not None


def problems(data: bytes) -> list[str]:
    """What is wrong with a manifest, or with a receipt where `$schema` says so: lines with their place; [] is valid.

    Text first, then shape, each in the whole document; then, for a manifest, what its values mean.
    """
    try:
        document = document_of(data)
        is_receipt = isinstance(document, dict) and document.get("$schema") == "urn:git-coderepo:receipt:1"
        found = shape_problems(document, RECEIPT if is_receipt else MANIFEST)
        if not found and not is_receipt:
            Manifest.parse(data)
    except InvalidManifest as error:
        return [error.message]
    return found


def receipt_problems(data: bytes) -> list[str]:
    """What is wrong with a receipt, as `problems`, whatever its `$schema`."""
    try:
        return shape_problems(document_of(data), RECEIPT)
    except InvalidManifest as error:
        return [error.message]


def shape_problems(document: Any, name: str = MANIFEST) -> list[str]:
    """Where a document has not the shape that the schema of that name demands; at most 100 lines."""
    shipped = _shipped_validator(name)
    if shipped is None:
        return _first_problem(document, name)
    errors = shipped.iter_errors(document)
    # One line for a place: what a place should be is said once, however many keywords say so.
    lines: dict[str, str] = {}
    for error in islice(errors, 10 * _MOST):
        for place, what in _told(error):
            lines.setdefault(place, f"{place}: {what}" if place else what)
    found = list(lines.values())
    return found if len(found) <= _MOST else [*found[:_MOST], f"and {len(found) - _MOST} more, at least"]


def _first_problem(document: Any, name: str) -> list[str]:
    """What the typed reader says of it."""
    try:
        if name == RECEIPT:
            check_receipt(document)
        else:
            read(document, b"")
    except InvalidManifest as error:
        return [error.message]
    return []


@cache
def _shipped_validator(name: str) -> Validator | None:
    try:
        return validator(schema(name))
    except ImportError:
        return None


def _told(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Places and what is wrong there: usually one, several where fields are missing."""
    while error.context:
        # Of several possible forms, the one that the value looks like.
        nearer = [inner for inner in error.context if inner.validator not in ("type", "const")]
        if not nearer:
            break
        error = nearer[0]
    place = ""
    for key in error.absolute_path:
        place = member_place(place, key)
    wanted: Any = error.validator_value
    if error.validator == "required" and isinstance(error.instance, dict):
        for name in wanted:
            if name not in error.instance:
                yield member_place(place, name), "missing"
    else:
        yield place, f"not {_wanted(error)}"


def _wanted(error: ValidationError) -> str:
    """What a value should have been, in words: those of the schema, or of its types."""
    wanted: Any = error.validator_value
    if isinstance(error.schema, dict) and "description" in error.schema and error.absolute_path:
        return str(error.schema["description"])
    if error.validator == "type":
        return " or ".join(_NOUNS[name] for name in (wanted if isinstance(wanted, list) else [wanted]))
    if error.validator == "minItems":
        return f"{wanted} or more"
    return (
        " or ".join(dict.fromkeys(_wanted(inner) for inner in error.context or ())) or f"valid by {error.validator!r}"
    )
