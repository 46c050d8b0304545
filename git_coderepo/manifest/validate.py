"""List all errors of a run manifest or a receipt, for `validate`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from git_coderepo.errors import InvalidManifest
from git_coderepo.manifest import invariants
from git_coderepo.manifest.codec import MANIFEST, MOST_REASONS, RECEIPT, shape_reasons
from git_coderepo.manifest.model import read
from git_coderepo.manifest.strict_json import document_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_RECEIPT_SCHEMA = "urn:git-coderepo:receipt:1"
_MOST_LINES = 100


def problems(data: bytes) -> list[str]:
    """Return lines `PLACE: REASON` about a manifest, or about a receipt by its `$schema`; none if it is valid.

    Errors of the text come first, then of the shape, then of the meaning of a manifest; only the first kind is listed.
    """
    try:
        document = document_of(data)
        if isinstance(document, dict) and document.get("$schema") == _RECEIPT_SCHEMA:
            return _shortened(shape_reasons(RECEIPT, document))
        shape = shape_reasons(MANIFEST, document)
        if shape:
            return _shortened(shape)
        return _shortened([*islice(invariants.reasons(read(document, data)), MOST_REASONS)])
    except InvalidManifest as error:
        return [error.message]


def receipt_problems(data: bytes) -> list[str]:
    """Return lines about a receipt, like `problems`, but without regard to its `$schema`."""
    try:
        return _shortened(shape_reasons(RECEIPT, document_of(data)))
    except InvalidManifest as error:
        return [error.message]


def _shortened(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return [*lines]
    return [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES} more, at least"]
