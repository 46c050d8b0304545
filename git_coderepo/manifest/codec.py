"""Check manifests and receipts by the shipped schemas: list every error in a document, with its place.

This interprets the part of JSON Schema (draft 2020-12) that `schema/` uses. A schema is compiled once to nested
functions from a value to its errors. An unknown keyword is refused when a schema is compiled, and never ignored.
"""

from __future__ import annotations

import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

MANIFEST = "run-manifest-1"
RECEIPT = "receipt-1"

# A hostile document can have a million errors: no check returns many more reasons than this.
MOST_REASONS = 1000


class Reason(NamedTuple):
    """An error (`missing`, `not a line of text`) of the value at a place below the checked value.

    `other_type` means that the value has another type than expected, so that another alternative of `anyOf` describes
    the error better.
    """

    place: tuple[str | int, ...]
    what: str
    other_type: bool = False


Check = Callable[[Any], Sequence[Reason]]
Schema = Mapping[str, Any]

_VALID: tuple[Reason, ...] = ()
_ANNOTATIONS = frozenset(("$schema", "$id", "$defs", "$comment", "title", "description"))
_LOCAL = "#/$defs/"
_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "object": ("an object", lambda value: isinstance(value, dict)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "string": ("a text", lambda value: isinstance(value, str)),
    # JSON Schema, section 6.1.1: 1.0 is an integer.
    "integer": ("an integer", lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer())),
    "number": ("a number", lambda value: _is_number(value)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
}


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema MANIFEST or RECEIPT, as shipped in the package."""
    shipped: dict[str, Any] = json.loads(pkgutil.get_data(__package__, f"schema/{name}.json") or b"")
    return shipped


def shape_reasons(name: str, document: object) -> list[str]:
    """Return a line `PLACE: REASON` for each place where a document differs from the schema MANIFEST or RECEIPT.

    The lines are in the order of the schema, and about MOST_REASONS at most.
    """
    # One line for each place, even if several keywords refuse the value: the last keyword is the most specific.
    by_place = {place_text(reason.place): reason.what for reason in _shipped(name)(document)}
    return [f"{place}: {what}" if place else what for place, what in by_place.items()]


@cache
def _shipped(name: str) -> Check:
    return compiled(schema(name))


def place_text(keys: Iterable[str | int]) -> str:
    """Return a place for people: `code.overlay.deleted[3]`, `later."odd key"`."""
    place = ""
    for key in keys:
        if isinstance(key, int):
            place += f"[{key}]"
        else:
            shown = key if re.fullmatch(r"[$A-Za-z][A-Za-z0-9_-]{0,79}", key) else ascii(key[:80])
            place += f".{shown}" if place else shown
    return place


def compiled(root: Schema) -> Check:
    """Return the check of a whole schema. Raises NotImplementedError for an unknown keyword or form."""
    return _Compiler(root.get("$defs", {})).check({key: value for key, value in root.items() if key != "description"})


class _Compiler:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._compiled: dict[str, Check] = {}

    def check(self, schema: Schema) -> Check:
        """Return the check of a schema, in the order of its keywords; its description becomes the text of the error."""
        if not isinstance(schema, Mapping):
            raise NotImplementedError(f"the schema {schema!r}")
        checks = [self._keyword(keyword, schema) for keyword in schema if keyword not in _ANNOTATIONS]
        return _all_of(checks, self._description(schema))

    def _keyword(self, keyword: str, schema: Schema) -> Check:
        argument = schema[keyword]
        if keyword in _ASSERTIONS:
            return _ASSERTIONS[keyword](argument)
        if keyword in _OF_ONE_SCHEMA:
            return _OF_ONE_SCHEMA[keyword](self.check(argument))
        match keyword:
            case "$ref":
                return self._reference(argument)
            case "pattern":
                return _pattern(argument, schema.get("maxLength", sys.maxsize))
            case "allOf":
                return _all_of([*map(self.check, argument)], None)
            case "anyOf":
                return _any_of([*map(self.check, argument)], self._alternatives(argument))
            case "if":
                branches = [self.check(schema.get(name, {})) for name in ("then", "else")]
                return _conditional(self.check(argument), *branches)
            case "then" | "else" if "if" in schema:
                return _anything
            case "properties":
                members = {name: self.check(inner) for name, inner in argument.items()}
                return _properties({name: check for name, check in members.items() if check is not _anything})
            case "additionalProperties":
                return _additional(frozenset(schema.get("properties", ())), self.check(argument))
        raise NotImplementedError(f"the schema keyword {keyword!r}")

    def _reference(self, target: str) -> Check:
        if not target.startswith(_LOCAL):
            raise NotImplementedError(f"the schema reference {target!r}")
        name = target.removeprefix(_LOCAL)
        if name not in self._compiled:
            self._compiled[name] = lambda value: self._compiled[name](value)  # for a definition that refers to itself
            self._compiled[name] = self.check(self._definitions[name])
        return self._compiled[name]

    def _description(self, schema: Schema) -> str | None:
        """Return in words what a value should be: the description of the schema, or of the schema it refers to."""
        if "description" in schema:
            return str(schema["description"])
        return self._description(self._definitions[schema["$ref"].removeprefix(_LOCAL)]) if "$ref" in schema else None

    def _alternatives(self, schemas: Sequence[Schema]) -> str:
        """Return what a value should be if it has the type of no alternative; null is omitted."""
        words = (self._description(each) or _type_words(each.get("type", ())) for each in schemas)
        return " or ".join(dict.fromkeys(each for each in words if each != "null")) or "null"


def _type_words(types: str | Sequence[str]) -> str:
    return " or ".join(_TYPES[name][0] for name in ([types] if isinstance(types, str) else types))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- Keywords with schemas as arguments ---


def _anything(value: Any) -> Sequence[Reason]:
    return _VALID


def _all_of(checks: Sequence[Check], description: str | None) -> Check:
    checks = [check for check in checks if check is not _anything]
    if not checks:
        return _anything
    if len(checks) == 1 and description is None:
        return checks[0]

    def check(value: Any) -> Sequence[Reason]:
        result: list[Reason] = []
        for each in checks:
            if reasons := each(value):
                result += reasons
                if len(result) >= MOST_REASONS:
                    break
        if result and description is not None:
            what = f"not {description}"
            return [reason if reason.place else Reason((), what, reason.other_type) for reason in result]
        return result

    return check


def _any_of(alternatives: Sequence[Check], words: str) -> Check:
    none_fits = (Reason((), f"not {words}", other_type=True),)

    def check(value: Any) -> Sequence[Reason]:
        refusals = []
        for alternative in alternatives:
            reasons = alternative(value)
            if not reasons:
                return _VALID
            refusals.append(reasons)
        # Of several forms, the first one of the right type.
        for reasons in refusals:
            if not any(reason.other_type and not reason.place for reason in reasons):
                return reasons
        return none_fits

    return check


def _not(inner: Check) -> Check:
    refused = (Reason((), "not allowed"),)
    return lambda value: _VALID if inner(value) else refused


def _conditional(condition: Check, then: Check, otherwise: Check) -> Check:
    return lambda value: otherwise(value) if condition(value) else then(value)


def _below(key: str | int, reasons: Sequence[Reason]) -> list[Reason]:
    return [Reason((key, *reason.place), reason.what) for reason in reasons]


def _properties(members: Mapping[str, Check]) -> Check:
    pairs = tuple(members.items())

    def check(value: Any) -> Sequence[Reason]:
        if not isinstance(value, dict):
            return _VALID
        result: list[Reason] = []
        for name, inner in pairs:
            if name in value and (reasons := inner(value[name])):
                result += _below(name, reasons)
                if len(result) >= MOST_REASONS:
                    break
        return result

    return check


def _additional(named: frozenset[str], inner: Check) -> Check:
    def check(value: Any) -> Sequence[Reason]:
        if not isinstance(value, dict):
            return _VALID
        result: list[Reason] = []
        for name, member in value.items():
            if name not in named and (reasons := inner(member)):
                result += _below(name, reasons)
                if len(result) >= MOST_REASONS:
                    break
        return result

    return check


def _names(inner: Check) -> Check:
    def check(value: Any) -> Sequence[Reason]:
        if isinstance(value, dict):
            for name in value:
                if reasons := inner(name):
                    return reasons
        return _VALID

    return check


def _items(inner: Check) -> Check:
    def check(value: Any) -> Sequence[Reason]:
        if not isinstance(value, list):
            return _VALID
        result: list[Reason] = []
        for index, item in enumerate(value):
            if reasons := inner(item):
                result += _below(index, reasons)
                if len(result) >= MOST_REASONS:
                    break
        return result

    return check


_OF_ONE_SCHEMA: dict[str, Callable[[Check], Check]] = {"not": _not, "propertyNames": _names, "items": _items}


# --- Keywords that check the value itself ---


def _type(types: str | Sequence[str]) -> Check:
    refused = (Reason((), f"not {_type_words(types)}", other_type=True),)
    if isinstance(types, str):
        fits = _TYPES[types][1]
        return lambda value: _VALID if fits(value) else refused
    tests = [_TYPES[name][1] for name in types]
    return lambda value: _VALID if any(test(value) for test in tests) else refused


def _constant(constant: str | bool) -> Check:
    return _one_of([constant], other_type=True)


def _one_of(words: Sequence[str | bool], *, other_type: bool = False) -> Check:
    if not all(isinstance(word, str | bool) for word in words):
        raise NotImplementedError(f"numbers, lists and objects as constants of a schema: {words}")
    shown = ", ".join(word if isinstance(word, str) else json.dumps(word) for word in words)
    refused = (Reason((), f"not one of {shown}" if len(words) > 1 else f"not {shown}", other_type),)
    allowed = {(type(word), word) for word in words}  # True == 1 in Python, not in JSON

    def check(value: Any) -> Sequence[Reason]:
        return _VALID if isinstance(value, str | bool) and (type(value), value) in allowed else refused

    return check


def _pattern(pattern: str, longest: int) -> Check:
    """Search for the pattern, as JSON Schema defines it: only its own anchors make it match the whole text.

    Texts that `maxLength` refuses anyway are not searched, since a repeated group takes a hundred bytes for each step.
    """
    refused = (Reason((), f"not a text that matches {pattern!a}"),)
    search = re.compile(pattern).search
    return lambda value: _VALID if not isinstance(value, str) or len(value) > longest or search(value) else refused


def _required(names: Sequence[str]) -> Check:
    required = frozenset(names)

    def check(value: Any) -> Sequence[Reason]:
        if not isinstance(value, dict) or required <= value.keys():
            return _VALID
        return [Reason((name,), "missing") for name in names if name not in value]

    return check


def _bound(kind: type | tuple[type, ...], measure: Callable[[Any], float], words: str, *, least: bool) -> Any:
    def assertion(limit: float) -> Check:
        refused = (Reason((), words.format(limit)),)

        def check(value: Any) -> Sequence[Reason]:
            if not isinstance(value, kind) or isinstance(value, bool):
                return _VALID
            fits = measure(value) >= limit if least else measure(value) <= limit
            return _VALID if fits else refused

        return check

    return assertion


_ASSERTIONS: dict[str, Callable[[Any], Check]] = {
    "type": _type,
    "const": _constant,
    "enum": _one_of,
    "required": _required,
    "minLength": _bound(str, len, "shorter than {} characters", least=True),
    "maxLength": _bound(str, len, "longer than {} characters", least=False),
    "minItems": _bound(list, len, "fewer than {}", least=True),
    "minimum": _bound((int, float), lambda value: value, "less than {}", least=True),
    "maximum": _bound((int, float), lambda value: value, "more than {}", least=False),
}
