"""Limits on what a runner accepts: rule 3 in docs/design/safety.md."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """The most `entries` (paths of a tree, directories included) and `bytes` (of an unpacked archive, or all files)."""

    entries: int = 1_000_000
    bytes: int = 20 << 30


# No setting raises these: each bounds the memory that a hostile archive can take.
EXTENDED_HEADER_BYTES = 1 << 20
LINK_TARGET_BYTES = 32 << 20
NAME_BYTES = 96 << 20
# The most bytes in all `.gitattributes` of a tree, and in its `.lfsconfig`.
ATTRIBUTES_BYTES = 16 << 20
