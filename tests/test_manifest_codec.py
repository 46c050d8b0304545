"""The interpreter of the schemas takes exactly what jsonschema takes, and names the places that jsonschema names."""

from __future__ import annotations

import copy
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_coderepo.manifest.codec import MANIFEST, MOST_REASONS, RECEIPT, compiled, place_text, schema, shape_reasons
from tests.support.manifests import documents, example_document
from tests.support.marks import first_quick
from tests.test_manifest_contract import (
    ANYTHING,
    FULL,
    LATER_FIELDS,
    OPEN,
    UNTIMED,
    at,
    damaged,
    places,
    replaced,
    without,
)
from tests.test_manifest_receipts import OPEN_RECEIPT, RECEIPT_OF_ALL

# --- against jsonschema ---

# A schema for each keyword, in the forms that the shipped schemas do not have too.
SCHEMAS: list[dict[str, Any]] = [
    {"type": "integer"},
    {"type": ["number", "null"]},
    {"type": "boolean"},
    {"type": ["object", "array", "string"]},
    {"const": True},
    {"const": "1"},
    {"enum": ["a", True, ""]},
    {"pattern": "a$"},
    {"pattern": "a|b"},
    {"minLength": 2, "maxLength": 40},
    {"minimum": 1, "maximum": 65535},
    {"minimum": 0.5},
    {"minItems": 1},
    {"required": ["a"]},
    {"properties": {"a": {"type": "string"}, "base64": {}}, "additionalProperties": {"type": "null"}},
    {"additionalProperties": {"type": "string"}, "propertyNames": {"maxLength": 3}},
    {"items": {"type": "string"}},
    {"not": {"type": "string"}},
    {"allOf": [{"type": "string"}, {"minLength": 1}], "description": "a text"},
    {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 1}]},
    {"if": {"type": "string"}, "then": {"minLength": 2}},
    {"if": {"type": "string"}, "else": {"type": "array"}},
    {"$defs": {"list": {"type": "array", "items": {"$ref": "#/$defs/list"}}}, "$ref": "#/$defs/list"},
    {"$defs": {"short": {"maxLength": 3}}, "$ref": "#/$defs/short", "type": "string"},
]


@pytest.mark.parametrize("part", SCHEMAS, ids=str)
def test_each_keyword_does_what_it_does_in_jsonschema(part):
    from jsonschema import Draft202012Validator

    check, validator = compiled(part), Draft202012Validator(part)
    wrong = [value for value in ANYTHING if (not check(value)) != validator.is_valid(value)]
    assert wrong == []


@pytest.mark.parametrize(
    "part",
    [
        {"oneOf": [{}]},
        {"uniqueItems": True},
        {"properties": {"a": {"items": {"format": "date"}}}},
        {"then": {}},
        {"items": False},
        {"properties": {"a": False}},
        {"additionalProperties": False},
        {"$ref": "urn:git-coderepo:receipt:1"},
        {"$ref": "#/properties/a"},
        {"const": 1},
        {"enum": [None]},
    ],
    ids=str,
)
def test_a_keyword_that_is_not_known_is_refused_when_the_schema_is_compiled(part):
    with pytest.raises(NotImplementedError):
        compiled(part)


def whole_places(document: Any, validator: Any) -> set[str]:
    """Where jsonschema finds something wrong: of alternatives, as a whole; of missing members, where they belong."""
    found = set()
    for error in validator.iter_errors(document):
        keys = tuple(error.absolute_path)
        if error.validator == "required":
            found |= {place_text((*keys, name)) for name in error.validator_value if name not in error.instance}
        else:
            found.add(place_text(keys))
    return found


def assert_alike(name: str, document: Any) -> None:
    lines = shape_reasons(name, document)
    validator = {MANIFEST: OPEN, RECEIPT: OPEN_RECEIPT}[name]
    expected = whole_places(document, validator)
    if len(expected) < MOST_REASONS / 2:
        # Of alternatives the codec looks into the nearest, so its places may be deeper.
        places_found = [line.partition(": ")[0] if ": " in line else "" for line in lines]
        missed = {place for place in expected if not any(found.startswith(place) for found in places_found)}
        assert not missed
        extra = {found for found in places_found if not any(found.startswith(place) for place in expected)}
        assert not extra
    assert bool(lines) != validator.is_valid(document)
    assert all("\n" not in line and line.isprintable() for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "original"), [(MANIFEST, FULL), (RECEIPT, RECEIPT_OF_ALL)], ids=["manifest", "receipt"]
)
@pytest.mark.parametrize("one_in", first_quick(200, 23))
def test_every_field_with_a_few_values_in_it(name, original, one_in):
    for number, place in enumerate(places(original)):
        for value in ANYTHING[number % one_in :: one_in]:
            assert_alike(name, replaced(original, place, value))
        if place:
            assert_alike(name, without(original, place))
        there = at(original, place)
        if isinstance(there, dict):
            assert_alike(name, replaced(original, place, there | LATER_FIELDS[number % len(LATER_FIELDS)]))


