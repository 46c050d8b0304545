"""Schema and typed reader are one contract: what the one takes the other takes, whatever is done to a document."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import InvalidManifest
from git_coderepo.manifest.codec import MANIFEST, RECEIPT, schema, shape_reasons
from git_coderepo.manifest.model import Manifest, read
from git_coderepo.manifest.strict_json import document_of
from git_coderepo.manifest.validate import problems
from git_coderepo.manifest.writer import encode
from tests.support.manifests import documents, example_document, example_receipt, validator
from tests.support.marks import first_quick

UNTIMED = settings(deadline=None, suppress_health_check=list(HealthCheck))
OPEN = validator(schema(MANIFEST))

Place = tuple[str | int, ...]


def reader_takes(document: object) -> bool:
    """Whether the typed reader takes the shape of a document."""
    try:
        read(document, b"")
    except InvalidManifest as error:
        assert "\n" not in error.message
        return False
    return True


def closed(part: Any) -> Any:
    """The schema without its openness: an object with named fields has no others."""
    if isinstance(part, list):
        return [closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    result = {key: closed(value) for key, value in part.items()}
    if "properties" in part and "object" in part.get("type", ()):
        result.setdefault("additionalProperties", False)
    return result


CLOSED = validator(closed(schema(MANIFEST)))


def full_document() -> dict[str, Any]:
    """The example, and in it a submodule that was fetched and is a sha256 repository, so that every field is there."""
    document = example_document()
    document["run"].update(name="first try", parent=document["run"]["id"])
    remote = {"transport": "https", "host": "git.corp", "port": 8443, "user": None, "path": "acme/lib.git"}
    imported = {
        "path": "../lib",
        "via": "PYTHONPATH",
        "remote": remote,
        "commit": "a" * 40,
        "tree": "b" * 40,
        "dirty": True,
    }
    nowhere = dict.fromkeys(imported) | {"path": "../x", "via": "x.pth"}
    document["environment"] = {
        "buildKey": "b" * 64, "image": "registry.corp/train@sha256:0", "imported": [imported, nowhere],
    }  # fmt: skip
    document["code"]["scope"] = ["services"]
    document["repository"]["remote"].update(port=8443, user="git")
    document["repository"]["source"] = "my_module.MyRepositoryClass"
    document["code"]["snapshot"].update(ref="refs/coderepo/runs/1", commit="9" * 40)
    document["code"]["unreproducible"] = [{"reason": "too-large", "message": "2.0 GiB would travel with the run"}]
    document["code"]["outside"] = [{"path": ".", "reason": "filter", "detail": "annex", "files": 5000}]
    inner = copy.deepcopy(document["code"])
    inner.update(objectFormat="sha256", head=None, special=None, overlay=None, submodules=[], omitted=[])
    inner["base"].update(commit="c" * 64, tree="d" * 64)
    inner["snapshot"]["tree"] = inner["subdirectory"]["tree"] = "e" * 64
    inner["snapshot"]["commit"] = "f" * 64
    document["code"]["submodules"].append(
        {"path": "vendor/x", "commit": "8" * 40, "state": "fetched", "repository": None, "code": inner}
    )
    return document


# --- what is written is taken ------------------------------------------------------------------


@pytest.mark.parametrize("document", [example_document(), full_document()], ids=["example", "full"])
def test_the_examples_are_valid_for_schema_and_reader(document):
    data = encode(document)
    assert problems(data) == []
    assert CLOSED.is_valid(document)
    assert Manifest.parse(data).data == data


@pytest.mark.slow
@pytest.mark.parametrize("examples", first_quick(8, 50))
def test_whatever_the_writer_can_write_schema_and_reader_take(examples):
    @settings(UNTIMED, max_examples=examples)
    @given(documents())
    def check(document):
        data = encode(document)
        assert document_of(data) == document
        assert shape_reasons(MANIFEST, document) == []
        assert [error.message for error in CLOSED.iter_errors(document)] == []
        Manifest.parse(data)

    check()


def test_a_receipt_is_valid_and_closed_too():
    receipt = example_receipt()
    assert problems(encode(receipt)) == []
    assert validator(closed(schema(RECEIPT))).is_valid(receipt)


# --- readers are open, but not for another major version ---------------------------------------


def objects(value: Any, place: Place = ()) -> Iterator[Place]:
    if isinstance(value, dict):
        yield place
        for key, member in value.items():
            yield from objects(member, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, (*place, index))


def at(document: Any, place: Place) -> Any:
    for key in place:
        document = document[key]
    return document


def test_a_field_of_a_later_minor_version_is_ignored_wherever_it_stands():
    document = full_document()
    document["manifestVersion"] = "1.7"
    for place in list(objects(document)):
        if place != ("repository", "options"):  # a map: there it is an option, and a string
            at(document, place)["addedLater"] = {"deep": [None, 1.5, {"x": "y"}]}
    assert not CLOSED.is_valid(document)
    assert problems(encode(document)) == []
    assert Manifest.parse(encode(document)).code == Manifest.parse(encode(full_document())).code


@pytest.mark.parametrize("version", ["0.9", "2.0", "10.0", "11.3"])
def test_another_major_version_is_refused_before_anything_else_is_looked_at(version):
    with pytest.raises(InvalidManifest, match=f"{version} is another major version, this program reads 1.x") as raised:
        Manifest.parse(encode({"manifestVersion": version, "everything": "else"}))
    assert raised.value.hints
    assert shape_reasons(MANIFEST, example_document() | {"manifestVersion": version})


# --- the differential test ---------------------------------------------------------------------

ANYTHING: list[Any] = [
    None, True, False, 0, -1, 1, 1.0, 65535, 65535.0, 65536, 1.5, -0.0, 1e300, (1 << 53) - 1, 1 << 53, "", ".", "..",
    "a", "a/b", "a//b", "/a", "a/", "./a", "a/..", "a/.", "...", ".\n", "a/\n", "a/.\n", "a\0b", "\n", "-x", " ",
    "1.0", "1.0\n", "1.00", "1.01", "2.0", "1", "sha1", "sha256", "absent", "fetched", "exact", "remote-tracking",
    "-a", "a--b", "A", "100644", "100755", "120000", "160000", "file", "helper:x", "helper:", "rsync", "refs/x",
    "refs/", "refs/a b", "::1", "a@b", "a" * 40, "a" * 64, "a" * 41, "a" * 39 + "\n", "a" * 40 + "\n", "A" * 40,
    "g" * 64, "٣" * 40, "\x85", "\u2028", "\x7f", "é", "😀", "2026-02-30T00:00:00Z", "2026-11-23T07:00:00Z\n",
    "2026-13-23T07:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23 07:00:00", "019ab1c2-7f00-7abc-8def-0123456789ab",
    "019ab1c2-7f00-4abc-8def-0123456789ab", "019AB1C2-7f00-7abc-8def-0123456789ab", "AA==", "AB==", "AAA=", "AAB=",
    "AAAA", "AAA", "AA=", "AAAA\n", "AA==AA==", "{{x.y}}", "a{{", "}}", "x" * 1024, "x" * 1025, "x" * 16384,
    "x" * 16385, "x" * 131073, "AAAA" * 1000, "AAAA" * 12345 + "A", "AAAA" * 999 + "AA==", "a/" * 200 + "b", [],
    ["a"], [[]], [None], ["a", "a"], {}, {"a": "b"}, {"a": 1}, {"base64": "AA=="}, {"base64": "AB=="}, {"base64": ""},
    {"base64": None}, {"base64": "/w==", "more": 1}, {"base64": "AAAA" * 8192}, {"base64": "AAAA" * 8193},
    {"base64": "AAAA" * 65537}, {"{{a": "b"}, {"base64": "AAAA\n"}, "a" * 64 + "\n",
    "019ab1c2-7f00-7abc-8def-0123456789ab\n", "1." + "1" * 15, "a" * 64 + "-b",
]  # fmt: skip


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    yield place
    if isinstance(value, dict):
        for key, member in value.items():
            yield from places(member, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*place, index))


def replaced(document: Any, place: Place, value: object) -> Any:
    """A copy of the document with another value at `place`; what is off the way is shared."""
    if not place:
        return value
    container = copy.copy(document)
    container[place[0]] = replaced(document[place[0]], place[1:], value)
    return container


def without(document: Any, place: Place) -> Any:
    """A copy of the document without the member or item at `place`."""
    container = copy.copy(at(document, place[:-1]))
    del container[place[-1]]
    return replaced(document, place[:-1], container)


LATER_FIELDS: list[Any] = [{"later": None}, {"later": "{{x.y}}"}, {"later": [{"{{x.y}}": 1}]}]

FULL = full_document()
# Only with the submodules, and of what is in them only what their object format changes: the rest is tried above it.
LEAN = FULL | {"code": FULL["code"] | {"submodules": []}}
PLACES = [
    place
    for place in places(FULL)
    if place
    and (place[:4] != ("code", "submodules", 1, "code") or place[-1] in ("code", "objectFormat", "tree", "commit"))
]
SECTIONS = sorted({place[:2] if place[0] == "code" else place[:1] for place in PLACES}, key=str)


@pytest.mark.slow
@pytest.mark.parametrize("one_in", first_quick(9, 1))
@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: ".".join(map(str, section)))
def test_reader_and_schema_agree_on_every_field_with_anything_in_it(section, one_in):
    disagreements = []
    original = FULL if section == ("code", "submodules") else LEAN
    for number, place in enumerate(PLACES):
        if place[: len(section)] != section or (len(section) == 1 and section[0] == "code" and len(place) > 1):
            continue
        owner, key = at(original, place[:-1]), place[-1]
        tried = [(value, replaced(original, place, value)) for value in ANYTHING[number % one_in :: one_in]]
        tried.append(("dropped", without(original, place)))
        if isinstance(owner[key], dict):
            tried += [(more, replaced(original, place, owner[key] | more)) for more in LATER_FIELDS]
        for what, document in tried:
            taken = reader_takes(document)
            if taken != OPEN.is_valid(document):
                disagreements.append((place, what, "the reader alone" if taken else "the schema alone"))
    assert disagreements == []


@pytest.mark.parametrize("value", ANYTHING, ids=lambda value: repr(value)[:20])
def test_reader_and_schema_agree_on_what_is_no_manifest_at_all(value):
    assert not reader_takes(value)
    assert shape_reasons(MANIFEST, value)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[Any] | None = None) -> Any:
    """A document as the writer writes it (one of `whole`), to which one to three things were done."""
    document = draw(documents(submodules=1) if whole is None else whole)
    for _ in range(draw(st.integers(1, 3))):
        possible = [place for place in places(document) if place]
        if not possible:
            break
        place = draw(st.sampled_from(possible))
        there = at(document, place)
        match draw(st.sampled_from(("drop", "replace", "edit", "transplant", "add"))):
            case "drop":
                document = without(document, place)
                continue
            case "edit" if isinstance(there, str):
                end = draw(st.integers(0, len(there)))
                value: Any = (
                    there[:end]
                    + draw(st.text(st.characters(codec="utf-8"), max_size=2))
                    + there[end + draw(st.integers(0, 1)) :]
                )
            case "transplant":
                value = at(document, draw(st.sampled_from(possible)))
            case "add" if isinstance(there, dict):
                value = there | {
                    draw(st.sampled_from(("new", "data", "target", "base64", "{{x"))): draw(st.sampled_from(ANYTHING))
                }
            case _:
                value = draw(st.sampled_from(ANYTHING))
        document = replaced(document, place, value)
    return document


@pytest.mark.slow
@pytest.mark.parametrize("examples", first_quick(15, 100))
def test_reader_and_schema_agree_on_a_damaged_document(examples):
    @settings(UNTIMED, max_examples=examples)
    @given(damaged())
    def check(document):
        assert reader_takes(document) == OPEN.is_valid(document)

    check()
