"""Limits on what a runner accepts: rule 3 in docs/design/safety.md."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """`entries`: paths of a tree, directories included; `bytes`: what an archive may inflate to, or files sum up to."""

    entries: int = 1_000_000
    bytes: int = 20 << 30


# What no setting raises: each bounds the memory that a hostile archive can make us hold.
EXTENDED_HEADER_BYTES = 1 << 20
LINK_TARGET_BYTES = 32 << 20
NAME_BYTES = 96 << 20
# What a tree's files of attributes, or its `.lfsconfig`, may hold.
ATTRIBUTES_BYTES = 16 << 20