@pytest.mark.slow
@pytest.mark.parametrize("examples", first_quick(10, 100))
def test_a_damaged_manifest(examples):
    @settings(UNTIMED, max_examples=examples)
    @given(damaged())
    def check(document):
        assert_alike(MANIFEST, document)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("examples", first_quick(10, 100))
def test_a_damaged_receipt(examples):
    @settings(UNTIMED, max_examples=examples)
    @given(damaged(st.just(RECEIPT_OF_ALL)))
    def check(document):
        assert_alike(RECEIPT, document)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("examples", first_quick(5, 30))
def test_what_a_writer_can_write_is_valid(examples):
    @settings(UNTIMED, max_examples=examples)
    @given(documents())
    def check(document):
        assert shape_reasons(MANIFEST, document) == []

    check()


# --- what it says ---


def test_every_reason_is_given_at_its_place():
    document = copy.deepcopy(FULL)
    document["run"].update(id="x", command=3)
    del document["code"]["dirty"], document["code"]["head"]["tree"]
    document["producer"].update(git=3, version="")
    document["code"]["changes"]["unpushed"] = "many"
    document["code"]["special"][0]["mode"] = "100644"
    document["code"]["scope"] = []
    document["code"]["overlay"]["deleted"] = ["a", "/", {}, {"base64": "A"}, 3]
    document["repository"]["remote"]["odd key"] = ["{{a.b}}"]
    document["repository"]["options"]["two words"] = 1
    assert shape_reasons(MANIFEST, document) == [
        "run.id: not a UUID of version 7, in lower case",
        "run.command: not a list or null",
        "repository.options: not an option's name",
        "repository.options.'two words': not a text without NUL",
        "repository.remote.'odd key'[0]: not free of '{{', which begins a reference to a secret",
        "code.dirty: missing",
        "code.head.tree: missing",
        "code.changes.unpushed: not an integer from 0 to 9007199254740991",
        "code.overlay.deleted[1]: not a relative path without empty, '.' or '..' parts",
        "code.overlay.deleted[2].base64: missing",
        "code.overlay.deleted[3].base64: not canonical base64",
        "code.overlay.deleted[4]: not a relative path without empty, '.' or '..' parts",
        "code.special[0].mode: not one of 100755, 120000, 160000",
        "code.scope: fewer than 1",
        "producer.version: not a line of text",
        "producer.git: not a line of text",
    ]  # fmt: skip


# --- hostile documents ---


def test_a_document_that_is_wrong_everywhere_is_refused_quickly_and_in_few_words():
    document = example_document()
    document["code"]["overlay"]["deleted"] = ["/"] * 500_000
    document["code"]["special"] = [0] * 500_000
    started = time.process_time()
    found = shape_reasons(MANIFEST, document)
    assert time.process_time() - started < 2
    assert 0 < len(found) <= 3 * MOST_REASONS


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("code", "overlay", "data"), "AAAA" * 900_000 + "="),
        (("code", "overlay", "data"), "AA==" * 900_000),
        (("code", "overlay", "deleted"), ["a/" * 8191 + "a" + end for end in ("/", "//b", "/..", "\0")] * 60),
        (("code", "overlay", "deleted"), ["." * 16383 + "/"] * 200),
        (("repository", "type"), "a-" * 2_000_000),
        (("repository", "type"), "a-" * 31 + "_"),
        (("repository", "remote", "transport"), "helper:" + "x" * 4_000_000),
        (("run", "name"), "\n" * 4_000_000),
    ],
    ids=lambda value: None,
)
def test_no_pattern_of_the_schema_is_slow_on_a_text_of_some_megabytes(place, value):
    document = replaced(example_document(), place, value)
    started = time.process_time()
    assert shape_reasons(MANIFEST, document)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        (MANIFEST, ("code", "overlay", "data"), "AAAA" * (1 << 20)),
        (MANIFEST, ("code", "overlay", "deleted"), ["a/" * (2 << 20)]),
        (MANIFEST, ("repository", "type"), "a-" * (2 << 20)),
        (RECEIPT, ("outsideLinks",), [{"base64": "AAAA" * (1 << 20)}]),
        (RECEIPT, ("outsideLinks",), ["a/" * (2 << 20)]),
    ],
    ids=lambda value: None,
)
def test_no_pattern_of_the_schemas_takes_much_memory(name, place, value):
    document = replaced(example_document() if name == MANIFEST else RECEIPT_OF_ALL, place, value)
    shape_reasons(name, RECEIPT_OF_ALL)  # compiles the schema
    tracemalloc.start()
    try:
        shape_reasons(name, document)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_schemas_are_shipped_as_they_are_used():
    for name in (MANIFEST, RECEIPT):
        assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
