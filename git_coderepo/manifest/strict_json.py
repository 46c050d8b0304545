"""The text layer: read JSON strictly, and refuse what two readers could read differently (RFC 7493)."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import accumulate
from typing import NoReturn

from git_coderepo.errors import InvalidManifest
from git_coderepo.manifest.writer import MANIFEST_LIMIT

# Enough for twenty nested submodules, and far below the recursion limit of Python.
DEPTH_LIMIT = 64
_NUMBER_LENGTH = 40

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def document_of(data: bytes) -> object:
    """Return the JSON value in at most 4 MiB of UTF-8: dict, list, str, int, float, bool or None.

    Raises InvalidManifest, in one line, for any other text, and for a repeated key, a number that is not finite or has
    more than 40 digits, a lone surrogate, or more than 64 levels.
    """
    if len(data) > MANIFEST_LIMIT:
        raise InvalidManifest(f"larger than {MANIFEST_LIMIT >> 20} MiB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidManifest(f"not UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise InvalidManifest("not JSON: it begins with a byte order mark")
    if _depth(data) > DEPTH_LIMIT:
        raise InvalidManifest(f"nested more than {DEPTH_LIMIT} levels deep")
    try:
        document: object = json.loads(
            text, object_pairs_hook=_members, parse_int=_integer, parse_float=_float, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise InvalidManifest(f"not JSON at line {error.lineno}, column {error.colno}: {reason}") from None
    if "\\u" in text:  # only an escape can give half a character
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise InvalidManifest(
                f"a text contains the lone surrogate U+{ord(error.object[error.start]):04X}"
            ) from None
    return document


def _depth(data: bytes) -> int:
    """Return how deep brackets outside of strings nest, for valid JSON; the parser refuses any other text."""
    outside = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    return max(accumulate(map(_STEP.__getitem__, outside.translate(None, _NOT_BRACKETS))), default=0)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        repeated, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise InvalidManifest(f"the key {repeated[:80]!a} is repeated in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _NUMBER_LENGTH:
        raise InvalidManifest(f"a number of {len(digits)} digits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InvalidManifest(f"the number {digits[:80]} is not finite")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidManifest(f"{name} is not JSON")
