"""Manifests: any bytes are a manifest or refused in one line, and the schema takes just what the typed reader takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from git_coderepo.errors import CodeRepoError, InvalidManifest
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.manifest.codec import MANIFEST, schema
from git_coderepo.manifest.model import Manifest, read
from git_coderepo.manifest.strict_json import document_of
from git_coderepo.manifest.validate import problems
from git_coderepo.manifest.writer import encode
from tests.support.manifests import example_document, validator

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

# The first byte of an edit of the example; what follows is two bytes for the place and a text of JSON.
_EDIT = 0xFF

Place = tuple[str | int, ...]


def one(data: bytes) -> None:
    """Read them as a manifest; after the byte 0xFF they are an edit of the example, which gets further in."""
    if data[:1] == bytes([_EDIT]):
        data = _edited(data[1:])
    try:
        document: Any = document_of(data)
    except InvalidManifest as error:
        _one_line(error)
        assert problems(data) == [error.message]
        return
    is_manifest = isinstance(document, dict) and str(document.get("manifestVersion", "")).startswith("1.")
    try:
        read(document, data)
    except InvalidManifest as error:
        _one_line(error)
        # Of another major version nothing else is looked at, and only the reader says so.
        assert not _open().is_valid(document) or not is_manifest, error.message
        return
    assert _open().is_valid(document), "the reader takes what the schema refuses"
    try:
        manifest = Manifest.parse(data)
    except InvalidManifest as error:
        _one_line(error)
        return
    for code_repository in _repositories(manifest):
        if code_repository.remote is not None:
            parts = code_repository.remote
            try:
                url = RemoteURL.from_parts(parts.transport, parts.host, parts.port, parts.user, parts.path)
            except CodeRepoError as error:
                _one_line(error)
            else:
                _harmless(url.url())


def _one_line(error: CodeRepoError) -> None:
    assert error.message.splitlines() == [error.message], error.message


def _harmless(text: str) -> None:
    """What git is given as a remote is no option, no second line, no command of a helper's that a shell would see."""
    assert not text.startswith("-") and "\n" not in text and "\0" not in text, text


def _repositories(manifest: Manifest) -> Iterator[Any]:
    found = [manifest.repository, *(each.repository for _, code in manifest.code.codes() for each in code.submodules)]
    yield from (each for each in found if each is not None)


@cache
def _open() -> Validator:
    return validator(schema(MANIFEST))


@cache
def _places() -> list[Place]:
    """Every place of the example that a value may stand in, and some where none is expected."""

    def below(value: object, place: Place) -> Iterator[Place]:
        yield place
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from below(inner, (*place, key))
            yield (*place, "unknown")
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from below(inner, (*place, index))

    return list(below(example_document(), ()))


def _edited(data: bytes) -> bytes:
    """The example with values put into places, `PLACE(2 bytes) JSON NUL …`; what is no JSON is put there as a text."""
    document: Any = example_document()
    for edit in data.split(b"\0\0")[:4]:
        places = _places()
        place = places[int.from_bytes(edit[:2], "big") % len(places)]
        text = edit[2:].decode("utf-8", "replace")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        document = _put(document, place, value)
    try:
        return json.dumps(document).encode()
    except RecursionError:
        return b"{}"


def _put(document: Any, place: Place, value: object) -> Any:
    if not place:
        return value
    inner = document
    try:
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
    except (KeyError, IndexError, TypeError):
        pass  # an edit before this one took the place away
    return document


def seeds() -> Iterator[bytes]:
    """The example, whole and with each of its places put again, and texts that JSON readers differ about."""
    yield encode(example_document())
    yield json.dumps(example_document()).encode()
    for number, place in enumerate(_places()):
        value: Any = example_document()
        try:
            for key in place:
                value = value[key]
        except KeyError:
            value = 0
        if place:
            yield bytes([_EDIT]) + number.to_bytes(2, "big") + json.dumps(value).encode()
    for text in (
        "{}",
        "[]",
        "NaN",
        '{"a":1,"a":2}',
        '"\\ud800"',
        "1e999",
        "-0",
        "1" * 50,
        "[" * 100,
        '{"manifestVersion":"2.0"}',
    ):
        yield text.encode()
    for text in (
        '"../x"',
        '{"base64":"Li4veA=="}',
        "null",
        "1.0",
        "9007199254740993",
        '"{{my.token}}"',
        '".git"',
        "true",
    ):
        yield bytes([_EDIT]) + b"\0\x10" + text.encode() + b"\0\0\0\x20" + text.encode()
