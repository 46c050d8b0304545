"""The contract for receipts, for texts as editors leave them, and on a machine without any other package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import git_coderepo
from git_coderepo.errors import InvalidManifest
from git_coderepo.manifest.codec import RECEIPT, schema, shape_reasons
from git_coderepo.manifest.strict_json import document_of
from git_coderepo.manifest.validate import problems
from git_coderepo.manifest.writer import encode
from tests.support.manifests import example_receipt, validator
from tests.test_manifest_contract import (
    ANYTHING,
    FULL,
    LATER_FIELDS,
    OPEN,
    UNTIMED,
    at,
    damaged,
    places,
    reader_takes,
    replaced,
    without,
)

OPEN_RECEIPT = validator(schema(RECEIPT))


def receipt_reader_takes(document: object) -> bool:
    """Whether a receipt has the shape of one."""
    return not shape_reasons(RECEIPT, document)


def full_receipt() -> dict[str, Any]:
    """A receipt with something in every list and in every field that may be null."""
    receipt = example_receipt()
    fallbacks = [{"method": "archive", "reason": "the platform gave none"}]
    counted = {"files": 3, "deleted": 1}
    receipt.update(fallbacks=fallbacks, overlay=counted, commit="a" * 40, outsideLinks=["out", {"base64": "/w=="}])
    receipt["submodules"] = [
        {
            "path": "lib",
            "commit": "7" * 40,
            "state": "fetched",
            "tree": "8" * 64,
            "method": "git",
            "fallbacks": fallbacks,
            "files": 2,
            "bytes": 1,
            "overlay": counted,
        }
    ]
    receipt["conversions"] = [
        {"kind": "eol", "value": "crlf", "files": 1, "left": ["a b"], "reason": "no such encoding"}
    ]
    receipt["lfs"] = {"state": "fetched", "files": 2, "objects": 1, "travelled": 0, "bytes": 10}
    return receipt


RECEIPT_OF_ALL = full_receipt()


@pytest.mark.slow
def test_receipt_reader_and_schema_agree_on_every_field_with_anything_in_it():
    assert receipt_reader_takes(RECEIPT_OF_ALL)
    assert OPEN_RECEIPT.is_valid(RECEIPT_OF_ALL)
    disagreements = []
    for place in places(RECEIPT_OF_ALL):
        if len(place) > 3:
            continue  # what a submodule says of its overlay is what the receipt says of its own
        tried: list[tuple[Any, Any]] = [(value, replaced(RECEIPT_OF_ALL, place, value)) for value in ANYTHING]
        there = at(RECEIPT_OF_ALL, place)
        if place:
            tried.append(("dropped", without(RECEIPT_OF_ALL, place)))
        if isinstance(there, dict):
            tried += [(more, replaced(RECEIPT_OF_ALL, place, there | more)) for more in LATER_FIELDS]
        for what, document in tried:
            taken = receipt_reader_takes(document)
            if taken != OPEN_RECEIPT.is_valid(document):
                disagreements.append((place, what, "the reader alone" if taken else "the schema alone"))
    assert disagreements == []


@pytest.mark.slow
@settings(UNTIMED, max_examples=150)
@given(damaged(st.just(RECEIPT_OF_ALL)))
def test_reader_and_schema_agree_on_a_damaged_receipt(document):
    assert receipt_reader_takes(document) == OPEN_RECEIPT.is_valid(document)


# --- the same in the text itself: numbers, keys that stand twice, escapes, whatever an editor does ---------------

NUMBERS = [
    "0", "-0", "1.0", "1e0", "1E+2", "0.5", "-1", "1e400", "-1e400", "9007199254740991", "9007199254740992",
    "9007199254740991.0", "9.007199254740993e15", "1e15", "1" * 40, "1" * 41, "01", "+1", "1.", ".5", "0x1", "1_0",
    "NaN", "Infinity", "-Infinity", "true", "null",
]  # fmt: skip
SNIPPETS = [
    '"a"',
    '"a":1,',
    '"run":{},',
    '"size":0,',
    "\\u0000",
    "\\ud800",
    "\\ud83d\\ude00",
    "\ufeff",
    "{",
    "}",
    "[",
    "]",
    ",",
    " ",
    "\u2028",
]
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null')


@st.composite
def edited(draw: st.DrawFn, original: str) -> str:
    """The text with one to three edits by a hand that does not know what it does."""
    text = original
    for _ in range(draw(st.integers(1, 3))):
        tokens = list(TOKEN.finditer(text))
        token = draw(st.sampled_from(tokens)) if tokens else None
        start, end = token.span() if token is not None else (0, len(text))
        old = text[start:end]
        new: str
        match draw(st.sampled_from(("number", "snippet", "escape", "twice", "cut", "swap"))):
            case "number":
                new = draw(st.sampled_from(NUMBERS))
            case "snippet":
                new = draw(st.sampled_from(SNIPPETS)) + old
            case "escape":
                new = "".join(f"\\u{ord(char):04x}" if char.isalnum() and ord(char) < 0xFFFF else char for char in old)
            case "twice":
                new = f"{old}, {old}" if draw(st.booleans()) else f"{old}: null, {old}"
            case "cut":
                new = ""
            case _:
                new = draw(st.sampled_from(tokens)).group() if tokens else ""
        text = text[:start] + new + text[end:]
    return text


def verdicts(text: str, taken_by_reader: Any, schema_validator: Any) -> tuple[bool, bool]:
    """Whether the typed reader takes the text, and whether the schema does: a text that is no such JSON, neither."""
    try:
        document = document_of(text.encode("utf-8", "surrogatepass"))
    except InvalidManifest:
        return False, False
    return taken_by_reader(document), schema_validator.is_valid(document)


@pytest.mark.slow
@settings(UNTIMED, max_examples=150)
@given(edited(encode(FULL).decode()))
def test_reader_and_schema_agree_on_an_edited_manifest(text):
    by_reader, by_schema = verdicts(text, reader_takes, OPEN)
    assert by_reader == by_schema


@settings(UNTIMED, max_examples=150)
@given(edited(encode(RECEIPT_OF_ALL).decode()))
def test_reader_and_schema_agree_on_an_edited_receipt(text):
    by_reader, by_schema = verdicts(text, receipt_reader_takes, OPEN_RECEIPT)
    assert by_reader == by_schema


# --- where nothing else is installed -----------------------------------------------------------------------------

WITHOUT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from git_coderepo.manifest.validate import problems
json.dump([problems(text.encode("utf-8", "surrogatepass")) for text in json.load(sys.stdin)], sys.stdout)
"""


@pytest.mark.slow
def test_validate_gives_every_reason_where_only_the_standard_library_is_installed():
    texts = [encode(FULL).decode(), encode(RECEIPT_OF_ALL).decode()]
    for original in (FULL, RECEIPT_OF_ALL):
        for place in list(places(original))[1::3]:
            texts.append(json.dumps(without(original, place)))
            others: tuple[Any, ...] = (None, 1.0, "a\n", "../a", [], {})
            texts += [json.dumps(replaced(original, place, value)) for value in others]
    texts += ["", "{", "[]", '{"manifestVersion": "2.0"}', '{"a": 1, "a": 1}', '"\\ud800"', "\ufeff{}", "NaN"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WITHOUT, str(Path(git_coderepo.__file__).parents[1])],
        input=json.dumps(texts), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == [problems(text.encode("utf-8", "surrogatepass")) for text in texts]
    assert found[:2] == [[], []]
    assert max(map(len, found)) > 1
